"""Code that never meets the device: constructors, data loading, scripts, distributed-only branches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property

import libcst as cst

from .project import Project, SourceFile
from .steps import asks_interval, is_training_loop, training_loop
from .syntax.walk import descendants, dotted

_CONSTRUCTORS = ("__init__", "__init_subclass__", "__post_init__", "reset_parameters", "_init_weights")
_LOADING_BASES = ("Dataset", "IterableDataset", "Sampler", "BatchSampler", "DistributedSampler", "DataLoader")
_DISTRIBUTED = ("is_distributed", "is_initialized", "is_available")

# Reasons that hold for a helper too, if all its callers have them. What only the data loader or a script of this
# package calls may well be called for the device by a trainer.
_BUILT = "runs once, when the module is built on the host"
_COPIED = "its tensors are copied to the host first"
DISTRIBUTED_ONLY = "runs only where torch.distributed has a process group"

Reference = tuple[SourceFile, cst.CSTNode]


class Contexts:
    """For each place of a project: why it runs on the host only, if it does."""

    def __init__(self, project: Project) -> None:
        """Collect who refers to whom."""
        self._references = _references(project)
        self._functions: dict[cst.CSTNode, str | None] = {}

    def references(self, definition: cst.CSTNode) -> list[Reference]:
        """Where a top-level function or class of the project is used (not where it is defined or imported)."""
        return self._references.get(definition, [])

    def host_reason(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """Why `node` is only ever evaluated on the host; None when it may run for the device."""
        guard = _guard(file, node)
        if guard is not None:
            return guard
        if any(isinstance(a, cst.Lambda) for a in (node, *file.ancestors(node))) and not _in_loading(file, node):
            return None  # runs when it is called, wherever that is
        function = file.function(node)
        if function is None:
            if _in_script(file, node):
                return "runs only when the file is executed as a script"
            return "runs once, when the file is imported"
        return self._function_reason(file, function)

    def unreached(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """In a file that is ported only because module/ or a trainer imports from it: code that neither reaches."""
        if not file.is_dependency:
            return None
        top = [a for a in (node, *file.ancestors(node)) if isinstance(a, (cst.FunctionDef, cst.ClassDef))]
        if not top or top[-1] in self._reached:
            return None
        assert isinstance(top[-1], (cst.FunctionDef, cst.ClassDef))
        return f"neither upstream's module/ nor its trainers reach {top[-1].name.value}"

    def uncalled(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """In a trainer: code of a function that the script never comes to call."""
        top = _top(file, node) if file.is_trainer else None
        if top is None or top in self._called:
            return None
        return f"nothing calls {top.name.value}"

    def between_steps(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """In a trainer or a file of its helpers: code that no iteration of a loop over batches runs."""
        if not file.in_trainers or training_loop(file, node) is not None:
            return None
        function = file.function(node)
        return None if function is None else self._between_steps(file, function, frozenset())

    def _between_steps(self, file: SourceFile, function: cst.FunctionDef, seen: frozenset[cst.CSTNode]) -> str | None:
        loops = [n for n in descendants(function.body) if isinstance(n, (cst.For, cst.While)) and is_training_loop(n)]
        if loops:
            return f"runs outside the loop over batches ({file.path}:{file.span(loops[0]).line}), between steps"
        outer = file.function(function)
        if file.owner(function) is not None:
            return None
        if outer is not None:
            name = function.name.value
            uses: list[Reference] = [
                (file, n)
                for n in descendants(outer.body)
                if isinstance(n, cst.Name) and n.value == name and not isinstance(file.parent(n), cst.FunctionDef)
            ]
        else:
            uses = self.references(function)
        for other, use in uses:
            if training_loop(other, use) is not None:
                return None
            caller = other.function(use)
            if caller is None or caller in seen or caller is function:
                continue  # a script's own lines run no iteration
            if self._between_steps(other, caller, seen | {function}) is None:
                return None
        return f"runs between steps ({function.name.value} is never called in a loop over batches)" if uses else None

    @cached_property
    def _called(self) -> set[cst.CSTNode]:
        """Definitions of trainers that are used by what runs when the script is executed."""
        called: set[cst.CSTNode] = set()
        grew = True
        while grew:
            before = len(called)
            for definition, uses in self._references.items():
                if definition not in called and any(
                    not f.is_trainer or (top := _top(f, n)) is None or top in called for f, n in uses
                ):
                    called.add(definition)
            grew = len(called) > before
        return called

    @cached_property
    def _reached(self) -> set[cst.CSTNode]:
        """Definitions of dependencies that module/ or a trainer refers to, directly or through others."""
        reached: set[cst.CSTNode] = set()
        grew = True
        while grew:
            before = len(reached)
            for definition, uses in self._references.items():
                if definition not in reached and any(self._reaches(f, n, reached) for f, n in uses):
                    reached.add(definition)
            grew = len(reached) > before
        return reached

    def _reaches(self, file: SourceFile, use: cst.CSTNode, reached: set[cst.CSTNode]) -> bool:
        if not file.is_dependency:
            return True
        top = [a for a in file.ancestors(use) if isinstance(a, (cst.FunctionDef, cst.ClassDef))]
        return top[-1] in reached if top else not _in_script(file, use)

    def _function_reason(self, file: SourceFile, function: cst.FunctionDef) -> str | None:
        if function not in self._functions:
            self._functions[function] = None  # recursion: not host-only unless something else says so
            self._functions[function] = self._find_reason(file, function)
        return self._functions[function]

    def _find_reason(self, file: SourceFile, function: cst.FunctionDef) -> str | None:
        name = function.name.value
        owner = file.owner(function)
        outer = file.function(function)
        if _runs_after_step(file, function):
            return "runs after the step, at log steps only"
        if outer is not None:
            if outer.name.value in _CONSTRUCTORS and not _only_called(file, outer, name):
                return None  # a hook, say, that the constructor hands on
            return self._function_reason(file, outer)
        if owner is not None:
            loading = _loading_reason(file, owner)
            if loading is not None:
                return loading
            if name in _CONSTRUCTORS:
                return _BUILT if not _called_later(owner, name) else None
            return self._caller_reason(owner, owner.name.value)
        return self._caller_reason(function, name)

    def _caller_reason(self, definition: cst.CSTNode, name: str) -> str | None:
        """A function or class all of whose uses in the package are on the host is on the host itself."""
        uses = self.references(definition)
        reasons = []
        for file, use in uses:
            if not (_is_static_use(file, use) if isinstance(definition, cst.ClassDef) else _is_local_use(file, use)):
                return None
            moved = _host_argument(file, use)
            reason = moved or self.host_reason(file, use)
            if reason is None or not reason.startswith((_BUILT, _COPIED, DISTRIBUTED_ONLY)):
                return None
            where = f"{file.path}:{file.span(use).line}"
            reasons.append(f"{reason} ({name} is called only at {where})")
        return reasons[0] if reasons else None


def _top(file: SourceFile, node: cst.CSTNode) -> cst.FunctionDef | cst.ClassDef | None:
    """The outermost function or class around (or at) a node."""
    found = [a for a in (node, *file.ancestors(node)) if isinstance(a, (cst.FunctionDef, cst.ClassDef))]
    return found[-1] if found else None


def _runs_after_step(file: SourceFile, function: cst.FunctionDef) -> bool:
    """Whether the runtime is given a function to run after the step, every so many steps."""
    given = any((file.resolve(d.decorator) or "").endswith("utils.after_step") for d in function.decorators)
    return given and any(isinstance(a, cst.If) and asks_interval(a.test) for a in file.ancestors(function))


def _in_loading(file: SourceFile, node: cst.CSTNode) -> bool:
    owner = file.owner(node)
    return owner is not None and _loading_reason(file, owner) is not None


def _only_called(file: SourceFile, outer: cst.FunctionDef, name: str) -> bool:
    """Whether a function inside `outer` is called there, and nothing else."""
    uses = [n for n in descendants(outer.body) if isinstance(n, cst.Name) and n.value == name]
    parents = [p for n in uses if not isinstance(p := file.parent(n), cst.FunctionDef)]
    return all(isinstance(p, cst.Call) and isinstance(p.func, cst.Name) and p.func.value == name for p in parents)


def _called_later(owner: cst.ClassDef, name: str) -> bool:
    """Whether another method of the class calls one that usually belongs to its construction."""
    return any(
        dotted(n) == f"self.{name}"
        for method in owner.body.body
        if isinstance(method, cst.FunctionDef) and method.name.value not in _CONSTRUCTORS
        for n in descendants(method.body)
    )


def _is_static_use(file: SourceFile, use: cst.CSTNode) -> bool:
    """`Class.apply(...)`: the use runs the class's code there and then; a constructor call does not."""
    parent = file.parent(use)
    return isinstance(parent, cst.Attribute) and parent.attr.value == "apply"


