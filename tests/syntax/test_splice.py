"""Spliced text and places are those of generating the whole new module."""

from __future__ import annotations

from collections import Counter

import libcst as cst
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from porter.analysis.project import Project
from porter.codemod.engine import Rewritten, rewrite
from porter.codemod.rulebook import load
from porter.errors import PortError
from porter.rule import Rule, Safety
from porter.syntax.spans import Rendering
from porter.syntax.splice import Spliced
from porter.syntax.walk import descendants


class Triple(Rule):
    """Threes become three lines, fours a bare decorator, fives nothing, sixes another class head."""

    code = "TST009"
    title = "changes of every kind"
    safety = Safety.EXACT
    message = "changed"

    def visit_Integer(self, node: cst.Integer) -> None:
        line = self.file.statement(node)
        if node.value == "3":
            self.replace(line, [line, cst.parse_statement("pass"), line])
        elif node.value == "5":
            self.replace(line, [])
        elif node.value == "7":
            self.replace(node, cst.parse_expression("f(7, [\n7])"))

    def visit_Decorator(self, node: cst.Decorator) -> None:
        if isinstance(node.decorator, cst.Call):
            self.replace(node, [])

    def visit_Arg(self, node: cst.Arg) -> None:
        if isinstance(node.value, cst.Name) and node.value.value == "Six":
            self.replace(node, cst.Arg(cst.Name("Base")))


PIECES = (
    "x = 1  # kept",
    "y = 7",
    "z = (3,\n     4)",
    "w = 5",
    "# alone\n",
    "",
    "def f(a, b=7):\n    # inside\n    return a\n    # behind",
    "# above\n@d(1)\n\n# between\n@e\ndef g():\n\n    '''text\n    more'''\n    return 7",
    "class A(Six):\n    k = 1",
    "class B:\n    '''doc'''\n\n    # first\n    m = 7  # seven\n\n    @d(2)\n    @e\n    def h(self): return 1\n\n    # last",
    "class C(B):\n  n = 1\n\n  class D:\n      p = 5\n      # tail of D\n  def i(self):\n      return 7\n  # tail of C",
    "class E: q = 7",
    "class F:\n    r = 5",
    "if x:\n    s = 7; t = 1\nelse:\n    u = 3",
    "v = 1; w = 7",
    "def j(a):\n    # first\n    for b in (7, 1):\n        c = 1\n        d = 7\n        # tail\n    with a as e:\n\n        f = 5\n\n"
    "        while b: g = 7\n    return 1",
    "for k in a:\n    if k:\n      l = 7\n      m = 1\n    elif a:\n        o = 7\n    else:\n        p = 1\n    if l:\n        q = 7",
    "async def r(a=1):\n    async with a:\n        while 7:\n            s = 1\n        while a:\n            t = 7\n    # between\n\n"
    "for u in a:\n    v = 7\nelse:\n    w = 7",
)


def rewritten(source: str) -> Rewritten:
    project = Project.parse({"module/a.py": ("a.py", source)})
    return rewrite(project, [Triple]).files["module/a.py"]


def assert_same_as_generating_all(found: Rewritten) -> None:
    whole = Rendering(found.rebuilt.module)
    assert found.text == whole.text == found.rebuilt.module.code
    times = Counter(descendants(found.rebuilt.module))
    for node, count in times.items():
        assert (node in found.rendering) == (node in whole)
        if node in whole and count == 1:  # a node that a rule puts twice has two places
            assert found.rendering.span(node) == whole.span(node)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1), st.sampled_from(["\n", "\r\n"]), st.booleans())
@example(["# alone\n", "w = 5", "z = (3,\n     4)"], "\n", True)
def test_any_mixture_of_changed_and_unchanged_statements(pieces: list[str], newline: str, ends: bool) -> None:
    source = "\n".join(pieces) + ("\n" if ends else "")
    assert_same_as_generating_all(rewritten(source.replace("\n", newline)))


@pytest.mark.parametrize("piece", PIECES)
def test_each_kind_of_statement_between_changed_ones(piece: str) -> None:
    found = rewritten(f"a = 7\n{piece}\nb = 7\n")
    assert isinstance(found.rendering, Spliced)
    assert_same_as_generating_all(found)


@pytest.mark.parametrize("source", ["a = 7\rb = 7\rclass A:\r  c = 1\r", "a = 7\n\x0cb = 7\n"])
def test_lines_that_end_in_unusual_ways(source: str) -> None:
    assert_same_as_generating_all(rewritten(source))


def test_a_backslash_that_indents_is_refused() -> None:
    with pytest.raises(PortError, match=r"libcst cannot parse: .*\(line 4"):
        rewritten("if 1:\n    \\\n  b = 7\n    c = 1\n")


def test_a_backslash_alone_is_left_out_where_it_would_continue_another_statement() -> None:
    made = rewritten("def f(a):\n    b = 1\n    \\\n    c = 5\nd = 7\n")
    assert made.text == "def f(a):\n    b = 1\nd = f(7, [\n7])\n"
    kept = rewritten("def f(a):\n    b = 1\n    \\\n    c = 7\nd = 1\n")
    assert "    b = 1\n    \\\n    c = f(7, [\n" in kept.text


@pytest.mark.parametrize("rule", load().rules, ids=lambda rule: str(rule.code))
def test_every_rule_s_examples(rule: type[Rule]) -> None:
    for one in rule.examples:
        project = Project.parse({"module/a.py": ("a.py", one.before)})
        assert_same_as_generating_all(rewrite(project, [rule]).files["module/a.py"])
