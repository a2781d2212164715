"""Whether a project asks for gradients that have gradients themselves."""

from __future__ import annotations

import libcst as cst

from ..syntax.walk import dotted
from .project import Project, SourceFile


class DoubleBackward:
    """For a project: whether any call asks for gradients that have gradients themselves."""

    def __init__(self, project: Project) -> None:
        """Go through all nodes."""
        self.asked = any(
            _differentiates_twice(file, node) for file in project.files.values() for node in file.index.nodes
        )


_TRANSFORMS = (
    *("torch.func", "torch.vmap", "functorch"),
    *("torch.autograd.functional", "torch.autograd.forward_ad", "torch.autograd.gradgradcheck"),
)
_LAST = frozenset(name.rpartition(".")[2] for name in _TRANSFORMS)


_ASKING = frozenset({cst.ImportFrom, cst.Import, cst.Attribute, cst.Call})


def _differentiates_twice(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether code may ask for gradients that have gradients themselves, or that are made another way."""
    if type(node) not in _ASKING:  # all nodes of a project are looked at
        return False
    if type(node) is cst.ImportFrom and not isinstance(node.names, cst.ImportStar):
        module = file.imported_module(node)
        return any(_transforms(f"{module}.{dotted(alias.name)}") for alias in node.names)
    if type(node) is cst.ImportFrom:
        return _transforms(file.imported_module(node))
    if type(node) is cst.Import:
        return any(map(_transforms, map(_imported, node.names)))
    if type(node) is cst.Attribute:
        return node.attr.value in _LAST and _transforms(file.resolve(node) or "")
    return type(node) is cst.Call and _asks_for_graph(file, node)


def _imported(alias: cst.ImportAlias) -> str:
    return dotted(alias.name) or ""


def _transforms(name: str) -> bool:
    """Whether a full name is one of PyTorch's other ways to differentiate, or lies in one."""
    return any(f"{name}.".startswith(f"{one}.") for one in _TRANSFORMS)


def _asks_for_graph(file: SourceFile, call: cst.Call) -> bool:
    """Whether a call may ask for gradients with a graph of their own."""
    name = file.resolve(call.func) or ""
    keywords = {arg.keyword.value: arg.value for arg in call.args if arg.keyword is not None}
    positional = [arg.value for arg in call.args if arg.keyword is None and not arg.star]
    places = {"torch.autograd.grad": 4, "torch.autograd.backward": 3}
    backward = isinstance(call.func, cst.Attribute) and call.func.attr.value == "backward"
    place = places.get(name, 2 if backward else len(positional))
    if (name in places or backward) and any(arg.star for arg in call.args):
        return True
    asked = keywords.get("create_graph", positional[place] if place < len(positional) else None)
    return asked is not None and dotted(asked) != "False"
