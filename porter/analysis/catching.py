"""Who in the project takes an exception: handlers around a statement, and around what calls its function."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import libcst as cst

from ..syntax.predicates import called, function_named, is_name
from ..syntax.scopes import Binding, Imported
from ..syntax.values import is_tensor
from ..syntax.walk import descendants, dotted, own_descendants, own_of_type, spelled
from .contexts import Contexts, host_reason
from .numeric import given_values
from .project import Project, SourceFile
from .reachability import Reachability

# By these Python's own statements and protocols are told something.
_CONTROL = frozenset({"StopIteration", "StopAsyncIteration", "GeneratorExit", "SystemExit", "KeyboardInterrupt"})
_PROTOCOLS = {"__getitem__": "LookupError", "__missing__": "KeyError"}
_ATTRIBUTES = ("__getattr__", "__getattribute__")
_TRANSPARENT = frozenset(
    {"contextlib.nullcontext", "contextlib.closing", "contextlib.redirect_stdout", "contextlib.redirect_stderr"}
    | {"contextlib.chdir", "warnings.catch_warnings", "tempfile.TemporaryDirectory", "tempfile.NamedTemporaryFile"}
    | {"rich.progress.Progress", "rich.live.Live", "rich.status.Status", "tqdm.tqdm", "tqdm.auto.tqdm"}
)
_CONSTRUCTORS = frozenset({"__init__", "__new__", "__post_init__"})
_COLLECTED = frozenset({cst.Try, cst.TryStar, cst.With, cst.FunctionDef, cst.AssignTarget, cst.AnnAssign})
_CALLED = frozenset({"forward", "__call__"})
_ITERATED = frozenset({"__iter__", "__next__", "__getitem__"})


@dataclass(frozen=True, slots=True)
class Classes:
    """The names of an exception's class and of those above it, as far as they are known."""

    names: frozenset[str]
    whole: bool


_UNKNOWN = Classes(frozenset(), False)


