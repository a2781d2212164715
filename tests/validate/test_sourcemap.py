"""From lines of the package to rules and lines of upstream."""

from __future__ import annotations

from porter.validate.manifest import Edit
from porter.validate.sourcemap import SourceMap

OLD = "a\nb\nloop\nc\nd\n"
NEW = "# header\na\nb\ngather one\ngather two\nc\nd\n"
EDITS = (
    Edit("SHP001", "GPT/module/commons.py", 3, "commons.py", 4, 5, "a gather instead of a loop"),
    Edit("DEV001", "GPT/module/commons.py", 3, "commons.py", 5, 5, "on the device"),
)
MAP = SourceMap(
    EDITS,
    lambda path: OLD,
    lambda target: NEW,
    [("commons.py", "GPT/module/commons.py"), ("other.py", "GPT/module/other.py")],
)


def test_edited_line_tells_its_rule() -> None:
    origin = MAP.locate("commons.py", 4)
    assert (origin.rule, origin.upstream) == ("SHP001", "GPT/module/commons.py:3")
    assert str(origin) == "commons.py:4 (SHP001 of GPT/module/commons.py:3: a gather instead of a loop)"


def test_smallest_edit_wins() -> None:
    assert MAP.locate("commons.py", 5).rule == "DEV001"


def test_untouched_lines_tell_where_they_were() -> None:
    origin = MAP.locate("commons.py", 6)
    assert (origin.rule, origin.upstream) == ("", "GPT/module/commons.py:4")
    assert MAP.locate("commons.py", 1).upstream == ""
    assert MAP.locate_text("other.py:2").upstream == "GPT/module/other.py:1"


def test_other_texts_come_back() -> None:
    assert str(MAP.locate_text("unknown line")) == "unknown line"
    assert str(MAP.locate("ops/stft.py", 3)) == "ops/stft.py:3"


def test_edits_of_a_range() -> None:
    assert [edit.rule for edit in MAP.within("commons.py", 5, 9)] == ["SHP001", "DEV001"]
    assert MAP.within("commons.py", 6, 9) == []
