"""Signatures of all callables, as text."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any, get_overloads

import torch

from .callables import classes, functions, others
from .stubs import Stub, Stubs, is_tensor_type

_FAMILIES = {"torch.linalg": "linalg_", "torch.special": "special_", "torch.fft": "fft_"}


def collect(stubs: Stubs) -> dict[str, dict[str, list[str]]]:
    """Signatures by name, those that torch's own parser reads apart from those of Python."""
    native: dict[str, list[str]] = {}
    python: dict[str, list[str]] = {}
    for name, value in functions():
        stub = stub_of(name, value, stubs)
        if stub is not None and stub.signatures:
            defaults = _defaults(name, value)
            native[name] = list(dict.fromkeys(_with_defaults(text, defaults) for text in stub.signatures))
        elif (text := _inspected(value, method=name.startswith("torch.Tensor."))) is not None:
            python[name] = [text]
        elif texts := [_schema_text(s, name) for s in schemas(name, value)]:
            native[name] = list(dict.fromkeys(texts))
    for name, value in others():
        text = _inspected(value) if not inspect.isclass(value) else _inspected(_made_by(value), method=True)
        if text is not None:
            python[name] = [text]
    python |= {name: texts for name, layer in classes() if (texts := _constructors(layer))}
    return {"native": native, "python": python}


def _defaults(name: str, value: Callable[..., Any]) -> dict[str, str]:
    """What parameters of a native function are where they are not given."""
    told = (argument for schema in schemas(name, value) for argument in schema.arguments)
    return {a.name: _literal(a.default_value) for a in told if a.default_value is not None}


def _constructors(layer: type) -> list[str]:
    """Signatures of a class's constructor, each overload's."""
    makers = [m for c in layer.__mro__ if inspect.isfunction(m := c.__dict__.get("__init__"))]
    ways = [way for maker in makers for way in get_overloads(maker)] or makers[:1]
    texts = [t for way in ways if (t := _inspected(way, method=True)) is not None]
    return [t for t in dict.fromkeys(texts) if t != "*args **kwargs" or len(texts) == 1]


def _with_defaults(text: str, defaults: dict[str, str]) -> str:
    """A signature of the stubs, which leave out some defaults that the schema has."""
    parts = [
        p.removesuffix("...") + defaults.get(p.partition("=")[0], "...") if p.endswith("=...") else p
        for p in text.split()
    ]
    return " ".join(parts)


def stub_of(name: str, value: Callable[..., Any], stubs: Stubs) -> Stub | None:
    """What the stubs say of something that is not written in Python."""
    folder, _, last = name.rpartition(".")
    if inspect.isfunction(value):
        return None
    if folder == "torch.Tensor":
        return stubs.methods.get(last)
    if folder == "torch":
        return stubs.functions.get(last)
    if folder == "torch.nn.functional":
        if value is getattr(torch, last, None):
            return stubs.functions.get(last)
        return stubs.neural.get(last)
    return None


def schemas(name: str, value: Callable[..., Any]) -> list[Any]:
    """The schemas of a native function, without those that write to `out`."""
    if inspect.isfunction(value) or inspect.isclass(value):
        return []
    folder, _, last = name.rpartition(".")
    found = torch._C._jit_get_schemas_for_operator(f"aten::{_FAMILIES.get(folder, '')}{last}")
    return [s for s in found if not any(a.is_out for a in s.arguments)]


def _schema_text(schema: Any, name: str) -> str:
    parts: list[str] = []
    method = name.startswith("torch.Tensor.")
    for argument in schema.arguments:
        if method and argument.name == "self":
            continue
        if argument.kwarg_only and "*" not in parts:
            parts.append("*")
        called = "input" if argument.name == "self" else argument.name
        kind = ":T" if is_tensor_type(str(argument.type)) else ""
        default = f"={_literal(argument.default_value)}" if argument.has_default_value() else ""
        parts.append(f"{called}{kind}{default}")
    parts += ["*"] if "*" not in parts else []
    return " ".join([*parts, "out:T=None"]) if not method else " ".join(parts).removesuffix(" *")


def _made_by(value: type) -> Callable[..., Any]:
    """What takes the arguments of a class: `torch.nn.Parameter` has but a `__new__`."""
    made: Callable[..., Any] = inspect.getattr_static(value, "__init__")
    return made if inspect.isfunction(made) else value.__new__


def _inspected(value: Callable[..., Any], method: bool = False) -> str | None:
    value = _dispatched(value)
    try:
        signature = inspect.signature(value)
    except (ValueError, TypeError):
        return None
    parts: list[str] = []
    for i, p in enumerate(signature.parameters.values()):
        if method and i == 0:
            continue
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}")
        elif p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}")
        else:
            if p.kind is p.KEYWORD_ONLY and not any(x.startswith("*") for x in parts):
                parts.append("*")
            note = (
                p.annotation if isinstance(p.annotation, str) else getattr(p.annotation, "__name__", str(p.annotation))
            )
            kind = ":T" if is_tensor_type(note) else ""
            parts.append(f"{p.name}{kind}" + ("" if p.default is p.empty else f"={_literal(p.default)}"))
    return " ".join(parts)


def _dispatched(value: Callable[..., Any]) -> Callable[..., Any]:
    """The function behind one that chooses between two by a flag, as the pooling functions do."""
    if getattr(value, "__qualname__", "").startswith("boolean_dispatch"):
        for cell in value.__closure__ or ():
            if inspect.isfunction(cell.cell_contents):
                return cell.cell_contents
    return value


def _literal(value: object) -> str:
    text = repr(value)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return "..."
    return text if " " not in text and text else "..."
