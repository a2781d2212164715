"""Which rewrites of one package are those of another: by their code, wherever it stands and however it is laid out.

The unit is the edit, not the hunk: two edits that a formatter puts on one line stay two.
"""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .changes import Changed, Moved, Rewrite, RewriteChanges, Why
from .sides import Lines, Source

if TYPE_CHECKING:
    from ...package.manifest import EditRecord, Manifest

_ALIKE = 0.5  # difflib's ratio from which code of one rule in one function is the same code, changed


@dataclass(frozen=True)
class _Known:
    """A rewrite with its code on both sides, normal; read only where it has to be."""

    told: Rewrite
    edit: EditRecord
    source: Source

    @cached_property
    def code(self) -> str:
        """Upstream's."""
        edit = self.edit
        return self.source.text.code(edit["line"], edit["column"], edit["end_line"], edit["end_column"])

    @cached_property
    def written(self) -> str:
        """The package's."""
        edit = self.edit
        return self.source.output.code(
            edit["target_line"], edit["target_column"], edit["target_end_line"], edit["target_end_column"]
        )


def compare_rewrites(
    old: Manifest, new: Manifest, before: Mapping[str, Source], after: Mapping[str, Source], lines: Lines
) -> RewriteChanges:
    """Pair the rewrites of two packages; what finds no partner is gone or new."""
    pairs, gone, added = _pair(
        [_known(edit, before) for edit in old["edits"]], [_known(edit, after) for edit in new["edits"]], lines
    )
    changed, moved = [], []
    for was, now in sorted(pairs, key=lambda pair: _order(pair[1])):
        why = _difference(was, now)
        if why is not None:
            changed.append(Changed(was.told, now.told, why))
        elif _place(was.told) != _place(now.told):
            moved.append(Moved(was.told, now.told))
    return RewriteChanges(
        new=tuple(known.told for known in sorted(added, key=_order)),
        gone=tuple(known.told for known in sorted(gone, key=_order)),
        changed=tuple(changed),
        moved=tuple(moved),
        kept=len(pairs) - len(changed) - len(moved),
    )


def _difference(was: _Known, now: _Known) -> Why | None:
    """What became another one in a pair."""
    if was.told.rule != now.told.rule:
        return "rule"
    if was.source.content != now.source.content and was.code != now.code:
        return "upstream"
    return "written" if was.written != now.written else None


def _known(edit: EditRecord, sources: Mapping[str, Source]) -> _Known:
    source = sources[edit["target"]]
    told = Rewrite(
        rule=edit["rule"],
        safety=edit["safety"],
        reason=edit["reason"],
        file=edit["file"],
        line=edit["line"],
        target=edit["target"],
        target_line=edit["target_line"],
        target_end_line=edit["target_end_line"],
        scope=source.scope(edit["line"]),
    )
    return _Known(told, edit, source)


def _order(known: _Known) -> tuple[str, int, str]:
    return known.told.file, known.told.line, known.told.rule


def _place(rewrite: Rewrite) -> tuple[str, str, int]:
    return rewrite.target, rewrite.scope, rewrite.line


Pairs = list[tuple[_Known, _Known]]


def _pair(old: list[_Known], new: list[_Known], lines: Lines) -> tuple[Pairs, list[_Known], list[_Known]]:
    """Pairs, and what is left of both; the surest likeness first."""
    pairs: Pairs = []
    single = _singles(old) & _singles(new)

    def by(was: Callable[[_Known], Hashable], now: Callable[[_Known], Hashable] | None = None) -> None:
        """Pair those of one name, in order."""
        nonlocal old, new
        waiting: dict[Hashable, list[_Known]] = defaultdict(list)
        for known in new:
            waiting[(now or was)(known)].append(known)
        left = []
        for known in old:
            partners = waiting[was(known)]
            if partners:
                pairs.append((known, partners.pop(0)))
            else:
                left.append(known)
        taken = {id(known) for _, known in pairs}
        old, new = left, [known for known in new if id(known) not in taken]

    by(_exact)
    # Lines that stayed come first: of several equal rewrites, the one whose line went is the one that is gone.
    by(
        lambda k: (k.told.rule, k.told.target, k.code, lines(k.told.target, k.told.line)),
        lambda k: (k.told.rule, k.told.target, k.code, k.told.line),
    )
    by(lambda k: (k.told.rule, k.told.target, k.told.scope, k.code))
    by(lambda k: (k.told.rule, k.told.target, k.code))
    # The same code in another function of another file is a coincidence more often than a move.
    by(lambda k: (k.told.rule, k.told.scope or k.told.target, k.code))
    by(lambda k: (k.told.target, k.told.scope, k.code))
    by(lambda k: _group(k) if _group(k) in single else id(k))
    alike = _alike(old, new)
    taken = {id(known) for pair in alike for known in pair}
    return (
        [*pairs, *alike],
        [known for known in old if id(known) not in taken],
        [known for known in new if id(known) not in taken],
    )


def _group(known: _Known) -> tuple[str, str, str]:
    return known.told.rule, known.told.target, known.told.scope


def _singles(rewrites: list[_Known]) -> set[tuple[str, str, str]]:
    """Rules with one rewrite in a function: whatever its code became, it is the same one."""
    return {group for group, count in Counter(map(_group, rewrites)).items() if count == 1}


def _exact(known: _Known) -> Hashable:
    """The same rule at the same place of the same file, without a look at the code."""
    return known.told.rule, known.source.content, known.told.target, known.told.line, known.edit["column"]


def _alike(old: list[_Known], new: list[_Known]) -> Pairs:
    """Pairs of one rule in one function whose code was edited, the most alike first."""
    rated = []
    for i, was in enumerate(old):
        for j, now in enumerate(new):
            if _group(was) == _group(now):
                ratio = difflib.SequenceMatcher(None, was.code, now.code, autojunk=False).ratio()
                if ratio >= _ALIKE:
                    rated.append((-ratio, i, j))
    pairs: Pairs = []
    used_old: set[int] = set()
    used_new: set[int] = set()
    for _, i, j in sorted(rated):
        if i not in used_old and j not in used_new:
            used_old.add(i)
            used_new.add(j)
            pairs.append((old[i], new[j]))
    return pairs
