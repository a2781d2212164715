"""The engine: edits recorded, untouched text kept byte for byte, conflicts settled, notes obeyed."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from porter.analysis.project import Project
from porter.codemod.engine import Rewrites, apply, rewrite, visit
from porter.codemod.rulebook import load
from porter.errors import PortError
from porter.rule import Rule, Safety
from porter.syntax.spans import Rendering


class DoubleNumbers(Rule):
    """Twos become fours."""

    code = "TST001"
    title = "double"
    safety = Safety.EXACT
    message = "two is too small"

    def visit_Integer(self, node: cst.Integer) -> None:
        if node.value == "2":
            self.replace(node, cst.Integer("4"))


class DropPrints(Rule):
    """Prints go."""

    code = "TST002"
    title = "no print"
    safety = Safety.EXACT
    message = "no print"

    def visit_Expr(self, node: cst.Expr) -> None:
        if (
            isinstance(node.value, cst.Call)
            and isinstance(node.value.func, cst.Name)
            and node.value.func.value == "print"
        ):
            self.replace(self.file.statement(node), [])


class WrapCalls(Rule):
    """f(x) becomes g(f(x))."""

    code = "TST003"
    title = "wrap"
    safety = Safety.EXACT
    message = "wrapped"
    name: ClassVar = "g"

    def visit_Call(self, node: cst.Call) -> None:
        if isinstance(node.func, cst.Name) and node.func.value == "f":
            self.replace(node, self.fill("g(__x)", x=node))


class Unwrap(Rule):
    """`if always:` goes, what is inside stays."""

    code = "TST004"
    title = "unwrap"
    safety = Safety.EXACT
    message = "always so"

    def visit_If(self, node: cst.If) -> None:
        if isinstance(node.test, cst.Name) and node.test.value == "always":
            self.replace(node, [s for s in node.body.body if isinstance(s, cst.BaseStatement)])


def run(text: str, *rules: type[Rule]) -> Rewrites:
    return rewrite(Project.parse({"module/a.py": ("a.py", text)}), rules)


def text_of(rewrites: Rewrites) -> str:
    return rewrites.files["module/a.py"].text


def test_only_the_edited_expression_changes() -> None:
    source = "x = [1,  2 , 3]   # keep  this\n\n\n# and this\ny=(2)\r\nz = 'caf\u00e9'; w = 2\n"
    assert text_of(run(source, DoubleNumbers)) == source.replace("2", "4")


def test_every_edit_says_where_it_was_and_where_it_is() -> None:
    rewrites = run("print(1)\nx = 2\nprint(3)\ny = 2\n", DoubleNumbers, DropPrints)
    places = [(e.rule, e.span.line, e.target_span.line) for e in rewrites.edits]
    assert places == [("TST002", 1, 1), ("TST001", 2, 1), ("TST002", 3, 1), ("TST001", 4, 2)]
    assert {e.file for e in rewrites.edits} == {"module/a.py"}
    assert all(e.reason for e in rewrites.edits)


def test_an_edit_inside_an_edit_is_kept() -> None:
    assert text_of(run("y = f(2)\n", WrapCalls, DoubleNumbers)) == "y = g(f(4))\n"


def test_the_first_rule_has_the_node_that_two_want() -> None:
    class ToNine(DoubleNumbers):
        """Another opinion."""

        code = "TST009"

        def visit_Integer(self, node: cst.Integer) -> None:
            self.replace(node, cst.Integer("9"))

    assert text_of(run("x = 2\n", DoubleNumbers, ToNine)) == "x = 4\n"
    assert [e.rule for e in run("x = 2\n", DoubleNumbers, ToNine).edits] == ["TST001"]


def test_a_block_that_loses_its_last_statement_passes() -> None:
    assert text_of(run("def f():\n    print(1)\n", DropPrints)) == "def f():\n    pass\n"


def test_a_note_keeps_a_rule_off_and_an_idle_note_is_reported() -> None:
    rewrites = run("x = 2  # port: ignore[TST001]\ny = 2\nz = 3  # port: ignore[TST]\n", DoubleNumbers)
    assert text_of(rewrites) == "x = 2  # port: ignore[TST001]\ny = 4\nz = 3  # port: ignore[TST]\n"
    assert rewrites.unused_ignores == (("module/a.py", 3, "TST"),)


def test_a_note_inside_a_string_is_no_note() -> None:
    assert text_of(run("x = '# port: ignore[TST001]', 2\n", DoubleNumbers)).endswith("4\n")


def test_a_file_that_is_not_python_is_named() -> None:
    with pytest.raises(PortError, match=r"module/a\.py is Python that libcst cannot parse.*line 1"):
        run("def f(:\n")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["x = 2", "print(2)", "if a:\n    print(1)", "def g():\n    return f(2)", "# note", ""]))
)
def test_a_second_run_changes_nothing(lines: list[str]) -> None:
    once = text_of(run("\n".join(lines) + "\n", DoubleNumbers, DropPrints))
    assert text_of(run(once, DoubleNumbers, DropPrints)) == once


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["x = f(2)[1:3]", "@d\ndef g(a, *, b=2):\n    return a", "while (a):\n    x += 'é'"])))
def test_spans_point_at_the_text_of_their_nodes(lines: list[str]) -> None:
    module = cst.parse_module("\n".join(lines) + "\n")
    rendering = Rendering(module)
    assert rendering.text == module.code
    for node in Project.parse({"module/a.py": ("a.py", module.code)}).files["module/a.py"].index.nodes:
        if isinstance(node, (cst.Name, cst.Integer, cst.Call)):
            file_rendering = Rendering(module)
            if node in file_rendering:
                start, end = file_rendering.offsets(node)
                assert module.code_for_node(node).strip("()") in module.code[start:end]


def test_the_rule_book_gives_the_same_for_reformatted_code() -> None:
    source = (
        "import torch\n\n\ndef cut(x, s, n):\n    r = torch.zeros_like(x[:, :, :n])\n    for i in range(x.size(0)):\n"
        "        r[i] = x[i, :, s[i]:s[i] + n]\n    return r\n"
    )
    spaced = (
        "import torch\ndef cut( x,s,n ):\n  r=torch.zeros_like( x[ :,:,:n ] )\n  for i in range( x.size( 0 ) ):\n"
        "    # one sample\n    r[ i ]=x[ i,:,(s[i]):(s[i]+n) ]\n  return r\n"
    )
    rules = load().selected()
    assert "ops.slice_segments(x, s, n)" in text_of(run(source, *rules))
    assert "ops.slice_segments(x, s, n)" in text_of(run(spaced, *rules)).replace("(s)", "s")


def test_a_removed_statement_leaves_its_place_behind_what_stood_before_it() -> None:
    rewrites = run("a = 1\nprint(1)\nb = 3\n\n\nc = 5\n# a comment stays\nprint(2)\nprint(3)\nd = 6\n", DropPrints)
    assert text_of(rewrites) == "a = 1\nb = 3\n\n\nc = 5\n# a comment stays\nd = 6\n"
    assert [(e.span.line, e.target_span.line, e.target_span.is_empty) for e in rewrites.edits] == [
        (2, 1, True),
        (8, 5, True),
        (9, 5, True),
    ]
    first = run("print(1)\na = 1\n", DropPrints).edits[0].target_span
    assert (first.line, first.is_empty) == (1, True)


def test_a_statement_that_takes_another_s_place_may_go_as_well() -> None:
    rewrites = run(
        "a = 1\nif always:\n    print(1)\n    b = 2\n    print(2)\nc = 3\n", Unwrap, DropPrints, DoubleNumbers
    )
    assert text_of(rewrites) == "a = 1\nb = 4\nc = 3\n"
    assert sorted((e.rule, e.target_span.line) for e in rewrites.edits) == [
        ("TST001", 2),
        ("TST002", 2),
        ("TST002", 2),
        ("TST004", 2),
    ]


def test_an_import_that_two_rules_split_is_credited_to_both() -> None:
    text = "import torch\nfrom torch.nn.functional import glu, interpolate, pad\n\n\ndef f(x):\n    return pad(glu(interpolate(x, 9)), (1, 1))\n"
    rules = load().selected()
    project = Project.parse({"module/a.py": ("a.py", text)})
    visit(project, rules)
    made = apply(project)
    moved = [(e.rule, e.reason.rpartition(" ")[2]) for e in made.edits if e.span.line == 2]
    assert moved == [("LOW001", "(interpolate)"), ("LOW006", "(glu)")]
    assert len({e.target_span for e in made.edits if e.span.line == 2}) == 1
    left = apply(project, without=[e.asked for e in made.edits if e.rule == "LOW006"])
    assert "from torch.nn.functional import glu, pad\nfrom .ops import interpolate\n" in text_of(left)
    assert [e.rule for e in left.edits] == ["LOW001"]
