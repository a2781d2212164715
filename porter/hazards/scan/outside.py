"""Calls that hand tensors to code which is not ported: another package, or a part of upstream that stays there."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import libcst as cst

from ...analysis.project import SourceFile
from ...syntax.values import Instance
from . import known
from .asking import Found, tensors_of

_KNOWN = frozenset({"torch", "torchaudio", "numpy"}) | sys.stdlib_module_names


def outside(file: SourceFile, node: cst.CSTNode) -> Iterator[Found]:
    """`maximum_path(x, mask)` of a package, and objects of its classes that are called with tensors."""
    assert isinstance(node, cst.Call)
    target = _target(file, node)
    if target is None or not any(any(tensors_of(file, arg.value)) for arg in node.args):
        return
    yield "EXT", node, f"{target} is given tensors and is not ported: what it does with them is not looked at"


def harmless(file: SourceFile, node: cst.CSTNode) -> str | None:
    """Why a call outside is none to worry about."""
    target = _target(file, node) if isinstance(node, cst.Call) else None
    if target is None:
        return None
    return next((why for name, why in known.OUTSIDE.items() if f"{target}.".startswith(f"{name}.")), None)


def _target(file: SourceFile, node: cst.Call) -> str | None:
    """The full name of what a call runs, if that is neither the project's nor PyTorch's nor Python's."""
    named = file.resolve(node.func)
    if named is not None:
        return named if _is_outside(file, named) else None
    parts = [(node.func, "")]
    if isinstance(node.func, cst.Attribute):
        parts.append((node.func.value, f".{node.func.attr.value}"))
    for part, method in parts:
        kind = file.kind(part)
        classes = sorted(kind.classes) if isinstance(kind, Instance) else ()
        outer = next((name for name in classes if _is_outside(file, name)), None)
        if outer is not None:
            return f"{outer}{method}"
    return None


def _is_outside(file: SourceFile, target: str) -> bool:
    top = target.partition(".")[0]
    if target.startswith("torch.ops."):
        return True
    if target.startswith("module.tpu."):  # the emitted package's own, its runtime too
        return False
    if top in _KNOWN or file.project.definition(target) is not None or file.runtime_value(target) is not None:
        return False
    parts = target.split(".")
    return not any(file.project.module(".".join(parts[:i])) is not None for i in range(1, len(parts) + 1))
