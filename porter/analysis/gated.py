"""Loops over gated layers (WaveNet's), found by what they compute, whatever their names and helpers."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from ..syntax.template import fill, match
from ..syntax.walk import dotted, own_of_type, same
from .inlining import NotStraightError, Values, final_values
from .layers import is_list, layer_classes
from .project import SourceFile

_CONVOLUTION = frozenset({"torch.nn.Conv1d"})
_DROPOUT = frozenset({"torch.nn.Dropout"})
_INTEGERS = frozenset({"torch.IntTensor", "torch.LongTensor", "torch.tensor"})
# What becomes of the signal and of the total in iteration i.
_GATES = "self.__gates[__i](__x)"
_SUM = "({gates} + __condition)"
_GATED = f"torch.tanh({_SUM}[:, :__width, :]) * torch.sigmoid({_SUM}[:, __width:, :])"
_SIGNAL = "(__x + {passed}[:, :__width, :]) * __mask if __i < __count - 1 else __x"
_TOTAL = "__total + {passed}[:, __width:, :] if __i < __count - 1 else __total + {passed}"
_CONDITION = "__g[:, __start:__end, :] if __g is not None else torch.zeros_like(__like)"
_SIZES = (3, 5)  # of the width and a layer's number, at which slices are compared


@dataclass(frozen=True)
class GatedLoop:
    """`for i in range(count)`, in which layer i adds to the signal and to the total what it makes of the signal."""

    signal: str
    total: str
    gates: str  # attributes of self
    passes: str
    dropout: str | None
    width: cst.BaseExpression
    condition: str
    mask: str


def gated_loop(file: SourceFile, loop: cst.For) -> GatedLoop | None:
    """What a loop over layers of `self` is, if it is nothing but that."""
    function, owner = file.function(loop), file.owner(loop)
    if function is None or owner is None or loop.orelse is not None or not file.defines_module(owner):
        return None
    counted = match("range(__count)", loop.iter, file.resolve)
    if counted is None or not isinstance(loop.target, cst.Name) or not isinstance(loop.body, cst.IndentedBlock):
        return None
    try:
        made = final_values(file, loop.body.body, _fixed(file, function, loop))
    except NotStraightError:
        return None
    for dropped in (True, False):
        found = _read(file, loop.target, counted["count"], made, dropped)
        if found is not None:
            break
    if found is None or not _holds(file, owner, found):
        return None
    left = set(made) - {found.signal, found.total} | {loop.target.value}
    inside = [n for n in own_of_type(loop, cst.Name) if n.value in left and _assigns(loop, n.value)]
    used = [n for n in own_of_type(function, cst.Name) if n.value in {n.value for n in inside}]
    return found if len(used) == len(inside) else None


def _read(file: SourceFile, number: cst.Name, count: cst.CSTNode, made: Values, dropped: bool) -> GatedLoop | None:
    gated = _GATED.format(gates=_GATES)
    passed = f"self.__passes[__i]({f'self.__dropout({gated})' if dropped else gated})"
    for signal, value in made.items():
        first = match(_SIGNAL.format(passed=passed), value)
        if first is None or dotted(first["x"]) != signal or not same(first["i"], number):
            continue
        if not same(first["count"], count):
            continue
        for total, sum_ in made.items():
            second = match(_TOTAL.format(passed=passed), sum_)
            if second is None or dotted(second["total"]) != total:
                continue
            if any(not same(node, second[name]) for name, node in first.items() if name in second):
                continue
            condition = _condition(first["condition"], first)
            mask = dotted(first["mask"])
            width = first["width"]
            if condition is None or mask is None or {mask, condition} & {*made} or not _is_own(width):
                return None
            assert isinstance(width, cst.BaseExpression)
            names = (dotted(first[name]) for name in ("gates", "passes"))
            gates, passes = (name or "" for name in names)
            dropout = dotted(first["dropout"]) if dropped else None
            return GatedLoop(signal, total, gates, passes, dropout, width, condition, mask)
    return None


def _condition(node: cst.CSTNode, found: dict[str, cst.CSTNode]) -> str | None:
    """The name of the condition whose part for layer i is `node`, 0 where it is None."""
    chosen = match(_CONDITION, node)
    if chosen is None:
        return None
    gates = fill("self.__gates[__i](__x)", **{name: found[name] for name in ("gates", "i", "x")})
    if not same(chosen["like"], gates):
        return None
    for width in _SIZES:
        for number in _SIZES:
            known = {dotted(found["width"]): width, dotted(found["i"]): number}
            start, end = (_value(chosen[name], known) for name in ("start", "end"))
            if (start, end) != (2 * width * number, 2 * width * (number + 1)):
                return None
    return dotted(chosen["g"])


def _value(node: cst.CSTNode, known: dict[str | None, int]) -> int | None:
    """The number that an expression is; None where it is not of sums and products."""
    if isinstance(node, cst.Integer):
        return int(node.evaluated_value)
    if isinstance(node, cst.BinaryOperation):
        left, right = _value(node.left, known), _value(node.right, known)
        if left is None or right is None:
            return None
        if isinstance(node.operator, cst.Multiply):
            return left * right
        return left + right if isinstance(node.operator, cst.Add) else None
    return known.get(dotted(node))


def _is_own(node: cst.CSTNode) -> bool:
    """Whether an expression is an attribute of self."""
    name = dotted(node) or ""
    return name.startswith("self.") and name.count(".") == 1


def _fixed(file: SourceFile, function: cst.FunctionDef, loop: cst.For) -> Values:
    """Lists of numbers that the function writes down before the loop, by name, in a tensor or not."""
    found: Values = {}
    for statement in function.body.body:
        if statement is loop:
            return found
        if isinstance(statement, cst.SimpleStatementLine):
            for small in statement.body:
                if not isinstance(small, cst.Assign):
                    continue
                value = small.value
                if isinstance(value, cst.Call) and file.resolve(value.func) in _INTEGERS and len(value.args) == 1:
                    value = value.args[0].value
                for target in small.targets:
                    if isinstance(target.target, cst.Name):
                        found.pop(target.target.value, None)
                        if isinstance(value, cst.List):
                            found[target.target.value] = value
    return {}


def _holds(file: SourceFile, owner: cst.ClassDef, loop: GatedLoop) -> bool:
    """Whether the attributes are lists of convolutions, and a dropout."""
    for name in (loop.gates, loop.passes):
        if not is_list(file, owner, name) or layer_classes(file, owner, name) != _CONVOLUTION:
            return False
    return loop.dropout is None or layer_classes(file, owner, loop.dropout) == _DROPOUT


def _assigns(loop: cst.For, name: str) -> bool:
    """Whether a loop gives a value to a name."""
    targets = [target.target for assign in own_of_type(loop, cst.Assign) for target in assign.targets]
    return any(isinstance(t, cst.Name) and t.value == name for t in (*targets, loop.target))
