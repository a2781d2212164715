"""What kind of value an expression has: tensor, boolean mask, module, or plain Python.

A forward pass over one function at a time, on demand. It knows what torch's functions and methods return, follows
calls inside the package, and takes a parameter for a tensor when the function uses it as one. What it cannot tell is
`Kind.UNKNOWN`, and rules leave that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import libcst as cst

from . import torch_names as tn
from .annotations import annotated
from .calls import method_call
from .predicates import function_named, functions, last_part, named_parameters, of_self, targets, text_of
from .scopes import Imported, Index
from .values import Env, Kind, Record, Value, element, is_tensor, join, unpacked
from .walk import children, own_of_type, spelled

Callee = Callable[[str], Value | None]


# What NumPy's arrays have as tensors do.
ARRAY_METHODS = frozenset(
    (
        "sum mean max min any all abs argmax argmin argsort std var prod cumsum cumprod clip round reshape transpose "
        "squeeze flatten ravel repeat view nonzero dot astype clone"
    ).split()
)
OF_ARRAYS = ARRAY_METHODS | {"shape", "dtype", "ndim"}
BITWISE = frozenset({cst.BitAnd, cst.BitOr, cst.BitXor})
_LITERALS = frozenset({cst.Integer, cst.Float, cst.SimpleString, cst.ConcatenatedString})


class Kinds:
    """Kinds of the expressions of one file."""

    def __init__(self, index: Index, call_result: Callee) -> None:
        """`call_result` gives the value that a function of the package, by its full name, returns."""
        self._index = index
        self._call_result = call_result
        self._known: dict[cst.CSTNode, Value] = {}
        self._done: set[cst.CSTNode] = set()
        self._returns: dict[cst.CSTNode, Value] = {}
        self._attributes: dict[cst.ClassDef, Env] = {}
        self._globals: Env | None = None
        self._closure: dict[cst.CSTNode, Env] = {}
        self._ways: dict[type[cst.CSTNode], Callable[[Any, Env], Value]] = self._expressions()

    def _expressions(self) -> dict[type[cst.CSTNode], Callable[[Any, Env], Value]]:
        """How the kinds of expressions are found, by their classes."""
        return {
            cst.Name: self._name,
            cst.Attribute: self._attribute_value,
            cst.Call: self._call,
            cst.Subscript: self._subscript,
            cst.BinaryOperation: self._binary,
            cst.UnaryOperation: self._unary,
            cst.Comparison: self._comparison,
            cst.BooleanOperation: self._boolean,
            cst.IfExp: self._choice,
            cst.Tuple: self._tuple,
            cst.List: self._list,
            cst.NamedExpr: self._named,
            cst.ListComp: self._each,
            cst.GeneratorExp: self._each,
            cst.SetComp: self._each,
            cst.Dict: self._dict,
            cst.FormattedString: self._text,
        }

    @cached_property
    def knows_torch(self) -> bool:
        """Whether a file imports torch somewhere: the arrays of one that does not may well be NumPy's."""
        bound = (b for scope in self._index.scopes.values() for bs in scope.bindings.values() for b in bs)
        return any(isinstance(b, Imported) and b.target.partition(".")[0] == "torch" for b in bound)

    def of(self, node: cst.CSTNode) -> Value:
        """The kind of an expression where it stands."""
        if node not in self._known:
            self._run(self._function(node))
        return self._known.get(node, Kind.UNKNOWN)

    def returned(self, function: cst.FunctionDef) -> Value:
        """The kind of what a function returns."""
        self._run(function)
        return self._returns.get(function, Kind.HOST)

    def attribute(self, owner: cst.ClassDef, name: str) -> Value:
        """The kind of `self.name` in a class, from what its methods assign and register."""
        if owner not in self._attributes:
            self._attributes[owner] = {}
            self._attributes[owner] = self._class_attributes(owner)
        return self._attributes[owner].get(name, Kind.UNKNOWN)

    # -- functions ----------------------------------------------------------------------------------------------

    def _function(self, node: cst.CSTNode) -> cst.CSTNode:
        current: cst.CSTNode | None = node
        while current is not None and type(current) is not cst.FunctionDef and type(current) is not cst.Module:
            current = self._index.parents.get(current)
        return current if current is not None else self._index.module

    def _class_of(self, function: cst.CSTNode) -> cst.ClassDef | None:
        current = self._index.parents.get(function)
        while current is not None and type(current) is not cst.ClassDef:
            current = self._index.parents.get(current)
        return current

    def _owner(self, attribute: cst.Attribute) -> cst.ClassDef | None:
        """The class whose attribute `self.name` is; None for an attribute of anything else."""
        return self._class_of(attribute) if of_self(attribute) is not None else None

    def _run(self, function: cst.CSTNode) -> None:
        if function in self._done:
            return
        self._done.add(function)
        self._evaluate(function)

    def _evaluate(self, function: cst.CSTNode) -> None:
        """Go through a function's or a module's statements once."""
        env: Env = {}
        if isinstance(function, cst.FunctionDef):
            enclosing = self._index.parents.get(function)
            outer = self._function(enclosing) if enclosing is not None else self._index.module
            if isinstance(outer, cst.FunctionDef):
                self._run(outer)
                env.update(self._closure.get(outer, {}))
            env.update(self.parameters(function))
            self._block(function.body, env, function)
        else:
            assert isinstance(function, cst.Module)
            for statement in function.body:
                self._statement(statement, env, function)
            self._globals = env
        self._closure[function] = env

    def parameters(self, function: cst.FunctionDef) -> Env:
        """The kinds of a function's parameters, by name: from annotations, defaults and what is done with them."""
        used = {
            name
            for name, how in used_as_tensor(function, self._index)
            if name not in ("self", "cls") and (self.knows_torch or how not in OF_ARRAYS)
        }
        return {param.name.value: _parameter(param, param.name.value in used) for param in named_parameters(function)}

    def _class_attributes(self, owner: cst.ClassDef) -> Env:
        found: Env = {}
        for method in functions(owner):
            for node in own_of_type(method, cst.Assign, cst.Expr):
                for name, value in self._set_by(node):
                    again = name in found and isinstance(node, cst.Assign)
                    found[name] = self._join(found[name], value) if again else value
        return found

    def _set_by(self, node: cst.BaseSmallStatement) -> Iterator[tuple[str, Value]]:
        """Attributes of `self` that a statement assigns or registers, with their kinds."""
        if isinstance(node, cst.Assign):
            for attribute in filter(None, map(of_self, targets(node))):
                yield attribute, self._quick(node.value)
            return
        call = node.value if isinstance(node, cst.Expr) else None
        found = method_call(call, "register_buffer", "register_parameter") if call is not None else None
        name = text_of(found[1].args[0].value) if found is not None and found[1].args else None
        if name is not None:
            yield name, Kind.TENSOR

    def _quick(self, node: cst.BaseExpression) -> Value:
        """The kind of an attribute's initial value, without looking at the flow of the constructor."""
        match node:
            case cst.IfExp():
                return self._join(self._quick(node.body), self._quick(node.orelse))
            case cst.Call():
                return _made_by(self._index.resolve(node.func) or spelled(node.func))
            case cst.Integer() | cst.Float() | cst.SimpleString() | cst.BinaryOperation() | cst.Comparison():
                return Kind.HOST
            case cst.Name(value="True" | "False"):
                return Kind.HOST
        return Kind.UNKNOWN

    # -- statements ---------------------------------------------------------------------------------------------

    def _block(self, body: cst.BaseSuite | cst.SimpleStatementLine, env: Env, function: cst.CSTNode) -> None:
        for statement in body.body:
            if isinstance(statement, cst.BaseSmallStatement):
                self._small(statement, env, function)
            else:
                self._statement(statement, env, function)

    def _statement(self, node: cst.CSTNode, env: Env, function: cst.CSTNode) -> None:
        match node:
            case cst.SimpleStatementLine():
                self._block(node, env, function)
            case cst.If():
                self._if(node, env, function)
            case cst.For():
                self._for(node, env, function)
            case cst.While():
                self._while(node, env, function)
            case cst.With():
                self._with(node, env, function)
            case cst.Try():
                self._try(node, env, function)
            case cst.Match():
                self._match(node, env, function)
            case cst.FunctionDef():
                env[node.name.value] = Kind.UNKNOWN

    def _for(self, node: cst.For, env: Env, function: cst.CSTNode) -> None:
        item = element(self._eval(node.iter, env))
        for _ in range(2):  # a second time, for what the first turn of the loop assigned
            self._assign(node.target, self._loop_value(node.iter, item, env), env)
            before = dict(env)
            self._block(node.body, env, function)
            if env == before:
                break
        if node.orelse is not None:
            self._block(node.orelse.body, env, function)

    def _while(self, node: cst.While, env: Env, function: cst.CSTNode) -> None:
        for _ in range(2):
            before = dict(env)
            self._eval(node.test, env)
            self._block(node.body, env, function)
            if env == before:
                break

    def _try(self, node: cst.Try, env: Env, function: cst.CSTNode) -> None:
        for part in (node, *node.handlers, node.orelse, node.finalbody):
            if part is not None:
                self._block(part.body, env, function)

    def _with(self, node: cst.With, env: Env, function: cst.CSTNode) -> None:
        for item in node.items:
            value = self._eval(item.item, env)
            if item.asname is not None:
                self._entered(item.asname.name, value, env)
        self._block(node.body, env, function)

    def _match(self, node: cst.Match, env: Env, function: cst.CSTNode) -> None:
        self._eval(node.subject, env)
        before, after = dict(env), dict(env)
        for case in node.cases:
            inside = dict(before)
            self._block(case.body, inside, function)
            for name in inside:
                after[name] = self._join(after[name], inside[name]) if name in after else inside[name]
        env.update(after)

    def _if(self, node: cst.If, env: Env, function: cst.CSTNode) -> None:
        self._eval(node.test, env)
        then, other = dict(env), dict(env)
        self._block(node.body, then, function)
        if isinstance(node.orelse, cst.If):
            self._statement(node.orelse, other, function)
        elif node.orelse is not None:
            self._block(node.orelse.body, other, function)
        for name in then.keys() | other.keys():
            env[name] = self._join(then.get(name, Kind.UNKNOWN), other.get(name, Kind.UNKNOWN))

    def _entered(self, target: cst.CSTNode, value: Value, env: Env) -> None:
        """`with value as target`: what a context manager gives is not known."""

    def _small(self, node: cst.CSTNode, env: Env, function: cst.CSTNode) -> None:
        match node:
            case cst.Assign():
                value = self._eval(node.value, env)
                for target in targets(node):
                    self._assign(target, value, env)
            case cst.AnnAssign():
                if node.value is not None:
                    self._assign(node.target, self._eval(node.value, env), env)
            case cst.AugAssign():
                value = self._join(self._eval(node.target, env), self._eval(node.value, env))
                if type(node.target) is cst.Name:
                    env[node.target.value] = value
            case cst.Return():
                value = self._eval(node.value, env) if node.value is not None else Kind.HOST
                old = self._returns.get(function)
                self._returns[function] = value if old is None else self._join(old, value)
            case _:
                self._parts(node, env)

    def _assign(self, target: cst.CSTNode, value: Value, env: Env) -> None:
        if type(target) is cst.Name:
            env[target.value] = value
            self._known[target] = value
        elif isinstance(target, (cst.Tuple, cst.List)):
            values = unpacked(value, len(target.elements))
            for element, part in zip(target.elements, values, strict=True):
                self._assign(element.value, part, env)
        elif isinstance(target, (cst.Subscript, cst.Attribute)):
            self._eval(target, env)

    def _loop_value(self, iterable: cst.BaseExpression, item: Value, env: Env) -> Value:
        if not (isinstance(iterable, cst.Call) and isinstance(iterable.func, cst.Name)):
            return item
        inner = [element(self._eval(a.value, env)) for a in iterable.args]
        if iterable.func.value == "zip":
            return tuple(inner)
        if iterable.func.value == "enumerate" and inner:
            return (Kind.HOST, inner[0])
        if iterable.func.value in ("reversed", "sorted", "list", "tuple", "tqdm") and inner:
            return inner[0]
        return Kind.HOST if iterable.func.value == "range" else item

    # -- expressions --------------------------------------------------------------------------------------------

    def _eval(self, node: cst.CSTNode, env: Env) -> Value:
        kind = type(node)
        value = Kind.HOST if kind in _LITERALS else self._ways.get(kind, self._parts)(node, env)
        self._known[node] = value
        return value

    def _binary(self, node: cst.BinaryOperation, env: Env) -> Value:
        a, b = self._eval(node.left, env), self._eval(node.right, env)
        if Kind.MASK in (a, b) and type(node.operator) in BITWISE:
            return Kind.MASK
        if is_tensor(a) or is_tensor(b):
            return Kind.TENSOR
        return Kind.HOST if (a, b) == (Kind.HOST, Kind.HOST) else Kind.UNKNOWN

    def _unary(self, node: cst.UnaryOperation, env: Env) -> Value:
        inner = self._eval(node.expression, env)
        return Kind.HOST if type(node.operator) is cst.Not else inner

    def _boolean(self, node: cst.BooleanOperation, env: Env) -> Value:
        a, b = self._eval(node.left, env), self._eval(node.right, env)
        return self._join(a, b)

    def _choice(self, node: cst.IfExp, env: Env) -> Value:
        self._eval(node.test, env)
        return self._join(self._eval(node.body, env), self._eval(node.orelse, env))

    def _tuple(self, node: cst.Tuple, env: Env) -> Value:
        return tuple(self._eval(e.value, env) for e in node.elements)

    def _list(self, node: cst.List, env: Env) -> Value:
        parts = [self._eval(e.value, env) for e in node.elements]
        return Kind.SEQUENCE if parts and all(map(is_tensor, parts)) else Kind.UNKNOWN

    def _named(self, node: cst.NamedExpr, env: Env) -> Value:
        value = self._eval(node.value, env)
        self._assign(node.target, value, env)
        return value

    def _each(self, node: cst.ListComp | cst.GeneratorExp | cst.SetComp, env: Env) -> Value:
        inside = dict(env)
        self._comprehension(node.for_in, inside)
        return Kind.SEQUENCE if is_tensor(self._eval(node.elt, inside)) else Kind.UNKNOWN

    def _dict(self, node: cst.Dict, env: Env) -> Value:
        for entry in node.elements:
            if isinstance(entry, cst.DictElement):
                self._eval(entry.key, env)
            self._eval(entry.value, env)
        return Kind.UNKNOWN

    def _text(self, node: cst.FormattedString, env: Env) -> Value:
        for part in node.parts:
            if isinstance(part, cst.FormattedStringExpression):
                self._eval(part.expression, env)
        return Kind.HOST

    def _parts(self, node: cst.CSTNode, env: Env) -> Value:
        """Any other expression: what is in it is looked at, what it gives is not known."""
        for child in children(node):
            if isinstance(child, cst.BaseExpression):
                self._eval(child, env)
        return Kind.UNKNOWN

    def _join(self, a: Value, b: Value) -> Value:
        """What is known of a value that is one or the other."""
        return join(a, b)

    def _comprehension(self, clause: cst.CompFor, env: Env) -> None:
        item = element(self._eval(clause.iter, env))
        self._assign(clause.target, self._loop_value(clause.iter, item, env), env)
        for test in clause.ifs:
            self._eval(test.test, env)
        if clause.inner_for_in is not None:
            self._comprehension(clause.inner_for_in, env)

    def _name(self, node: cst.Name, env: Env) -> Value:
        if node.value in env:
            return env[node.value]
        if node.value in ("True", "False", "None"):
            return Kind.HOST
        found = self._index.root.bindings.get(node.value)
        if found and not all(isinstance(b, Imported) for b in found) and self._globals is not None:
            return self._globals.get(node.value, Kind.UNKNOWN)
        return Kind.UNKNOWN

    def _attribute_value(self, node: cst.Attribute, env: Env) -> Value:
        name = node.attr.value
        base = self._eval(node.value, env)
        if is_tensor(base) or base is Kind.SEQUENCE:
            if name in tn.HOST_ATTRIBUTES:
                return Kind.HOST
            return base if name in ("data", "T", "mT") else Kind.TENSOR
        owner = self._owner(node)
        if owner is not None:
            return self.attribute(owner, name)
        if base is Kind.MODULE and name in ("weight", "bias", "weight_g", "weight_v"):
            return Kind.TENSOR
        if name in tn.TENSOR_ONLY_ATTRIBUTES:
            return Kind.HOST
        return Kind.TENSOR if name in ("indices", "values", "grad") else Kind.UNKNOWN

    def _call(self, node: cst.Call, env: Env) -> Value:
        arguments = [self._eval(a.value, env) for a in node.args]
        target = self._index.resolve(node.func)
        if target is not None:
            if target.startswith("torch."):
                return tn.torch_result(target, Kind.TENSOR, Kind.MASK, Kind.HOST, Kind.UNKNOWN)
            result = self._call_result(target)
            return Kind.UNKNOWN if result is None else result
        if isinstance(node.func, cst.Attribute):
            return self._method(node.func, env)
        made = _made_by_builtin(node.func.value, arguments, env) if isinstance(node.func, cst.Name) else None
        if made is not None:
            return made
        return Kind.TENSOR if self._eval(node.func, env) is Kind.MODULE else Kind.UNKNOWN

    def _method(self, func: cst.Attribute, env: Env) -> Value:
        name = func.attr.value
        base = self._eval(func.value, env)
        owner = self._owner(func)
        own = function_named(owner, name) if owner is not None else None
        if own is not None:
            return self.returned(own)
        if owner is not None and self.attribute(owner, name) is Kind.MODULE:
            return Kind.TENSOR
        if is_tensor(base):
            return tn.method_result(name, base, Kind.TENSOR, Kind.MASK, Kind.HOST, Kind.SEQUENCE)
        if base is Kind.MODULE:
            return _of_module(name)
        if name in tn.TENSOR_ONLY_METHODS and (self.knows_torch or name not in ARRAY_METHODS):
            return tn.method_result(name, Kind.TENSOR, Kind.TENSOR, Kind.MASK, Kind.HOST, Kind.SEQUENCE)
        return Kind.UNKNOWN

    def _subscript(self, node: cst.Subscript, env: Env) -> Value:
        base = self._eval(node.value, env)
        for part in node.slice:
            inner = part.slice
            for child in children(inner):
                if isinstance(child, cst.BaseExpression):
                    self._eval(child, env)
        if isinstance(base, tuple):
            index = node.slice[0].slice
            if type(index) is cst.Index and type(index.value) is cst.Integer:
                at = int(index.value.value)
                return base[at] if at < len(base) else Kind.UNKNOWN
            return Kind.UNKNOWN
        if base is Kind.SEQUENCE:
            return Kind.TENSOR if isinstance(node.slice[0].slice, cst.Index) else Kind.SEQUENCE
        return base

    def _comparison(self, node: cst.Comparison, env: Env) -> Value:
        values = [self._eval(node.left, env)]
        plain = False
        for target in node.comparisons:
            values.append(self._eval(target.comparator, env))
            plain |= isinstance(target.operator, (cst.Is, cst.IsNot, cst.In, cst.NotIn))
            plain |= isinstance(target.comparator, cst.Name) and target.comparator.value == "None"
        if plain:
            return Kind.HOST
        return Kind.MASK if any(is_tensor(v) for v in values) else Kind.HOST


