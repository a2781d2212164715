"""The text of a changed module, made from the old text: only the statements that changed are generated anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields

import libcst as cst

from .spans import Places, Rendering

_WithBody = cst.ClassDef | cst.FunctionDef | cst.For | cst.While | cst.With | cst.If


def can_splice(new: cst.Module, old: Places) -> bool:
    """Whether there is something to splice, and every line of the old text ends as `Spliced` counts lines."""
    unusual = re.search(r"\r(?!\n)|^[ \t]*\\\r?$", old.text, re.MULTILINE)
    return bool(new.body) and new.has_trailing_newline and unusual is None


class Spliced(Places):
    """What a `Rendering` of the new module says, at a fraction of the work: a statement that is still the old one keeps
    its old text, at the top of the file and in the bodies of classes, functions and blocks.
    """

    def __init__(
        self,
        new: cst.Module,
        module: cst.Module,
        old: Places,
        parents: Mapping[cst.CSTNode, cst.CSTNode],
        origin: Mapping[cst.CSTNode, cst.CSTNode],
    ) -> None:
        """`old` has the text of `module`, whose nodes have these `parents`; `origin` says which of its nodes became
        which of `new`. Both share every statement that did not change.
        """
        self._module, self._old, self._parents, self._origin = new, old, parents, origin
        self._moved: dict[cst.CSTNode, int] = {}  # old statement, or its header alone → characters it moved by
        self._emptied: set[cst.CSTNode] = set()  # old bodies that were gone through statement by statement
        self._generated: dict[cst.CSTNode, tuple[Rendering, int]] = {}  # node → its statement's code, where that begins
        self._places: dict[cst.CSTNode, tuple[int, int]] = {}  # new statements around those, and their bodies
        self._parts: list[str] = []
        self._length = 0
        first, last = self._first_line(module.body[0]), len(old.line_starts) - len(module.footer)
        self._keep(1, first)
        self._block(new.body, module.body, last, ())
        self._keep(last, len(old.line_starts))
        self.text = "".join(self._parts)

    def own_range(self, node: cst.CSTNode) -> tuple[int, int] | None:
        """The characters of a node, from the old text or from its statement's new code."""
        if node in self._places:
            return self._places[node]
        if node in self._generated:
            rendering, start = self._generated[node]
            found = rendering.own_range(node)
            return None if found is None else (found[0] + start, found[1] + start)
        found = self._old.own_range(node)
        current: cst.CSTNode | None = node
        while found is not None and current is not None and current not in self._emptied:
            if current in self._moved:
                by = self._moved[current]
                return found[0] + by, found[1] + by
            current = self._parents.get(current)
        return None

    def _block(
        self,
        new: Sequence[cst.CSTNode],
        old: Sequence[cst.CSTNode],
        end: int,
        indents: tuple[str, ...],
    ) -> None:
        """Put the statements of a block, whose old ones stand before line `end`."""
        starts = [self._first_line(s) for s in old]
        lines = {s: (start, stop) for s, start, stop in zip(old, starts, [*starts[1:], end], strict=True)}
        for statement in new:
            was = self._origin.get(statement)
            if statement in lines:
                self._moved[statement] = self._keep(*lines[statement])
            elif was in lines and _same_around(statement, was):
                self._body(statement, was, lines[was], indents)  # type: ignore[arg-type]  # as _same_around says
            else:
                self._generate(statement, indents)

    def _body(self, new: _WithBody, old: _WithBody, lines: tuple[int, int], indents: tuple[str, ...]) -> None:
        """Put a statement of whose body only some statements changed."""
        start, stop = lines
        body = self._first_line(old.body.body[0])
        assert isinstance(old.body, cst.IndentedBlock) and isinstance(new.body, cst.IndentedBlock)
        footer = stop - len(old.body.footer)
        moved = self._moved[old] = self._keep(start, body)
        self._emptied.add(old.body)
        indent = self._module.default_indent if old.body.indent is None else old.body.indent
        self._block(new.body.body, old.body.body, footer, (*indents, indent))
        first, end = self.offsets(new.body.body[0])[0], self.offsets(new.body.body[-1])[1]
        self._places[new.body] = (first, end)
        self._places[new] = (self._old.offsets(old)[0] + moved, end)
        self._keep(footer, stop)

    def _generate(self, statement: cst.CSTNode, indents: tuple[str, ...]) -> None:
        assert isinstance(statement, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
        rendering = Rendering(self._module, statement, indents)
        self._generated.update(dict.fromkeys(rendering.nodes, (rendering, self._length)))
        self._put(rendering.text)

    def _keep(self, start: int, stop: int) -> int:
        """Put old lines from `start` up to before `stop`, counted from 1; how many characters they moved by."""
        starts = self._old.line_starts
        begin = starts[start - 1]
        moved = self._length - begin
        self._put(self._old.text[begin : starts[stop - 1]])
        return moved

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def _first_line(self, statement: cst.CSTNode) -> int:
        """The line where a statement of the old module begins, with the comments and empty lines before it."""
        before = len(getattr(statement, "leading_lines", ()))
        first = next(iter(getattr(statement, "decorators", ())), None)
        if isinstance(first, cst.Decorator):  # a function's own place begins at its `def`
            before += len(first.leading_lines)
        return self._old.position(self._old.offsets(first or statement)[0])[0] - before


def _same_around(new: cst.CSTNode, old: cst.CSTNode | None) -> bool:
    """Whether two statements of one body each differ at most in the statements of those."""
    if type(new) is not type(old) or not isinstance(new, _WithBody) or not isinstance(old, _WithBody):
        return False
    if getattr(new, "orelse", None) is not None:
        return False
    if not (isinstance(new.body, cst.IndentedBlock) and isinstance(old.body, cst.IndentedBlock)):
        return False
    pairs = [(new, old, "body"), (new.body, old.body, "body")]
    return all(getattr(a, f.name) is getattr(b, f.name) for a, b, but in pairs for f in fields(a) if f.name != but)
