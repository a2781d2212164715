"""What calling something of torch's lacks on XLA: operators without a lowering, forward and backward."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .reading import canonical, table

TENSOR, PLAIN, SOMETHING = "tensor", "a Python value", "something"
GIVEN = "given"
MASKS = "masks"  # several tensors, one of truth values among them
ABSENT = ""  # a parameter that this way to call has not
# Of a parameter's value: Python source of a literal, TENSOR, PLAIN (no more is known), SOMETHING (it is given), ABSENT,
# None (nothing is known).
Value = Callable[[str], str | None]

_FOUND_OUT = ("None", "-1")  # by which a function is told to find a value itself; nobody hides one in a variable
_SHOWN = 3  # operators named in one sentence


@dataclass(frozen=True, slots=True)
class Lack:
    """An operator that a call runs on the host; not `certain` where that depends on arguments that are not known."""

    operator: str
    backward: bool
    family: str
    certain: bool
    only: tuple[str, ...]  # versions, if not all

    @property
    def told(self) -> str:
        """The operator, with the versions that lack it."""
        return f"{self.operator} in PyTorch/XLA {', '.join(self.only)}" if self.only else self.operator


def lacking(target: str, value: Value) -> list[Lack]:
    """The operators that a call of `target` runs on the host, when `value` tells of its arguments by parameter."""
    data = table("operators")
    facts: dict[str, Any] = data["lacks"].get(canonical(target), {})
    found: list[Lack] = []
    for stage in ("forward", "backward"):
        for operator, condition in facts.get(stage, {}).items():
            holds = _holds(condition, value)
            if holds is not False:
                family = data["families"].get(operator, "LOW")
                only = tuple(condition.get("only", ()))
                found.append(Lack(operator, stage == "backward", family, holds is True, only))
    return found


def reasons(target: str, value: Value) -> list[tuple[str, str]]:
    """The hazards of a call of `target`, by what torch and torch_xla say of themselves: a family, and a sentence."""
    name = canonical(target)
    short = name.rpartition(".")[2]
    facts: dict[str, Any] = table("operators")["lacks"].get(name, {})
    if "ends" in facts:
        return [("LOW", f"{short} ends the process on XLA, if not for all arguments")]
    found: list[tuple[str, str]] = []
    if "raises" in facts:
        what = f"the gradient of {short}" if facts["raises"] == "backward" else short
        found.append(("LOW", f"{what} raises on XLA"))
    lacks = lacking(target, value)
    for family in sorted({lack.family for lack in lacks}):
        those = [lack for lack in lacks if lack.family == family]
        stage = "backward" if all(lack.backward for lack in those) else "forward"
        found.append((family, _sentence(short, family, those, family in facts.get(f"always {stage}", ()))))
    return found


def always(family: str) -> list[str]:
    """The names of all that has a hazard of a family whatever the arguments."""
    data = table("operators")
    return [
        name
        for name, facts in data["lacks"].items()
        if family in facts.get("always forward", ())
        or any(c == {} and data["families"].get(o, "LOW") == family for o, c in facts.get("forward", {}).items())
    ]


def _sentence(name: str, family: str, lacks: list[Lack], always: bool) -> str:
    forward, backward = [x for x in lacks if not x.backward], [x for x in lacks if x.backward]
    some = _some(forward or backward, always)
    if family in _COSTS:
        return f"{some}{name} {_COSTS[family]} ({_named(lacks)})"
    if not forward:
        return f"{some}the gradient of {name} has no lowering ({_named(backward)})"
    gradient = f", nor has its gradient ({_named(backward)})" if backward else ""
    return f"{some}{name} has no lowering ({_named(forward)}){gradient}"


_COSTS = {"SYN": "waits for the device", "SHP": "gives results whose number follows the data"}


def _some(lacks: list[Lack], always: bool) -> str:
    return "" if always or any(lack.certain for lack in lacks) else "with some arguments "


def _named(lacks: list[Lack]) -> str:
    names = [lack.told for lack in lacks]
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _holds(condition: Mapping[str, Any], value: Value) -> bool | None:
    """Whether a call lacks an operator under a condition; None when that cannot be told."""
    if "when" in condition:
        return _any(_all(_matches(value(p), c) for p, c in combination.items()) for combination in condition["when"])
    if "unless" in condition:
        answers = [_matches(value(p), c) for p, classes in condition["unless"].items() for c in classes]
        return False if True in answers else None
    return None if "may" in condition else True


def _any(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return True if True in found else None if None in found else False


def _all(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return False if False in found else None if None in found else True


def literal(value: object) -> str:
    """The source of a plain value; of several equal numbers, as sizes are given, that of the number."""
    if isinstance(value, (list, tuple)) and value and all(v == value[0] for v in value):
        return literal(value[0])
    return repr(int(value) if isinstance(value, float) and value.is_integer() else value)


def normal(default: str | None) -> str | None:
    """The source of a parameter's default in the form of `literal`."""
    return default if default in (None, "...") else literal(ast.literal_eval(default))


def _matches(value: str | None, wanted: str) -> bool | None:
    """Whether a value is of a class: `'linear'`, `!1` (anything but 1), `tensor`, `masks`, or `given` at all."""
    if value in (None, PLAIN, SOMETHING):
        return _may_match(value, wanted)
    if wanted == GIVEN:
        return value != ABSENT
    if wanted.startswith("!") and value != ABSENT:
        return value != wanted[1:]
    return value == wanted


def _may_match(value: str | None, wanted: str) -> bool | None:
    """The same for a value of which little or nothing is known."""
    if wanted == MASKS or (value == PLAIN and wanted == TENSOR) or (value is not None and wanted in _FOUND_OUT):
        return False
    return True if wanted == GIVEN and value is not None else None