def _is_local_use(file: SourceFile, use: cst.CSTNode) -> bool:
    """A function called, or given a local name; kept in an attribute or handed on, it may be called from anywhere."""
    parent = file.parent(use)
    if isinstance(parent, cst.Call):
        return parent.func is use
    while isinstance(parent, cst.IfExp):
        parent = file.parent(parent)
    if isinstance(parent, cst.Assign):
        return all(isinstance(t.target, cst.Name) for t in parent.targets)
    return isinstance(parent, cst.AnnAssign) and isinstance(parent.target, cst.Name)


def _host_argument(file: SourceFile, use: cst.CSTNode) -> str | None:
    """The call hands over a host copy: `helper(utils.to_host(x), ...)`."""
    call = file.parent(use)
    if not isinstance(call, cst.Call) or call.func is not use or not call.args:
        return None
    first = call.args[0].value
    if isinstance(first, cst.Call) and (dotted(first.func) or "").endswith("utils.to_host"):
        return _COPIED
    return None


def _references(project: Project) -> dict[cst.CSTNode, list[Reference]]:
    names = {
        name
        for file in project.files.values()
        for name, bound in file.index.root.bindings.items()
        if any(isinstance(b, (cst.FunctionDef, cst.ClassDef)) for b in bound)
    }
    found: dict[cst.CSTNode, list[Reference]] = defaultdict(list)
    for file in project.files.values():
        for node in file.index.nodes:
            last = node.value if type(node) is cst.Name else node.attr.value if type(node) is cst.Attribute else None
            if last not in names or not isinstance(node, (cst.Name, cst.Attribute)):
                continue
            parent = file.parent(node)
            if isinstance(parent, cst.Attribute) and parent.attr is node:
                continue
            if isinstance(parent, (cst.FunctionDef, cst.ClassDef)) and parent.name is node:
                continue
            if isinstance(parent, (cst.ImportAlias, cst.ImportFrom, cst.AsName, cst.Param)):
                continue
            if isinstance(parent, cst.Arg) and parent.keyword is node:
                continue
            definition = project.definition(file.resolve(node))
            if definition is not None:
                found[definition[1]].append((file, node))
    return found


