"""Loops over residual layers, found by what they compute, whatever their names."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from ..syntax.calls import argument, has_star
from ..syntax.walk import dotted, own_of_type, same
from .arguments import bind
from .layers import is_list, layer_classes
from .project import SourceFile
from .signals import asks_for_none

_ACTIVATION = "torch.nn.functional.leaky_relu"
_CONVOLUTION = frozenset({"torch.nn.Conv1d"})


@dataclass(frozen=True)
class ResidualLoop:
    """`for layer in layers`, in which each adds to the signal what it makes of it.

    A leaky ReLU comes before each convolution; nothing else happens where `mask`, if there is one, is None.
    """

    signal: str
    slope: cst.BaseExpression | None  # None: the default
    mask: str | None


@dataclass(frozen=True)
class _Made:
    """What an expression makes of the name `start`: which activations and layers it passes, in order."""

    start: str
    passed: tuple[str, ...] = ()  # "" for an activation, else the layer's name


class _OtherError(Exception):
    """The loop does something else."""


def residual_loop(file: SourceFile, loop: cst.For) -> ResidualLoop | None:
    """What a loop over layers of `self` is, if it is nothing but that."""
    function, owner = file.function(loop), file.owner(loop)
    if function is None or owner is None or loop.orelse is not None or not file.defines_module(owner):
        return None
    attributes = _attributes(file, loop.iter)
    targets = _names(loop.target)
    if not attributes or len(targets) != len(attributes) or not isinstance(loop.body, cst.IndentedBlock):
        return None
    for attribute in attributes:
        if not is_list(file, owner, attribute) or layer_classes(file, owner, attribute) != _CONVOLUTION:
            return None
    reader = _Reader(file, targets)
    try:
        found = reader.read(loop.body)
    except _OtherError:
        return None
    # What the loop leaves in other names is gone where no iteration runs.
    left = reader.assigned - {found.signal}
    used, inside = ([n for n in own_of_type(where, cst.Name) if n.value in left] for where in (function, loop))
    return found if len(used) == len(inside) else None


def _attributes(file: SourceFile, iterated: cst.BaseExpression) -> list[str]:
    """The attributes of self that a loop takes its layers from, by turns."""
    parts = [iterated]
    if isinstance(iterated, cst.Call):
        if dotted(iterated.func) != "zip" or file.resolve(iterated.func) not in (None, "zip", "builtins.zip"):
            return []
        if has_star(iterated) or any(given.keyword is not None for given in iterated.args):
            return []
        parts = [given.value for given in iterated.args]
    names = [dotted(part) or "" for part in parts]
    if not all(name.startswith("self.") and name.count(".") == 1 for name in names):
        return []
    return [name.removeprefix("self.") for name in names]


def _names(target: cst.BaseExpression) -> list[str]:
    parts = [element.value for element in target.elements] if isinstance(target, cst.Tuple) else [target]
    names = [part.value for part in parts if isinstance(part, cst.Name)]
    return names if len(names) == len(parts) == len(set(names)) else []


class _Reader:
    """Follows the signal through one iteration."""

    def __init__(self, file: SourceFile, layers: list[str]) -> None:
        self._file, self._layers = file, layers
        self._made: dict[str, _Made] = {}
        self._slopes: list[cst.BaseExpression | None] = []
        self._masks: set[str] = set()
        self._sum: tuple[str, str] | None = None  # the name that got it, and the one it began with
        self.assigned: set[str] = set(layers)

    def read(self, body: cst.IndentedBlock) -> ResidualLoop:
        """What the body does. _OtherError where that is something else."""
        for statement in body.body:
            if self._sum is not None:  # nothing may come after it
                raise _OtherError
            if isinstance(statement, cst.If):
                self._masked(statement)
            elif isinstance(statement, cst.SimpleStatementLine):
                for small in statement.body:
                    self._assign(small)
            else:
                raise _OtherError
        if self._sum is None or self._sum[0] != self._sum[1] or len(self._masks) > 1:
            raise _OtherError
        first, *others = self._slopes
        if not all(_alike(first, other) for other in others) or not self._is_fixed(first):
            raise _OtherError
        if self._masks & self.assigned:
            raise _OtherError
        return ResidualLoop(self._sum[0], first, next(iter(self._masks), None))

    def _assign(self, node: cst.BaseSmallStatement) -> None:
        if not isinstance(node, cst.Assign) or len(node.targets) != 1:
            raise _OtherError
        target, value = node.targets[0].target, node.value
        if not isinstance(target, cst.Name):
            raise _OtherError
        if isinstance(value, cst.BinaryOperation) and isinstance(value.operator, cst.Add):
            self._add(target.value, self._of(value.left), self._of(value.right))
        else:
            self._made[target.value] = self._of(value)
        self.assigned.add(target.value)

    def _add(self, target: str, left: _Made, right: _Made) -> None:
        short, long = sorted((left, right), key=lambda made: len(made.passed))
        wanted = tuple(part for layer in self._layers for part in ("", layer))
        if short.passed or long.passed != wanted or short.start != long.start or short.start in self._made:
            raise _OtherError
        self._sum = (target, short.start)

    def _of(self, node: cst.BaseExpression) -> _Made:
        if isinstance(node, cst.Name):
            return self._made.get(node.value, _Made(node.value))
        if not isinstance(node, cst.Call) or not node.args or has_star(node):
            raise _OtherError
        given = argument(node, "input", 0)
        if given is None:
            raise _OtherError
        made = self._of(given)
        if isinstance(node.func, cst.Name) and node.func.value in self._layers and len(node.args) == 1:
            return _Made(made.start, (*made.passed, node.func.value))
        options = bind(self._file, node) if self._file.resolve(node.func) == _ACTIVATION else None
        if options is None or dotted(options.get("inplace", cst.Name("False"))) != "False":
            raise _OtherError
        self._slopes.append(options.get("negative_slope"))
        return _Made(made.start, (*made.passed, ""))

    def _masked(self, node: cst.If) -> None:
        """`if mask is not None: x = x * mask`, which does nothing without a mask."""
        asked = asks_for_none(node.test)
        if asked is None or asked[1] or node.orelse is not None or not isinstance(node.body, cst.IndentedBlock):
            raise _OtherError
        (*others, statement) = node.body.body
        if others or not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
            raise _OtherError
        small = statement.body[0]
        if not isinstance(small, cst.Assign) or len(small.targets) != 1:
            raise _OtherError
        target, value = small.targets[0].target, small.value
        if not isinstance(target, cst.Name) or target.value not in self._made:
            raise _OtherError  # the signal itself would be another one from here on
        if not isinstance(value, cst.BinaryOperation) or not isinstance(value.operator, cst.Multiply):
            raise _OtherError
        if {dotted(value.left), dotted(value.right)} != {target.value, asked[0]}:
            raise _OtherError
        self._masks.add(asked[0])

    def _is_fixed(self, slope: cst.BaseExpression | None) -> bool:
        """Whether a slope is the same in every iteration: a number, or a name that the loop does not assign."""
        if slope is None or isinstance(slope, (cst.Integer, cst.Float)):
            return True
        name = dotted(slope)
        return name is not None and name.partition(".")[0] not in self.assigned


def _alike(first: cst.BaseExpression | None, other: cst.BaseExpression | None) -> bool:
    if first is None or other is None:
        return first is other
    return same(first, other)
