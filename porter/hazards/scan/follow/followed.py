"""Kinds of calls, followed into the functions, methods and classes of the project."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import libcst as cst

from ....analysis.project import SourceFile
from ....syntax import torch_names as tn
from ....syntax.calls import keywords
from ....syntax.kinds import ARRAY_METHODS, arithmetic
from ....syntax.predicates import called, last_part, text_of
from ....syntax.values import Env, Instance, Kind, Record, Value, element, is_tensor
from ....syntax.walk import dotted, spelled
from .. import known
from .binding import Call, Method, Owner, bind, several
from .expressions import BUILTINS, Expressions
from .passing import value_of
from .shapes import is_cpu, many, one_of, plain, unsure

_MOST = 4  # methods of one name; more say nothing about an object
_CONTAINERS = frozenset("append add insert extend update setdefault appendleft".split())
_CALLING = ("map", "filter", "sorted", "max", "min")  # builtins that call what they are given
_BY_NAME: dict[str, Value] = {  # what functions and classes of torch give, by the last part of their names
    **dict.fromkeys(known.READING_FUNCTIONS, Kind.HOST),
    "ParameterList": Kind.SEQUENCE,
    "ParameterDict": Record(others=Kind.TENSOR),
}
_OF_TENSORS = frozenset({*known.READS, "bool", "logical_not", *tn.TENSOR_ONLY_METHODS})


class Followed(Expressions):
    """Kinds of the expressions of one file, followed through the calls of its project."""

    def _call(self, node: cst.Call, env: Env) -> Value:
        values = [self._eval(a.value, env) for a in node.args]
        target = self.file.resolve(node.func)
        if target is not None:
            return self._named_call(node, target, values)
        if type(node.func) is cst.Attribute:
            return self._method_call(node, node.func, values, env)
        if type(node.func) is cst.Name:
            local = self._local_function(node.func)
            if local is not None:
                return self._follow(self.file, local, node, values, 0)
            if node.func.value not in env and node.func.value in BUILTINS:
                return self._builtin(node, node.func.value, values, env)
        return self._applied(self._eval(node.func, env), node, values)

    def _local_function(self, name: cst.Name) -> cst.FunctionDef | None:
        """The function that a function defines inside itself by a name."""
        found = self._index.scope_of(name).lookup(name.value)
        if found is None or found[0] is self._index.root or len(found[1]) != 1:
            return None
        return found[1][0] if isinstance(found[1][0], cst.FunctionDef) else None

    def _follow(
        self, file: SourceFile, function: cst.FunctionDef, node: cst.Call, values: Sequence[Value], skipped: int
    ) -> Value:
        return self._given(Method(file, None, function), node, node.args, values, skipped)

    def _given(
        self, to: Method, node: cst.Call, args: Sequence[cst.Arg], values: Sequence[Value], skipped: int
    ) -> Value:
        """What a function gives back that gets these arguments by the call `node`."""
        call = Call(self.file, bind(to.function, args, values, skipped), skipped)
        returned = self._flow.call((to.file, to.function), node, call)
        passed = self._flow.handed_back(to.function)
        return value_of(passed, call.given) if passed else returned

    def _named_call(self, node: cst.Call, target: str, values: list[Value]) -> Value:
        if target.startswith("torch."):
            return self._torch_call(node, target, values)
        found = self.file.project.definition(target)
        if found is not None:
            file, definition = found
            if isinstance(definition, cst.ClassDef):
                return self._make(file, definition, target, node, values)
            return self._follow(file, definition, node, values, filled_in(definition, bound=False))
        above = self.file.project.class_definition(target.removesuffix(".apply")) if target.endswith(".apply") else None
        forward = self._flow.method(*above, "forward") if above is not None else None
        if forward is not None:  # of an autograd function
            return self._follow(forward.file, forward.function, node, values, 1)
        if target.endswith(("utils.to_host", ".training.host_copy")):
            return Kind.HOST
        runtime = self.file.runtime_value(target)
        return _library_result(target, values) if runtime is None else runtime

    def _torch_call(self, node: cst.Call, target: str, values: list[Value]) -> Value:
        last = last_part(target)
        if last == "checkpoint":
            return self._applied(values[0], node, values[1:], node.args[1:]) if values else Kind.UNKNOWN
        if last in ("Sequential", "ModuleList", "ModuleDict", "DataParallel", "compile"):
            return _around_modules(last, values)
        if target.startswith("torch.nn.utils.") and values and isinstance(values[0], Instance):
            return values[0]
        if last in _BY_NAME:
            return _BY_NAME[last]
        return Kind.MODULE if _is_module(target) else self._torch_result(node, target, values)

    def _torch_result(self, node: cst.Call, target: str, values: Sequence[Value]) -> Value:
        """What a function of torch gives that is no module and no reading of a value."""
        asked = keywords(node).get("dtype")
        if target in tn.FACTORIES and asked is not None and self._dtype([asked]) is Kind.MASK:
            return Kind.MASK
        if target in known.TENSORS_BESIDE or target.endswith(".pad_sequence"):
            return Kind.TENSOR
        result: Value = tn.torch_result(target, Kind.TENSOR, Kind.MASK, Kind.HOST, Kind.UNKNOWN)
        return unsure(values) if result is Kind.UNKNOWN else result

    def _make(self, file: SourceFile, owner: cst.ClassDef, name: str, node: cst.Call, values: list[Value]) -> Value:
        """An object of a class of the project."""
        constructor = self._flow.method(file, owner, "__init__")
        if constructor is not None:
            self._follow(constructor.file, constructor.function, node, values, 1)
        elif not file.defines_module(owner):
            self._fill_fields(file, owner, node, values)
        return Instance(frozenset({name}))

    def _fill_fields(self, file: SourceFile, owner: cst.ClassDef, node: cst.Call, values: list[Value]) -> None:
        """A dataclass, or a named tuple: its annotated names are what its constructor takes."""
        fields = [name for _, above in reversed(self._flow.chain(file, owner)) for name in _annotated_names(above)]
        for i, (arg, value) in enumerate(zip(node.args, values, strict=True)):
            name = arg.keyword.value if arg.keyword is not None else "".join(fields[i : i + 1])
            if name in fields and not arg.star:
                self._flow.set_attribute(owner, name, arg, value)

    def _applied(
        self, callee: Value, node: cst.Call, values: Sequence[Value], args: Sequence[cst.Arg] | None = None
    ) -> Value:
        """What calling an object gives."""
        if isinstance(callee, Instance):
            given = node.args if args is None else args
            results = [self._run_instance(o, node, values, given) for o in self._owners(callee)]
            return Kind.TENSOR if results and callee.several else one_of(results) if results else unsure(values)
        return Kind.TENSOR if callee is Kind.MODULE else unsure(values)

    def _run_instance(self, owner: Owner, node: cst.Call, values: Sequence[Value], args: Sequence[cst.Arg]) -> Value:
        is_module = owner.file.defines_module(owner.owner)
        method = self._flow.method(owner.file, owner.owner, "forward" if is_module else "__call__")
        if method is None:
            return Kind.TENSOR if is_module else Kind.UNKNOWN
        return self._given(method, node, args, values, 1)

    def _builtin(self, node: cst.Call, name: str, values: list[Value], env: Env) -> Value:
        if name in _CALLING and node.args:
            self._called_by(node, name, values, env)
        if name in _OF_VALUES:
            return _OF_VALUES[name](values)
        match name:
            case "filter" if len(values) > 1:
                return values[1]
            case "map" if len(values) > 1:
                return self._mapped(node.args[0].value, node, values)
            case "dict":
                return _dictionary(node, values)
        return self._by_attribute(node, name, values, env)

    def _by_attribute(self, node: cst.Call, name: str, values: list[Value], env: Env) -> Value:
        """`getattr` and `setattr`; any other builtin gives a Python value."""
        key = text_of(node.args[1].value) if len(node.args) > 1 else None
        if name == "getattr":
            return plain(values) if key is None else self._got(node, key, values[0])
        if name == "setattr" and key is not None and len(node.args) > 2:
            for owner in self._classes(node.args[0].value, env):
                self._flow.set_attribute(owner.owner, key, node, values[2])
        return Kind.HOST

    def _got(self, node: cst.Call, name: str, base: Value) -> Value:
        """`getattr(x, "name")`."""
        receiver = node.args[0].value
        if isinstance(receiver, cst.Name) and receiver.value == "self":
            owner = self._class_of(node)
            return Kind.UNKNOWN if owner is None else self.attribute(owner, name)
        if isinstance(base, Instance):
            return self._of_instance(base, name)
        return Kind.HOST if base is Kind.HOST else Kind.UNKNOWN

    def _called_by(self, node: cst.Call, name: str, values: list[Value], env: Env) -> None:
        """Lambdas that a builtin calls with the items of what it is given."""
        mapped = name in ("map", "filter")
        function = node.args[0].value if mapped else keywords(node).get("key")
        if isinstance(function, cst.Lambda):
            items = values[1:] if mapped else values[:1]
            names = [p.name.value for p in function.params.params]
            self._lambda(function, env, dict(zip(names, map(element, items), strict=False)))

    def _mapped(self, function: cst.BaseExpression, node: cst.Call, values: list[Value]) -> Value:
        if isinstance(function, cst.Lambda):
            return many(self._known.get(function.body, Kind.UNKNOWN))
        found = self.file.project.function(self.file.resolve(function))
        if found is not None:
            args = [cst.Arg(a.value) for a in node.args[1:]]
            items = [element(value) for value in values[1:]]
            return many(self._given(Method(found[0], None, found[1]), node, args, items, 0))
        host = isinstance(function, cst.Name) and function.value in tn.HOST_BUILTINS
        return Kind.HOST if host else Kind.UNKNOWN

    def _method_call(self, node: cst.Call, func: cst.Attribute, values: list[Value], env: Env) -> Value:
        name, receiver = func.attr.value, func.value
        above = called(receiver) == "super"
        owner = self._class_of(func) if above or dotted(receiver) in ("self", "cls") else None
        if owner is not None:
            return self._own_method(node, owner, name, values, above=above)
        base = self._eval(receiver, env)
        if isinstance(base, Record):
            return self._record_method(node, base, name, values, receiver, env)
        if isinstance(base, Instance):
            return self._instance_method(node, base, name, values, func, env)
        if name in _CONTAINERS and not is_tensor(base) and base is not Kind.MODULE:
            return self._put_in(receiver, [*map(element, values)] if name in ("extend", "update") else values, env)
        return self._method_of_kind(node, func, base, values, env)

    def _put_in(self, container: cst.BaseExpression, values: Sequence[Value], env: Env) -> Value:
        """What a method gives that puts its last argument into a container."""
        for value in values[-1:]:
            self._keep(container, value, env)
        return Kind.HOST

    def _method_of_kind(self, node: cst.Call, func: cst.Attribute, base: Value, values: list[Value], env: Env) -> Value:
        """What a method gives of something that is neither an object of a known class nor a container."""
        name = func.attr.value
        if base is Kind.HOST:
            return Kind.HOST if name in known.HOST_METHODS or unsure(values) is Kind.UNKNOWN else Kind.MAYBE
        if is_tensor(base):
            return self._tensor_method(node, name, base)
        if base is Kind.SEQUENCE:
            return _method_of_sequence(name)
        if (held := held_by_module(name)) is not None:
            return held
        if base is Kind.MODULE:
            return super()._method(func, env)
        if name in ARRAY_METHODS:
            return Kind.MAYBE
        if name in _OF_TENSORS:
            return self._tensor_method(node, name, Kind.TENSOR)
        return self._by_name(node, name, values)

    def _record_method(
        self, node: cst.Call, base: Record, name: str, values: list[Value], receiver: cst.BaseExpression, env: Env
    ) -> Value:
        """A method of a dictionary whose keys are known."""
        if name in ("get", "pop", "setdefault") and node.args:
            found = base.get(text_of(node.args[0].value))
            return next((v for v in (found, *values[1:2]) if v is not None), Kind.HOST)
        if name == "update":
            for arg, value in zip(node.args, values, strict=True):
                named = Record(((arg.keyword.value, value),)) if arg.keyword is not None else value
                new = base.joined(named) if isinstance(named, Record) else base.updated(None, Kind.UNKNOWN)
                self._hold(receiver, new, env)
        return {"values": several(base.values), "copy": base}.get(name, Kind.HOST)

    def _tensor_method(self, node: cst.Call, name: str, base: Value) -> Value:
        if name in known.READING_METHODS or name == "cpu":
            return Kind.HOST
        if name == "to" and any(is_cpu(self.file, a.value) for a in node.args):
            return Kind.HOST
        if name in ("to", "type"):
            made = self._dtype([a.value for a in node.args])
            if made is not None:
                return made
        result: Value = tn.method_result(name, base, Kind.TENSOR, Kind.MASK, Kind.HOST, Kind.SEQUENCE)
        return result

    def _dtype(self, values: Sequence[cst.BaseExpression]) -> Value | None:
        """What a tensor becomes by the dtype among these values; None where there is none."""
        for value in values:
            if self.file.resolve(value) == "torch.bool":
                return Kind.MASK
            if spelled(value).endswith(".dtype") or self.file.resolve(value) in known.NUMBER_TYPES:
                return Kind.TENSOR
        return None

    def _own_method(self, node: cst.Call, owner: cst.ClassDef, name: str, values: list[Value], *, above: bool) -> Value:
        chain = self._flow.chain(self.file, owner)
        for file, one in chain[1:] if above else chain[:1]:
            method = self._flow.method(file, one, name)
            if method is not None:
                return self._follow(method.file, method.function, node, values, filled_in(method.function, bound=True))
        if above:
            return Kind.UNKNOWN
        if name in ("register_buffer", "register_parameter") and node.args:
            key = text_of(node.args[0].value)
            if key is not None:
                self._flow.set_attribute(owner, key, node, _registered(values[1:]))
            return Kind.HOST
        held = held_by_module(name)
        if held is not None:
            return held
        self._known[node.func] = self.attribute(owner, name)
        return self._applied(self._known[node.func], node, values)

    def _instance_method(
        self, node: cst.Call, base: Instance, name: str, values: list[Value], func: cst.Attribute, env: Env
    ) -> Value:
        if base.several and name in _CONTAINERS:
            return self._put_in(func.value, values, env)
        owners = self._owners(base)
        methods = list(filter(None, (self._flow.method(owner.file, owner.owner, name) for owner in owners)))
        if methods:
            return self._any_of(methods, node, values)
        if name in tn.MODULE_KEEPING_METHODS or (base.several and name in ("values", "items", "children", "modules")):
            return base
        held = held_by_module(name) if owners else None
        return self._applied(self._of_instance(base, name), node, values) if held is None else held

    def _any_of(self, methods: Sequence[Method], node: cst.Call, values: Sequence[Value]) -> Value:
        """What one of some methods gives, whichever is called."""
        return one_of(
            self._follow(m.file, m.function, node, values, filled_in(m.function, bound=True)) for m in methods
        )

    def _by_name(self, node: cst.Call, name: str, values: list[Value]) -> Value:
        """A method of an object of which nothing is known: any of the project's by that name."""
        methods = self._flow.methods_named(name)
        return self._any_of(methods, node, values) if 0 < len(methods) <= _MOST else unsure(values)


