"""What there is to validate: the classes and public functions of upstream that take or make tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import libcst as cst

from porter.analysis.contexts import Contexts, host_reason
from porter.analysis.project import Project, SourceFile
from porter.analysis.reachability import Reachability
from porter.inputs.sources import TRAINERS
from porter.inputs.sources.layout import Arrangement
from porter.syntax.torch_names import TENSOR_ONLY_METHODS
from porter.syntax.values import is_tensor
from porter.syntax.walk import own_of_type

_NETWORKS = ("torch.nn.", "torch.autograd.Function")
_PARALLEL = ("torch.nn.parallel.",)
_HOST_PARTS = ("torch.distributed.get_", "torch.distributed.is_", "torch.utils.data.")
_DEPTH = 10  # base classes of base classes


@dataclass(frozen=True)
class Inventory:
    """Classes and functions by `FILE:NAME`, the file as it is called inside the emitted package."""

    judged: tuple[str, ...] = ()  # those that a case has to run
    excused: tuple[tuple[str, str], ...] = ()  # those that never see a device's tensor, and why
    bare: frozenset[str] = frozenset()  # classes with a constructor and nothing else of their own
    unreached: tuple[str, ...] = ()  # all that nobody runs: neither upstream's module/ nor its trainers come to it

    def missing(self, ran: Iterable[str]) -> tuple[str, ...]:
        """Those that no case ran, given the names of the functions that ran (`FILE:CLASS.METHOD`)."""
        return self._not_run(self.judged, set(ran))

    def left_out(self, ran: Iterable[str]) -> tuple[str, ...]:
        """What nobody runs, and no case did either, given the names of the functions that ran."""
        return self._not_run(self.unreached, set(ran))

    def _not_run(self, names: Iterable[str], functions: set[str]) -> tuple[str, ...]:
        used = {f"{name.rpartition('.')[0]}" for name in functions if not name.endswith(".__init__")}
        built = {name.removesuffix(".__init__") for name in functions}
        return tuple(
            name
            for name in names
            if name not in functions and not _inside(name, used) and not (name in self.bare and name in built)
        )


def take_inventory(texts: Mapping[str, tuple[str, str]], arrangement: Arrangement | None = None) -> Inventory:
    """Look through upstream's files: path → place inside the emitted package, text.

    Without an `arrangement` they stand to each other as in GPT-SoVITS.
    """
    project = Project.parse(texts, arrangement)
    judged: list[str] = []
    excused: list[tuple[str, str]] = []
    bare: set[str] = set()
    unreached: list[str] = []
    handling = _handling(project)
    for file in project.files.values():
        for node in file.module.body:
            if not isinstance(node, (cst.ClassDef, cst.FunctionDef)):
                continue
            name = f"{file.target}:{node.name.value}"
            reach = file.project.fact(Reachability)
            if reach.unreached(file, node) is not None or reach.uncalled(file, node) is not None:
                unreached.append(name)
            if node not in handling or node.name.value.startswith("_"):
                continue
            functions = _functions(node)
            if not functions:
                bare.add(name)
            reason = _excuse(file, node, functions)
            if reason is None:
                judged.append(name)
            else:
                excused.append((name, reason))
    return Inventory(tuple(judged), tuple(excused), frozenset(bare), tuple(unreached))


def _inside(name: str, used: set[str]) -> bool:
    """Whether a method of the class ran, or something nested in one."""
    return name in used or any(owner.startswith(f"{name}.") for owner in used)


def _functions(node: cst.ClassDef | cst.FunctionDef) -> list[cst.FunctionDef]:
    """A function, or a class's methods without its constructor."""
    if isinstance(node, cst.FunctionDef):
        return [node]
    return [m for m in node.body.body if isinstance(m, cst.FunctionDef) and m.name.value != "__init__"]


def _handling(project: Project) -> set[cst.CSTNode]:
    """Definitions at the top of files that handle tensors: networks, and what uses torch or another of them."""
    found: set[cst.CSTNode] = set()
    waiting = [
        (file, node)
        for file in project.files.values()
        for node in file.module.body
        if isinstance(node, (cst.ClassDef, cst.FunctionDef))
    ]
    grew = True
    while grew:
        rest = []
        for file, node in waiting:
            network = isinstance(node, cst.ClassDef) and _is_network(file, node)
            if network or any(_handles_tensors(file, function, found) for function in _functions(node)):
                found.add(node)
            else:
                rest.append((file, node))
        grew, waiting = len(rest) < len(waiting), rest
    return found


def _is_network(file: SourceFile, node: cst.ClassDef, kinds: tuple[str, ...] = _NETWORKS, depth: int = 0) -> bool:
    """Whether a class derives from one of torch.nn's, in this file or in another of the package."""
    for base in node.bases:
        name = file.resolve(base.value)
        if name is not None and name.startswith(kinds):
            return True
        found = file.project.definition(name)
        if found is None or not isinstance(found[1], cst.ClassDef) or depth > _DEPTH:
            continue
        if _is_network(found[0], found[1], kinds, depth + 1):
            return True
    return False


def _handles_tensors(file: SourceFile, function: cst.FunctionDef, known: set[cst.CSTNode]) -> bool:
    """Whether a function takes or returns a tensor, calls torch, or uses a definition that is known to."""
    given = file.kinds.parameters(function).values()
    if any(is_tensor(kind) for kind in given) or is_tensor(file.kinds.returned(function)):
        return True
    for node in own_of_type(function.body, cst.Name, cst.Attribute):
        if isinstance(node, cst.Attribute) and node.attr.value in TENSOR_ONLY_METHODS:
            return True
        target = file.resolve(node)
        if target is not None and target.startswith("torch.") and not target.startswith(_HOST_PARTS):
            return True
        definition = file.project.definition(target)
        if definition is not None and definition[1] in known:
            return True
    return False


def _excuse(file: SourceFile, node: cst.ClassDef | cst.FunctionDef, functions: list[cst.FunctionDef]) -> str | None:
    """Why a class or function never sees a tensor of the device; None where it may."""
    if file.target.startswith(f"{TRAINERS}/"):
        return "part of a trainer: trainers.* run it for some steps, python bench/train_alike.py UPSTREAM for many"
    if file.is_trainer:
        return "part of a trainer of this upstream's own, of which no case runs a step"
    contexts = file.project.fact(Contexts)
    unreached = file.project.fact(Reachability).unreached(file, node)
    if unreached is not None:
        return unreached
    if file.in_trainers and isinstance(node, cst.FunctionDef) and contexts.between_steps(file, node.body) is not None:
        return f"{node.name.value} goes with a trainer, and no step over a batch runs it"
    if isinstance(node, cst.ClassDef) and _is_network(file, node, _PARALLEL):
        return f"{node.name.value} wraps a model for process groups; on XLA the port is one program and has none"
    reasons = [host_reason(file, function.body) for function in functions]
    if not reasons or any(reason is None for reason in reasons):
        return None
    return reasons[0]
