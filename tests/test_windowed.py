"""Windowed relative positions are known by what code computes, whatever it is called and however it is written."""

from __future__ import annotations

import libcst as cst
import pytest

from porter.analysis.project import Project
from porter.analysis.windowed import windowed_products
from porter.syntax.walk import code

ATTENTION = """
import torch
from torch import nn
from torch.nn import functional as F

from .helpers import shear

class Attention(nn.Module):
    def __init__(self, reach, width, shared=True):
        super().__init__()
        self.reach = reach
        self.table = nn.Parameter(torch.randn(1, reach * 2 + 1, width) * width**-0.5)

    def forward(self, q, w):
        length = q.size(-2)
        rows = self.widen(self.table, length)
        return shear(q @ rows.transpose(-2, -1)), torch.matmul(self.unshear(w), rows)

    def widen(self, x, length):
        more = max(length - (self.reach + 1), 0)
        first = max(self.reach + 1 - length, 0)
        if more > 0:
            x = F.pad(x, (0, 0, more, more))
        return x[:, first : first + 2 * length - 1]

    def unshear(self, x):
        b, h, n, _ = x.size()
        x = F.pad(x, (0, n - 1)).view(b, h, n**2 + n * (n - 1))
        return F.pad(x, (n, 0)).view(b, h, n, 2 * n)[:, :, :, 1:]
"""
HELPERS = """
import torch.nn.functional as F

def shear(x):
    b, h, n, _ = x.size()
    x = F.pad(x, (0, 1)).view([b, h, n * 2 * n])
    return F.pad(x, (0, n - 1)).view(b, h, n + 1, 2 * n - 1)[:, :, :n, n - 1 :]
"""


def found(text: str, helpers: str = HELPERS) -> list[tuple[str, str, str]]:
    """Kind, tensor and table of each product in `forward`."""
    files = {"module/a.py": ("a.py", text), "module/helpers.py": ("helpers.py", helpers)}
    file = Project.parse(files).files["module/a.py"]
    forward = next(n for n in file.index.nodes if isinstance(n, cst.FunctionDef) and n.name.value == "forward")
    return [(w.kind, code(w.tensor), code(w.table)) for w in windowed_products(file, forward)]


BOTH = [("scores", "q", "self.table"), ("values", "w", "self.table")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("q @ rows.transpose(-2, -1)", "torch.matmul(q, rows.unsqueeze(0).permute(0, 1, 3, 2))"),
        ("length = q.size(-2)", "length = w.shape[-1]"),
        ("self.reach", "self.window"),
        ("torch.randn(1, reach * 2 + 1, width) * width**-0.5", "torch.zeros((4, 1 + 2 * reach, width))"),
        ("        if more > 0:\n            x = ", "        x = "),
        (
            "rows = self.widen(self.table, length)",
            "table = self.table\n        rows = self.widen(x=table, length=length)",
        ),
        ("more = max(length - (self.reach + 1), 0)", "more = 0 if length <= self.reach else length - self.reach - 1"),
    ],
)
def test_products_are_known_however_they_are_written(old: str, new: str) -> None:
    assert old in ATTENTION
    assert found(ATTENTION.replace(old, new)) == BOTH


def test_the_tensor_may_be_computed_in_place_and_under_another_name() -> None:
    text = ATTENTION.replace("return shear(q @", "k = q / 3\n        return shear(k @")
    assert found(text) == [("scores", "k", "self.table"), BOTH[1]]
    text = ATTENTION.replace("return shear(q @", "return shear((q / 3) @")
    assert found(text) == [("scores", "(q / 3)", "self.table"), BOTH[1]]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reach * 2 + 1, width", "reach * 2 + 3, width"),  # wider than the window
        ("self.reach = reach\n", "self.reach = reach\n        reach = 3\n"),  # the window is another then
        ("* width**-0.5)", "* width**-0.5)\n        self.table = None"),  # set twice
        ("nn.Parameter(", "("),
        ("length = q.size(-2)", "length = q.size(-2)\n        self.reach = length"),
        ("rows = self.widen(self.table, length)", "rows = self.widen(self.table, length)\n        rows = rows * 2"),
        ("class Attention(nn.Module)", "class Attention"),
        ("def widen", "@torch.jit.script\n    def widen"),
        ("return x[:, first : first + 2 * length - 1]", "return x[:, first : first + 2 * length - 1].flip(1)"),
    ],
)
def test_nothing_is_known_of_a_class_that_leaves_doubt(old: str, new: str) -> None:
    assert old in ATTENTION
    assert found(ATTENTION.replace(old, new)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n - 1 :]", "n - 2 : -1]"),  # one position further
        ("(0, 1)", "(0, 1), value=1"),
        ("    x = F.pad", "    print(x)\n    x = F.pad"),
        ("[:, :, :n, n - 1 :]", "[:, :, :n, n - 1 :].transpose(-2, -1)"),  # keys before queries
    ],
)
def test_nothing_is_known_of_a_helper_that_does_anything_else(old: str, new: str) -> None:
    assert old in HELPERS
    assert found(ATTENTION, HELPERS.replace(old, new)) == BOTH[1:]


@pytest.mark.parametrize(
    "between",
    [
        "q.mul_(2)",
        "q[0] = 1",
        "q, _ = w, q",
        "q += 1",
        "with open('x') as q: pass",
        "x.neg_()",
        "x[0] = 1",
        "F.relu(q, inplace=True)",
    ],
)
def test_a_tensor_that_changes_before_the_product_is_left_alone(between: str) -> None:
    text = ATTENTION.replace(
        "return shear(q @ rows.transpose(-2, -1)),", f"x = q @ rows.mT\n        {between}\n        return shear(x),"
    )
    assert found(text) == BOTH[1:]


def test_lengths_that_need_not_fit_leave_doubt() -> None:
    cut = ATTENTION.replace("rows.transpose(-2, -1)", "rows.transpose(-2, -1)[..., : 2 * length - 1]")
    assert found(cut) == BOTH
    assert found(cut.replace("2 * length - 1])", "2 * w.size(-1) - 1])")) == BOTH[1:]


@pytest.mark.parametrize("own", ["def widen(self, x, n):\n        return x", "def more(self):\n        self.reach = 9"])
def test_a_class_below_that_changes_what_is_used_leaves_doubt(own: str) -> None:
    assert found(f"{ATTENTION}\n\nclass Below(Attention):\n    def reset(self):\n        pass\n") == BOTH
    assert found(f"{ATTENTION}\n\nclass Below(Attention):\n    {own}\n") == []
