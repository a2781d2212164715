"""What straight code makes of its names."""

from __future__ import annotations

import libcst as cst
import pytest

from porter.analysis.inlining import NotStraightError, final_values
from porter.analysis.project import Project
from porter.syntax.walk import descendants

HEAD = """import torch.nn.functional as F
from torch import tanh as bend


def twice(a, b):
    "Doc."
    c = a + b
    return c * sizes[0]


def again(a):
    b = again(a)
    return b


def loops(a):
    for _ in a:
        pass
    return a


"""


def values(body: str) -> dict[str, str]:
    text = HEAD + "def run(x, y):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    project = Project.parse({"module/made.py": ("module/tpu/made.py", text)})
    file = project.module("module.made")
    assert file is not None
    (function,) = [n for n in descendants(file.module) if isinstance(n, cst.FunctionDef) and n.name.value == "run"]
    found = final_values(file, function.body.body, {})
    return {name: cst.Module([]).code_for_node(value) for name, value in found.items()}


@pytest.mark.parametrize(
    ("body", "name", "wanted"),
    [
        ("z = x + 1\nz = z * y", "z", "(x + 1) * y"),
        ("z = bend(x)", "z", "torch.tanh(x)"),
        ("z = F.relu(x, inplace=True)", "z", "torch.nn.functional.relu(x, inplace=True)"),
        ("z = twice(x, y)", "z", "((x + y) * sizes[0])"),
        ("z = loops(x)", "z", "loops(x)"),
        ("n = [4, 5]\nz = n[1]", "z", "5"),
        ("if x:\n    z = 1\nelse:\n    z = 2", "z", "(1 if x else 2)"),
        ("z = 0\nif x:\n    z = y", "z", "(y if x else 0)"),
        ("if x:\n    z = 1\nelif y:\n    z = 2", "z", "(1 if x else (2 if y else z))"),
        ("x = y.x + x", "x", "y.x + x"),
        ("y = x\nz = f(y=y).y", "z", "f(y=x).y"),
    ],
)
def test_straight_code_is_one_expression(body: str, name: str, wanted: str) -> None:
    assert values(body)[name] == wanted


def test_a_function_that_calls_itself_comes_to_an_end() -> None:
    assert values("z = again(x)")["z"].count("again") == 1


@pytest.mark.parametrize(
    "body", ["z = x\n" + "z = z + z\n" * 40, "for z in x:\n    pass", "x += y", "x[0] = y", "x, y = y, x", "print(x)"]
)
def test_what_is_not_straight_is_said(body: str) -> None:
    with pytest.raises(NotStraightError):
        values(body)