def _loading_reason(file: SourceFile, owner: cst.ClassDef) -> str | None:
    for base in owner.bases:
        if (dotted(base.value) or "").rsplit(".", 1)[-1] in _LOADING_BASES:
            return f"{owner.name.value} runs in the data loader, on host tensors"
    methods = {m.name.value: m for m in owner.body.body if isinstance(m, cst.FunctionDef)}
    call = methods.get("__call__")
    if (
        call is not None
        and not owner.bases
        and "forward" not in methods
        and [p.name.value for p in call.params.params][1:] == ["batch"]
    ):
        return f"{owner.name.value} collates batches in the data loader, on host tensors"
    return None


def _in_script(file: SourceFile, node: cst.CSTNode) -> bool:
    return any(
        isinstance(a, cst.If) and "__name__" in {n.value for n in descendants(a.test) if isinstance(n, cst.Name)}
        for a in file.ancestors(node)
    )


def _guard(file: SourceFile, node: cst.CSTNode) -> str | None:
    """A condition around `node` that keeps it from the device."""
    child: cst.CSTNode = node
    for around in file.ancestors(node):
        if isinstance(around, cst.If) and child is around.body and _asks_distributed(around.test):
            return _distributed_reason(file, around)
        if isinstance(around, cst.BooleanOperation) and child is around.right and asks_host(around):
            return "evaluated for host tensors only"
        if isinstance(around, cst.If) and child is around.body and asks_host(around.test):
            return "evaluated for host tensors only"
        if isinstance(around, cst.IndentedBlock):
            for earlier in around.body:
                if earlier is child:
                    break
                if not isinstance(earlier, cst.If) or not _leaves(earlier.body):
                    continue
                if _asks_not_distributed(earlier.test):
                    return _distributed_reason(file, earlier)
                if isinstance(earlier.test, cst.Call) and dotted(earlier.test.func) == "self.host_flag":
                    return (
                        f"runs once in a codebook's life (returns at {file.path}:{file.span(earlier).line} after that)"
                    )
        if isinstance(around, cst.FunctionDef):
            return None
        child = around
    return None


def _distributed_reason(file: SourceFile, guard: cst.If) -> str:
    return (
        f"{DISTRIBUTED_ONLY} "
        f"(guarded at {file.path}:{file.span(guard).line}); on XLA the port is one program and has none"
    )


def _called_names(node: cst.CSTNode) -> Iterator[str]:
    for part in descendants(node):
        if isinstance(part, cst.Call):
            name = dotted(part.func) or ""
            if not name.startswith("self."):
                yield name.rsplit(".", 1)[-1]


def _asks_distributed(test: cst.CSTNode) -> bool:
    if isinstance(test, cst.BooleanOperation):
        return isinstance(test.operator, cst.And) and (_asks_distributed(test.left) or _asks_distributed(test.right))
    return isinstance(test, cst.Call) and any(n in _DISTRIBUTED[:2] for n in _called_names(test))


def _asks_not_distributed(test: cst.CSTNode) -> bool:
    if isinstance(test, cst.BooleanOperation):
        return isinstance(test.operator, cst.Or) and (
            _asks_not_distributed(test.left) or _asks_not_distributed(test.right)
        )
    return (
        isinstance(test, cst.UnaryOperation)
        and isinstance(test.operator, cst.Not)
        and _asks_distributed(test.expression)
    )


def asks_host(test: cst.CSTNode) -> bool:
    """Whether a condition already asks the runtime if its tensors are on the host."""
    if isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.And):
        return asks_host(test.left) or asks_host(test.right)
    if isinstance(test, cst.BooleanOperation):  # not on_host(x) or ...
        left = test.left
        return (
            isinstance(left, cst.UnaryOperation) and isinstance(left.operator, cst.Not) and asks_host(left.expression)
        )
    return isinstance(test, cst.Call) and (dotted(test.func) or "").endswith("utils.on_host")


def _leaves(block: cst.BaseSuite) -> bool:
    last = block.body[-1] if block.body else None
    if isinstance(last, cst.SimpleStatementLine):
        last = last.body[-1]
    return isinstance(last, (cst.Return, cst.Raise))