class Catching:
    """For a project: whether an exception that one of its functions raises may be taken in it."""

    def __init__(self, project: Project) -> None:
        """Collect the handlers, and the functions by name."""
        self._project = project
        self._regions: list[tuple[SourceFile, cst.CSTNode]] = []
        self._functions: dict[str, list[tuple[SourceFile, cst.FunctionDef]]] = {}
        self._attributes: set[str] = set()
        for file in project.files.values():
            for node in file.index.nodes:
                if type(node) in _COLLECTED:
                    self._collect(file, node)
        self._reached: dict[cst.CSTNode, set[cst.FunctionDef]] = {}
        self._calls: dict[cst.CSTNode, tuple[tuple[SourceFile, cst.FunctionDef], ...]] = {}

    def _collect(self, file: SourceFile, node: cst.CSTNode) -> None:
        match node:
            case cst.FunctionDef():
                self._functions.setdefault(node.name.value, []).append((file, node))
            case cst.AssignTarget(target=target) | cst.AnnAssign(target=target):
                if isinstance(target, cst.Attribute):
                    self._attributes.add(target.attr.value)
            case _:
                self._regions.append((file, node))

    def takes(self, file: SourceFile, check: cst.If | cst.Assert) -> bool:
        """Whether what a check raises may be taken: by Python itself, around the check, or by a caller.

        Callers outside the project are not known, and not counted.
        """
        raised = [
            self._raised(file, node) for node in own_descendants(check) if isinstance(node, (cst.Raise, cst.Assert))
        ]
        return bool(raised) and self._takes(file, check, raised)

    def takes_from(self, file: SourceFile, call: cst.Call, error: type[BaseException]) -> bool:
        """Whether what a call of a library raises, `error` or a class of the library's below it, may be taken."""
        return self._takes(file, call, [_of_builtin(error)])

    def _takes(self, file: SourceFile, raising: cst.CSTNode, raised: list[Classes]) -> bool:
        function = file.function(raising)
        if function is not None and any(_is_told(file, function, one) for one in raised):
            return True
        for around, child in file.steps_out(raising):
            if isinstance(around, (cst.FunctionDef, cst.Lambda)):
                break
            if child is getattr(around, "body", None) and self._may_take_one(file, around, raised):
                return True
        return function is not None and self._taken_by_caller(function, raised)

    def _taken_by_caller(self, function: cst.FunctionDef, raised: list[Classes]) -> bool:
        """Whether a region that something runs may take what a function raises, and may come to call it."""
        regions = ((other, region) for other, region in self._regions if self._may_take_one(other, region, raised))
        return any(function in self._reach(other, region) for other, region in regions if self._runs(other, region))

    def _runs(self, file: SourceFile, region: cst.CSTNode) -> bool:
        """Whether something runs a region, and not for tensors of the host: what nothing runs takes nothing."""
        return not _loads(file, region) and self._project.fact(Reachability).unreached(file, region) is None

    # -- handlers ---------------------------------------------------------------------------------------------------

    def _may_take_one(self, file: SourceFile, around: cst.CSTNode, raised: list[Classes]) -> bool:
        return any(self._may_take(file, around, one) for one in raised)

    def _may_take(self, file: SourceFile, around: cst.CSTNode, raised: Classes) -> bool:
        """Whether a statement that holds another in its body may keep an exception from going on."""
        if isinstance(around, (cst.Try, cst.TryStar)):
            final = around.finalbody
            return any(self._handles(file, h.type, raised) for h in around.handlers) or (
                final is not None
                and any(isinstance(n, (cst.Return, cst.Break, cst.Continue)) for n in own_descendants(final))
            )
        if isinstance(around, cst.With):
            return any(self._suppresses(file, item.item, raised) for item in around.items)
        return False

    def _handles(self, file: SourceFile, wanted: cst.BaseExpression | None, raised: Classes) -> bool:
        if wanted is None:
            return True
        if isinstance(wanted, (cst.Tuple, cst.List)):
            return any(self._handles(file, e.value, raised) for e in wanted.elements)
        known = self._ancestry(file, wanted)
        if not known.whole or not raised.whole:
            return True
        return self._name(file, wanted) in raised.names

    def _suppresses(self, file: SourceFile, item: cst.BaseExpression, raised: Classes) -> bool:
        """Whether a context manager may keep an exception from going on."""
        if isinstance(item, cst.IfExp):
            return self._suppresses(file, item.body, raised) or self._suppresses(file, item.orelse, raised)
        name = file.full_name(item.func if isinstance(item, cst.Call) else item)
        if isinstance(item, cst.Call) and name == "contextlib.suppress":
            return any(self._handles(file, a.value, raised) for a in item.args)
        if isinstance(item, cst.Name) and not name:
            return self._may_be_suppressing(file, item, raised)
        return called(item) != "open" and self._may_end(name)

    def _may_end(self, name: str) -> bool:
        """The same of what has a full name, by its definition where that is the project's."""
        if name.startswith("torch.") or name in _TRANSPARENT:
            return False
        found = self._project.definition(name or None)
        return found is None or _may_swallow(found[1])

    def _may_be_suppressing(self, file: SourceFile, item: cst.Name, raised: Classes) -> bool:
        """The same for a name, by all that it may have been given."""
        every = list(given_values(file, item))
        given = [v for v in every if not isinstance(v, (cst.Name, bool))]
        return not given or len(given) < len(every) or any(self._suppresses(file, v, raised) for v in given)

    # -- classes ----------------------------------------------------------------------------------------------------

    def _raised(self, file: SourceFile, node: cst.Raise | cst.Assert) -> Classes:
        if isinstance(node, cst.Assert):
            return _of_builtin(AssertionError)
        if node.exc is None:
            return _UNKNOWN
        return self._ancestry(file, node.exc.func if isinstance(node.exc, cst.Call) else node.exc)

    def _ancestry(self, file: SourceFile, node: cst.BaseExpression, depth: int = 0) -> Classes:
        known = _builtin(file, node)
        if known is not None:
            return _of_builtin(known)
        found = self._project.class_definition(file.resolve(node))
        if found is None or depth > 8:
            return _UNKNOWN
        above = [self._ancestry(found[0], base.value, depth + 1) for base in found[1].bases]
        names = {n for a in above for n in a.names} | {self._name(file, node)}
        return Classes(frozenset(names), bool(above) and all(a.whole for a in above))

    def _name(self, file: SourceFile, node: cst.BaseExpression) -> str:
        known = _builtin(file, node)
        if known is not None:
            return known.__name__
        found = self._project.definition(file.resolve(node))
        return f"{found[0].path}:{found[1].name.value}" if found is not None else ""

    # -- calls ------------------------------------------------------------------------------------------------------

    def _reach(self, file: SourceFile, region: cst.CSTNode) -> set[cst.FunctionDef]:
        """The functions that the body of a region may come to call, by their names, but for what loads data."""
        if region not in self._reached:
            reached: set[cst.FunctionDef] = set()
            waiting: list[tuple[SourceFile, cst.CSTNode]] = [(file, region.body)]  # type: ignore[attr-defined]
            while waiting:
                other, body = waiting.pop()
                if body not in self._calls:
                    self._calls[body] = tuple(self._mentioned(other, body))
                for found in self._calls[body]:
                    if found[1] not in reached and not _loads(found[0], found[1].body):
                        reached.add(found[1])
                        waiting.append((found[0], found[1].body))
            self._reached[region] = reached
        return self._reached[region]

    def _mentioned(self, file: SourceFile, body: cst.CSTNode) -> Iterator[tuple[SourceFile, cst.FunctionDef]]:
        """Functions of the project that code names, methods it asks an object for, layers that it may call."""
        methods: set[str] = set()
        for node in descendants(body):
            if is_name(node):
                yield from self._named(file, node)
            methods |= self._asked_of_objects(file, node)
        for name in methods:
            yield from (f for f in self._functions.get(name, ()) if f[0].owner(f[1]) is not None)

    def _asked_of_objects(self, file: SourceFile, node: cst.CSTNode) -> frozenset[str]:
        """The methods that a node may come to call of an object."""
        kind = type(node)
        if kind is cst.For or kind is cst.CompFor or kind is cst.Subscript:
            return _ITERATED
        if isinstance(node, cst.Call) and self._calls_object(file, node.func):
            return _CALLED
        if type(node) is cst.Attribute and file.resolve(node.value) is None and not is_tensor(file.kind(node.value)):
            return frozenset({node.attr.value})
        return frozenset()

    def _named(self, file: SourceFile, node: cst.CSTNode) -> Iterator[tuple[SourceFile, cst.FunctionDef]]:
        """The function that a name means, or the constructors of a class.

        Modules are left out: they are built on the host, where checks stay.
        """
        found = self._project.definition(file.resolve(node))
        if found is None:
            bound = file.bindings(node) if isinstance(node, cst.Name) else ()
            yield from ((file, one) for one in bound if isinstance(one, cst.FunctionDef))
            return
        other, definition = found
        if isinstance(definition, cst.FunctionDef):
            yield other, definition
        elif not other.defines_module(definition):
            made = chain.from_iterable(self._functions.get(name, ()) for name in _CONSTRUCTORS)
            yield from (f for f in made if f[0].owner(f[1]) is definition)

    def _calls_object(self, file: SourceFile, func: cst.BaseExpression) -> bool:
        """Whether a call may be of a layer: of a local name, of `self.layer`, of `layers[0]`."""
        if isinstance(func, cst.Attribute):
            return func.attr.value in self._attributes and not self._is_foreign(file, func)
        if not isinstance(func, cst.Name):
            return True
        bound = file.index.scope_of(func).lookup(func.value)
        return bound is not None and not all(
            isinstance(b, (Imported, cst.FunctionDef, cst.ClassDef)) or self._made_by_library(file, b) for b in bound[1]
        )

    def _made_by_library(self, file: SourceFile, binding: Binding) -> bool:
        """Whether a name is given what a library makes, other than torch, whose containers call layers."""
        made = file.parent(binding) if isinstance(binding, cst.AssignTarget) else None
        if not isinstance(made, cst.Assign) or not isinstance(made.value, cst.Call):
            return False
        func = made.value.func
        return self._is_foreign(file, func) and not file.full_name(func).startswith("torch")

    def _is_foreign(self, file: SourceFile, node: cst.CSTNode) -> bool:
        """Whether what is asked for an attribute comes from a library: `ffmpeg.input(name).output`."""
        while isinstance(node, (cst.Attribute, cst.Call, cst.Subscript)):
            node = node.func if isinstance(node, cst.Call) else node.value
        if not isinstance(node, cst.Name):
            return isinstance(node, (cst.SimpleString, cst.ConcatenatedString, cst.FormattedString))
        bound = file.index.scope_of(node).lookup(node.value)
        imported = [b.target for b in bound[1] if isinstance(b, Imported)] if bound is not None else []
        return bool(imported) and all(
            self._project.module(t) is None and self._project.definition(t) is None for t in imported
        )


