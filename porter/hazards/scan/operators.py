"""Functions, methods and layers that run on the host for want of a lowering, by what torch and torch_xla say."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from ...analysis.arguments import values
from ...analysis.project import SourceFile
from ...syntax.predicates import last_part
from ...syntax.values import is_tensor
from ...torch_facts.operators import reasons
from . import known
from .asking import Found

_BY_TENSOR = ("torch.repeat_interleave",)  # the scan asks for a tensor of counts itself
_OPERATORS = ("torch.ops.", "torch._C._nn.", "torch._C._VariableFunctions.", "torch._VF.")
_FOLDERS = ("torch", "torch.Tensor", "torch.functional", "torch.nn.functional")
_BY_CLASSES = ("torch.nn.functional.one_hot",)  # and here whether there is a number of classes


def functions(file: SourceFile, node: cst.CSTNode, target: str) -> Iterator[Found]:
    """Functions and classes of torch, called or passed on."""
    if target in _BY_CLASSES or _only_named(file, node):
        return
    call = file.call_of(node)
    if call is not None and last_part(target) in known.READING_FUNCTIONS:
        return
    if call is not None and _is_private(target) and _takes_tensor(file, call):
        yield "LOW", node, f"cannot tell: {target} is not public, and whether it has a lowering is not known"
    yield from _reasons_of(file, node, target, call)
    yield from (("LOW", node, why) for why in _by_name(target))


def _by_name(target: str) -> Iterator[str]:
    """Why a function is slow or has no lowering, whatever it is given."""
    if target in known.SLOW:
        yield known.SLOW[target]
    yield from (f"{target}: {why}" for start, why in known.UNLOWERED_PREFIXES.items() if target.startswith(start))


def _reasons_of(file: SourceFile, node: cst.CSTNode, target: str, call: cst.Call | None) -> Iterator[Found]:
    """What is known of a name of torch, in its call or, with `call` None, wherever it is called later."""
    for family, why in reasons(target, _unknown if call is None else values(file, call)):
        if call is None:
            yield "LOW", node, why
        elif family != "SHP" or (target not in known.DYNAMIC and target not in _BY_TENSOR):
            yield family, node, why


def methods(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """Methods of tensors."""
    assert isinstance(node, cst.Call)
    if not isinstance(node.func, cst.Attribute) or file.resolve(node.func) is not None:
        return
    name = node.func.attr.value
    if name not in known.READING_METHODS and name not in known.READS and is_tensor(file.kind(node.func.value)):
        for family, why in reasons(f"torch.Tensor.{name}", values(file, node)):
            if family != "SHP" or (name not in known.DYNAMIC_METHODS and f"torch.{name}" not in _BY_TENSOR):
                yield family, node, why


def _is_private(target: str) -> bool:
    """Whether a function is torch's own, or one of its operators by themselves: nothing is collected of those."""
    folder, _, name = target.rpartition(".")
    return target.startswith(_OPERATORS) or (folder in _FOLDERS and name.startswith("_") and not name.endswith("__"))


def _takes_tensor(file: SourceFile, call: cst.Call) -> bool:
    return any(is_tensor(file.kind(given.value)) for given in call.args)


def _unknown(parameter: str) -> None:
    """Of a function that is passed on, arguments are not known."""


def _only_named(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether a class is asked about (`isinstance(layer, nn.GLU)`) or stands in an annotation: nothing runs."""
    for around in file.ancestors(node):
        if isinstance(around, cst.Annotation):
            return True
        if isinstance(around, cst.Call):
            asks = isinstance(around.func, cst.Name) and around.func.value in ("isinstance", "issubclass")
            return asks and around.func is not node
        if isinstance(around, cst.BaseStatement):
            return False
    return False
