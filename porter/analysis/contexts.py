"""Code that never meets the device: constructors, data loading, scripts, distributed-only branches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property

import libcst as cst

from ..syntax.calls import method_call
from ..syntax.predicates import is_name, last_part
from ..syntax.walk import descendants, dotted, names_called, own_names, own_of_type
from .guards import DISTRIBUTED_ONLY, asks_distributed, asks_host, distributed_reason, exit_reason, in_script
from .project import Project, SourceFile
from .reachability import Reachability
from .references import (
    COPIED,
    LOADING,
    Reference,
    given_to_loader,
    handed_on,
    host_argument,
    is_local_use,
    is_run,
    is_static_use,
    references_in,
)
from .steps import asks_interval, ends_step, training_loop, training_loops

_CONSTRUCTORS = ("__init__", "__init_subclass__", "__post_init__", "reset_parameters", "_init_weights")
_LOADING_BASES = ("Dataset", "IterableDataset", "Sampler", "BatchSampler", "DistributedSampler", "DataLoader")

# Reasons that hold for a helper too, if all its callers have them. What a script of this package calls may well be
# called for the device by a trainer.
BUILT = "runs once, when the module is built on the host"
IMPORTED = "runs once, when the file is imported"
_HOST_TENSORS = "evaluated for host tensors only"
_LOGGED = "runs after the step, at log steps only"

_WITHOUT_GRADIENTS = frozenset({"torch.no_grad", "torch.inference_mode", "torch.set_grad_enabled"})
_GUARDING = frozenset({cst.If, cst.BooleanOperation, cst.IndentedBlock, cst.FunctionDef})


class Contexts:
    """For each place of a project: why it runs on the host only, if it does."""

    def __init__(self, project: Project) -> None:
        """Collect who refers to whom."""
        self._files = tuple(project.files.values())
        self._references = project.fact(references_in)
        self._reachability = project.fact(Reachability)
        self._functions: dict[cst.CSTNode, str | None] = {}
        self._loaded: dict[cst.CSTNode, str | None] = {}
        self._between: dict[cst.CSTNode, str | None] = {}
        self._exits: dict[cst.CSTNode, list[tuple[cst.If, str]]] = {}

    def references(self, definition: cst.CSTNode) -> list[Reference]:
        """Where a top-level function or class of the project is used (not where it is defined or imported)."""
        return self._references.get(definition, [])

    def host_reason(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """Why `node` is only ever evaluated on the host; None when it may run for the device."""
        guard = self._guard(file, node)
        if guard is not None:
            return guard
        if self._in_lambda(file, node) and not self._in_loading(file, node):
            return None  # runs when it is called, wherever that is
        function = file.function(node)
        if function is None:
            if in_script(file, node):
                return "runs only when the file is executed as a script"
            return IMPORTED
        return self.function_reason(file, function)

    def _guard(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """A condition around `node`, or an exit before it, that keeps it from the device."""
        for around, child in file.steps_out(node):
            if type(around) is cst.FunctionDef:
                return None
            if type(around) in _GUARDING and (reason := self._guard_of(file, around, child)) is not None:
                return reason
        return None

    def _guard_of(self, file: SourceFile, around: cst.CSTNode, child: cst.CSTNode) -> str | None:
        """The same for a part of one node around it."""
        match around:
            case cst.If() if child is around.body:
                if asks_distributed(file, around.test):
                    return distributed_reason(file, around)
                return _HOST_TENSORS if asks_host(around.test) else None
            case cst.BooleanOperation() if child is around.right:
                return _HOST_TENSORS if asks_host(around) else None
            case cst.IndentedBlock(body=body):
                at = body.index(child)
                exits = self._exits_of(file, around)
                return next((reason for leaving, reason in exits if body.index(leaving) < at), None)
        return None

    def _exits_of(self, file: SourceFile, block: cst.IndentedBlock) -> list[tuple[cst.If, str]]:
        """The statements of a block that are passed on the host only, each with why."""
        if block not in self._exits:
            self._exits[block] = [
                (statement, reason)
                for statement in block.body
                if type(statement) is cst.If and (reason := exit_reason(file, statement)) is not None
            ]
        return self._exits[block]

    def _in_lambda(self, file: SourceFile, node: cst.CSTNode) -> bool:
        inside = file.index.of_type(cst.Lambda)  # most files have none
        return bool(inside) and any(type(a) is cst.Lambda for a in (node, *file.ancestors(node)))

    def _in_loading(self, file: SourceFile, node: cst.CSTNode) -> bool:
        owner = file.owner(node)
        return owner is not None and self._loading_reason(file, owner) is not None

    def loaded(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """Why a function only ever runs in the data loader, as far as the project calls it.

        No reason for a rule to leave the function alone: a trainer of somebody's own may well run it for the device.
        """
        function = file.function(node)
        if function is None:
            return None
        if function not in self._loaded:
            self._loaded[function] = None
            self._loaded[function] = self._find_loaded(file, function)
        return self._loaded[function]

    def _find_loaded(self, file: SourceFile, function: cst.FunctionDef) -> str | None:
        if file.owner(function) is not None or file.function(function) is not None or handed_on(function):
            return None
        found: str | None = None
        for other, use in self.references(function):
            called = is_local_use(other, use)
            reason = self.host_reason(other, use) or self.loaded(other, use) if called else given_to_loader(other, use)
            if reason is None or LOADING not in reason:
                return None
            found = found or f"{reason} ({function.name.value} is called only at {other.path}:{other.span(use).line})"
        return found

    def between_steps(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """In a trainer or a file of its helpers: code that no iteration of a loop over batches runs."""
        function = file.function(node)
        if function is None or training_loop(file, node) is not None:
            return None
        if function not in self._between:
            steps = self._between_steps(file, function, frozenset()) if file.in_trainers else None
            self._between[function] = steps or self._evaluates(file, function)
        return self._between[function]

    def logged(self, file: SourceFile, node: cst.CSTNode) -> str | None:
        """In a loop over batches: code behind the end of the step that runs every so many steps, for itself."""
        loop = training_loop(file, node)
        if loop is None or not _now_and_then(file, node, loop) or not _keeps_to_itself(file, node, loop):
            return None
        around = [node, *file.ancestors(node)]
        for statement in around[: around.index(loop)]:
            if isinstance(statement, cst.BaseStatement) and isinstance(file.parent(statement), cst.IndentedBlock):
                before = file.siblings(statement)
                if any(ends_step(file, one) for one in before[: before.index(statement)]):
                    return _LOGGED
        return None

    def _evaluates(self, file: SourceFile, function: cst.FunctionDef) -> str | None:
        """A function that goes through batches with a network that it sets to evaluation, without gradients."""
        found = filter(None, (method_call(call, "eval") for call in own_of_type(function, cst.Call)))
        network = next((made[0] for made in found if type(made[0]) is cst.Name), None)
        if network is None or dotted(network) == "self" or file.owner(function) is not None:
            return None
        if _WITHOUT_GRADIENTS.isdisjoint(map(file.full_name, filter(is_name, descendants(function)))):
            return None
        if not any(own_of_type(function.body, cst.For)) or self._runs_in_module(file, function.body):
            return None
        return f"evaluates between steps ({function.name.value} calls {dotted(network)}.eval())"

    def _between_steps(self, file: SourceFile, function: cst.FunctionDef, seen: frozenset[cst.CSTNode]) -> str | None:
        loop = next(training_loops(function.body), None)
        if loop is not None:
            return f"runs outside the loop over batches ({file.path}:{file.span(loop).line}), between steps"
        if file.owner(function) is not None or handed_on(function):
            return None
        uses = self._places(file, function)
        if not all(self._is_use_between(function, other, use, seen) for other, use in uses):
            return None
        if any(training_loop(other, use) is not None for other, use in uses):
            return f"runs between steps, every so many ({function.name.value} is called at intervals only)"
        return f"runs between steps ({function.name.value} is never called in a loop over batches)" if uses else None

    def _places(self, file: SourceFile, function: cst.FunctionDef) -> Sequence[Reference]:
        """Where a function is named: in the project, or in the function that defines it."""
        outer = file.function(function)
        if outer is None:
            return self.references(function)
        named = names_called(outer.body, function.name.value)
        return [(file, n) for n in named if not isinstance(file.parent(n), cst.FunctionDef)]

    def _is_use_between(
        self, function: cst.FunctionDef, file: SourceFile, use: cst.CSTNode, seen: frozenset[cst.CSTNode]
    ) -> bool:
        """Whether what a use of `function` makes run runs between steps."""
        if self._reachability.uncalled(file, use) is not None:
            return True
        if not is_run(file, use):
            return False  # a hook, say, that the network calls
        loop = training_loop(file, use)
        if loop is not None:
            return _now_and_then(file, use, loop)
        caller = file.function(use)
        if caller is None or caller in seen or caller is function:
            return True  # a script's own lines run no iteration
        return self._between_steps(file, caller, seen | {function}) is not None

    def function_reason(self, file: SourceFile, function: cst.FunctionDef) -> str | None:
        """Why a function never runs for the device; None when it may."""
        if function not in self._functions:
            self._functions[function] = None  # recursion: not host-only unless something else says so
            self._functions[function] = (
                _LOGGED if _runs_after_step(file, function) else self._find_reason(file, function)
            )
        return self._functions[function]

    def _find_reason(self, file: SourceFile, function: cst.FunctionDef) -> str | None:
        name, owner, outer = function.name.value, file.owner(function), file.function(function)
        if owner is None:
            return self._caller_reason(function, name) if outer is None else self._inner_reason(file, outer, function)
        loading = self._loading_reason(file, owner)
        if loading is not None:
            return loading
        if outer is not None:  # the objects of a class that a function makes run where they are called
            return None if outer in file.ancestors(owner) else self._inner_reason(file, outer, function)
        if name in _CONSTRUCTORS:
            return BUILT if self._built_once(file, owner) and not self._called_later(name) else None
        return self._caller_reason(owner, owner.name.value) or self._method_reason(function, name)

    def _inner_reason(self, file: SourceFile, outer: cst.FunctionDef, function: cst.FunctionDef) -> str | None:
        """A function inside another that is only called, and only from code with a reason."""
        reason = self.function_reason(file, outer)
        if reason is None or reason.endswith(LOADING):
            return reason
        uses = [use for _, use in self._places(file, function)]
        if not uses or handed_on(function):
            return None  # a hook, say, that the constructor hands on
        called = all(file.call_of(use) is not None for use in uses)
        return reason if called and all(self.host_reason(file, use) is not None for use in uses) else None

    def _caller_reason(self, definition: cst.FunctionDef | cst.ClassDef, name: str) -> str | None:
        """A function or class all of whose uses in the package are on the host is on the host itself."""
        reasons = []
        for file, use in self.references(definition):
            if isinstance(definition, cst.ClassDef):
                if not is_static_use(file, use):
                    return None
            elif not is_local_use(file, use) or handed_on(definition):
                return None
            reason = host_argument(file, use) or self.host_reason(file, use)
            if reason is None or not _holds_for_helpers(reason):
                return None
            where = f"{file.path}:{file.span(use).line}"
            reasons.append(f"{reason} ({name} is called only at {where})")
        return reasons[0] if reasons else None

    def _method_reason(self, function: cst.FunctionDef, name: str) -> str | None:
        """A method that is only called, of any object, and only while modules are built."""
        if name == "forward" or name.startswith("__") or function.decorators:
            return None
        reasons = []
        for file, use in self._asked(name):
            reason = self.host_reason(file, use) if file.call_of(use) is not None else None
            if reason is None or not reason.startswith(BUILT):
                return None
            reasons.append(f"{reason} ({name} is called only at {file.path}:{file.span(use).line})")
        return reasons[0] if reasons else None

    def _built_once(self, file: SourceFile, owner: cst.ClassDef) -> bool:
        """Whether no object of a class is made for a request or a batch.

        Modules are, unless one is made in what another module runs; of other classes it has to be seen.
        """
        module = file.defines_module(owner)
        classes = (owner, *self._derived.get(owner, ()))
        made = [(f, n) for one in classes for f, n in self.references(one) if f.call_of(n) is not None]
        return (module or bool(made)) and all(self._is_made_once(f, n, module) for f, n in made)

    def _is_made_once(self, file: SourceFile, use: cst.CSTNode, module: bool) -> bool:
        if self.host_reason(file, use) is not None:
            return True
        return (module or self.between_steps(file, use) is not None) and not self._runs_in_module(file, use)

    def _runs_in_module(self, file: SourceFile, node: cst.CSTNode, seen: frozenset[cst.CSTNode] = frozenset()) -> bool:
        """Whether code is part of what a module does when it is called, directly or by functions that it calls."""
        function = file.function(node)
        if function is None or function in seen:
            return False
        owner = file.owner(function)
        if owner is not None:
            return file.defines_module(owner) and self.function_reason(file, function) is None
        return any(self._runs_in_module(f, n, seen | {function}) for f, n in self.references(function))

    def _called_later(self, name: str) -> bool:
        """Whether code that builds nothing calls what usually belongs to the construction of a module."""
        return name in ("reset_parameters", "_init_weights") and any(
            (function := file.function(use)) is None or function.name.value not in _CONSTRUCTORS
            for file, use in self._asked(name)
        )

    @cached_property
    def _derived(self) -> dict[cst.CSTNode, set[cst.ClassDef]]:
        """The classes of the project that derive from each of its classes, at any distance."""
        found: dict[cst.CSTNode, set[cst.ClassDef]] = defaultdict(set)
        pending = [(f, n, n) for f in self._files for n in f.index.of_type(cst.ClassDef)]
        while pending:
            file, derived, owner = pending.pop()
            for base in owner.bases:
                above = file.project.class_definition(file.resolve(base.value))
                if above is not None and derived not in found[above[1]]:
                    found[above[1]].add(derived)
                    pending.append((above[0], derived, above[1]))
        return found

    def _asked(self, name: str) -> list[Reference]:
        """Where a name is asked of an object."""
        return [(file, node) for file in self._files for node in file.index.named(name) if type(node) is cst.Attribute]

    def _loading_reason(self, file: SourceFile, owner: cst.ClassDef) -> str | None:
        if file.defines_module(owner):
            return None
        if _derives_from_loader(file, owner, frozenset()):
            return f"{owner.name.value} runs {LOADING}"
        collates = "collat" in owner.name.value.lower() or any(
            given_to_loader(f, n) is not None for f, n in self.references(owner)
        )
        if collates and any(isinstance(m, cst.FunctionDef) and m.name.value == "__call__" for m in owner.body.body):
            return f"{owner.name.value} collates batches {LOADING}"
        return None


def _holds_for_helpers(reason: str) -> bool:
    """Whether a reason for code holds for the functions that only this code calls."""
    return reason.startswith((BUILT, IMPORTED, COPIED, _LOGGED, DISTRIBUTED_ONLY))


def _runs_after_step(file: SourceFile, function: cst.FunctionDef) -> bool:
    """Whether the runtime is given a function to run after the step, every so many steps."""
    given = any(file.full_name(d.decorator).endswith("utils.after_step") for d in function.decorators)
    return given and any(isinstance(a, cst.If) and asks_interval(a.test) for a in file.ancestors(function))


def _now_and_then(file: SourceFile, node: cst.CSTNode, loop: cst.CSTNode) -> bool:
    """Whether a place in a training loop is reached every so many steps only."""
    for around, child in file.steps_out(node):
        if around is loop:
            return False
        if isinstance(around, cst.If) and child is around.body and asks_interval(around.test):
            return True
    return False


def _keeps_to_itself(file: SourceFile, node: cst.CSTNode, loop: cst.CSTNode) -> bool:
    """Whether what a step now and then binds around a place is read by no other step: each binds it anew before."""
    within = _at_intervals(file, node, loop)
    function = file.function(node)
    if within is None or function is None:
        return False
    inside = {n for n in descendants(within) if isinstance(n, cst.Name)}
    bound = {n.value for n in inside if isinstance(file.parent(n), (cst.AssignTarget, cst.AugAssign))}
    line = file.span(within).line
    uses = own_names(function.body)
    others = (set(uses.get(name, ())) - inside for name in bound)
    return all(not names or _are_bound_anew(file, names, loop, line) for names in others)


def _at_intervals(file: SourceFile, node: cst.CSTNode, loop: cst.CSTNode) -> cst.If | None:
    """The innermost `if` around a place in a training loop that holds every so many steps."""
    around = (a for a in file.ancestors(node) if isinstance(a, cst.If) and asks_interval(a.test))
    return next((a for a in around if loop in file.ancestors(a)), None)


def _are_bound_anew(file: SourceFile, names: set[cst.Name], loop: cst.CSTNode, line: int) -> bool:
    """Whether all uses of a name in a function stand before a line, and the loop binds it there."""
    anew = any(isinstance(file.parent(n), cst.AssignTarget) and loop in file.ancestors(n) for n in names)
    return anew and all(file.span(n).line <= line for n in names)


def _derives_from_loader(file: SourceFile, owner: cst.ClassDef, seen: frozenset[cst.CSTNode]) -> bool:
    for base in owner.bases:
        name = file.resolve(base.value)
        if last_part(name) in _LOADING_BASES and file.project.definition(name) is None:
            return True
        above = file.project.class_definition(name)
        if above is not None and above[1] not in seen and _derives_from_loader(*above, seen | {owner}):
            return True
    return False


def host_reason(file: SourceFile, node: cst.CSTNode) -> str | None:
    """Why a node is only ever evaluated on the host; None when it may run for the device."""
    return file.project.fact(Contexts).host_reason(file, node)
