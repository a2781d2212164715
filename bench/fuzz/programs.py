"""Programs: one function or module with what it needs, the same for the same seed and number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from .kinds import SIGNAL, Kind, Many, Parameter, Plain, Tensor
from .modules import MODULES
from .statements import body
from .styles import STYLES, Style
from .writer import Writer


@dataclass(frozen=True)
class Program:
    """Source of a program, and how to call it. `COMMONS` in the source is the other file's name."""

    name: str  # seed and number, such as `7:1234`
    style: Style
    source: str
    shared: str  # definitions that stand in another file
    entry: str
    parameters: tuple[Parameter, ...]
    builds: str = ""  # arguments of the constructor, where the entry is a module


def program(seed: int, number: int) -> Program:
    """The program of this number among those of a seed."""
    rng = Random(f"{seed}:{number}")
    style = rng.choice(STYLES)
    w = Writer(rng, style, f"p{number}")
    if rng.random() < 0.25:
        return _module(w, f"{seed}:{number}", rng.choice(MODULES))
    return _function(w, f"{seed}:{number}")


def _function(w: Writer, name: str) -> Program:
    head = w.one_of("", "", "", "", "", "", f"@{w.torch}.no_grad()\n", f"@{w.torch}.inference_mode()\n")
    if "inference" in head:
        w.may_infer()
    _first_parameters(w)
    body(w, w.rng.randint(1, 4))
    results = w.results()
    w.line(f"return {results}")
    entry = w.top_name(w.one_of("run", "compute", "step", "collect"))
    source = "\n".join([*w.before, f"{head}def {entry}({_signature(w, w.parameters)}):", *_docstring(w), *w.lines, ""])
    return Program(name, w.style, source, "\n".join(w.shared), entry, tuple(w.parameters))


def _module(w: Writer, name: str, template: Callable[[Writer], tuple[str, str]]) -> Program:
    entry, builds = template(w)
    return Program(name, w.style, "\n".join([*w.before, ""]), "\n".join(w.shared), entry, tuple(w.parameters), builds)


def _first_parameters(w: Writer) -> None:
    w.parameter(Tensor("float32", SIGNAL), w.one_of("", "grad", "grad"), "x", "x", "y_hat", "audio", "query", "spec_in")
    others: tuple[tuple[Kind, str, tuple[str, ...]], ...] = (
        (Tensor("float32", SIGNAL), "other", ("y", "cond", "key_in")),
        (Tensor("float64", SIGNAL), "", ("d", "precise")),
        (Plain("int"), "", ("n", "size")),
        (Plain("float"), "", ("scale", "alpha")),
        (Plain("bool"), "", ("flag", "reverse")),
        (Many(Tensor("float32", SIGNAL)), "", ("parts", "outs")),
        (Tensor("bool", SIGNAL), "", ("mask_in", "keep_in")),
        (Tensor("float32", ("B",)), "", ("weights_in", "temps")),
        (Tensor("float32", ()), "", ("level_in", "t0")),
    )
    for kind, like, names in others:
        if w.chance(0.15):
            w.parameter(kind, like, *names)


def _docstring(w: Writer) -> list[str]:
    return ['    """What it computes."""'] if w.chance(0.1) else []


def _signature(w: Writer, parameters: list[Parameter]) -> str:
    """Parameters, some with annotations or, at the end, defaults."""
    texts = []
    for p in parameters:
        note = ""
        if w.chance(0.3) and isinstance(p.kind, Plain):
            note = p.kind.type
        elif w.chance(0.3) and isinstance(p.kind, Tensor):
            note = f"{w.torch}.Tensor"
        texts.append(f"{p.name}: {note}" if note else p.name)
    for at in range(len(parameters) - 1, 0, -1):
        kind = parameters[at].kind
        if not isinstance(kind, Plain) or w.chance(0.4):
            break
        default = {"int": "2", "float": "1.5", "bool": "True"}.get(kind.type, "None")
        texts[at] += f" = {default}" if ":" in texts[at] else f"={default}"
    return ", ".join(texts)
