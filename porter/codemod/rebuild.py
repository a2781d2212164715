"""A tree with some nodes replaced: everything that no edit touches is shared with the old tree.

Comments outlive the code that they stand at, as far as they may be about what stays (`remarks` has what is one):
- on lines of their own above a statement that goes, they stay above what follows, or at the end of the block;
- behind a statement, or inside it, that is replaced, they stay with what replaces it; behind one that goes, they go,
  unless what comes next gives a value to the same name;
- around statements that take the place of the block they were in, they stay around them.
What goes as a whole, such as a loop or a branch, takes the comments inside along.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import libcst as cst

from ..analysis.project import SourceFile
from ..syntax.template import parenthesized
from ..syntax.walk import PLAIN, descendants, meaningful_fields
from .remarks import Around, Remark, above, around_block, assigned_name, behind, inside, lines_of, with_remarks

New = cst.CSTNode | tuple[cst.CSTNode, ...]


@dataclass
class Rebuilt:
    """The new tree, what became of each edited node, and where the new nodes came from."""

    module: cst.Module
    applied: dict[cst.CSTNode, list[cst.CSTNode]] = field(default_factory=dict)  # old → what replaced it
    origin: dict[cst.CSTNode, cst.CSTNode] = field(default_factory=dict)  # new → old
    around: dict[cst.CSTNode, cst.CSTNode] = field(default_factory=dict)  # old, removed → new block around it
    beside: dict[cst.CSTNode, tuple[cst.CSTNode, bool]] = field(default_factory=dict)  # → what is left there, above?


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
        self._file = file
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
        self._loose: list[str] = []  # comments that were inside of what was replaced, for the statement around
        self._after: list[cst.EmptyLine] = []  # comments for what follows the statement that is being made
        self._last: dict[cst.CSTNode, list[cst.EmptyLine]] = {}  # block → comments that nothing follows
        self._made: dict[cst.CSTNode, list[cst.CSTNode]] = {}  # what replaced something → what it replaced
        self._emptied: dict[cst.CSTNode, list[cst.CSTNode]] = {}  # → what was removed there

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
        known = len(self._loose)
        built = self.node(new, fresh=True)
        self._active.discard(old)
        self._loosen(old, [built], known)
        if isinstance(old, cst.BaseExpression) and isinstance(built, cst.BaseExpression):
            if old.lpar and not built.lpar:
                built = built.with_changes(lpar=old.lpar, rpar=old.rpar)
            elif not _loose(self._old.get(old)):
                built = parenthesized(built)
        self._landed(old, [built])
        return built

    def _loosen(self, old: cst.CSTNode, new: Sequence[cst.CSTNode], known: int) -> None:
        """Keep the comments that were inside of what is replaced, but for those that edits inside it kept already."""
        already = Counter(self._loose[known:])
        for text in inside(self._file, old, new):
            already[text] -= 1
            if already[text] < 0:
                self._loose.append(text)

    def _landed(self, old: cst.CSTNode, new: Sequence[cst.CSTNode]) -> None:
        self._result.applied[old] = list(new)
        for root in new:
            self._made.setdefault(root, []).append(old)
            for part in descendants(root):
                if part not in self._old:
                    self._result.origin.setdefault(part, old)

    def _children(self, node: cst.CSTNode, fresh: bool) -> cst.CSTNode:
        changes: dict[str, object] = {}
        for name in meaningful_fields(type(node)):
            value = getattr(node, name)
            if type(value) in PLAIN:
                continue
            if not isinstance(value, (tuple, list)):
                new = self.node(value, fresh)
                if new is not value:
                    changes[name] = new
            else:
                items = self._items(node, value, fresh)
                if list(map(id, items)) != list(map(id, value)):
                    changes[name] = items
                if node in self._last:
                    changes["footer"] = [*self._last.pop(node), *getattr(node, "footer", ())]
        if not changes:
            return node
        new_node = node.with_changes(**changes)
        for old in self._emptied.get(node, ()):
            self._result.around[old] = new_node
        return new_node

    def _items(self, parent: cst.CSTNode, value: Sequence[cst.CSTNode], fresh: bool) -> list[cst.CSTNode]:
        items: list[cst.CSTNode] = []
        orphans: list[cst.EmptyLine] = []  # comments above statements that went, for the next one that stays
        remark: Remark | None = None  # behind one that went
        removed = self._emptied.setdefault(parent, [])
        known = len(removed)
        before: list[int] = []  # for each of those removed here, how many of those that stay come before it
        for item in value:
            made = self._item(parent, item, fresh)
            if isinstance(item, cst.BaseStatement):
                remark = self._settle(item, made, orphans, remark)
            items.extend(made)
            before += [len(items)] * (len(removed) - known - len(before))
        if value and not items:
            return self._without_items(parent, orphans)
        for old, at in zip(removed[known:], before, strict=True):
            self._result.beside[old] = items[max(at - 1, 0)], at > 0
        if orphans:
            self._last[parent] = orphans
        return items

    def _without_items(self, parent: cst.CSTNode, orphans: list[cst.EmptyLine]) -> list[cst.CSTNode]:
        """What stands where everything went: nothing but in a block and on a line."""
        if isinstance(parent, cst.IndentedBlock):
            return [cst.SimpleStatementLine([cst.Pass()], leading_lines=orphans)]
        if orphans:
            self._last[parent] = orphans
        return [cst.Pass()] if isinstance(parent, (cst.SimpleStatementLine, cst.SimpleStatementSuite)) else []

    def _settle(
        self, item: cst.BaseStatement, made: list[cst.CSTNode], orphans: list[cst.EmptyLine], remark: Remark | None
    ) -> Remark | None:
        """Give what became of a statement the comments that are its own now, and keep those for what follows it in
        `orphans`; the one behind a statement that goes is the result.
        """
        loose, self._loose = self._loose, [] if made else self._loose
        after, self._after = self._after, []
        if not made:
            orphans += above(item)
            return Remark.behind(item) or remark
        taken = remark.text if remark and assigned_name(made[0]) == remark.name and made[0] not in self._old else ""
        if orphans or loose or taken:
            made[0] = self._put(made[0], with_remarks(made[0], orphans, lines_of(loose), taken))
        orphans[:] = after
        return None

    def _put(self, statement: cst.CSTNode, new: cst.CSTNode) -> cst.CSTNode:
        """`new` in the place of a statement that only has other comments."""
        self._result.origin[new] = self._result.origin.get(statement, statement)
        self._made[new] = self._made.pop(statement, [])
        for old in self._made[new]:
            made = self._result.applied[old]
            made[:] = [new if node is statement else node for node in made]
        return new

    def _item(self, parent: cst.CSTNode, item: cst.CSTNode, fresh: bool) -> list[cst.CSTNode]:
        if item in self._edits and item not in self._active and _may_be_several(item):
            new = self._edits[item]
            return self._several(parent, item, new if isinstance(new, tuple) else (new,))
        return [self.node(item, fresh)]

    def _several(self, parent: cst.CSTNode, old: cst.CSTNode, new: Sequence[cst.CSTNode]) -> list[cst.CSTNode]:
        self._active.add(old)
        known = len(self._loose)
        built = [made for item in new for made in self._item(parent, item, fresh=True)]
        self._active.discard(old)
        if isinstance(old, cst.BaseStatement) and built:
            self._loosen(old, built, known)
            around = around_block(old, [item for item in new if item in self._old], self._old)
            self._after += around.last if around is not None else []
            built = _with_comments(old, built, around)
        if built:
            self._landed(old, built)
        else:
            self._result.applied[old] = []
            self._result.around[old] = parent
            self._emptied.setdefault(parent, []).append(old)
        return built


def _may_be_several(node: cst.CSTNode) -> bool:
    return isinstance(node, (cst.BaseStatement, cst.BaseSmallStatement, cst.Arg, cst.Decorator))


def _with_comments(old: cst.BaseStatement, new: list[cst.CSTNode], block: Around | None) -> list[cst.CSTNode]:
    """Comments and empty lines around a statement stay around what replaces it, and those around a `block` of its own
    around the statements that stand for it now.
    """
    leading = getattr(old, "leading_lines", ())
    own = tuple(getattr(new[0], "leading_lines", ()))
    if leading and own[: len(leading)] != tuple(leading):
        new[0] = new[0].with_changes(leading_lines=(*leading, *own))
    if block is not None:
        lines = tuple(getattr(new[0], "leading_lines", ()))
        at = len(leading)
        new[0] = new[0].with_changes(leading_lines=(*lines[:at], *block.first, *lines[at:]))
        return new
    remark = behind(old, new)
    if remark and isinstance(new[-1], cst.SimpleStatementLine) and new[-1].trailing_whitespace.comment is None:
        new[-1] = with_remarks(new[-1], (), (), remark)
    elif remark:
        new[0] = with_remarks(new[0], (), lines_of([remark]), "")
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
