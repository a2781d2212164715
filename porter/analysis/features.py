"""Loops over layers whose results are all kept in a list, found by what they compute."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst

from ..syntax.template import match
from ..syntax.walk import descendants, dotted, own_of_type, same
from .arguments import bind
from .inlining import NotStraightError, Values, final_values
from .project import SourceFile

_ACTIVATION = "torch.nn.functional.leaky_relu"
_RESULTS = (f"{_ACTIVATION}(__layer(__x), __slope)", f"{_ACTIVATION}(__layer(__x), negative_slope=__slope)")
_RESULT = f"{_ACTIVATION}(__layer(__x))"


@dataclass(frozen=True)
class FeatureLoop:
    """`for layer in layers`, which replaces the signal by a leaky ReLU of what the layer gives, and keeps that."""

    signal: str
    features: str  # the list
    slope: cst.BaseExpression | None  # None: the default


def feature_loop(file: SourceFile, loop: cst.For) -> FeatureLoop | None:
    """What a loop over layers of `self` is, if it is nothing but that."""
    function, owner = file.function(loop), file.owner(loop)
    if function is None or owner is None or loop.orelse is not None or not file.defines_module(owner):
        return None
    iterated = dotted(loop.iter) or ""
    if not iterated.startswith("self.") or iterated.count(".") != 1 or not isinstance(loop.target, cst.Name):
        return None
    try:
        made, kept = _body(file, loop)
    except NotStraightError:
        return None
    slope = _slope(file, loop)
    for signal, value in made.items():
        found = match(_RESULT, value) or next((f for p in _RESULTS if (f := match(p, value))), None)
        if found is None or dotted(found["layer"]) != loop.target.value or dotted(found["x"]) != signal:
            continue
        if ("slope" in found) != (slope is not None) or not _is_fixed(slope, {*made, loop.target.value}):
            return None
        features = [name for name, kept_value in kept.items() if same(kept_value, value)]
        if len(kept) != 1 or len(features) != 1 or features[0] in made:
            return None
        if not _is_list(file, loop, function, features[0]):
            return None
        left = {*made, loop.target.value} - {signal}
        names = ([n for n in descendants(where) if isinstance(n, cst.Name)] for where in (function, loop))
        used, inside = ([n for n in own if n.value in left] for own in names)
        return FeatureLoop(signal, features[0], slope) if len(used) == len(inside) else None
    return None


def _body(file: SourceFile, loop: cst.For) -> tuple[Values, Values]:
    """What one iteration makes of names, and what it appends to lists. NotStraightError for anything else."""
    if not isinstance(loop.body, cst.IndentedBlock):
        raise NotStraightError
    # One layer, one activation, one result kept: whatever else is called or asked for may do more.
    if len(list(own_of_type(loop.body, cst.Call))) != 3 or any(own_of_type(loop.body, cst.If, cst.IfExp)):
        raise NotStraightError
    names: Values = {}
    kept: Values = {}
    for statement in loop.body.body:
        appended = _appended(statement)
        if appended is None:
            names = final_values(file, [statement], names)
            continue
        name, value = appended
        if name in kept:
            raise NotStraightError
        assigned = cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(cst.Name(name))], value)])
        kept[name] = final_values(file, [assigned], names)[name]
    return names, kept


def _appended(statement: cst.CSTNode) -> tuple[str, cst.BaseExpression] | None:
    """The list and the value of `list.append(value)`."""
    if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
        return None
    (small,) = statement.body
    if not isinstance(small, cst.Expr):
        return None
    found = match("__list.append(__value)", small.value)
    if found is None or not isinstance(found["list"], cst.Name) or not isinstance(found["value"], cst.BaseExpression):
        return None
    return found["list"].value, found["value"]


def _is_list(file: SourceFile, loop: cst.For, function: cst.FunctionDef, name: str) -> bool:
    """Whether a name is bound once in a function, to a list that is written out."""
    scope = file.index.scope_of(loop)
    if len(scope.bindings.get(name, ())) != 1 or name in scope.outer:
        return False
    values: list[cst.BaseExpression | None] = []
    for node in own_of_type(function.body, cst.Assign):
        values += [node.value for target in node.targets if dotted(target.target) == name]
    for annotated in own_of_type(function.body, cst.AnnAssign):
        values += [annotated.value] if dotted(annotated.target) == name else []
    return bool(values) and all(isinstance(value, cst.List) for value in values)


def _slope(file: SourceFile, loop: cst.For) -> cst.BaseExpression | None:
    """The slope as it is written in the loop; None where it is the default."""
    calls = [n for n in own_of_type(loop.body, cst.Call) if file.resolve(n.func) == _ACTIVATION]
    return (bind(file, calls[0], "negative_slope") or {}).get("negative_slope") if len(calls) == 1 else None


def _is_fixed(slope: cst.BaseExpression | None, assigned: set[str]) -> bool:
    """Whether a slope is the same in every iteration: a number, or a name that the loop does not assign."""
    if slope is None or isinstance(slope, (cst.Integer, cst.Float)):
        return True
    name = dotted(slope)
    return name is not None and name.partition(".")[0] not in assigned
