"""Proof that a number which is read from a tensor only ever goes into a log."""

from __future__ import annotations

from collections.abc import Container, Iterator
from functools import lru_cache

import libcst as cst

from ..syntax.calls import method_call
from ..syntax.scopes import Scope
from ..syntax.values import Kind, is_tensor
from ..syntax.walk import descendants, dotted, own_of_type
from .contexts import Contexts
from .numeric import given_values, is_number
from .project import SourceFile

_Path = tuple[int, ...]  # where the number is in nested tuples; () for the value itself, or somewhere in it
_Seen = frozenset[object]

_WRITES = ("add_scalar", "add_scalars")  # of TensorBoard's SummaryWriter
_FILLS = ("append", "extend", "insert", "update", "setdefault")  # of a list or dict
_NOT_NEGATIVE = ("abs", "exp", "norm", "relu", "sigmoid", "softmax", "softplus", "sqrt", "square", "std", "var")
_SAME_VALUE = ("item", "detach", "cpu", "float", "double")
_COMPREHENSIONS = (cst.ListComp, cst.SetComp, cst.GeneratorExp)
_WHOLES = (  # expressions, and parts of some, that go where their parts went
    cst.BinaryOperation, cst.UnaryOperation, cst.IfExp, cst.Element, cst.DictElement, cst.DictComp, *_COMPREHENSIONS,
)  # fmt: skip


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
    found = method_call(node, "item")
    if found is not None and not found[1].args:
        tensor = found[0]
        while (step := method_call(tensor, "cpu", "detach")) is not None and not step[1].args:
            tensor = step[0]
        return tensor if is_tensor(file.kind(tensor)) else None
    if (
        type(node) is cst.Call
        and type(node.func) is cst.Name
        and node.func.value == "float"
        and len(node.args) == 1
        and is_tensor(file.kind(node.args[0].value))
    ):
        return node.args[0].value
    return None


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
        if type(node) is cst.Assign and len(node.targets) == 1 and isinstance(node.targets[0].target, cst.Name):
            yield node.targets[0].target.value, node.value
        elif type(node) is cst.AugAssign and type(node.target) is cst.Name:
            yield node.target.value, node.value


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
    if isinstance(node, cst.UnaryOperation):
        return _is_printable(file, node.expression)
    if isinstance(node, cst.BinaryOperation):
        return _is_printable(file, node.left) or _is_printable(file, node.right)
    if isinstance(node, cst.Name):
        function, scope = file.function(node), file.index.scope_of(node).lookup(node.value)
        if function is None or scope is None or scope[0].node is not function:
            return False
        return [name for name, _ in _given_alone(function)].count(node.value) == len(scope[1])
    return read_value(file, node) is not None


def _goes(file: SourceFile, node: cst.CSTNode, path: _Path, seen: _Seen) -> bool:
    """Whether an expression that has the number at `path` goes into a log only."""
    parent = file.parent(node)
    if isinstance(parent, _WHOLES):
        return _goes_as_part(file, parent, node, path, seen)
    match parent:
        case cst.Expr():
            return True
        case cst.Assign():
            return all(_assigned(file, t.target, path, seen) for t in parent.targets)
        case cst.AnnAssign():
            return _assigned(file, parent.target, path, seen)
        case cst.AugAssign():
            adds = isinstance(parent.operator, (cst.AddAssign, cst.SubtractAssign, cst.MultiplyAssign))
            return not path and adds and isinstance(parent.target, cst.Name) and _sums_up(file, parent.target, seen)
        case cst.For() | cst.CompFor():
            return node is parent.iter and _assigned(file, parent.target, (), seen)
        case cst.Return():
            function = file.function(node)
            return function is not None and _returned(file, function, path, seen)
        case cst.Comparison():
            return all(isinstance(c.operator, (cst.Is, cst.IsNot)) for c in parent.comparisons)
        case cst.Subscript():
            return node is parent.value and _part(file, parent, path, seen)
        case cst.Attribute():
            return _method(file, parent, seen)
        case cst.Arg():
            return _argument(file, parent, path, seen)
    return False


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
    if isinstance(node, (cst.Integer, cst.Float)):
        return True
    if isinstance(node, cst.BinaryOperation):
        if isinstance(node.operator, cst.Power):
            return _not_negative(file, node.left, seen)
        keeps = isinstance(node.operator, (cst.Add, cst.Multiply, cst.Divide))
        return keeps and _not_negative(file, node.left, seen) and _not_negative(file, node.right, seen)
    if isinstance(node, cst.Call):
        name = (dotted(node.func) or "").rpartition(".")[2] or (
            node.func.attr.value if isinstance(node.func, cst.Attribute) else ""
        )
        if name in _SAME_VALUE and isinstance(node.func, cst.Attribute):
            return _not_negative(file, node.func.value, seen)
        return name in _NOT_NEGATIVE
    if not isinstance(node, cst.Name):
        return False
    if node.value in seen:
        return True  # of what it is made of, all else is not negative
    given = list(given_values(file, node))
    return bool(given) and all(not isinstance(v, bool) and _not_negative(file, v, seen | {node.value}) for v in given)


