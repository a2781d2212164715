"""What a rule makes of its examples, as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from ...analysis.project import Project
from ...inputs.sources.layout import TRAINERS
from ...rule import Example, Rule
from ..engine import rewrite

LEFT_ALONE = "look-alike left alone"  # the check of texts that are no examples


@dataclass(frozen=True, slots=True)
class Result:
    """What one check said of one example, or of one text that has to be left alone."""

    rule: str  # its code
    example: int  # from 1; of a text that is left alone, its number
    check: str
    passed: bool
    why: str = ""  # of a failure

    @property
    def text(self) -> str:
        """The text that was tried, as a rule counts them."""
        return f"{'look-alike' if self.check == LEFT_ALONE else 'example'} {self.example}"


def apply(rule: type[Rule], text: str, example: Example | None = None, path: str = "module/example.py") -> str:
    """What a rule alone makes of a file."""
    path = example.path if example is not None else path
    files = {path: text, **(example.others if example is not None else {})}
    project = Project.parse({p: (place(p), t) for p, t in files.items()})
    return rewrite(project, [rule]).files[path].text


def place(path: str) -> str:
    """Where an example's file goes inside the emitted package: a trainer stands beside the folder `module`."""
    folder, _, rest = path.partition("/")
    return rest or f"{TRAINERS}/{folder}"


def try_texts(rule: type[Rule]) -> Iterator[Result]:
    """Before becomes exactly after, after is left alone, and so is what looks alike."""
    if not rule.examples:
        yield Result(rule.code, 1, "rewritten as written", passed=False, why="the rule has no examples")
    for number, example in enumerate(rule.examples, 1):
        yield _compared(rule, number, "rewritten as written", example.before, example.after, example)
        yield _compared(rule, number, "second run changes nothing", example.after, example.after, example)
    path = rule.examples[0].path if rule.examples else "module/example.py"
    for number, text in enumerate(rule.untouched, 1):
        yield _compared(rule, number, LEFT_ALONE, text, text, path=path)


def _compared(
    rule: type[Rule],
    number: int,
    check: str,
    text: str,
    wanted: str,
    example: Example | None = None,
    path: str = "module/example.py",
) -> Result:
    found = apply(rule, text, example, path)
    if found == wanted:
        return Result(rule.code, number, check, passed=True)
    return Result(rule.code, number, check, passed=False, why=first_difference(found, wanted))


def first_difference(found: str, wanted: str) -> str:
    """The first line of two texts that differs, white space at its ends shown only where nothing else does."""
    pairs = zip_longest(found.splitlines(keepends=True), wanted.splitlines(keepends=True))
    line, (is_, should) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    if is_ is None or should is None:
        return f"it ends before line {line}, {should!r}" if is_ is None else f"line {line}, {is_!r}, is one too many"
    if is_.strip() != should.strip():
        is_, should = is_.strip(), should.strip()
    return f"line {line} is {is_!r}, not {should!r}"