def filled_in(function: cst.FunctionDef, *, bound: bool) -> int:
    """How many parameters of a method Python fills in itself."""
    decorators = {spelled(d.decorator) for d in function.decorators}
    return 0 if "staticmethod" in decorators else 1 if bound or "classmethod" in decorators else 0


def _annotated_names(owner: cst.ClassDef) -> Iterator[str]:
    """The names that a class's body annotates."""
    for line in owner.body.body:
        for small in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            if isinstance(small, cst.AnnAssign) and isinstance(small.target, cst.Name):
                yield small.target.value


def _library_result(target: str, values: list[Value]) -> Value:
    """What something of a library gives, other than torch."""
    top = target.partition(".")[0]
    if target in ("copy.copy", "copy.deepcopy") and values:
        return values[0]
    if top in sys.stdlib_module_names:
        return plain(values) if top in known.LEAVE_VALUES_ALONE else Kind.HOST
    if top == "numpy":
        return Kind.HOST
    return Instance(frozenset({target})) if last_part(target)[:1].isupper() else unsure(values)


def held_by_module(name: str) -> Value | None:
    """What a module's method gives that tells what the module holds; None for other names."""
    if name in ("parameters", "buffers"):
        return Kind.SEQUENCE
    if name in ("state_dict", "named_parameters", "named_buffers"):
        return Record(others=Kind.TENSOR)
    return Kind.UNKNOWN if name in tn.MODULE_HOST_METHODS else None


