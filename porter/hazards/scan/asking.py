"""What the detectors share: who is a tensor, and how a find is worded where nobody can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import libcst as cst

from ...analysis.project import SourceFile
from ...syntax.values import Instance, Kind, Record, Value, is_tensor
from ...syntax.walk import brief
from .follow import Followed

Found = tuple[str, cst.CSTNode, str]  # code, place, why
Detector = Callable[[SourceFile, cst.CSTNode], Iterator[Found]]

DOUBT = "cannot tell whether"


def on_host(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether a place is in code that never runs for the device, as a whole."""
    return isinstance(file.kinds, Followed) and file.kinds.on_host(node)


def torch_names(file: SourceFile) -> Mapping[cst.CSTNode, str]:
    """The names, and chains of attributes as a whole, that mean something of torch's, each with its full name; none of
    an import's.
    """
    found: dict[cst.CSTNode, str] = {}
    for node in file.index.of_type(cst.Name):
        if node.value in file.index.linked:
            whole = file.chain(node)
            target = file.full_name(whole) if type(file.parent(whole)) is not cst.Attribute else ""
            if target.startswith("torch") and not file.inside_import(whole):
                found[whole] = target
    return found


def tensors_of(file: SourceFile, node: cst.BaseExpression) -> Iterator[cst.BaseExpression]:
    """The tensors, or what may be some, that an expression is or is a list or tuple of."""
    kind = file.kind(node)
    if is_tensor(kind) or kind is Kind.MAYBE:
        yield node
    elif isinstance(node, (cst.Tuple, cst.List)):
        for part in node.elements:
            yield from tensors_of(file, part.value)
    elif holds_tensors(kind):
        yield node


def holds_tensors(kind: Value) -> bool:
    """Whether a value is a sequence of tensors, or holds one."""
    held = kind.values if isinstance(kind, Record) else kind if isinstance(kind, tuple) else ()
    return kind is Kind.SEQUENCE or any(is_tensor(value) or holds_tensors(value) for value in held)


def is_sequence(kind: Value) -> bool:
    """Whether a value is a list or tuple of Python's, or of modules."""
    return kind is Kind.SEQUENCE or isinstance(kind, tuple) or (isinstance(kind, Instance) and kind.several)


def told(
    file: SourceFile, code: str, place: cst.CSTNode, asked: cst.BaseExpression, what: str, *, unknown: bool = False
) -> Iterator[Found]:
    """A find, if `asked` is a tensor; a doubt, if it may be one (with `unknown` also where nothing is known of it)."""
    kind = file.kind(asked)
    if is_tensor(kind) or holds_tensors(kind):
        yield code, place, what
    elif kind is Kind.MAYBE or (unknown and kind is Kind.UNKNOWN and not on_host(file, place)):
        yield code, place, f"{DOUBT} {brief(asked, 40)} is a tensor; if so, {what}"


def for_an_error(file: SourceFile, node: cst.CSTNode) -> bool:
    """Whether a text is made for an error only."""
    return any(isinstance(a, (cst.Raise, cst.Assert)) for a in file.ancestors(node))