def _parameter(param: cst.Param, used: bool) -> Value:
    """The kind of a parameter, which is `used` as a tensor or not."""
    noted = annotated(param.annotation.annotation) if param.annotation is not None else Kind.UNKNOWN
    if is_tensor(noted):
        return noted
    if used:
        return Kind.TENSOR
    if noted in (Kind.UNKNOWN, Kind.MAYBE) or isinstance(noted, Record):
        return Kind.HOST if is_plain(param.default) else Kind.UNKNOWN
    return noted


def _made_by(target: str) -> Value:
    """What calling something makes, as its name tells."""
    last = last_part(target)
    if last == "Parameter":
        return Kind.TENSOR
    if last[:1].isupper() and last not in tn.TENSOR_TYPES:
        return Kind.MODULE
    if tn.makes_tensor(target):
        return Kind.TENSOR
    return Kind.MODULE if last in ("weight_norm", "spectral_norm") else Kind.UNKNOWN


def _made_by_builtin(name: str, arguments: list[Value], env: Env) -> Value | None:
    """What a builtin makes of these; None for other names, and for builtins of which nothing is known."""
    if name in tn.HOST_BUILTINS and name not in env:
        return Kind.HOST
    if name in ("list", "tuple", "reversed", "sorted") and arguments:
        return arguments[0] if not is_tensor(arguments[0]) else Kind.SEQUENCE
    return arithmetic(arguments) if name in tn.ARITHMETIC_BUILTINS and name not in env else None


