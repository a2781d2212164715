"""A tree with some nodes replaced: everything that no edit touches is shared with the old tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import libcst as cst

from .project import SourceFile
from .syntax.template import parenthesized
from .syntax.walk import descendants, meaningful_fields

New = cst.CSTNode | tuple[cst.CSTNode, ...]


@dataclass
class Rebuilt:
    """The new tree, what became of each edited node, and where the new nodes came from."""

    module: cst.Module
    applied: dict[cst.CSTNode, list[cst.CSTNode]] = field(default_factory=dict)  # old → what replaced it
    origin: dict[cst.CSTNode, cst.CSTNode] = field(default_factory=dict)  # new → old
    around: dict[cst.CSTNode, cst.CSTNode] = field(default_factory=dict)  # old, removed → new block around it


def rebuild(file: SourceFile, edits: Mapping[cst.CSTNode, New]) -> Rebuilt:
    """`file` with each node in `edits` replaced. Replacements may contain old nodes, edited ones too."""
    result = Rebuilt(file.module)
    if edits:
        worker = _Worker(file, edits, result)
        module = worker.node(file.module)
        assert isinstance(module, cst.Module)
        result.module = module
    return result


class _Worker:
    def __init__(self, file: SourceFile, edits: Mapping[cst.CSTNode, New], result: Rebuilt) -> None:
        self._edits = edits
        self._result = result
        self._old = file.index.parents
        self._dirty: set[cst.CSTNode] = set(edits)
        for node in edits:
            current = self._old.get(node)
            while current is not None and current not in self._dirty:
                self._dirty.add(current)
                current = self._old.get(current)
        self._active: set[cst.CSTNode] = set()

    def node(self, node: cst.CSTNode, fresh: bool = False) -> cst.CSTNode:
        """A node with the edits below it applied; `fresh` for nodes that a rule made."""
        if node in self._edits and node not in self._active:
            new = self._edits[node]
            assert isinstance(new, cst.CSTNode), "only a statement, argument or decorator can become several"
            return self._replaced(node, new)
        known = node in self._old or isinstance(node, cst.Module)
        if known and node not in self._dirty:
            return node
        changed = self._children(node, fresh=not known)
        if changed is not node and known:
            self._result.origin[changed] = node
        return changed

    def _replaced(self, old: cst.CSTNode, new: cst.CSTNode) -> cst.CSTNode:
        self._active.add(old)
        built = self.node(new, fresh=True)
        self._active.discard(old)
        if isinstance(old, cst.BaseExpression) and isinstance(built, cst.BaseExpression):
            if old.lpar and not built.lpar:
                built = built.with_changes(lpar=old.lpar, rpar=old.rpar)
            elif not _loose(self._old.get(old)):
                built = parenthesized(built)
        self._landed(old, [built])
        return built

    def _landed(self, old: cst.CSTNode, new: Sequence[cst.CSTNode]) -> None:
        self._result.applied[old] = list(new)
        for root in new:
            for part in descendants(root):
                if part not in self._old:
                    self._result.origin.setdefault(part, old)

    def _children(self, node: cst.CSTNode, fresh: bool) -> cst.CSTNode:
        changes: dict[str, object] = {}
        for name in meaningful_fields(type(node)):
            value = getattr(node, name)
            if isinstance(value, cst.CSTNode):
                new = self.node(value, fresh)
                if new is not value:
                    changes[name] = new
            elif isinstance(value, (tuple, list)):
                items = self._items(node, value, fresh)
                if len(items) != len(value) or any(a is not b for a, b in zip(items, value, strict=True)):
                    changes[name] = items
        if not changes:
            return node
        new_node = node.with_changes(**changes)
        for old in list(self._result.around):
            if self._result.around[old] is node:
                self._result.around[old] = new_node
        return new_node

    def _items(self, parent: cst.CSTNode, value: Sequence[cst.CSTNode], fresh: bool) -> list[cst.CSTNode]:
        items: list[cst.CSTNode] = []
        for item in value:
            if not isinstance(item, cst.CSTNode):
                items.append(item)
            else:
                items.extend(self._item(parent, item, fresh))
        if value and not items and isinstance(parent, cst.IndentedBlock):
            items.append(cst.SimpleStatementLine([cst.Pass()]))
        elif value and not items and isinstance(parent, (cst.SimpleStatementLine, cst.SimpleStatementSuite)):
            items.append(cst.Pass())
        return items

    def _item(self, parent: cst.CSTNode, item: cst.CSTNode, fresh: bool) -> list[cst.CSTNode]:
        if item in self._edits and item not in self._active and _may_be_several(item):
            new = self._edits[item]
            return self._several(parent, item, new if isinstance(new, tuple) else (new,))
        return [self.node(item, fresh)]

    def _several(self, parent: cst.CSTNode, old: cst.CSTNode, new: Sequence[cst.CSTNode]) -> list[cst.CSTNode]:
        self._active.add(old)
        built = [made for item in new for made in self._item(parent, item, fresh=True)]
        self._active.discard(old)
        if isinstance(old, cst.BaseStatement):
            built = _with_comments(old, built)
        if built:
            self._landed(old, built)
        else:
            self._result.applied[old] = []
            self._result.around[old] = parent
        return built


def _may_be_several(node: cst.CSTNode) -> bool:
    return isinstance(node, (cst.BaseStatement, cst.BaseSmallStatement, cst.Arg, cst.Decorator))


def _with_comments(old: cst.CSTNode, new: list[cst.CSTNode]) -> list[cst.CSTNode]:
    """Comments and empty lines around a statement stay around what replaces it."""
    if not new:
        return new
    leading = getattr(old, "leading_lines", ())
    first = new[0]
    own = tuple(getattr(first, "leading_lines", ()))
    if leading and own[: len(leading)] != tuple(leading):
        new[0] = first.with_changes(leading_lines=(*leading, *own))
    trailing = getattr(old, "trailing_whitespace", None)
    last = new[-1]
    kept = any(getattr(s, "trailing_whitespace", None) is trailing for s in new)
    moved = not kept and trailing is not None and trailing.comment is not None
    if moved and isinstance(last, cst.SimpleStatementLine) and last.trailing_whitespace.comment is None:
        new[-1] = last.with_changes(trailing_whitespace=trailing)
    return new


def _loose(parent: cst.CSTNode | None) -> bool:
    """Whether a child of `parent` may be any expression without parentheses."""
    return isinstance(
        parent,
        (
            cst.Arg, cst.Element, cst.Index, cst.Slice, cst.Assign, cst.AugAssign, cst.AnnAssign, cst.Return, cst.Expr,
            cst.If, cst.While, cst.Assert, cst.Subscript, cst.For, cst.WithItem, cst.Param, cst.Decorator,
        ),
    )  # fmt: skip
