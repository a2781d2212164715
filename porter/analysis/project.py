"""The symbol table: upstream's files as one program, and what a name in one file means in another.

What else is known of code is a fact of its own, a class that takes a file or the whole project, and is made when it is
first asked for: `file.fact(Edits)`, `project.fact(Contexts)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from typing import TypeVar, cast

import libcst as cst

from ..inputs.sources.layout import TRAINERS, Arrangement
from ..syntax.kinds import Kinds
from ..syntax.scopes import Binding, Imported, Index, imported_module
from ..syntax.spans import Places, Rendering, Span
from ..syntax.template import names_in
from ..syntax.values import Kind, Value
from ..syntax.walk import N, descendants, dotted, own_of_type
from .parsing import import_names, import_names_below, parse_file
from .runtime_names import runtime_result

T = TypeVar("T")
Definition = tuple["SourceFile", cst.FunctionDef | cst.ClassDef]


class SourceFile:
    """One Python file: its tree, and what its names mean."""

    def __init__(self, project: Project, path: str, target: str, module: cst.Module) -> None:
        """`path` is where the file stands upstream, `target` where it goes inside the emitted package."""
        self.project = project
        self.path = path
        self.target = target
        self.module = module
        self.package = PurePosixPath(path).parts[:-1]
        arrangement = project.arrangement
        # A trainer, or what goes with it.
        self.in_trainers = target.startswith(f"{TRAINERS}/") if arrangement is None else path in arrangement.trainers
        if arrangement is None and self.in_trainers and not path.endswith(target):
            # A trainer stands beside the folder `module` and goes below it; its relative imports are the port's.
            self.package = (*self.package, "module", TRAINERS)
        self.index = Index(module, self.package)
        self.kinds = project.kinds_of(self)
        self._facts: dict[Callable[[SourceFile], object], object] = {}
        self._resolved: dict[cst.CSTNode, str | None] = {}
        self._rendering: Places | None = None
        self._source: str | None = None
        self.is_trainer = self.in_trainers and any(
            type(node) is cst.Attribute and self.call_of(node) for node in self.index.named("backward")
        )
        # No file that people import: ported because such a file or a trainer imports it.
        outside = PurePosixPath(path.removesuffix(target)).name != "module"
        if arrangement is not None:
            outside = path not in arrangement.main
        self.is_dependency = outside and not self.is_trainer

    def fact(self, of: Callable[[SourceFile], T]) -> T:
        """What `of`, a class say, makes of this file; once."""
        if of not in self._facts:
            self._facts[of] = of(self)
        return cast(T, self._facts[of])

    @property
    def rendering(self) -> Places:
        """The file's text with the place of each node; computed when first asked for."""
        if self._rendering is None:
            self._rendering = Rendering(self.module)
        return self._rendering

    @property
    def source(self) -> str:
        """The file's text as it was read, which libcst prints with less white space in rare places."""
        return self.rendering.text if self._source is None else self._source

    def span(self, node: cst.CSTNode) -> Span:
        """Where a node stands in this file."""
        return self.rendering.span(node)

    # -- names and kinds ----------------------------------------------------------------------------------------

    def resolve(self, node: cst.CSTNode) -> str | None:
        """The full name that a node refers to: `torch.randn`, or `module.commons.sequence_mask` of the package."""
        try:
            return self._resolved[node]  # what most rules ask first, of every call
        except KeyError:
            name = self.index.resolve(node)
            self._resolved[node] = f"{self.dotted_path}{name}" if name is not None and name[0] == "." else name
            return self._resolved[node]

    def full_name(self, node: cst.CSTNode) -> str:
        """The same, and an empty text for what means nothing."""
        return self.resolve(node) or ""

    @cached_property
    def stars(self) -> tuple[str, ...]:
        """The modules of which this file imports every name."""
        nodes = self.index.of_type(cst.ImportFrom)
        return tuple(self.imported_module(node) for node in nodes if isinstance(node.names, cst.ImportStar))

    def alias(self, module: str) -> str | None:
        """The name under which this file has imported a module as a whole."""
        for name, bound in self.index.root.bindings.items():
            if all(isinstance(b, Imported) and b.target == module for b in bound) and not self._hidden(name, bound):
                return name
        return None

    def _hidden(self, name: str, bound: list[Binding]) -> bool:
        """Whether some scope of the file gives a name of the module another meaning."""
        return any(b not in bound for s in self.index.scopes.values() for b in s.bindings.get(name, ()))

    @cached_property
    def names(self) -> frozenset[str]:
        """All names that stand for a value somewhere in the file, but not what is asked of one (the b of `a.b`)."""
        return frozenset(names_in(self.module))

    @cached_property
    def dotted_path(self) -> str:
        """The file's full import name."""
        return ".".join(PurePosixPath(self.path).with_suffix("").parts).removesuffix(".__init__")

    def kind(self, node: cst.CSTNode) -> Value:
        """What kind of value an expression has."""
        return self.kinds.of(node)

    def call_result(self, name: str) -> Value | None:
        """The kind of what a function of the package, or of its runtime, returns; None for other names."""
        found = self.project.definition(f"{self.dotted_path}{name}" if name.startswith(".") else name)
        if found is None:
            return self.runtime_value(name)
        file, node = found
        if isinstance(node, cst.ClassDef):
            return Kind.MODULE if file.defines_module(node) else None
        return file.kinds.returned(node)

    def runtime_value(self, name: str) -> Value | None:
        """The kind of what a function of the emitted runtime, by its full name, returns; None for other names."""
        return runtime_result(name.removeprefix(self.top)) if name.startswith(self.top) else None

    def imports(self, package: str) -> bool:
        """Whether this file imports a package or something of it, at its top."""
        targets = {b.target for bound in self.index.root.bindings.values() for b in bound if isinstance(b, Imported)}
        return any(target == package or target.startswith(f"{package}.") for target in targets)

    def imported_module(self, node: cst.ImportFrom) -> str:
        """The absolute name of the module a from-import reads."""
        return imported_module(node, self.package)

    # -- places -------------------------------------------------------------------------------------------------

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """The node around a node."""
        return self.index.parents.get(node)

    def ancestors(self, node: cst.CSTNode) -> Iterable[cst.CSTNode]:
        """The nodes around a node, innermost first."""
        parents = self.index.parents
        current = parents.get(node)
        while current is not None:
            yield current
            current = parents.get(current)

    def steps_out(self, node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
        """The nodes around a node, innermost first, each with that child of it that the node is, or is part of."""
        child = node
        for around in self.ancestors(node):
            yield around, child
            child = around

    def call_of(self, node: cst.CSTNode) -> cst.Call | None:
        """The call whose function a node is."""
        call = self.index.parents.get(node)
        return call if isinstance(call, cst.Call) and call.func is node else None

    def call_with(self, node: cst.CSTNode) -> cst.Call | None:
        """The call that has a node for the value of an argument."""
        arg = self.index.parents.get(node)
        call = self.index.parents.get(arg) if isinstance(arg, cst.Arg) else None
        return call if isinstance(call, cst.Call) else None

    def method_of(self, node: cst.CSTNode) -> cst.Call | None:
        """The call of a method of what a node gives: `node.method(...)`."""
        method = self.index.parents.get(node)
        return self.call_of(method) if isinstance(method, cst.Attribute) and method.value is node else None

    def chain(self, name: cst.Name) -> cst.CSTNode:
        """The chain of attributes that begins with a name: `a.b` around its `a`; the name where nothing is asked."""
        node: cst.CSTNode = name
        while isinstance(around := self.parent(node), cst.Attribute) and around.value is node:
            node = around
        return node

    def is_label(self, name: cst.CSTNode) -> bool:
        """Whether a name is that of an attribute or of a keyword, and stands for no value."""
        match self.index.parents.get(name):
            case cst.Attribute(attr=label) | cst.Arg(keyword=label):
                return label is name
        return False

    def is_target(self, node: cst.CSTNode) -> bool:
        """Whether a statement binds a node, alone or in a tuple."""
        parent = self.index.parents.get(node)
        while isinstance(parent, (cst.Element, cst.Tuple, cst.List)):
            node, parent = parent, self.index.parents.get(parent)
        return getattr(parent, "target", None) is node

    def bindings(self, name: cst.Name) -> list[Binding]:
        """What binds a name, seen from where it stands."""
        found = self.index.scope_of(name).lookup(name.value)
        return [] if found is None else found[1]

    def assigned_once(self, bound: Sequence[Binding]) -> tuple[cst.BaseExpression, cst.BaseExpression] | None:
        """The target and the value of the assignment which all that binds a name is."""
        target = bound[0] if len(bound) == 1 else None
        assign = self.index.parents.get(target) if isinstance(target, cst.AssignTarget) else None
        if isinstance(target, cst.AssignTarget) and isinstance(assign, cst.Assign):
            return target.target, assign.value
        return None

    def function(self, node: cst.CSTNode) -> cst.FunctionDef | None:
        """The innermost function around a node."""
        return self._around(node, cst.FunctionDef)

    def space(self, node: cst.CSTNode) -> cst.CSTNode:
        """The code that shares its local names with a node: the body of the function around it, or the module."""
        function = self.function(node)
        return self.module if function is None else function.body

    def owner(self, node: cst.CSTNode) -> cst.ClassDef | None:
        """The innermost class around a node."""
        return self._around(node, cst.ClassDef)

    def _around(self, node: cst.CSTNode, kind: type[N]) -> N | None:
        parents = self.index.parents
        current = parents.get(node)
        while current is not None and type(current) is not kind:
            current = parents.get(current)
        return current

    def statement(self, node: cst.CSTNode) -> cst.BaseStatement:
        """The statement that a node is part of."""
        current: cst.CSTNode | None = node
        while current is not None and not isinstance(current, cst.BaseStatement):
            current = self.index.parents.get(current)
        assert isinstance(current, cst.BaseStatement)
        return current

    def alone(self, small: cst.BaseSmallStatement) -> cst.SimpleStatementLine | None:
        """The line of a small statement that shares it with no other; one behind `if x:` or `;` has none."""
        line = self.index.parents.get(small)
        return line if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 else None

    def siblings(self, statement: cst.CSTNode) -> tuple[cst.BaseStatement, ...]:
        """All statements of the block that a statement stands in."""
        block = self.index.parents[statement]
        return tuple(s for s in getattr(block, "body", ()) if isinstance(s, cst.BaseStatement))

    def following(self, node: cst.CSTNode) -> tuple[cst.BaseStatement, ...]:
        """The statements of the same block behind the one that a node is part of."""
        statement = self.statement(node)
        block = self.siblings(statement)
        return block[block.index(statement) + 1 :]

    def attribute_value(self, owner: cst.ClassDef, name: str) -> cst.BaseExpression | None:
        """What a class assigns to `self.name`, if it does so exactly once."""
        found = _assigned(owner).get(f"self.{name}", ())
        return found[0] if len(found) == 1 else None

    def defines_module(self, owner: cst.ClassDef) -> bool:
        """Whether a class derives from torch's Module, directly or through classes of the package."""
        for base in owner.bases:
            name = self.resolve(base.value)
            if name == "torch.nn.Module":
                return True
            above = self.project.class_definition(name)
            if above is not None and above[1] is not owner and above[0].defines_module(above[1]):
                return True
        return False

    def buffers(self, owner: cst.ClassDef) -> set[str]:
        """Names that a class registers as buffers."""
        return self._buffers.get(owner, set())

    @cached_property
    def _buffers(self) -> dict[cst.ClassDef, set[str]]:
        found: dict[cst.ClassDef, set[str]] = {}
        for call in (self.call_of(node) for node in self.index.named("register_buffer")):
            if call is not None and call.args and dotted(call.func) == "self.register_buffer":
                name, owner = call.args[0].value, self.owner(call)
                if isinstance(name, cst.SimpleString) and owner is not None:
                    found.setdefault(owner, set()).add(str(name.evaluated_value))
        return found

    def inside_import(self, node: cst.CSTNode) -> bool:
        """Whether a node is part of an import statement."""
        return any(type(a) is cst.Import or type(a) is cst.ImportFrom for a in self.ancestors(node))

    # -- the emitted runtime ------------------------------------------------------------------------------------

    def calls_runtime(self, node: cst.CSTNode, name: str) -> bool:
        """Whether a node is a call of a function of the runtime's, such as `training.checked`."""
        return isinstance(node, cst.Call) and self.full_name(node.func).endswith(name)

    def follows_runtime(self, statement: cst.BaseStatement, name: str) -> bool:
        """Whether the statement right before one calls a function of the runtime's."""
        block = self.siblings(statement)
        before = block[: block.index(statement)][-1:]
        return any(self.calls_runtime(call, name) for line in before for call in own_of_type(line, cst.Call))

    @property
    def level(self) -> str:
        """The dots of a relative import from this file's place to the top of the emitted package."""
        return "." * len(PurePosixPath(self.target).parts)

    @property
    def top(self) -> str:
        """The import name of the folder that has the runtime in the emitted package, with a dot behind it."""
        if self.project.arrangement is not None:
            return "module.tpu."  # by which upstream itself would import a port
        kept = self.package[: len(self.package) - len(PurePosixPath(self.target).parts) + 1]
        return "".join(f"{part}." for part in (*kept, *filter(None, (self.project.runtime,))))

    def of_runtime(self, name: str) -> str:
        """A name of the runtime, such as `ops.weight_norm`, as a name of the emitted package."""
        return f"{self.project.runtime}.{name}" if self.project.runtime else name

    def origin(self, target: str) -> str:
        """Where an import of this file finds a dotted name of the emitted package: `.losses` or `..utils`."""
        parts, here = target.split("."), PurePosixPath(self.target).parts[:-1]
        if here and tuple(parts[: len(here)]) == here:
            return f".{'.'.join(parts[len(here) :])}"
        return f"{self.level}{target}"


@lru_cache(maxsize=1024)
def _assigned(owner: cst.ClassDef) -> Mapping[str, list[cst.BaseExpression]]:
    """The values that the methods of a class assign to names and `self.name`, by those."""
    found: dict[str, list[cst.BaseExpression]] = {}
    for method in owner.body.body:
        if isinstance(method, cst.FunctionDef):
            for assign in own_of_type(method.body, cst.Assign):
                for name in {dotted(target.target) for target in assign.targets} - {None}:
                    found.setdefault(str(name), []).append(assign.value)
    return found


class Project:
    """All files in scope, by path, and their names as a program sees them."""

    def __init__(
        self, kinds_of: Callable[[SourceFile], Kinds] | None = None, arrangement: Arrangement | None = None
    ) -> None:
        """No files yet. `kinds_of` says how the kinds of a file's values are found, where not function by function.

        Without an `arrangement` files stand to each other as they do in the emitted package, or in GPT-SoVITS.
        """
        self.arrangement = arrangement
        self.runtime = "" if arrangement is None else arrangement.runtime  # its folder inside the emitted package
        self.kinds_of = kinds_of or (lambda file: Kinds(file.index, file.call_result))
        self.files: dict[str, SourceFile] = {}
        self._modules: dict[str, SourceFile] = {}
        self._called: dict[cst.CSTNode, list[tuple[SourceFile, cst.FunctionDef]]] = {}  # by some code
        self._facts: dict[Callable[[Project], object], object] = {}

    def fact(self, of: Callable[[Project], T]) -> T:
        """What `of`, a class say, makes of this project; once."""
        if of not in self._facts:
            self._facts[of] = of(self)
        return cast(T, self._facts[of])

    @classmethod
    def parse(cls, sources: Mapping[str, tuple[str, str]], arrangement: Arrangement | None = None) -> Project:
        """Parse files given as upstream path → (target path, text). PortError names a file that is not Python."""
        project = cls(arrangement=arrangement)
        for path, (target, text) in sources.items():
            project.add(path, target, parse_file(path, text))._source = text
        for base in arrangement.bases if arrangement is not None else ():
            for path, file in project.files.items():
                for name in import_names_below(path, base):
                    project._modules.setdefault(name, file)
        return project

    def add(
        self,
        path: str,
        target: str,
        module: cst.Module,
        *,
        rendering: Places | None = None,
        like: SourceFile | None = None,
    ) -> SourceFile:
        """Add one parsed file, with its text where that is known; one that is made of another is used as that is."""
        file = SourceFile(self, path, target, module)
        file._rendering = rendering
        if like is not None:
            file.is_dependency, file.in_trainers, file.is_trainer = (
                like.is_dependency,
                like.in_trainers,
                like.is_trainer,
            )
        self.files[path] = file
        for name in import_names(path) if self.arrangement is None else ():
            self._modules.setdefault(name, file)
        return file

    @cached_property
    def methods(self) -> frozenset[str]:
        """The names of all methods that classes of the project define."""
        return frozenset(
            item.name.value
            for file in self.files.values()
            for owner in file.index.of_type(cst.ClassDef)
            for item in owner.body.body
            if isinstance(item, cst.FunctionDef)
        )

    def module(self, name: str) -> SourceFile | None:
        """The file that a dotted module name means, with or without the folder upstream keeps it in."""
        return self._modules.get(name)

    def definition(self, name: str | None) -> Definition | None:
        """The function or class of the package that a full name means, through re-exports."""
        seen = 0
        while name is not None and seen < 5:
            seen += 1
            module, _, last = name.rpartition(".")
            file = self._modules.get(module)
            if file is None:
                return self._member(name)
            bound = file.index.root.bindings.get(last)
            if not bound:
                return None
            if isinstance(bound[-1], (cst.FunctionDef, cst.ClassDef)):
                return file, bound[-1]
            name = bound[-1].target if isinstance(bound[-1], Imported) else None
        return None

    def function(self, name: str | None) -> tuple[SourceFile, cst.FunctionDef] | None:
        """The function of the package that a full name means."""
        found = self.definition(name)
        return (found[0], found[1]) if found is not None and isinstance(found[1], cst.FunctionDef) else None

    def class_definition(self, name: str | None) -> tuple[SourceFile, cst.ClassDef] | None:
        """The class of the package that a full name means."""
        found = self.definition(name)
        return (found[0], found[1]) if found is not None and isinstance(found[1], cst.ClassDef) else None

    def reached(self, file: SourceFile, node: cst.CSTNode) -> dict[cst.CSTNode, SourceFile]:
        """Some code of a file, and the functions of the project that calls there reach; each with its file."""
        found = {node: file}
        waiting = [node]
        while waiting:
            here = found[one := waiting.pop()]
            if one not in self._called:
                calls = (self.function(here.resolve(n.func)) for n in descendants(one) if type(n) is cst.Call)
                self._called[one] = [called for called in calls if called is not None]
            for other, called in self._called[one]:
                if called not in found:
                    found[called] = other
                    waiting.append(called)
        return found

    def _member(self, name: str) -> Definition | None:
        """A method, by its class's full name."""
        owner, _, last = name.rpartition(".")
        if "." not in owner or owner.rpartition(".")[0] not in self._modules:
            return None
        found = self.class_definition(owner)
        for item in found[1].body.body if found is not None else ():
            if found is not None and isinstance(item, cst.FunctionDef) and item.name.value == last:
                return found[0], item
        return None