def _of_module(name: str) -> Value:
    """What a method of a module gives."""
    if name in tn.MODULE_KEEPING_METHODS:
        return Kind.MODULE
    return Kind.UNKNOWN if name in tn.MODULE_HOST_METHODS else Kind.TENSOR


def arithmetic(arguments: list[Value]) -> Value:
    """The kind of what `abs`, `max` or `sum` make of these: of tensors, or of several of them, a tensor."""
    parts = [part for value in arguments for part in (value if isinstance(value, tuple) else (value,))]
    if any(map(is_tensor, parts)) or Kind.SEQUENCE in arguments:
        return Kind.TENSOR
    return Kind.HOST if arguments and all(value is Kind.HOST for value in arguments) else Kind.UNKNOWN


def is_plain(default: cst.BaseExpression | None) -> bool:
    """Whether a parameter's default is a number, a string or a truth value."""
    if type(default) is cst.Name:
        return default.value in ("True", "False")
    return isinstance(default, (cst.Integer, cst.Float, cst.SimpleString, cst.UnaryOperation))


def used_as_tensor(function: cst.FunctionDef, index: Index) -> Iterator[tuple[str, str]]:
    """Names that a function uses as tensors are used, each with the attribute or the function that it is used with."""
    for node in own_of_type(function, cst.Attribute, cst.Call):
        if type(node) is cst.Attribute:
            if type(node.value) is cst.Name and _only_tensors_have(node, index):
                yield node.value.value, node.attr.value
        elif type(node) is cst.Call and node.args and type(first := node.args[0].value) is cst.Name:
            target = index.resolve(node.func)
            if target is not None and tn.takes_tensor_first(target):
                yield first.value, target


def _only_tensors_have(node: cst.Attribute, index: Index) -> bool:
    called = type(index.parents.get(node)) is cst.Call
    return node.attr.value in tn.TENSOR_ONLY_ATTRIBUTES or (called and node.attr.value in tn.TENSOR_ONLY_METHODS)
