"""Comments of statements that are replaced or go: which of them are about what stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import libcst as cst

from ..analysis.project import SourceFile

S = TypeVar("S", bound=cst.CSTNode)


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment behind an assignment that goes."""

    name: str  # what is assigned
    text: str

    @classmethod
    def behind(cls, statement: cst.CSTNode) -> Remark | None:
        """The comment behind a statement, if that assigns to a name."""
        name, remark = assigned_name(statement), _trailing(statement)
        return cls(name, remark.comment.value) if name and remark is not None and remark.comment is not None else None


@dataclass(frozen=True, slots=True)
class Around:
    """The comments above and below the statements of a block, on lines of their own."""

    first: list[cst.EmptyLine]
    last: list[cst.EmptyLine]


def above(statement: cst.CSTNode) -> list[cst.EmptyLine]:
    """The comments right above a statement, from the first one on."""
    lines = list(getattr(statement, "leading_lines", ()))
    while lines and lines[0].comment is None:
        lines.pop(0)
    return lines


def assigned_name(statement: cst.CSTNode) -> str:
    """The one name that a line assigns to; "" for any other statement."""
    small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) and len(statement.body) == 1 else None
    if not isinstance(small, cst.Assign) or len(small.targets) != 1:
        return ""
    target = small.targets[0].target
    return target.value if isinstance(target, cst.Name) else ""


def behind(old: cst.CSTNode, new: Iterable[cst.CSTNode]) -> str:
    """The comment behind a line, or the head of a block, that is not in what replaces it; "" where there is none."""
    remark = _trailing(old)
    if remark is None or remark.comment is None:
        return ""
    return "" if remark.comment.value in _texts(new) else remark.comment.value


def inside(file: SourceFile, old: cst.CSTNode, new: Sequence[cst.CSTNode]) -> list[str]:
    """The comments between the parts of an expression or of a line that are not in what replaces it."""
    if not isinstance(old, (cst.BaseExpression, cst.SimpleStatementLine)) or old not in file.rendering:
        return []
    start, end = file.rendering.offsets(old)
    if "#" not in file.rendering.text[start:end]:
        return []
    parts = old.body if isinstance(old, cst.SimpleStatementLine) else (old,)
    left = Counter(_texts(new))
    lost = []
    for text in _texts(parts):
        left[text] -= 1
        if left[text] < 0:
            lost.append(text)
    return lost


def around_block(
    old: cst.CSTNode, stay: Iterable[cst.CSTNode], parents: Mapping[cst.CSTNode, cst.CSTNode]
) -> Around | None:
    """The comments around the statements `stay`, if these take the place of the one that they were in a block of."""
    first: list[cst.EmptyLine] = []
    last: list[cst.EmptyLine] = []
    blocks = dict.fromkeys(block for s in stay if isinstance(block := parents.get(s), cst.IndentedBlock))
    inner = [block for block in blocks if _heads(block, old, parents) is not None]
    for block in inner:
        for head in _heads(block, old, parents) or ():
            first += lines_of(_texts(above(head)))
        first += lines_of(_texts([block.header]))
        last += lines_of(_texts(block.footer))
    return Around(first, last) if inner else None


def _heads(
    block: cst.CSTNode, old: cst.CSTNode, parents: Mapping[cst.CSTNode, cst.CSTNode]
) -> list[cst.CSTNode] | None:
    """What is between a block and the statement around it, such as its `else`; None where that is not around it."""
    found: list[cst.CSTNode] = []
    current = parents.get(block)
    while current is not None and current is not old:
        found.insert(0, current)
        current = parents.get(current)
    return None if current is None else found


def lines_of(texts: Iterable[str]) -> list[cst.EmptyLine]:
    """Comments on lines of their own."""
    return [cst.EmptyLine(comment=cst.Comment(text)) for text in texts]


def with_remarks(statement: S, before: Sequence[cst.EmptyLine], right_above: Sequence[cst.EmptyLine], remark: str) -> S:
    """A statement with more comments: before those above it, right above it, and behind it if there is none yet."""
    own = getattr(statement, "leading_lines", ())
    behind = _trailing(statement)
    if remark and isinstance(statement, cst.SimpleStatementLine) and (behind is None or behind.comment is None):
        space = cst.TrailingWhitespace(whitespace=cst.SimpleWhitespace("  "), comment=cst.Comment(remark))
        newline = statement.trailing_whitespace.newline
        statement = statement.with_changes(trailing_whitespace=space.with_changes(newline=newline))
    elif remark:
        right_above = [*right_above, *lines_of([remark])]
    if not before and not right_above:
        return statement
    return statement.with_changes(leading_lines=(*before, *own, *right_above))


def _trailing(statement: cst.CSTNode) -> cst.TrailingWhitespace | None:
    """What stands behind a line, or behind the head of a block."""
    body = getattr(statement, "body", None)
    if isinstance(body, cst.IndentedBlock):
        return body.header
    holder = body if isinstance(body, cst.SimpleStatementSuite) else statement
    found = getattr(holder, "trailing_whitespace", None)
    return found if isinstance(found, cst.TrailingWhitespace) else None


def _texts(nodes: Iterable[cst.CSTNode]) -> list[str]:
    return [comment.value for node in nodes for comment in _comments(node)]


def _comments(node: cst.CSTNode) -> Iterator[cst.Comment]:
    """All comments of a tree, in white space too, in order."""
    stack: list[object] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, cst.Comment):
            yield part
        elif isinstance(part, (tuple, list)):
            stack.extend(reversed(part))
        elif isinstance(part, cst.CSTNode):
            stack.extend(getattr(part, field.name) for field in reversed(fields(part)))
