"""Counting lines of code."""

from __future__ import annotations

from tools.code_lines import counted

TEXT = """\"\"\"What it is.

At length.
\"\"\"

# a comment
import torch  # another

_BEFORE = \"\"\"import torch

torch.ones(1)
\"\"\"


class One(Rule):
    \"\"\"A docstring.\"\"\"

    examples = (
        Example(_BEFORE),
    )
    message = "one"

    def visit(self):
        return (
            1,

            2,
        )
"""


def test_blank_lines_comments_docstrings_and_examples_are_no_code() -> None:
    assert counted(TEXT, rule=True) == (8, 7)
    assert counted(TEXT, rule=False) == (15, 0)
