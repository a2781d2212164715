"""Three texts become one, and no line of either side is dropped unseen."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.hand_edits.cases import make
from bench.hand_edits.judge import lost, read
from bench.hand_edits.texts import judge_texts, merge
from porter.generate.merging import Side, marked_lines, merge_package
from porter.generate.merging.text import both_added, merge_text

BASE = b"".join(b"line %d\n" % number for number in range(10))


def merged(ours: bytes, theirs: bytes, base: bytes = BASE) -> bytes:
    """A merge that has to be without conflict."""
    result = merge_text(Side(base), ours, Side(theirs))
    assert result.conflicts == ()
    return result.content


def conflict(ours: bytes, theirs: bytes, base: bytes = BASE) -> bytes:
    result = merge_text(Side(base), ours, Side(theirs))
    assert list(result.conflicts) == marked_lines(result.content) != []
    return result.content


def test_changes_apart_are_both_taken() -> None:
    ours, theirs = BASE.replace(b"line 2", b"mine"), BASE.replace(b"line 7\n", b"new\nnewer\n")
    assert merged(ours, theirs) == ours.replace(b"line 7\n", b"new\nnewer\n")


def test_the_same_change_on_both_sides_is_none_of_two() -> None:
    ours = BASE.replace(b"line 2", b"mine")
    assert merged(ours, ours.replace(b"line 8\n", b"")) == ours.replace(b"line 8\n", b"")


def test_a_conflict_shows_all_three() -> None:
    told = conflict(BASE.replace(b"line 2", b"mine"), BASE.replace(b"line 2", b"new"))
    assert told == BASE.replace(
        b"line 2\n",
        b"<<<<<<< edited by hand\nmine\n||||||| generated before\nline 2\n=======\nnew\n>>>>>>> generated now\n",
    )


def test_lines_deleted_by_hand_that_moved_upstream_do_not_come_back_unseen() -> None:
    ours = BASE.replace(b"line 2\n", b"")
    theirs = ours.replace(b"line 8\n", b"line 8\nline 2\n")
    assert read(conflict(ours, theirs)).ours == ours.decode().splitlines()


def test_lines_that_both_sides_moved_are_not_there_twice_unseen() -> None:
    without = BASE.replace(b"line 2\n", b"")
    ours, theirs = without.replace(b"line 8\n", b"line 8\nline 2\n"), without.replace(b"line 5\n", b"line 5\nline 2\n")
    reading = read(conflict(ours, theirs))
    assert reading.ours == ours.decode().splitlines()
    assert reading.theirs == theirs.decode().splitlines()


def test_a_function_deleted_by_hand_that_changed_upstream_is_a_conflict() -> None:
    conflict(BASE.replace(b"line 2\nline 3\n", b""), BASE.replace(b"line 3", b"new"))


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_line_ends_are_one_edit_and_not_one_of_each_line(end: bytes) -> None:
    ours, theirs = BASE.replace(b"\n", end), BASE.replace(b"line 7", b"new")
    assert merged(ours, theirs) == theirs.replace(b"\n", end)
    assert merged(theirs, ours) == theirs.replace(b"\n", end)
    told = conflict(ours.replace(b"line 7", b"mine"), theirs)
    assert {line[len(line.rstrip(b"\r\n")) :] for line in told.splitlines(keepends=True)} == {end}


def test_texts_that_mix_line_ends_keep_each() -> None:
    base = BASE.replace(b"line 3\n", b"line 3\r\n")
    assert merged(base + b"mine\n", b"new\r\n" + base, base) == b"new\r\n" + base + b"mine\n"


def test_a_byte_order_mark_comes_and_goes() -> None:
    mark = b"\xef\xbb\xbf"
    theirs = BASE.replace(b"line 7", b"new")
    assert merged(mark + BASE, theirs) == mark + theirs
    assert merged(theirs, mark + BASE) == mark + theirs
    assert merged(theirs, BASE, mark + BASE) == theirs


def test_a_last_line_without_an_end_runs_into_no_other() -> None:
    assert merged(BASE[:-1], b"new\n" + BASE) == b"new\n" + BASE[:-1]
    told = read(conflict(BASE[:-1] + b"mine", BASE + b"new"))
    assert told.ours == [*BASE.decode().splitlines()[:-1], "line 9mine"]
    assert told.theirs == [*BASE.decode().splitlines(), "new"]


def test_bytes_that_are_no_text_are_merged_as_they_are() -> None:
    base = b"\xff\x00\n" * 2 + BASE
    assert merged(base + b"\xfe\n", b"\xfd\n" + base, base) == b"\xfd\n" + base + b"\xfe\n"


def test_form_feeds_end_no_line() -> None:
    base = BASE.replace(b"line 3", b"li\x0cne\x1c 3\xc2\x85")
    assert merged(base + b"mine\n", b"new\n" + base, base) == b"new\n" + base + b"mine\n"


HEADER = b"# tool 1\n# upstream: a\n# licence\n\n"


def headed(ours: bytes) -> tuple[bytes, tuple[int, ...]]:
    new = HEADER.replace(b"a\n", b"b\n").replace(b"1", b"2") + BASE
    result = merge_text(Side(HEADER + BASE, (0, 4)), ours, Side(new, (0, 4)))
    return result.content, result.conflicts


def test_edits_beside_a_header_that_changes_are_no_conflict() -> None:
    ours = b"# mine\n" + HEADER.replace(b"a\n", b"a\n# mine too\n") + b"import mine\n" + BASE
    content, conflicts = headed(ours)
    assert conflicts == ()
    assert content == ours.replace(b" a\n", b" b\n").replace(b"1", b"2", 1)


def test_a_header_line_changed_by_hand_conflicts_alone() -> None:
    content, conflicts = headed((HEADER + BASE).replace(b"upstream: a", b"mine"))
    assert conflicts == (2,)
    assert read(content).ours[:4] == ["# tool 2", "# mine", "# licence", ""]
    assert read(content).theirs[1] == "# upstream: b"


def test_both_added_keeps_both() -> None:
    result = both_added(b"mine\n", b"new")
    assert result.conflicts == (1,)
    assert (read(result.content).ours, read(result.content).theirs) == (["mine"], ["new"])


def test_markers_of_a_conflict_half_solved_are_found() -> None:
    whole = conflict(BASE.replace(b"line 2", b"mine"), BASE.replace(b"line 2", b"new"))
    assert marked_lines(whole) == [3]
    assert marked_lines(whole.replace(b"<<<<<<< edited by hand\n", b"")) == [4]
    assert marked_lines(b"x\r\n>>>>>>> generated now\r\n") == [2]
    assert marked_lines(b"x = '<<<<<<< edited by hand'\n=======\n") == []


def test_a_merge_that_is_no_python_is_told() -> None:
    base = b"if a:\n    b()\n\n\n\nc()\n"
    ours = base.replace(b"if a:\n", b"")
    theirs = base.replace(b"c()", b"d()")
    result = merge_package({"x.py": Side(base)}, {"x.py": ours}, {"x.py": Side(theirs)})
    (found,) = result.conflicts
    assert (found.file, found.line, found.kind) == ("x.py", 1, "not Python")
    assert result.contents["x.py"] == ours.replace(b"c()", b"d()")


def test_a_file_in_a_codec_of_its_own_is_python() -> None:
    base = "# coding: gbk\nx = '文'\n\n\ny = 1\n".encode("gbk")
    result = merge_package(
        {"x.py": Side(base)}, {"x.py": base.replace(b"y", b"z")}, {"x.py": Side(base.replace(b"x", b"w"))}
    )
    assert result.conflicts == ()
    assert result.contents["x.py"].decode("gbk") == "# coding: gbk\nw = '文'\n\n\nz = 1\n"


@settings(max_examples=250, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_edit_is_lost(chance: Random) -> None:
    found, _ = judge_texts(chance)
    assert found == []


def test_the_judge_sees_lost_edits() -> None:
    """What it says of a side that was overwritten, and of one line that is gone from a good merge."""
    overwritten, cut, cuts = 0, 0, 0
    for seed in range(200):
        case = make(Random(seed))
        overwritten += bool(lost(case, case.theirs.content)) and bool(lost(case, case.ours.content))
        lines = merge(case).splitlines(keepends=True)
        mine = [number for number, line in enumerate(lines) if b"hand_" in line]
        if mine:
            number = Random(seed).choice(mine)
            cuts += 1
            cut += bool(lost(case, b"".join([*lines[:number], *lines[number + 1 :]])))
    assert overwritten > 100
    assert cut == cuts > 50