def _registered(values: Sequence[Value]) -> Value:
    """What a buffer or a parameter is, given these arguments; one that is registered as None is set later."""
    return values[0] if values and is_tensor(values[0]) else Kind.TENSOR


def _computed(values: Sequence[Value]) -> Value:
    """What a builtin that computes gives."""
    if Kind.MAYBE in values:
        return Kind.MAYBE
    first = values[0] if len(values) == 1 else None
    return element(first) if isinstance(first, tuple) else arithmetic(list(values))


def _first(values: Sequence[Value]) -> Value:
    return values[0] if values else Kind.HOST


def _listed(values: Sequence[Value]) -> Value:
    """What `list(value)` is, and its kin."""
    value = _first(values)
    if is_tensor(value):
        return Kind.SEQUENCE
    return several(list(value)) if isinstance(value, tuple) else value


def _dictionary(node: cst.Call, values: Sequence[Value]) -> Value:
    """What `dict(…)` is."""
    names = [a.keyword.value for a in node.args if a.keyword is not None]
    return Record(tuple(zip(names, values, strict=True))) if len(names) == len(node.args) else plain(list(values))


def _is_module(target: str) -> bool:
    """Whether a name of torch is that of a layer."""
    last = last_part(target)
    return target.startswith("torch.nn.") and last[:1].isupper() and last != "Parameter"


def _around_modules(name: str, values: Sequence[Value]) -> Value:
    """What a container of modules, or a module around one, is."""
    made = [v for v in values if isinstance(v, Instance)]
    if not made:
        return Kind.MODULE
    classes = frozenset(name for v in made for name in v.classes)
    return Instance(classes, several=name in ("Sequential", "ModuleList", "ModuleDict"))


def _method_of_sequence(name: str) -> Value:
    """What a method of a list or dictionary of tensors gives."""
    if name in ("keys", "index", "count"):
        return Kind.HOST
    return Kind.SEQUENCE if name in ("values", "items", "copy") else Kind.TENSOR


_OF_VALUES: dict[str, Callable[[list[Value]], Value]] = {  # builtins that call nothing and know no names
    **dict.fromkeys(("list", "tuple", "reversed", "sorted", "set", "iter", "frozenset"), _listed),
    "next": lambda values: element(_first(values)),
    **dict.fromkeys(("zip", "enumerate"), plain),
    **dict.fromkeys(("vars", "eval", "exec", "super", "locals", "globals"), lambda values: Kind.UNKNOWN),
    **dict.fromkeys(tn.ARITHMETIC_BUILTINS, _computed),
}