def _loads(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether code runs on host tensors only, as a data loader does: for them checks stay as they are."""
    return host_reason(file, node) is not None or file.project.fact(Contexts).loaded(file, node) is not None


def _builtin(file: SourceFile, node: cst.BaseExpression) -> type[BaseException] | None:
    if not isinstance(node, cst.Name) or file.index.scope_of(node).lookup(node.value) is not None:
        return None
    found = getattr(builtins, node.value, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _of_builtin(kind: type[BaseException]) -> Classes:
    return Classes(frozenset(c.__name__ for c in kind.__mro__), True)


def _is_told(file: SourceFile, function: cst.FunctionDef, raised: Classes) -> bool:
    """Whether Python itself acts on an exception that leaves a function."""
    if raised.names & _CONTROL:
        return True
    name = function.name.value
    is_property = any(spelled(d.decorator).rpartition(".")[2].endswith("property") for d in function.decorators)
    told = "AttributeError" if name in _ATTRIBUTES or is_property else _PROTOCOLS.get(name)
    return told is not None and (told in raised.names or not raised.whole)


def _may_swallow(definition: cst.FunctionDef | cst.ClassDef) -> bool:
    """Whether a context manager of the project may keep an exception from going on."""
    if isinstance(definition, cst.FunctionDef):
        inside = {type(n) for n in own_descendants(definition.body)}
        return cst.Yield not in inside or not inside.isdisjoint((cst.Try, cst.TryStar, cst.With))
    leaving = function_named(definition, "__exit__")
    if leaving is None:
        return True  # one of a class above
    values = (n.value for n in own_of_type(leaving.body, cst.Return))
    return any(value is not None and dotted(value) not in ("None", "False") for value in values)
