"""Which parameters of torch's functions take Python numbers: data that `python -m tools.number_parameters` makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import libcst as cst


@dataclass(frozen=True, slots=True)
class Number:
    """A parameter that takes a Python number, or several."""

    name: str
    place: int | None  # among positional arguments; None where only a keyword gives it
    rest: bool  # it takes all from that place on
    whole: bool  # sizes, counts and places; else any number


@cache
def _table() -> dict[str, str]:
    found: dict[str, str] = json.loads(
        files(__package__).joinpath("number_parameters.json").read_text(encoding="utf-8")
    )
    return found


@cache
def number_parameters(target: str) -> tuple[Number, ...]:
    """The parameters of `torch.roll` or `torch.Tensor.expand` that take numbers and no tensor."""
    table = _table()
    text = table.get(target) or table.get(target.replace("torch.nn.functional.", "torch."), "")
    return tuple(map(_number, text.split()))


def _number(text: str) -> Number:
    name, _, place = text.removeprefix("~").partition(":")
    at = place.removesuffix("*")
    return Number(name, int(at) if at else None, place.endswith("*"), not text.startswith("~"))


def numbers_given(call: cst.Call, target: str) -> Iterator[tuple[Number, cst.BaseExpression]]:
    """Arguments of a call that have to be Python numbers, each with its parameter."""
    for number in number_parameters(target):
        for i, arg in enumerate(call.args):
            if arg.star:
                break
            if arg.keyword is not None:
                if arg.keyword.value == number.name:
                    yield number, arg.value
            elif number.place is not None and (i == number.place or (number.rest and i > number.place)):
                yield number, arg.value
