"""Code generation that remembers where each node landed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import libcst as cst
from libcst._nodes.internal import CodegenState


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Lines of a file, counted from 1, both ends included, and columns in characters from 0."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass
class _Recorder(CodegenState):
    """libcst's own code generator state, plus offsets in characters: O(1) a node, no second parse."""

    offset: int = 0
    spans: dict[cst.CSTNode, tuple[int, int]] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)

    def add_token(self, value: str) -> None:
        self.tokens.append(value)
        self.offset += len(value)

    def add_indent_tokens(self) -> None:
        for token in self.indent_tokens:
            self.add_token(token)

    def pop_trailing_newline(self) -> None:
        if self.tokens:
            self.offset -= len(self.tokens.pop())

    def before_codegen(self, node: cst.CSTNode) -> None:
        self.starts.append(self.offset)

    def after_codegen(self, node: cst.CSTNode) -> None:
        start = self.starts.pop()
        if node not in self.spans:
            self.spans[node] = (start, self.offset)

    @contextmanager
    def record_syntactic_position(
        self,
        node: cst.CSTNode,
        *,
        start_node: cst.CSTNode | None = None,
        end_node: cst.CSTNode | None = None,
    ) -> Iterator[None]:
        start = self.offset
        try:
            yield
        finally:
            end = self.offset
            if start_node is not None and start_node in self.spans:
                start = self.spans[start_node][0]
            if end_node is not None and end_node in self.spans:
                end = self.spans[end_node][1]
            self.spans[node] = (start, end)


class Rendering:
    """The text of a module and the place of each of its nodes in it."""

    def __init__(self, module: cst.Module) -> None:
        state = _Recorder(default_indent=module.default_indent, default_newline=module.default_newline)
        module._codegen(state)
        self.text = "".join(state.tokens)
        self._spans = state.spans
        self._lines = [0]
        find = self.text.find
        at = find("\n")
        while at >= 0:
            self._lines.append(at + 1)
            at = find("\n", at + 1)

    def __contains__(self, node: cst.CSTNode) -> bool:
        return node in self._spans

    def offsets(self, node: cst.CSTNode) -> tuple[int, int]:
        """First and one-past-last character of a node, without its surrounding white space."""
        return self._spans[node]

    def span(self, node: cst.CSTNode) -> Span:
        """Where a node stands. KeyError for a node of another tree."""
        start, end = self._spans[node]
        line, column = self.position(start)
        end_line, end_column = self.position(max(start, end))
        if end_column == 0 and end_line > line:  # a statement's span may include its line end
            end_line -= 1
            end_column = end - 1 - self._lines[end_line - 1]
        return Span(line, column, end_line, end_column)

    def position(self, offset: int) -> tuple[int, int]:
        """Line from 1 and column from 0 of a character."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1]
