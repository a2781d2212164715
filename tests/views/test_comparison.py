"""Two steps as one: whatever rules and people did, upstream with all changes is what is on disk."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from porter.changes.comparison.composing import MARK, Texts, compose
from porter.changes.comparison.records import Change
from porter.changes.hunks import Hunk
from porter.package.manifest import EditRecord

HEADER = (b"# one of the header\n", b"# two of the header\n", b"\n# three of the header\n".strip(b"\n") + b"\n")


@dataclass(frozen=True)
class Replacement:
    """Lines `start` to `end`, from 0, become `new`."""

    start: int
    end: int
    new: tuple[bytes, ...]


def replacements(count: int, letters: str) -> st.SearchStrategy[list[Replacement]]:
    """Some in order, none touching another."""
    new = st.lists(st.sampled_from([f"{letter}\n".encode() for letter in letters]), max_size=3).map(tuple)
    cuts = st.lists(st.integers(0, count), max_size=8, unique=True).map(sorted)
    return st.tuples(cuts, st.lists(new, min_size=4, max_size=4)).map(
        lambda drawn: [Replacement(a, b, n) for a, b, n in zip(drawn[0][::2], drawn[0][1::2], drawn[1], strict=False)]
    )


def replaced(lines: tuple[bytes, ...], found: list[Replacement]) -> tuple[bytes, ...]:
    result = list(lines)
    for one in reversed(found):
        result[one.start : one.end] = one.new
    return tuple(result)


def edit(rule: str) -> EditRecord:
    return {
        "rule": rule, "safety": "exact", "reason": "why", "file": "m.py", "target": "m.py",
        "line": 1, "column": 0, "end_line": 1, "end_column": 0,
        "target_line": 1, "target_column": 0, "target_end_line": 1, "target_end_column": 0,
    }  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> tuple[Texts, list[Hunk]]:
    """Upstream, what rules made of it, a header in that, and what a person made of the whole."""
    upstream = tuple(draw(st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n"]), max_size=14)))
    by_rule = draw(replacements(len(upstream), "abR"))
    body = replaced(upstream, by_rule)
    at = draw(st.sampled_from([0, min(1, len(body))]))
    generated = (*body[:at], *HEADER, *body[at:])
    disk = replaced(generated, draw(replacements(len(generated), "abH")))
    hunks: list[Hunk] = []
    grown = 0
    for one in by_rule:
        first = one.start + grown
        hunks.append(
            Hunk(
                "m.py", "m.py", one.start + 1, tuple(line.decode() for line in upstream[one.start : one.end]),
                first + 1 + (len(HEADER) if first >= at else 0), tuple(line.decode() for line in one.new),
                (edit("R1"),), "", f"key{one.start}",
            )
        )  # fmt: skip
        grown += len(one.new) - (one.end - one.start)
    mark = draw(st.sampled_from([(b"", b""), (MARK, MARK), (MARK, b""), (b"", MARK)]))
    if upstream:
        upstream = (mark[0] + upstream[0], *upstream[1:])
    return Texts(upstream, generated, disk, mark[1] if upstream else b"", (at, at + len(HEADER))), hunks


def applied(upstream: tuple[bytes, ...], changes: tuple[Change, ...]) -> bytes:
    lines = list(upstream)
    for change in reversed(changes):
        first = change.line - 1
        assert tuple(lines[first : first + len(change.old)]) == change.old
        lines[first : first + len(change.old)] = change.new
    return b"".join(lines)


@settings(max_examples=400, deadline=None)
@given(texts())
def test_upstream_with_all_changes_is_the_file_on_disk(given_: tuple[Texts, list[Hunk]]) -> None:
    told, hunks = given_
    changes, numbers = compose("m.py", told, hunks)
    body = b"".join(line for line in told.disk if line not in HEADER)
    assert applied(told.upstream, changes) == (told.mark + body if body else b"")
    assert len(numbers) == len(told.upstream)
    covered = {line for c in changes for line in range(c.line, c.line + len(c.old))}
    for line, number in enumerate(numbers, 1):
        assert (number == 0) == (line in covered)
        if number:
            assert told.disk[number - 1] == told.upstream[line - 1].removeprefix(MARK)


@settings(max_examples=200, deadline=None)
@given(texts())
def test_every_rule_is_told_and_nothing_is_by_hand_that_was_generated(given_: tuple[Texts, list[Hunk]]) -> None:
    told, hunks = given_
    changes, _ = compose("m.py", told, hunks)
    assert sum(len(change.edits) for change in changes) == len(hunks)
    untouched = Texts(told.upstream, told.generated, told.generated, told.mark, told.header)
    same_mark = told.mark == (MARK if told.upstream and told.upstream[0].startswith(MARK) else b"")
    if same_mark:
        changes, _ = compose("m.py", untouched, hunks)
        assert not any(change.by_hand for change in changes)
        assert sum(len(change.edits) for change in changes) == len(hunks)


def test_lines_beside_a_rewrite_are_a_change_of_their_own() -> None:
    upstream = (b"a\n", b"b\n", b"c\n")
    generated = (b"a\n", b"B\n", b"c\n")
    hunk = Hunk("m.py", "m.py", 2, ("b\n",), 2, ("B\n",), (edit("R1"),), "", "key")

    def told(disk: tuple[bytes, ...]) -> list[tuple[tuple[str, ...], bool, tuple[bytes, ...], tuple[bytes, ...]]]:
        changes, _ = compose("m.py", Texts(upstream, generated, disk, b"", (0, 0)), [hunk])
        return [(change.rules, change.by_hand, change.old, change.new) for change in changes]

    assert told((b"a\n", b"B\n", b"c\n")) == [(("R1",), False, (b"b\n",), (b"B\n",))]
    assert told((b"a\n", b"B\n", b"mine\n", b"c\n")) == [
        (("R1",), False, (b"b\n",), (b"B\n",)),
        ((), True, (), (b"mine\n",)),
    ]
    assert told((b"a\n", b"B mine\n", b"c\n")) == [(("R1",), True, (b"b\n",), (b"B mine\n",))]
    # What a rule put in and a person took out is told, too.
    put_in = Hunk("m.py", "m.py", 2, (), 2, ("new\n",), (edit("R2"),), "", "key")
    texts_ = Texts((b"a\n", b"c\n"), (b"a\n", b"new\n", b"c\n"), (b"a\n", b"c\n"), b"", (0, 0))
    (change,), _ = compose("m.py", texts_, [put_in])
    assert (change.rules, change.by_hand, change.old, change.new) == (("R2",), True, (), ())
    # A rewrite that a person took back is told, although both sides are the same.
    assert told(upstream) == [(("R1",), True, (b"b\n",), (b"b\n",))]


def test_a_person_may_change_the_header() -> None:
    upstream = (b"a\n",)
    generated = (*HEADER, b"a\n")
    for disk, expected in (
        ((b"a\n",), []),
        ((HEADER[0], b"# mine\n", *HEADER[1:], b"a\n"), [(b"# mine\n",)]),
        ((*HEADER[:2], b"# not the third\n", b"a\n"), [(b"# not the third\n",)]),
    ):
        changes, _ = compose("m.py", Texts(upstream, generated, disk, b"", (0, 3)), [])
        assert [change.new for change in changes] == expected
