"""Patterns with holes: what matches them, by what names mean."""

from __future__ import annotations

import libcst as cst
import pytest

from porter.analysis.project import Project
from porter.syntax.template import match

SQUARE = "torch.square(__x)"


def matches(pattern: str, text: str) -> bool:
    """Whether what the last function of a file returns matches a pattern."""
    file = Project.parse({"module/a.py": ("a.py", text)}).files["module/a.py"]
    returned = [node.value for node in file.index.nodes if isinstance(node, cst.Return)][-1]
    assert returned is not None
    return match(pattern, returned, file.resolve) is not None


@pytest.mark.parametrize(
    ("pattern", "text", "same"),
    [
        (SQUARE, "import torch\ndef f(a):\n    return torch.square(a)\n", True),
        (SQUARE, "import torch as t\ndef f(a):\n    return t.square(a)\n", True),
        (SQUARE, "from torch import square as s\ndef f(a):\n    return s(a)\n", True),
        (SQUARE, "import numpy as torch\ndef f(a):\n    return torch.square(a)\n", False),
        (SQUARE, "def f(torch, a):\n    return torch.square(a)\n", False),
        (SQUARE, "class torch:\n    square = abs\ndef f(a):\n    return torch.square(a)\n", False),
        ("__m.item()", "def f(a):\n    return a.item()\n", True),
        ("self.pad(__x)", "class A:\n    def f(self, a):\n        return self.pad(a)\n", True),
        ("x.pad(__x)", "class A:\n    def f(self, a):\n        return self.pad(a)\n", False),
    ],
)
def test_names_are_compared_by_what_they_mean(pattern: str, text: str, *, same: bool) -> None:
    assert matches(pattern, text) is same
