"""Whether a project asks for gradients that have gradients themselves."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ..syntax.calls import has_star, keywords, method_call, positional
from ..syntax.predicates import last_part
from ..syntax.walk import dotted, spelled
from .project import Project, SourceFile


class DoubleBackward:
    """For a project: whether any call asks for gradients that have gradients themselves."""

    def __init__(self, project: Project) -> None:
        """Go through all imports, attributes and calls that may."""
        self.asked = any(
            _differentiates_twice(file, node) for file in project.files.values() for node in _candidates(file)
        )


def _candidates(file: SourceFile) -> Iterator[cst.CSTNode]:
    """The imports of a file, what is called as other ways to differentiate are, and its calls where any may ask."""
    yield from file.index.of_type(cst.ImportFrom)
    yield from file.index.of_type(cst.Import)
    for name in _LAST:
        yield from file.index.named(name)
    if any(map(file.index.named, ("create_graph", *(last_part(name) for name in _PLACES)))):
        yield from file.index.of_type(cst.Call)


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
