"""Reading what short, pure functions compute: their syntax evaluated on integers and small arrays, nothing executed.

Only what is known for certain is evaluated. Everything else is an UnsupportedError: code to leave alone.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import libcst as cst

from .arrays import Array, ShapeError
from .project import SourceFile

Value = Any  # an int, an `Array`, `Self`, None, an ellipsis, a slice, or a list or tuple of such
Names = dict[str, Value]

_DEPTH = 8  # calls inside calls
_STEPS = 2000  # expressions in one evaluation

_OPERATORS: Mapping[type[cst.CSTNode], Callable[[Any, Any], Any]] = {
    cst.Add: operator.add,
    cst.Subtract: operator.sub,
    cst.Multiply: operator.mul,
    cst.FloorDivide: operator.floordiv,
    cst.Modulo: operator.mod,
    cst.Power: operator.pow,
    cst.Equal: operator.eq,
    cst.NotEqual: operator.ne,
    cst.LessThan: operator.lt,
    cst.LessThanEqual: operator.le,
    cst.GreaterThan: operator.gt,
    cst.GreaterThanEqual: operator.ge,
}
_BUILTINS: Mapping[str, Callable[..., Any]] = {
    "max": max, "min": min, "abs": abs, "int": int, "len": len, "list": list, "tuple": tuple, "sum": sum,
}  # fmt: skip
_CONSTANTS = {"None": None, "True": True, "False": False}
_FUNCTIONS = {
    "torch.nn.functional.pad": "pad",
    "torch.functional.pad": "pad",
    **{f"torch.{n}": n for n in "matmul bmm transpose permute unsqueeze squeeze reshape flatten".split()},
}


class UnsupportedError(Exception):
    """Something that is not known to be a pure function of integers and array positions."""


@dataclass(frozen=True)
class _Returned:
    value: Value


@dataclass(frozen=True)
class Self:
    """An object of a class of the project: its methods, and the attributes that are known."""

    file: SourceFile
    owner: cst.ClassDef
    attributes: Mapping[str, Value]


@dataclass(frozen=True)
class _Bound:
    """A function of the project, or a method together with its object."""

    file: SourceFile
    function: cst.FunctionDef
    owner: Self | None = None


class Interpreter:
    """Evaluates expressions of one file; what the functions of the project do is read from their own source."""

    def __init__(self, file: SourceFile, given: Mapping[cst.CSTNode, Value] | None = None, depth: int = 0) -> None:
        """`given` are the values of some expressions, which are not looked into."""
        self._file = file
        self._given = given or {}
        self._depth = depth
        self._left = _STEPS

    def evaluate(self, node: cst.BaseExpression, names: Names) -> Value:
        """The value of an expression. UnsupportedError where it is not known; ShapeError where torch would raise."""
        self._left -= 1
        if self._left < 0:
            raise UnsupportedError("too long")
        if node in self._given:
            return self._given[node]
        method = getattr(self, f"_{type(node).__name__}", None)
        if method is None:
            raise UnsupportedError(type(node).__name__)
        try:
            return method(node, names)
        except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError, AttributeError) as error:
            raise UnsupportedError(str(error)) from None

    # -- atoms --------------------------------------------------------------------------------------------------

    def _Name(self, node: cst.Name, names: Names) -> Value:
        if node.value in names:
            return names[node.value]
        if node.value in _CONSTANTS:
            return _CONSTANTS[node.value]
        raise UnsupportedError(node.value)

    def _Integer(self, node: cst.Integer, names: Names) -> Value:
        return node.evaluated_value

    def _Ellipsis(self, node: cst.Ellipsis, names: Names) -> Value:
        return Ellipsis

    def _Tuple(self, node: cst.Tuple, names: Names) -> Value:
        return tuple(self._elements(node.elements, names))

    def _List(self, node: cst.List, names: Names) -> Value:
        return self._elements(node.elements, names)

    def _elements(self, elements: Sequence[cst.BaseElement], names: Names) -> list[Value]:
        found: list[Value] = []
        for element in elements:
            value = self.evaluate(element.value, names)
            found += _items(value) if isinstance(element, cst.StarredElement) else [value]
        return found

    # -- operators ----------------------------------------------------------------------------------------------

    def _UnaryOperation(self, node: cst.UnaryOperation, names: Names) -> Value:
        value = self.evaluate(node.expression, names)
        if isinstance(node.operator, cst.Not):
            return not _truth(value)
        if isinstance(node.operator, cst.Minus):
            return -_number(value)
        raise UnsupportedError("operator")

    def _BinaryOperation(self, node: cst.BinaryOperation, names: Names) -> Value:
        left, right = self.evaluate(node.left, names), self.evaluate(node.right, names)
        if isinstance(node.operator, cst.MatrixMultiply):
            return _array(left).matmul(_array(right))
        return _combined(node.operator, left, right)

    def _BooleanOperation(self, node: cst.BooleanOperation, names: Names) -> Value:
        left = self.evaluate(node.left, names)
        if _truth(left) is isinstance(node.operator, cst.Or):
            return left
        return self.evaluate(node.right, names)

    def _Comparison(self, node: cst.Comparison, names: Names) -> Value:
        left = self.evaluate(node.left, names)
        for part in node.comparisons:
            right = self.evaluate(part.comparator, names)
            if isinstance(part.operator, cst.Is | cst.IsNot):
                if left is not None and right is not None:
                    raise UnsupportedError("is")
                if (left is right) is isinstance(part.operator, cst.IsNot):
                    return False
            elif not _combined(part.operator, left, right):
                return False
            left = right
        return True

    def _IfExp(self, node: cst.IfExp, names: Names) -> Value:
        return self.evaluate(node.body if _truth(self.evaluate(node.test, names)) else node.orelse, names)

    def _ListComp(self, node: cst.ListComp, names: Names) -> Value:
        found: list[Value] = []
        self._loop(node.for_in, node.elt, dict(names), found)
        return found

    def _loop(self, loop: cst.CompFor, element: cst.BaseExpression, names: Names, found: list[Value]) -> None:
        if loop.asynchronous is not None:
            raise UnsupportedError("async")
        for item in _items(self.evaluate(loop.iter, names)):
            _assign(loop.target, item, names)
            if all(_truth(self.evaluate(test.test, names)) for test in loop.ifs):
                if loop.inner_for_in is not None:
                    self._loop(loop.inner_for_in, element, names, found)
                else:
                    found.append(self.evaluate(element, names))

    # -- parts --------------------------------------------------------------------------------------------------

    def _Subscript(self, node: cst.Subscript, names: Names) -> Value:
        value = self.evaluate(node.value, names)
        places = [self._place(e.slice, names) for e in node.slice]
        if isinstance(value, Array):
            if len(places) == 1 and isinstance(places[0], tuple):
                places = list(places[0])
            if not all(p is None or p is Ellipsis or type(p) in (int, slice) for p in places):
                raise UnsupportedError("index")
            return value.index(places)
        if isinstance(value, list | tuple) and len(places) == 1 and type(places[0]) in (int, slice):
            return value[places[0]]
        raise UnsupportedError("index")

    def _place(self, part: cst.BaseSlice, names: Names) -> Value:
        if isinstance(part, cst.Index):
            return self.evaluate(part.value, names)
        assert isinstance(part, cst.Slice)
        ends = [None if e is None else self.evaluate(e, names) for e in (part.lower, part.upper, part.step)]
        return slice(*(e if e is None else _number(e) for e in ends))

    def _Attribute(self, node: cst.Attribute, names: Names) -> Value:
        value = self.evaluate(node.value, names)
        name = node.attr.value
        if isinstance(value, Self) and name in value.attributes:
            return value.attributes[name]
        if isinstance(value, Array) and name == "shape":
            return value.shape
        if isinstance(value, Array) and name in ("mT", "T") and (name == "mT" or len(value.shape) == 2):
            return value.transpose(-2, -1)
        raise UnsupportedError(name)

    # -- calls --------------------------------------------------------------------------------------------------

    def _Call(self, node: cst.Call, names: Names) -> Value:
        given: list[Value] = []
        keywords: Names = {}
        for arg in node.args:
            value = self.evaluate(arg.value, names)
            if arg.star == "*":
                given += _items(value)
            elif arg.star:
                raise UnsupportedError("**")
            elif arg.keyword is not None:
                keywords[arg.keyword.value] = value
            else:
                given.append(value)
        own = self._function(node.func, names)
        if own is not None:
            return self._run(own, given, keywords)
        target = self._file.resolve(node.func)
        if target in _FUNCTIONS:
            return _tensor_call(_FUNCTIONS[target], given, keywords)
        if isinstance(node.func, cst.Name) and self._is_builtin(node.func, names) and not keywords:
            if any(isinstance(v, Array) for v in given):
                raise UnsupportedError(node.func.value)
            return _BUILTINS[node.func.value](*given)
        if isinstance(node.func, cst.Attribute) and target is None:
            return _tensor_call(node.func.attr.value, [_array(self.evaluate(node.func.value, names)), *given], keywords)
        raise UnsupportedError(target or "call")

    def _is_builtin(self, name: cst.Name, names: Names) -> bool:
        if name.value not in _BUILTINS or name.value in names:
            return False
        return self._file.index.scope_of(name).lookup(name.value) is None

    def _function(self, func: cst.BaseExpression, names: Names) -> _Bound | None:
        """The function of the project that a call means, if it is one."""
        if isinstance(func, cst.Attribute) and isinstance(func.value, cst.Name):
            owner = names.get(func.value.value)
            if isinstance(owner, Self):
                name, body = func.attr.value, owner.owner.body.body
                found = [m for m in body if isinstance(m, cst.FunctionDef) and m.name.value == name]
                return _Bound(owner.file, found[0], owner) if len(found) == 1 else None
        own = self._file.project.function(self._file.resolve(func))
        return None if own is None else _Bound(*own)

    def _run(self, bound: _Bound, given: Sequence[Value], keywords: Names) -> Value:
        function, params = bound.function, bound.function.params
        if self._depth >= _DEPTH or function.decorators or function.asynchronous is not None:
            raise UnsupportedError(function.name.value)
        if params.posonly_params or isinstance(params.star_arg, cst.Param) or params.star_kwarg is not None:
            raise UnsupportedError("parameters")
        inside = Interpreter(bound.file, depth=self._depth + 1)
        inside._left = self._left
        values = [bound.owner, *given] if bound.owner is not None else list(given)
        order = [p.name.value for p in params.params]
        names: Names = dict(zip(order, values, strict=False))
        if len(values) > len(order) or names.keys() & keywords.keys():
            raise UnsupportedError("arguments")
        names.update(keywords)
        known = [*params.params, *params.kwonly_params]
        if names.keys() - {p.name.value for p in known}:
            raise UnsupportedError("arguments")
        for param in known:
            if param.name.value not in names:
                if param.default is None:
                    raise UnsupportedError(param.name.value)
                names[param.name.value] = inside.evaluate(param.default, {})
        done = inside._block(function.body, names)
        self._left = inside._left
        return None if done is None else done.value

    # -- statements ---------------------------------------------------------------------------------------------

    def _block(self, block: cst.BaseSuite, names: Names) -> _Returned | None:
        for statement in block.body:
            done = None
            if isinstance(statement, cst.If):
                done = self._branch(statement, names)
            elif isinstance(statement, cst.SimpleStatementLine):
                done = self._block(cst.SimpleStatementSuite(statement.body), names)
            elif isinstance(statement, cst.Return):
                return _Returned(None if statement.value is None else self.evaluate(statement.value, names))
            elif isinstance(statement, cst.BaseSmallStatement):
                self._small(statement, names)
            else:
                raise UnsupportedError(type(statement).__name__)
            if done is not None:
                return done
        return None

    def _branch(self, statement: cst.If, names: Names) -> _Returned | None:
        if _truth(self.evaluate(statement.test, names)):
            return self._block(statement.body, names)
        if isinstance(statement.orelse, cst.If):
            return self._branch(statement.orelse, names)
        return None if statement.orelse is None else self._block(statement.orelse.body, names)

    def _small(self, node: cst.BaseSmallStatement, names: Names) -> None:
        if isinstance(node, cst.Assign):
            value = self.evaluate(node.value, names)
            for target in node.targets:
                _assign(target.target, value, names)
        elif isinstance(node, cst.AnnAssign) and node.value is not None:
            _assign(node.target, self.evaluate(node.value, names), names)
        elif isinstance(node, cst.Assert):
            if not _truth(self.evaluate(node.test, names)):
                raise ShapeError("assertion")
        elif not isinstance(node, cst.Pass) and not (
            isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)
        ):
            raise UnsupportedError(type(node).__name__)


def _assign(target: cst.CSTNode, value: Value, names: Names) -> None:
    if isinstance(target, cst.Name):
        names[target.value] = value
        return
    if not isinstance(target, cst.Tuple | cst.List):
        raise UnsupportedError("target")
    parts = _items(value)
    if len(parts) != len(target.elements) or any(isinstance(e, cst.StarredElement) for e in target.elements):
        raise UnsupportedError("unpacking")
    for element, part in zip(target.elements, parts, strict=True):
        _assign(element.value, part, names)


def _items(value: Value) -> list[Value]:
    if not isinstance(value, list | tuple):
        raise UnsupportedError("iteration")
    return list(value)


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise UnsupportedError("number")
    return value


def _array(value: Value) -> Array:
    if not isinstance(value, Array):
        raise UnsupportedError("tensor")
    return value


def _truth(value: Value) -> bool:
    if isinstance(value, int | list | tuple) or value is None:
        return bool(value)
    raise UnsupportedError("truth")


def _combined(sign: cst.CSTNode, left: Value, right: Value) -> Value:
    known = _OPERATORS.get(type(sign))
    if known is None or not all(isinstance(v, int | list | tuple) for v in (left, right)):
        raise UnsupportedError("operator")
    if isinstance(sign, cst.Power) and not 0 <= _number(right) <= 8:
        raise UnsupportedError("power")
    if isinstance(sign, cst.Multiply) and any(isinstance(v, list | tuple) for v in (left, right)):
        raise UnsupportedError("repetition")
    return known(left, right)


def _tensor_call(name: str, given: Sequence[Value], keywords: Names) -> Value:
    """`x.name(...)`, the tensor first. Only what moves numbers about, or multiplies matrices."""
    x, rest = _array(given[0]) if given else _array(None), list(given[1:])
    if name == "pad":
        return _padded(x, rest, keywords)
    if keywords:
        raise UnsupportedError("keyword")
    if name in ("view", "reshape", "permute", "size") and len(rest) == 1 and isinstance(rest[0], list | tuple):
        rest = list(rest[0])
    if name in ("matmul", "bmm") and len(rest) == 1:
        return x.matmul(_array(rest[0]))
    if not all(isinstance(n, int) for n in rest):
        raise UnsupportedError(name)
    if name in ("view", "reshape") and rest:
        return x.reshape(rest)
    if name == "permute":
        return x.permute(rest)
    if name in ("size", "dim", "ndimension", "contiguous") and not rest:
        return {"size": x.shape, "contiguous": x}.get(name, len(x.shape))
    if name == "size" and len(rest) == 1:
        return x.shape[x.axis(rest[0])]
    if name == "transpose" and len(rest) == 2:
        return x.transpose(*rest)
    if name in ("unsqueeze", "squeeze") and len(rest) == 1:
        return x.unsqueeze(*rest) if name == "unsqueeze" else x.squeeze(*rest)
    if name == "flatten" and len(rest) < 3:
        first, last = (x.axis(n) for n in (*rest, *(0, -1)[len(rest) :]))
        return x.reshape([*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]])
    raise UnsupportedError(name)


def _padded(x: Array, rest: Sequence[Value], keywords: Names) -> Array:
    """`F.pad(x, widths, mode, value)` with zeros: any other mode or value has to be named, and is not known here."""
    widths = [*rest, *(keywords[k] for k in keywords if k == "pad")]
    if len(widths) != 1 or any(v not in (None, 0) for k, v in keywords.items() if k == "value"):
        raise UnsupportedError("pad")
    if keywords.keys() - {"pad", "value"}:
        raise UnsupportedError("pad")
    return x.pad([_number(n) for n in _items(widths[0])])
