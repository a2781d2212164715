"""Proof that a number which is read from a tensor only ever goes into a log."""

from __future__ import annotations

from collections.abc import Container, Iterator
from functools import lru_cache

import libcst as cst

from ..syntax.calls import has_star, method_call, parameter_of, positional
from ..syntax.predicates import own_name, targets
from ..syntax.scopes import Scope
from ..syntax.values import Kind, is_tensor
from ..syntax.walk import descendants, holds_any, names_called, own_of_type
from .contexts import Contexts
from .numeric import given_values, is_number
from .project import SourceFile

_Path = tuple[int, ...]  # where the number is in nested tuples; () for the value itself, or somewhere in it
_Seen = frozenset[object]

_WRITES = ("add_scalar", "add_scalars")  # of TensorBoard's SummaryWriter
_FILLS = ("append", "extend", "insert", "update", "setdefault")  # of a list or dict
_NOT_NEGATIVE = ("abs", "exp", "norm", "relu", "sigmoid", "softmax", "softplus", "sqrt", "square", "std", "var")
_SAME_VALUE = ("item", "detach", "cpu", "float", "double")


def only_logged(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether the value of an expression is only added up, printed, or written to TensorBoard.

    It is followed through names, lists, dicts and tuples, into functions of the project that are given it, and out of
    those that return it, whose callers must all be known: at least one, and no use other than a call. Of arithmetic it
    may go through +, - and * with numbers, division by a literal, and a power of what is not negative, which raise
    nothing in Python that they do not raise of tensors.
    """
    return _goes(file, node, (), frozenset())


def read_value(file: SourceFile, node: cst.CSTNode) -> cst.BaseExpression | None:
    """The tensor that `x.item()`, `x.detach().cpu().item()` or `float(x)` reads, if `node` is such a read."""
    match node:
        case cst.Call(func=cst.Name(value="float"), args=[cst.Arg(value=tensor)]):
            pass
        case cst.Call(func=cst.Attribute(value=tensor, attr=cst.Name(value="item")), args=[]):
            while (step := method_call(tensor, "cpu", "detach")) is not None and not step[1].args:
                tensor = step[0]
        case _:
            return None
    return tensor if is_tensor(file.kind(tensor)) else None


@lru_cache(maxsize=1024)  # each print and read of a function asks
def kept_numbers(file: SourceFile, function: cst.FunctionDef) -> frozenset[str]:
    """Local names that hold a Python number upstream, and one for the log when its reads are `only_logged`."""
    names: frozenset[str] = frozenset()
    while True:
        grown = names | {name for name, value in _given_alone(function) if is_kept(file, value, names)}
        if grown == names:
            return names
        names = grown


def _given_alone(function: cst.FunctionDef) -> Iterator[tuple[str, cst.BaseExpression]]:
    """Names that a function gives something, `x = y` and `x += y`, but not in tuples and chains."""
    for node in own_of_type(function.body, cst.Assign, cst.AugAssign):
        match node:
            case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value):
                yield name, value
            case cst.AugAssign(target=cst.Name(value=name), value=value):
                yield name, value


def is_kept(file: SourceFile, node: cst.BaseExpression, names: Container[str]) -> bool:
    """Whether an expression is arithmetic of numbers for the log: reads, and local `names` for such."""
    if isinstance(node, cst.UnaryOperation):
        return is_kept(file, node.expression, names)
    if isinstance(node, cst.BinaryOperation):
        return is_kept(file, node.left, names) or is_kept(file, node.right, names)
    if isinstance(node, cst.Name):
        return node.value in names
    return read_value(file, node) is not None and only_logged(file, node)


def _is_printable(file: SourceFile, node: cst.BaseExpression) -> bool:
    """Whether SYN003 will see that an argument of `print` is a number."""
    match node:
        case cst.UnaryOperation():
            return _is_printable(file, node.expression)
        case cst.BinaryOperation():
            return _is_printable(file, node.left) or _is_printable(file, node.right)
        case cst.Name(value=name):
            function, scope = file.function(node), file.index.scope_of(node).lookup(name)
            if function is None or scope is None or scope[0].node is not function:
                return False
            return [given for given, _ in _given_alone(function)].count(name) == len(scope[1])
    return read_value(file, node) is not None


def _goes(file: SourceFile, node: cst.CSTNode, path: _Path, seen: _Seen) -> bool:
    """Whether an expression that has the number at `path` goes into a log only."""
    parent = file.parent(node)
    match parent:
        case cst.Comparison():
            return all(isinstance(c.operator, (cst.Is, cst.IsNot)) for c in parent.comparisons)
        case cst.Subscript():
            return node is parent.value and _part(file, parent, path, seen)
        case cst.Attribute():
            return _method(file, parent, seen)
        case cst.Arg():
            return _argument(file, parent, path, seen)
        case cst.BaseSmallStatement() | cst.For() | cst.CompFor():
            return _goes_into(file, parent, node, path, seen)
    return parent is not None and _goes_as_part(file, parent, node, path, seen)


def _goes_into(file: SourceFile, statement: cst.CSTNode, node: cst.CSTNode, path: _Path, seen: _Seen) -> bool:
    """The same for an expression of a statement, or of a clause of a comprehension."""
    match statement:
        case cst.Expr():
            return True
        case cst.Assign() | cst.AnnAssign():
            return all(_assigned(file, target, path, seen) for target in targets(statement))
        case cst.AugAssign():
            return not path and _sums_up(file, statement, seen)
        case cst.For() | cst.CompFor():
            return node is statement.iter and _assigned(file, statement.target, (), seen)
        case cst.Return():
            return _returned(file, file.function(node), path, seen)
    return False


def _goes_as_part(file: SourceFile, whole: cst.CSTNode, node: cst.CSTNode, path: _Path, seen: _Seen) -> bool:
    """The same for an expression that is a part of another, which goes where its parts go."""
    match whole:
        case cst.BinaryOperation() | cst.UnaryOperation() if not path:
            return _stays_number(file, whole, node) and _goes(file, whole, (), seen)
        case cst.IfExp():
            return node is not whole.test and _goes(file, whole, path, seen)
        case cst.Element():
            return _goes_as_element(file, whole, path, seen)
        case cst.DictElement(value=kept):
            around = file.parent(whole)
        case cst.DictComp(value=kept) | cst.ListComp(elt=kept) | cst.SetComp(elt=kept) | cst.GeneratorExp(elt=kept):
            around = whole
        case _:
            return False
    return node is kept and around is not None and _goes(file, around, (), seen)


def _goes_as_element(file: SourceFile, element: cst.Element, path: _Path, seen: _Seen) -> bool:
    around = file.parent(element)
    if isinstance(around, cst.Tuple):
        return _goes(file, around, (around.elements.index(element), *path), seen)
    return isinstance(around, cst.List) and _goes(file, around, (), seen)


def _stays_number(file: SourceFile, around: cst.BinaryOperation | cst.UnaryOperation, node: cst.CSTNode) -> bool:
    """Whether arithmetic with a number means the same of a tensor, but for how it rounds."""
    if isinstance(around, cst.UnaryOperation):
        return isinstance(around.operator, (cst.Minus, cst.Plus))
    other = around.right if node is around.left else around.left
    if not is_number(file, other) and file.kind(other) is not Kind.HOST:
        return False
    if isinstance(around.operator, (cst.Add, cst.Subtract, cst.Multiply)):
        return True
    if node is not around.left:
        return False
    if isinstance(around.operator, cst.Divide):
        return isinstance(other, (cst.Integer, cst.Float)) and float(other.evaluated_value) != 0
    return isinstance(around.operator, cst.Power) and _not_negative(file, around.left)


def _not_negative(file: SourceFile, node: cst.BaseExpression, seen: frozenset[str] = frozenset()) -> bool:
    match node:
        case cst.Integer() | cst.Float():
            return True
        case cst.BinaryOperation(operator=cst.Power()):
            return _not_negative(file, node.left, seen)
        case cst.BinaryOperation(operator=cst.Add() | cst.Multiply() | cst.Divide()):
            return _not_negative(file, node.left, seen) and _not_negative(file, node.right, seen)
        case cst.Call(func=cst.Attribute(value=value, attr=cst.Name(value=method))) if method in _SAME_VALUE:
            return _not_negative(file, value, seen)
        case cst.Call():
            return own_name(node.func) in _NOT_NEGATIVE
        case cst.Name():
            return _are_not_negative(file, node, seen)
    return False


def _are_not_negative(file: SourceFile, name: cst.Name, seen: frozenset[str]) -> bool:
    """The same of all that a name is given, `seen` being names of which it is made: all else is not negative."""
    if name.value in seen:
        return True
    given, inner = list(given_values(file, name)), seen | {name.value}
    return bool(given) and all(not isinstance(v, bool) and _not_negative(file, v, inner) for v in given)


# -- names -------------------------------------------------------------------------------------------------------------


def _assigned(file: SourceFile, target: cst.BaseExpression, path: _Path, seen: _Seen) -> bool:
    match target:
        case cst.Name():
            return _named(file, target, path, seen)
        case cst.Subscript(value=cst.Name() as name):
            return _named(file, name, (), seen)
        case cst.Tuple(elements=elements) | cst.List(elements=elements):
            if any(isinstance(e, cst.StarredElement) for e in elements):
                return False
            if path:
                at = path[0]
                return at < len(elements) and _assigned(file, elements[at].value, path[1:], seen)
            return all(_assigned(file, e.value, (), seen) for e in elements)
    return False


def _sums_up(file: SourceFile, statement: cst.AugAssign, seen: _Seen) -> bool:
    """Whether a name to which the number is added holds numbers only."""
    target = statement.target
    adds = isinstance(statement.operator, (cst.AddAssign, cst.SubtractAssign, cst.MultiplyAssign))
    if not adds or not isinstance(target, cst.Name):
        return False
    given = list(given_values(file, target))
    numbers = all(not isinstance(v, bool) and (is_number(file, v) or file.kind(v) is Kind.HOST) for v in given)
    return numbers and _named(file, target, (), seen)


def _named(file: SourceFile, name: cst.Name, path: _Path, seen: _Seen) -> bool:
    """Whether all that is read from a local name goes into a log."""
    found = file.index.scope_of(name).lookup(name.value)
    return found is not None and _all_reads(file, found[0], name, path, seen)


def _all_reads(file: SourceFile, scope: Scope, given: cst.Name, path: _Path, seen: _Seen) -> bool:
    """Whether what a name is given at one place goes into a log from all places that may read it."""
    name, key = given.value, (scope.node, given, path)
    if key in seen:
        return True  # being looked at further out
    if isinstance(scope.node, (cst.Module, cst.ClassDef)) or any(
        name in s.outer for s in file.index.scopes.values() if _within(s, scope)
    ):
        return False
    return all(_goes(file, node, path, seen | {key}) for node in _reads(file, scope, given))


def _within(inner: Scope, outer: Scope) -> bool:
    scope: Scope | None = inner
    while scope is not None:
        if scope is outer:
            return True
        scope = scope.parent
    return False


def _reads(file: SourceFile, scope: Scope, given: cst.Name) -> Iterator[cst.Name]:
    """Where a name may be read that is given something, closures included; not in a loop that gives it another."""
    around = set(file.ancestors(given))
    for node in descendants(scope.node):
        if type(node) is not cst.Name or node.value != given.value or not _is_read(file, node):
            continue
        found = file.index.scope_of(node).lookup(given.value)
        if found is not None and found[0] is scope and not _given_anew(file, node, around):
            yield node


def _is_read(file: SourceFile, name: cst.Name) -> bool:
    """Whether a name stands for its value, and nothing binds it there."""
    return not (file.is_label(name) or isinstance(file.parent(name), (cst.Param, cst.Del)) or file.is_target(name))


def _given_anew(file: SourceFile, node: cst.Name, around: set[cst.CSTNode]) -> bool:
    """Whether a read is in the body of a loop over this name, other than those around what gave it a value."""
    return any(
        isinstance(loop, cst.For) and child is loop.body and loop not in around and _binds(loop.target, node.value)
        for loop, child in file.steps_out(node)
    )


def _binds(target: cst.BaseExpression, name: str) -> bool:
    return bool(names_called(target, name))


# -- calls -------------------------------------------------------------------------------------------------------------


def _argument(file: SourceFile, arg: cst.Arg, path: _Path, seen: _Seen) -> bool:
    call = file.parent(arg)
    if not isinstance(call, cst.Call) or arg.star:
        return False
    if isinstance(call.func, cst.Name) and file.index.scope_of(call).lookup(call.func.value) is None:
        return _argument_of_builtin(file, call, call.func.value, arg, path, seen)
    definition = file.project.definition(file.resolve(call.func))
    if definition is not None:
        other, function = definition
        return isinstance(function, cst.FunctionDef) and _passed(other, function, call, arg, path, seen)
    return isinstance(call.func, cst.Attribute) and _argument_of_method(file, call, call.func, seen)


def _argument_of_method(file: SourceFile, call: cst.Call, method: cst.Attribute, seen: _Seen) -> bool:
    if method.attr.value in _WRITES:
        return True
    fills = method.attr.value in _FILLS and isinstance(file.parent(call), cst.Expr)
    return fills and isinstance(method.value, cst.Name) and _named(file, method.value, (), seen)


def _argument_of_builtin(file: SourceFile, call: cst.Call, name: str, arg: cst.Arg, path: _Path, seen: _Seen) -> bool:
    if name == "print":
        alone = arg.keyword is None and not has_star(call) and not _prints_tensors(file, call)
        return alone and _is_printable(file, arg.value) and file.function(call) is not None
    if name in ("enumerate", "zip") and not path:
        return _iterated(file, call, 1 if name == "enumerate" else call.args.index(arg), seen)
    return name in ("dict", "list", "tuple", "reversed") and _goes(file, call, (), seen)


def _prints_tensors(file: SourceFile, call: cst.Call) -> bool:
    """Whether what is printed beside a number is a tensor: then the text cannot wait."""
    return any(is_tensor(file.kind(value)) for value in positional(call))


def _iterated(file: SourceFile, call: cst.CSTNode, at: int, seen: _Seen) -> bool:
    """Whether tuples, which have the number at a place, are only looped over, and what is there goes into a log."""
    loop = file.parent(call)
    if not isinstance(loop, (cst.For, cst.CompFor)) or loop.iter is not call or not isinstance(loop.target, cst.Tuple):
        return False
    return _assigned(file, loop.target, (at,), seen)


def _method(file: SourceFile, attribute: cst.Attribute, seen: _Seen) -> bool:
    """A method of a list or dict that has the number."""
    call = file.call_of(attribute)
    if call is None:
        return False
    name = attribute.attr.value
    if name == "items":
        return _iterated(file, call, 1, seen)
    if name in _FILLS or name == "clear":
        return isinstance(file.parent(call), cst.Expr)
    return name == "keys" or (name in ("copy", "values") and _goes(file, call, (), seen))


def _part(file: SourceFile, subscript: cst.Subscript, path: _Path, seen: _Seen) -> bool:
    if file.is_target(subscript) or isinstance(file.parent(subscript), cst.Del):
        return True
    index = subscript.slice[0].slice
    if path and isinstance(index, cst.Index) and isinstance(index.value, cst.Integer):
        return int(index.value.value) != path[0] or _goes(file, subscript, path[1:], seen)
    return _goes(file, subscript, (), seen)


def _passed(
    file: SourceFile, function: cst.FunctionDef, call: cst.Call, arg: cst.Arg, path: _Path, seen: _Seen
) -> bool:
    """Whether a function of the project lets an argument go into a log only."""
    param = None if function.decorators else parameter_of(function, call, arg)
    return param is not None and _all_reads(file, file.index.scopes[function], param.name, path, seen)


def _returned(file: SourceFile, function: cst.FunctionDef | None, path: _Path, seen: _Seen) -> bool:
    """Whether all callers of a function let what it returns go into a log only."""
    key = (function, path)
    if function is None or key in seen:
        return function is not None
    if not _returns_to_callers(file, function):
        return False
    calls = [(other, other.call_of(use)) for other, use in file.project.fact(Contexts).references(function)]
    into_log = (call is not None and _goes(other, call, path, seen | {key}) for other, call in calls)
    return bool(calls) and all(into_log)


def _returns_to_callers(file: SourceFile, function: cst.FunctionDef) -> bool:
    """Whether what a function returns is what those get that call it by its name in the project, and nobody else."""
    inside = file.owner(function) is not None or file.function(function) is not None
    return not (inside or function.decorators or holds_any(function.body, cst.Yield))
