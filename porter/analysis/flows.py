"""What the values in the lines of one function are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import libcst as cst

from ..syntax.walk import descendants, dotted, own_descendants
from .project import SourceFile

_WITH_INPLACE = frozenset("relu leaky_relu dropout elu selu silu threshold hardtanh".split())
_PARTICULAR = frozenset(
    "isinstance is_tensor save_for_backward retain_grad register_hook grad backward mark_dirty apply".split()
)

Operands = Callable[[cst.BaseExpression], list[cst.BaseExpression]]


class Flows:
    """The assignments of a function, in order."""

    def __init__(self, file: SourceFile, function: cst.FunctionDef) -> None:
        """Look at the lines of a function, but not into functions inside it."""
        self._file = file
        self.nodes = list(own_descendants(function.body))
        self._place = dict(zip(self.nodes, range(len(self.nodes)), strict=True))
        self._assigned: dict[str, list[tuple[int, cst.BaseExpression, cst.CSTNode | None]]] = defaultdict(list)
        for place, node in enumerate(self.nodes):
            if type(node) is not cst.Assign and type(node) is not cst.AnnAssign:
                continue
            assert isinstance(node, (cst.Assign, cst.AnnAssign))
            if node.value is None:
                continue
            end = place + sum(1 for _ in own_descendants(node))
            for target in [t.target for t in node.targets] if isinstance(node, cst.Assign) else [node.target]:
                if isinstance(target, cst.Name):
                    self._assigned[target.value].append((end, node.value, self._block(node)))

    def sources(self, node: cst.BaseExpression, operands: Operands) -> Iterator[cst.BaseExpression]:
        """An expression and what it may be made of: names by what was last assigned to them, in any branch."""
        waiting, seen = [node], set()
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            yield current
            if isinstance(current, cst.Name):
                waiting += self._last(current)
            else:
                waiting += operands(current)

    def _last(self, name: cst.Name) -> Iterator[cst.BaseExpression]:
        """What was last assigned to a name, or may have been."""
        around = set(self._file.ancestors(name))
        for end, value, block in reversed(self._assigned[name.value]):
            if end <= self._place[name]:
                yield value
                if block in around:  # whoever comes to the name came by this line
                    return

    def _block(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """The lines that a statement is one of."""
        return next((a for a in self._file.ancestors(node) if isinstance(a, cst.IndentedBlock)), None)

    @property
    def may_wait(self) -> bool:
        """Whether values may be computed later, or not as tensors of their own, as far as one can see.

        Not so where tensors are written to in place, where somebody asks whether something is a tensor, and where
        gradients are dealt with by hand.
        """
        return not any(_writes(node) or _is_particular(node) for node in self._all())

    def _all(self) -> Iterator[cst.CSTNode]:
        """All nodes, those of functions inside too."""
        return (node for statement in self.nodes[:1] for node in descendants(statement))


def _writes(node: cst.CSTNode) -> bool:
    if type(node) is cst.AugAssign:
        return True
    if isinstance(node, (cst.AssignTarget, cst.AnnAssign)):
        return any(type(part) is cst.Subscript for part in descendants(node.target))
    if type(node) is cst.Arg:
        given = node.keyword is not None and node.keyword.value in ("inplace", "out")
        return given and dotted(node.value) not in ("False", "None")
    if type(node) is cst.Call:
        name = (dotted(node.func) or "").rpartition(".")[2]
        flags = [
            argument for argument in node.args[1:] if argument.keyword is None and dotted(argument.value) == "True"
        ]
        return (name.endswith("_") and not name.endswith("__")) or (bool(flags) and name in _WITH_INPLACE)
    return False


def _is_particular(node: cst.CSTNode) -> bool:
    """Whether a call asks for tensors, or deals with gradients."""
    return type(node) is cst.Call and (dotted(node.func) or "").rpartition(".")[2] in _PARTICULAR
