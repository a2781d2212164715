"""Comments outlive the code that they stand at, as far as they may be about what stays."""

from __future__ import annotations

import libcst as cst
import pytest

from porter.analysis.project import Project
from porter.codemod.engine import rewrite
from porter.rule import Rule, Safety
from porter.syntax.walk import own_of_type


class DropCalls(Rule):
    """Lines that call `gone` go, and so do lines that assign what it gives."""

    code = "TST001"
    title = "drop"
    safety = Safety.EXACT
    message = "dropped"

    def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
        if any(_calls(call, "gone") for call in own_of_type(node, cst.Call)):
            self.replace(node, [])


class Twice(Rule):
    """`twice(...)` on a line becomes two lines, in an expression a name; a loop over one becomes a line."""

    code = "TST002"
    title = "twice"
    safety = Safety.EXACT
    message = "two"

    def visit_Expr(self, node: cst.Expr) -> None:
        line = self.file.alone(node)
        if line is not None and _calls(node.value, "twice"):
            self.replace(line, [cst.parse_statement("one()"), cst.parse_statement("two()")])

    def visit_Assign(self, node: cst.Assign) -> None:
        if _calls(node.value, "twice"):
            self.replace(node.value, cst.Name("both"))

    def visit_For(self, node: cst.For) -> None:
        if _calls(node.iter, "twice"):
            self.replace(node, [cst.parse_statement("x = both()")])

    def visit_With(self, node: cst.With) -> None:
        if _calls(node.items[0].item, "twice"):
            self.replace(node, [s for s in node.body.body if isinstance(s, cst.BaseStatement)])

    def visit_If(self, node: cst.If) -> None:
        if _calls(node.test, "twice") and isinstance(node.orelse, cst.Else):
            self.replace(node, [s for s in node.orelse.body.body if isinstance(s, cst.BaseStatement)])


def _calls(node: cst.CSTNode, name: str) -> bool:
    return isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value == name


CASES = {
    "above what goes, for the next": ("def f():\n    # a\n    gone()\n    # b\n    y()\n", "def f():\n    # a\n    # b\n    y()\n"),
    "above the last of a block": ("def f():\n    y()\n    # a\n    gone()\n\n\nz()\n", "def f():\n    y()\n    # a\n\n\nz()\n"),
    "above all of a block": ("def f():\n    # a\n    gone()\n", "def f():\n    # a\n    pass\n"),
    "above the last of a file": ("y()\n# a\ngone()\n", "y()\n# a\n"),
    "above the last of a class": ("class C:\n    y = 1\n    # a\n    gone()\n\n    # b\n", "class C:\n    y = 1\n    # a\n\n    # b\n"),
    "behind what goes": ("y()\ngone()  # a\nz()\n", "y()\nz()\n"),
    "behind what goes, whose name is given another value": ("x = gone()  # [B, T]\nfor i in twice():\n    x[i] = 1\n", "x = both()  # [B, T]\n"),
    "behind what becomes several": ("twice()  # a\nz()\n", "one()\ntwo()  # a\nz()\n"),
    "behind the head of a loop": ("for i in twice():  # a\n    x[i] = 1\n", "x = both()  # a\n"),
    "inside an expression": ("x = twice(\n    1,  # a\n    # b\n    2,\n)  # c\n", "# a\n# b\nx = both  # c\n"),
    "inside a line": ("y()\n# a\ntwice(\n    1,  # b\n)\n", "y()\n# a\n# b\none()\ntwo()\n"),
    "around the statements of a block": (
        "def f():\n    # a\n    with twice():  # b\n        # c\n        y()\n        # d\n    z()\n",
        "def f():\n    # a\n    # b\n    # c\n    y()\n    # d\n    z()\n",
    ),
    "at the end of a block that ends another": (
        "def f():\n    with twice():\n        y()\n        # a\n\n\nz()\n",
        "def f():\n    y()\n    # a\n\n\nz()\n",
    ),
    "of a branch": (
        "if twice():  # a\n    # b\n    x()\n    # c\n# d\nelse:  # e\n    # f\n    y()\n    # g\nz()\n",
        "# d\n# e\n# f\ny()\n# g\nz()\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_comments(name: str) -> None:
    before, after = CASES[name]
    files = {"module/a.py": ("a.py", before)}
    rewritten = rewrite(Project.parse(files), [DropCalls, Twice]).files["module/a.py"]
    assert rewritten.text == after
    again = rewrite(Project.parse({"module/a.py": ("a.py", after)}), [DropCalls, Twice]).files["module/a.py"]
    assert again.text == after
    for edit in rewritten.edits:
        assert edit.target_span.end_line <= after.count("\n") + 1
