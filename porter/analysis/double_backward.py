"""Whether a project asks for gradients that have gradients themselves."""

from __future__ import annotations

import libcst as cst

from ..syntax.calls import has_star, keywords, method_call, positional
from ..syntax.walk import dotted, spelled
from .project import Project, SourceFile


class DoubleBackward:
    """For a project: whether any call asks for gradients that have gradients themselves."""

    def __init__(self, project: Project) -> None:
        """Go through all imports, attributes and calls."""
        self.asked = any(
            _differentiates_twice(file, node)
            for file in project.files.values()
            for kind in (cst.ImportFrom, cst.Import, cst.Attribute, cst.Call)
            for node in file.index.of_type(kind)
        )


_TRANSFORMS = (
    *("torch.func", "torch.vmap", "functorch"),
    *("torch.autograd.functional", "torch.autograd.forward_ad", "torch.autograd.gradgradcheck"),
)
_LAST = frozenset(name.rpartition(".")[2] for name in _TRANSFORMS)


def _differentiates_twice(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether code may ask for gradients that have gradients themselves, or that are made another way."""
    match node:
        case cst.ImportFrom(names=[*aliases]):
            module = file.imported_module(node)
            return any(_transforms(f"{module}.{dotted(alias.name)}") for alias in aliases)
        case cst.ImportFrom():
            return _transforms(file.imported_module(node))
        case cst.Import():
            return any(_transforms(spelled(alias.name)) for alias in node.names)
        case cst.Attribute():
            return node.attr.value in _LAST and _transforms(file.full_name(node))
    return type(node) is cst.Call and _asks_for_graph(file, node)


def _transforms(name: str) -> bool:
    """Whether a full name is one of PyTorch's other ways to differentiate, or lies in one."""
    return any(f"{name}.".startswith(f"{one}.") for one in _TRANSFORMS)


def _asks_for_graph(file: SourceFile, call: cst.Call) -> bool:
    """Whether a call may ask for gradients with a graph of their own."""
    name = file.resolve(call.func)
    place = _PLACES.get(name or "", 2 if method_call(call, "backward") else None)
    if place is not None and has_star(call):
        return True
    named, given = keywords(call), positional(call)
    at_place = given[place] if place is not None and place < len(given) else None
    asked = named.get("create_graph", at_place)
    return asked is not None and dotted(asked) != "False"


# Where `create_graph` stands among the arguments; it is the third of `x.backward()`.
_PLACES = {"torch.autograd.grad": 4, "torch.autograd.backward": 3}
