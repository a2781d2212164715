"""Code generation that remembers where each node landed."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import libcst as cst
from libcst._nodes.internal import CodegenState

from .walk import children


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Lines of a file, counted from 1, both ends included, and columns in characters from 0."""

    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left: the place of something that was removed."""
        return (self.line, self.column) == (self.end_line, self.end_column)


@dataclass
class _Recorder(CodegenState):
    """libcst's own code generator state, plus the tokens that each node begins and ends with."""

    ranges: dict[cst.CSTNode, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add_token = self.tokens.append  # type: ignore[method-assign,assignment]  # one call a token

    def record_syntactic_position(  # type: ignore[override]  # libcst only enters what it gets
        self,
        node: cst.CSTNode,
        *,
        start_node: cst.CSTNode | None = None,
        end_node: cst.CSTNode | None = None,
    ) -> AbstractContextManager[None]:
        return _Recording(self, node, start_node, end_node)


class _Recording(AbstractContextManager[None]):
    """Notes where a node begins and ends; a class, because a generator's context manager costs twice as much."""

    __slots__ = ("_end_node", "_node", "_start", "_start_node", "_state")

    def __init__(self, state: _Recorder, node: cst.CSTNode, start: cst.CSTNode | None, end: cst.CSTNode | None) -> None:
        self._state, self._node, self._start_node, self._end_node = state, node, start, end
        self._start = 0

    def __enter__(self) -> None:
        self._start = len(self._state.tokens)

    def __exit__(self, *_: object) -> None:
        ranges = self._state.ranges
        start, end = self._start, len(self._state.tokens)
        if self._start_node is not None and self._start_node in ranges:
            start = ranges[self._start_node][0]
        if self._end_node is not None and self._end_node in ranges:
            end = ranges[self._end_node][1]
        ranges[self._node] = (start, end)


class _Parenthesized(AbstractContextManager[None]):
    """The same of an expression, whose place is what stands between its parentheses."""

    __slots__ = ("_node", "_start", "_state")

    def __init__(self, state: _Recorder, node: cst.BaseExpression) -> None:
        self._state, self._node, self._start = state, node, 0

    def __enter__(self) -> None:
        for left in self._node.lpar:
            left._codegen(self._state)
        self._start = len(self._state.tokens)

    def __exit__(self, *_: object) -> None:
        self._state.ranges[self._node] = (self._start, len(self._state.tokens))
        for right in self._node.rpar:
            right._codegen(self._state)


_parenthesize = cst.BaseExpression._parenthesize


def _between_parentheses(node: cst.BaseExpression, state: CodegenState) -> AbstractContextManager[None]:
    """What libcst does around the code of every expression, without a generator for each."""
    return _Parenthesized(state, node) if type(state) is _Recorder else _parenthesize(node, state)


cst.BaseExpression._parenthesize = _between_parentheses  # type: ignore[method-assign,assignment]


class Places(ABC):
    """The text of a module and the place of each of its nodes in it."""

    text: str

    @abstractmethod
    def own_range(self, node: cst.CSTNode) -> tuple[int, int] | None:
        """First and one-past-last character of a node, where the code generator noted them."""

    @cached_property
    def line_starts(self) -> list[int]:
        """The offset of each line's first character, and of the end where the text ends with a line end."""
        return [0, *(m.end() for m in re.finditer("\n", self.text))]

    def __contains__(self, node: cst.CSTNode) -> bool:
        return self._range(node) is not None

    def offsets(self, node: cst.CSTNode) -> tuple[int, int]:
        """First and one-past-last character of a node, without the white space around it. KeyError for a node of
        another tree.
        """
        found = self._range(node)
        if found is None:
            raise KeyError(node)
        return found

    def _range(self, node: cst.CSTNode) -> tuple[int, int] | None:
        """Characters of a node; of one that libcst gives no position of its own (an argument, say), those of its
        parts.
        """
        found = self.own_range(node)
        if found is None:
            parts = [r for r in map(self._range, children(node)) if r is not None]
            if parts:
                found = min(p[0] for p in parts), max(p[1] for p in parts)
        return found

    def span(self, node: cst.CSTNode) -> Span:
        """Where a node stands. KeyError for a node of another tree."""
        start, end = self.offsets(node)
        line, column = self.position(start)
        end_line, end_column = self.position(max(start, end))
        if end_column == 0 and end_line > line:  # a statement's span may include its line end
            end_line -= 1
            end_column = end - 1 - self.line_starts[end_line - 1]
        return Span(line, column, end_line, end_column)

    def position(self, offset: int) -> tuple[int, int]:
        """Line from 1 and column from 0 of a character."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1]


class Rendering(Places):
    """A tree's code, generated once; of a whole module, or of one statement that stands under some indents."""

    def __init__(self, module: cst.Module, statement: cst.BaseStatement | None = None, indents: Sequence[str] = ()):
        """Generate the code of `module`, or of one statement of it with its leading lines."""
        state = _Recorder(default_indent=module.default_indent, default_newline=module.default_newline)
        for indent in indents:
            state.increase_indent(indent)
        (module if statement is None else statement)._codegen(state)
        self.text = "".join(state.tokens)
        self._ranges = state.ranges
        self._offsets = [0, *accumulate(map(len, state.tokens))]

    @property
    def nodes(self) -> Iterable[cst.CSTNode]:
        """All nodes whose place was noted."""
        return self._ranges

    def own_range(self, node: cst.CSTNode) -> tuple[int, int] | None:
        """The characters of a node, from its tokens."""
        found = self._ranges.get(node)
        if found is None:
            return None
        last = len(self._offsets) - 1  # libcst drops the last line end of a file that has none
        return self._offsets[min(found[0], last)], self._offsets[min(found[1], last)]