# -- names -------------------------------------------------------------------------------------------------------------


def _assigned(file: SourceFile, target: cst.BaseExpression, path: _Path, seen: _Seen) -> bool:
    if isinstance(target, cst.Name):
        return _named(file, target, path, seen)
    if isinstance(target, (cst.Tuple, cst.List)):
        if any(isinstance(e, cst.StarredElement) for e in target.elements):
            return False
        if path:
            at = path[0]
            return at < len(target.elements) and _assigned(file, target.elements[at].value, path[1:], seen)
        return all(_assigned(file, e.value, (), seen) for e in target.elements)
    return (
        isinstance(target, cst.Subscript)
        and isinstance(target.value, cst.Name)
        and _named(file, target.value, (), seen)
    )


def _sums_up(file: SourceFile, target: cst.Name, seen: _Seen) -> bool:
    """Whether a name to which the number is added holds numbers only."""
    numbers = all(
        not isinstance(v, bool) and (is_number(file, v) or file.kind(v) is Kind.HOST)
        for v in given_values(file, target)
    )
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
        if type(node) is not cst.Name or node.value != given.value:
            continue
        parent = file.parent(node)
        if type(parent) is cst.Attribute and parent.attr is node:
            continue
        if type(parent) is cst.Arg and parent.keyword is node:
            continue
        if isinstance(parent, (cst.Param, cst.Del)) or _is_target(file, node):
            continue
        found = file.index.scope_of(node).lookup(given.value)
        if found is not None and found[0] is scope and not _given_anew(file, node, around):
            yield node


def _given_anew(file: SourceFile, node: cst.Name, around: set[cst.CSTNode]) -> bool:
    """Whether a read is in the body of a loop over this name, other than those around what gave it a value."""
    child: cst.CSTNode = node
    for loop in file.ancestors(node):
        if isinstance(loop, cst.For) and child is loop.body and loop not in around and _binds(loop.target, node.value):
            return True
        child = loop
    return False


def _binds(target: cst.BaseExpression, name: str) -> bool:
    return any(isinstance(n, cst.Name) and n.value == name for n in descendants(target))


