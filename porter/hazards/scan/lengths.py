"""Masks whose length is read from the device."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ...analysis.contexts import Contexts
from ...analysis.project import SourceFile
from ...syntax.calls import argument
from ...syntax.predicates import is_none, only_comparison
from ...syntax.walk import own_of_type

_REPEATED = (cst.For, cst.While, cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp, cst.Lambda)
_WITHOUT_GRADIENTS = ("torch.no_grad", "torch.inference_mode")


def read_lengths(file: SourceFile, node: cst.CSTNode) -> Iterator[tuple[str, cst.CSTNode, str]]:
    """The runtime's `static_max`, unless it is for callers that leave out a parameter, which are known."""
    assert isinstance(node, cst.Call)
    if not _is_static_max(file, node):
        return
    function = file.function(node)
    if function is None or _left_out(file, function) is None or not file.project.fact(Contexts).references(function):
        yield "SYN", node, "the largest length is read from the device, and each makes a graph"


def left_lengths(file: SourceFile, node: cst.CSTNode) -> Iterator[tuple[str, cst.CSTNode, str]]:
    """Calls that leave the length of a mask to the data."""
    assert isinstance(node, cst.Call)
    found = file.project.function(file.resolve(node.func))
    name = _left_out(*found) if found is not None else None
    if found is None or name is None:
        return
    params = [p.name.value for p in found[1].params.params]
    if argument(node, name, params.index(name)) is None:
        yield "SHP", node, f"without {name}, the length of the mask follows the data"


def read_once(file: SourceFile, node: cst.CSTNode) -> str | None:
    """Why the read of a length costs no training step its graph: nothing that computes gradients comes there."""
    call = isinstance(node, cst.Call)
    reads = call and (any(read_lengths(file, node)) or any(left_lengths(file, node)))
    if not reads or not _without_gradients(file, node, 0):
        return None
    return "runs without gradients only, where the length is read once an utterance"


def _left_out(file: SourceFile, function: cst.FunctionDef) -> str | None:
    """The parameter for which a function reads the largest length where it is None, and else reads none."""
    reads = [n for n in own_of_type(function.body, cst.Call) if _is_static_max(file, n)]
    for part in own_of_type(function.body, cst.If) if reads else ():
        match only_comparison(part.test):
            case cst.Name(value=name), (cst.Is() | cst.Equal()), cst.Name(value="None"):
                if set(reads) <= set(own_of_type(part.body, cst.Call)):
                    optional = {p.name.value for p in function.params.params if is_none(p.default)}
                    return name if name in optional else None
    return None


def _is_static_max(file: SourceFile, node: cst.Call) -> bool:
    return file.full_name(node.func).endswith("ops.static_max")


def _without_gradients(file: SourceFile, node: cst.CSTNode, depth: int) -> bool:
    """Whether a node, outside of any loop, only runs under `torch.no_grad()` or `torch.inference_mode()`."""
    for around in file.ancestors(node):
        match around:
            case cst.With(items=items) if any(_is_without(file, item.item) for item in items):
                return True
            case cst.FunctionDef():
                return _runs_without(file, around, depth)
            case _ if isinstance(around, _REPEATED):
                return False
    return False


def _runs_without(file: SourceFile, function: cst.FunctionDef, depth: int) -> bool:
    """The same for a function, by its decorators or by all that names it."""
    if any(_is_without(file, d.decorator) for d in function.decorators):
        return True
    uses = file.project.fact(Contexts).references(function)
    return bool(uses) and depth < 4 and all(_without_gradients(f, n, depth + 1) for f, n in uses)


def _is_without(file: SourceFile, node: cst.BaseExpression) -> bool:
    return file.resolve(node.func if isinstance(node, cst.Call) else node) in _WITHOUT_GRADIENTS
