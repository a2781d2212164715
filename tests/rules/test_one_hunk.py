"""Edits that mean nothing without each other are one hunk, which a person refuses as a whole."""

from __future__ import annotations

import pytest

from porter.analysis.project import Project
from porter.changes.hunks import Hunk, Sides, hunks_in
from porter.codemod import rulebook
from porter.codemod.engine import rewrite
from porter.codemod.examples.texts import place
from porter.package.manifest.describe import edit_record
from porter.syntax.text import split_lines

RULES = {rule.code: rule for rule in rulebook.load().rules}
SAVED_AND_MOVED = """import shutil

import torch


def store(x, path):
    part = path + ".part"

    # written here
    torch.save(x, part)

    # and then at once
    shutil.move(part, path)
    print(path)
"""
SAVED_TOGETHER = """import torch


def store(a, b):
    torch.save(a, "a.pth")

    # the judge

    torch.save(b, "b.pth")
    print("done")
"""


def hunks(code: str, text: str) -> list[Hunk]:
    path = "train_net.py"
    (rewritten,) = rewrite(Project.parse({path: (place(path), text)}), [RULES[code]]).files.values()
    records = [edit_record(edit, lambda line: line) for edit in rewritten.edits]
    sides = Sides(path, place(path), split_lines(text), split_lines(rewritten.text), (0, 0))
    return list(hunks_in(sides, records))


@pytest.mark.parametrize(("code", "text"), [("DEV013", SAVED_AND_MOVED), ("DEV014", SAVED_TOGETHER)])
def test_lines_that_belong_together_are_one_hunk(code: str, text: str) -> None:
    imported, changed = hunks(code, text)
    assert imported.new[-1] == "from .. import training\n"
    assert changed.rules == (code,)
    lines = text.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith("def store")) + 1
    assert changed.line == first + 1
    assert list(changed.old) == lines[first:-1]  # all but the print
