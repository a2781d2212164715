"""What callables return and what a tensor's attributes are, from annotations and schemas."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import torch

from .callables import functions
from .signatures import schemas, stub_of
from .stubs import Stubs

_SEQUENCES = re.compile(r"(tuple|list|sequence)\[(tensor|\(\))(,\.\.\.)?\]|tensor\[\]")
_HOST = frozenset(
    "bool int float str complex number size device dtype layout memory_format none qscheme generator _node symint "
    "symbool symfloat uniontype finfo iinfo node numpy.ndarray list dict storage untypedstorage typedstorage".split()
)


def collect(stubs: Stubs) -> tuple[dict[str, str], dict[str, str]]:
    """Results of callables by name, and a tensor's attributes: `tensor`, `sequence`, `tuple2`, `host`, several joined
    by `|`; names of which nothing is said are left out.
    """
    found: dict[str, str] = {}
    for name, value in functions():
        notes = _notes(name, value, stubs)
        kinds = [kind for note in notes if (kind := kind_of(note)) is not None]
        if kinds and len(kinds) == len(notes):
            found[name] = "|".join(sorted({k for kind in kinds for k in kind.split("|")}))
    for name in dir(torch):  # torch.device, torch.Size, torch.no_grad
        value = getattr(torch, name)
        if (
            not name.startswith("_")
            and inspect.isclass(value)
            and not issubclass(value, (torch.Tensor, torch.nn.Module))
        ):
            found[f"torch.{name}"] = "host"
    for name, value in functions():  # without an annotation, and called with the tensor alone
        method = name.removeprefix("torch.Tensor.")
        if name not in found and method != name and inspect.isfunction(value) and not method.endswith("_"):
            kind = _called(value)
            if kind is not None:
                found[name] = kind
    notes_of = {**stubs.attributes, **_properties()}
    attributes = {name: kind for name, note in notes_of.items() if (kind := kind_of(note)) is not None}
    return found, {**_asked(), **attributes}


def _notes(name: str, value: Callable[..., Any], stubs: Stubs) -> list[str]:
    stub = stub_of(name, value, stubs)
    if stub is not None and stub.results:
        return stub.results
    if (found := schemas(name, value)) != []:
        return [", ".join(str(r.type) for r in s.returns) for s in found]
    try:
        note = inspect.signature(value).return_annotation
    except (ValueError, TypeError):
        return [""]
    if note is inspect.Signature.empty:
        return [""]
    return [
        note if isinstance(note, str) else getattr(note, "__name__", str(note)) if inspect.isclass(note) else str(note)
    ]


def _called(method: Callable[..., Any]) -> str | None:
    """What a method gives that takes nothing but the tensor; None for others, and for what is no plain value."""
    required = [p for p in inspect.signature(method).parameters.values() if p.default is p.empty]
    if len(required) != 1:
        return None
    try:
        given = method(torch.ones(2, 2))
    except (RuntimeError, TypeError, NotImplementedError):
        return None
    if isinstance(given, torch.Tensor):
        return "tensor"
    return "host" if isinstance(given, (bool, int, str, tuple)) or "Storage" in type(given).__name__ else None


def _properties() -> dict[str, str]:
    """Annotations of the properties that torch writes in Python."""
    found: dict[str, str] = {}
    for name in dir(torch.Tensor):
        value = inspect.getattr_static(torch.Tensor, name)
        if isinstance(value, property) and not name.startswith("_"):
            note = getattr(value.fget, "__annotations__", {}).get("return", "")
            found[name] = note if isinstance(note, str) else getattr(note, "__name__", str(note))
    return found


def _asked() -> dict[str, str]:
    """What the attributes of a tensor with a gradient are, asked of one; for those without an annotation."""
    x = torch.ones(2, 2, requires_grad=True)
    torch.autograd.backward([x.sum()])
    found: dict[str, str] = {}
    for name in dir(torch.Tensor):
        static = inspect.getattr_static(torch.Tensor, name)
        if name.startswith("_") or callable(static):
            continue
        try:
            value = getattr(x, name)
        except (RuntimeError, AttributeError):
            continue
        if not callable(value):
            found[name] = "tensor" if isinstance(value, torch.Tensor) else "host"
    return found


def kind_of(note: str) -> str | None:
    """The kind of value that an annotation (or a schema's type) means."""
    text = (
        note.lower()
        .replace("torch.types.", "")
        .replace("torch.", "")
        .replace("typing.", "")
        .replace(" ", "")
        .strip("'\"")
    )
    if (inner := re.fullmatch(r"optional\[(.*)\]", text)) is not None:
        text = f"{inner[1]}|none"
    if text.startswith("return_types."):
        fields = getattr(torch.return_types, note.rpartition(".")[2], None)
        return f"tuple{fields.n_fields}" if fields is not None else None
    if re.match(r"(typing_extensions\.)?_?(typeis|typeguard)\[", text):
        return "host"
    if text in ("", "any"):
        return None
    if _SEQUENCES.fullmatch(text):
        return "sequence"
    if (parts := re.fullmatch(r"(?:tuple\[)?(tensor(?:,tensor)+)\]?", text)) is not None:
        return f"tuple{parts[1].count('tensor')}"
    kinds = set()
    for part in _split(text):
        bare = part.lstrip("_")
        if part == "tensor":
            kinds.add("tensor")
        elif bare in _HOST or re.fullmatch(r"(list|tuple|sequence)\[_?(int|bool|float|str)(,.*)?\]", part):
            kinds.add("host")
        elif (other := kind_of(part)) is not None if part != text else False:
            kinds.add(str(other))
        else:
            return None
    if "tensor" in kinds and "none" in text:
        kinds.discard("host")
    return "|".join(sorted(kinds)) or None


def _split(text: str) -> list[str]:
    """The members of `a|b[c|d]`."""
    parts, depth = [""], 0
    for c in text:
        depth += (c == "[") - (c == "]")
        if c == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts
