"""What the parameters of a function are, by callers, annotations, uses and defaults."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import libcst as cst

from ....analysis.project import SourceFile
from ....syntax.kinds import OF_ARRAYS, is_plain, used_as_tensor
from ....syntax.predicates import is_text, negated
from ....syntax.values import Env, Kind, Record, Value, is_tensor
from ....syntax.walk import own_of_type
from .binding import CONSTRUCTORS
from .objects import Objects


class Parameters(Objects):
    """Kinds of one file, from the parameters on."""

    def parameters(self, function: cst.FunctionDef) -> Env:
        """The kinds of a function's parameters, by name."""
        given = self._flow.given(function) or {}
        unsaid = self._unsaid(function)
        asked = asked_as_python(function) if unsaid is Kind.MAYBE else frozenset()
        used = self._used(function)
        params = function.params
        env: Env = {}
        for param in (*params.posonly_params, *params.params, *params.kwonly_params):
            name = param.name.value
            env[name] = self._parameter(
                param, given.get(name), used.get(name), Kind.UNKNOWN if name in asked else unsaid
            )
        for name in self._masks(function):
            if env.get(name) in (Kind.TENSOR, Kind.MAYBE, Kind.UNKNOWN):
                env[name] = Kind.MASK
        return env | self._collected(params, given, asked, unsaid)

    def _parameter(self, param: cst.Param, given: Value | None, used: Value | None, unsaid: Value) -> Value:
        """The kind of one parameter: by callers, else by its annotation, its use or its default, else `unsaid`."""
        if param.name.value in ("self", "cls"):
            return Kind.UNKNOWN
        noted = self._annotated(param.annotation)
        if given is not None and given is not Kind.UNKNOWN:
            return agreed(noted, given, param)
        if noted is not Kind.UNKNOWN:
            return noted
        if used is not None:
            return used
        if is_plain(param.default):
            return Kind.HOST
        if given is None and (param.default is None or unsaid is Kind.HOST):
            return unsaid
        return Kind.UNKNOWN

    def _collected(
        self, params: cst.Parameters, given: Mapping[str, Value], asked: Collection[str], unsaid: Value
    ) -> Env:
        """The kinds of `*args` and `**kwargs`."""
        env: Env = {}
        if isinstance(params.star_arg, cst.Param):
            name, noted = params.star_arg.name.value, self._annotated(params.star_arg.annotation)
            item = noted if noted is not Kind.UNKNOWN or name in asked else unsaid
            env[name] = given.get(name, Kind.SEQUENCE if is_tensor(item) else item)
        if params.star_kwarg is not None:
            name, noted = params.star_kwarg.name.value, self._annotated(params.star_kwarg.annotation)
            item = noted if noted is not Kind.UNKNOWN else unsaid
            env[name] = given.get(name, Record(others=item))
        return env

    def _used(self, function: cst.FunctionDef) -> Env:
        """Parameters that a function uses as tensors are used, or as any array is."""
        if function not in self._uses:
            found: Env = {}
            for name, how in used_as_tensor(function, self._index):
                if how not in OF_ARRAYS:
                    found[name] = Kind.TENSOR
                elif self.knows_torch:
                    found.setdefault(name, Kind.MAYBE)
            self._uses[function] = found
        return self._uses[function]

    def _masks(self, function: cst.FunctionDef) -> frozenset[str]:
        """Parameters that a function uses as only boolean tensors can be used."""
        if function not in self._as_masks:
            self._as_masks[function] = frozenset(used_as_mask(self.file, function))
        return self._as_masks[function]

    def _unsaid(self, function: cst.FunctionDef) -> Value:
        """What a parameter is of which nothing is said: a forward takes tensors, a constructor takes settings."""
        owner = self._class_of(function) if self._is_method(function) else None
        if owner is None:
            return Kind.UNKNOWN
        if function.name.value in CONSTRUCTORS:
            return Kind.HOST
        return Kind.MAYBE if function.name.value == "forward" and self.file.defines_module(owner) else Kind.UNKNOWN

    def _is_method(self, function: cst.FunctionDef) -> bool:
        block = self._index.parents.get(function)
        return isinstance(self._index.parents.get(block) if block is not None else None, cst.ClassDef)


def agreed(noted: Value, given: Value, default: cst.Param) -> Value:
    """What a parameter is by its annotation and by its callers, of whom some may leave it out."""
    if noted is Kind.TENSOR or noted is Kind.MASK:
        return Kind.MASK if given is Kind.MASK else noted
    if noted is Kind.HOST or is_plain(default.default):
        return given if is_tensor(given) or given is Kind.SEQUENCE else Kind.HOST
    return given


def asked_as_python(function: cst.FunctionDef) -> frozenset[str]:
    """Parameters that a function asks what only Python values answer: a text, a plain truth, a class."""
    nodes = own_of_type(function.body, cst.Comparison, cst.If, cst.IfExp, cst.UnaryOperation, cst.BooleanOperation)
    return frozenset(part.value for node in nodes for part in _asked(node) if isinstance(part, cst.Name))


def _asked(node: cst.CSTNode) -> Sequence[cst.BaseExpression | None]:
    """What is asked for its truth, or compared with a text."""
    match node:
        case cst.Comparison():
            parts = [node.left, *(c.comparator for c in node.comparisons)]
            return parts if any(map(is_text, parts)) else ()
        case cst.If() | cst.IfExp():
            return (node.test,)
        case cst.BooleanOperation():
            return (node.left,)
    return (negated(node),)


def used_as_mask(file: SourceFile, function: cst.FunctionDef) -> Iterator[str]:
    """Names that are inverted, given to `masked_fill`, or chosen by: `~m`, `torch.where(m, x, y)`."""
    for node in own_of_type(function.body, cst.UnaryOperation, cst.Call):
        match node:
            case cst.UnaryOperation(operator=cst.BitInvert(), expression=cst.Name(value=name)):
                yield name
            case cst.Call(func=cst.Attribute(attr=cst.Name(value=method)), args=[_, *_]):
                mask = _mask(node, method, file.resolve(node.func))
                if isinstance(mask, cst.Name):
                    yield mask.value


def _mask(call: cst.Call, method: str, target: str | None) -> cst.BaseExpression | None:
    """What a call takes for a mask; `target` is None for a method of a tensor, which is no argument then."""
    if target == "torch.where" and len(call.args) == 3:
        return call.args[0].value
    if method not in _MASKED:
        return None
    return call.args[1 if target is not None and call.args[1:] else 0].value


_MASKED = ("masked_fill", "masked_fill_", "masked_select", "masked_scatter")