def _is_target(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether a name is one that a statement binds, alone or in a tuple."""
    parent = file.parent(node)
    while isinstance(parent, (cst.Element, cst.Tuple, cst.List)):
        node, parent = parent, file.parent(parent)
    return getattr(parent, "target", None) is node


# -- calls -------------------------------------------------------------------------------------------------------------


def _goes_as_part(file: SourceFile, whole: cst.CSTNode, node: cst.CSTNode, path: _Path, seen: _Seen) -> bool:
    """The same for an expression that is a part of another, which is one of _WHOLES."""
    match whole:
        case cst.BinaryOperation() | cst.UnaryOperation():
            return not path and _stays_number(file, whole, node) and _goes(file, whole, (), seen)
        case cst.IfExp():
            return node is not whole.test and _goes(file, whole, path, seen)
        case cst.Element():
            around = file.parent(whole)
            if isinstance(around, cst.Tuple):
                return _goes(file, around, (around.elements.index(whole), *path), seen)
            return isinstance(around, cst.List) and _goes(file, around, (), seen)
        case cst.DictElement():
            around = file.parent(whole)
            return node is whole.value and around is not None and _goes(file, around, (), seen)
        case cst.DictComp():
            return node is whole.value and _goes(file, whole, (), seen)
        case cst.ListComp() | cst.SetComp() | cst.GeneratorExp():
            return node is whole.elt and _goes(file, whole, (), seen)
    return False


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
    if not isinstance(call.func, cst.Attribute):
        return False
    if call.func.attr.value in _WRITES:
        return True
    fills = call.func.attr.value in _FILLS and isinstance(file.parent(call), cst.Expr)
    return fills and isinstance(call.func.value, cst.Name) and _named(file, call.func.value, (), seen)


def _argument_of_builtin(file: SourceFile, call: cst.Call, name: str, arg: cst.Arg, path: _Path, seen: _Seen) -> bool:
    if name == "print":
        alone = arg.keyword is None and not any(a.star for a in call.args) and not _prints_tensors(file, call)
        return alone and _is_printable(file, arg.value) and file.function(call) is not None
    if name in ("enumerate", "zip") and not path:
        return _iterated(file, call, 1 if name == "enumerate" else call.args.index(arg), seen)
    return name in ("dict", "list", "tuple", "reversed") and _goes(file, call, (), seen)


def _prints_tensors(file: SourceFile, call: cst.Call) -> bool:
    """Whether what is printed beside a number is a tensor: then the text cannot wait."""
    return any(is_tensor(file.kind(a.value)) for a in call.args if a.keyword is None)


def _iterated(file: SourceFile, call: cst.CSTNode, at: int, seen: _Seen) -> bool:
    """Whether tuples, which have the number at a place, are only looped over, and what is there goes into a log."""
    loop = file.parent(call)
    if not isinstance(loop, (cst.For, cst.CompFor)) or loop.iter is not call or not isinstance(loop.target, cst.Tuple):
        return False
    return _assigned(file, loop.target, (at,), seen)


def _method(file: SourceFile, attribute: cst.Attribute, seen: _Seen) -> bool:
    """A method of a list or dict that has the number."""
    call = file.parent(attribute)
    if not isinstance(call, cst.Call) or call.func is not attribute:
        return False
    name = attribute.attr.value
    if name == "items":
        return _iterated(file, call, 1, seen)
    if name in _FILLS or name == "clear":
        return isinstance(file.parent(call), cst.Expr)
    return name == "keys" or (name in ("copy", "values") and _goes(file, call, (), seen))


def _part(file: SourceFile, subscript: cst.Subscript, path: _Path, seen: _Seen) -> bool:
    if _is_target(file, subscript) or isinstance(file.parent(subscript), cst.Del):
        return True
    index = subscript.slice[0].slice
    if path and isinstance(index, cst.Index) and isinstance(index.value, cst.Integer):
        return int(index.value.value) != path[0] or _goes(file, subscript, path[1:], seen)
    return _goes(file, subscript, (), seen)


def _passed(
    file: SourceFile, function: cst.FunctionDef, call: cst.Call, arg: cst.Arg, path: _Path, seen: _Seen
) -> bool:
    """Whether a function of the project lets an argument go into a log only."""
    params = [*function.params.posonly_params, *function.params.params]
    if arg.keyword is not None:
        named = [p for p in (*params, *function.params.kwonly_params) if p.name.value == arg.keyword.value]
        param = named[0] if named else None
    else:
        at = call.args.index(arg)
        plain = all(a.keyword is None and not a.star for a in call.args[: at + 1])
        param = params[at] if plain and at < len(params) else None
    if param is None or function.decorators:
        return False
    return _all_reads(file, file.index.scopes[function], param.name, path, seen)


def _returned(file: SourceFile, function: cst.FunctionDef, path: _Path, seen: _Seen) -> bool:
    """Whether all callers of a function let what it returns go into a log only."""
    key = (function, path)
    if key in seen:
        return True
    inside = file.owner(function) is not None or file.function(function) is not None
    if inside or function.decorators or any(isinstance(n, cst.Yield) for n in descendants(function.body)):
        return False
    uses = file.project.fact(Contexts).references(function)
    calls = [(other, other.parent(use), use) for other, use in uses]
    return bool(calls) and all(
        isinstance(call, cst.Call) and call.func is use and _goes(other, call, path, seen | {key})
        for other, call, use in calls
    )
