"""A note on any edit of an example: the rule is off there, and with the whole rule book the code works as before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from porter.analysis.project import Project
from porter.codemod import rulebook
from porter.codemod.engine import Rewrites, rewrite
from porter.codemod.examples.executing import load, runner
from porter.codemod.examples.texts import place
from porter.codemod.suppress import Suppressions
from porter.syntax.loose_names import problem
from tests.rules.running import Case, cases
from tests.runtime.graphs import decibels

BOOK = rulebook.load().selected()


def rewritten(case: Case, text: str, *, alone: bool) -> Rewrites:
    """An example's files after its rule, or after all that are on, with another text of its own file."""
    files = {case.example.path: text, **case.example.others}
    project = Project.parse({path: (place(path), content) for path, content in files.items()})
    return rewrite(project, [case.rule] if alone else [*{case.rule: None, **dict.fromkeys(BOOK)}])


def noted(case: Case) -> list[str]:
    """The text before, with a note at each line where the rule has an edit."""
    found = []
    for line in sorted(
        {e.span.line for e in rewritten(case, case.example.before, alone=True).files[case.example.path].edits}
    ):
        lines = case.example.before.splitlines(keepends=True)
        lines[line - 1] = f"{lines[line - 1].rstrip()}  # port: ignore[{case.rule.code}]\n"
        text = "".join(lines)
        if any(note.line == line for note in Suppressions(text).notes):  # not inside a string
            found.append(text)
    return found


@pytest.mark.parametrize("case", cases(), ids=str)
def test_a_note_on_an_edit(case: Case, tmp_path: Path) -> None:
    example = case.example
    for number, text in enumerate(noted(case)):
        (note,) = Suppressions(text).notes
        edits = rewritten(case, text, alone=True).files[example.path].edits
        assert not [e for e in edits if e.rule == case.rule.code and note.first <= e.span.line <= note.last]
        after = rewritten(case, text, alone=False).files[example.path].text
        assert problem((text,), after) == ""
        if not example.call:
            continue
        name = f"{str(case).replace('-', '_')}_{number}"
        old = runner(load(text, f"{name}_before", tmp_path, example), example)()
        new = runner(load(after, f"{name}_after", tmp_path, example), example)()
        assert len(old) == len(new)
        for a, b in zip(old, new, strict=True):
            assert a.dtype == b.dtype
            shared = b[tuple(slice(0, n) for n in a.shape)] if example.trim else b
            assert torch.equal(a, shared) or decibels(shared, a) >= 80
