"""What a rule is: its examples as they are written, and as they are read."""

from typing import ClassVar

import libcst as cst
import pytest

from porter.analysis.project import Project
from porter.codemod.engine import rewrite, visit
from porter.codemod.examples.texts import first_difference
from porter.codemod.rulebook import load
from porter.rule import Example, Rule, Safety
from porter.syntax.walk import code


def test_blocks_lose_the_indentation_of_the_rule() -> None:
    example = Example(
        before="""
            def half(x):
                return x / 2
            """,
        after="def half(x):\n    return x * 0.5\n",
        others={
            "module/other.py": """
            X = 1
            """
        },
    )
    assert example.before == "def half(x):\n    return x / 2\n"
    assert example.after == "def half(x):\n    return x * 0.5\n"
    assert example.others == {"module/other.py": "X = 1\n"}


def test_code_that_is_left_alone_may_be_blocks_too() -> None:
    class Plain(Rule):
        untouched = (
            """
            if x:
                pass
            """,
            "x\n",
        )

    assert Plain.untouched == ("if x:\n    pass\n", "x\n")


def test_a_method_that_nothing_calls_is_refused() -> None:
    with pytest.raises(TypeError, match="leave_Call"):
        type("Wrong", (Rule,), {"leave_Call": lambda self, node: None})


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        ("import a\n\nx = 1\n", "import a\n\nx = 2\n", "line 3 is 'x = 1', not 'x = 2'"),
        ("x = 1\n", "x = 1", "line 1 is 'x = 1\\n', not 'x = 1'"),
        ("x\n", "x\n\ny\n", "it ends before line 2, '\\n'"),
        ("x\ny\n", "x\n", "line 2, 'y\\n', is one too many"),
    ],
)
def test_what_is_said_of_another_text(found: str, wanted: str, said: str) -> None:
    assert first_difference(found, wanted) == said


class Seen(Rule):
    """Keeps what it is shown."""

    code = "TST001"
    title = "keeps"
    safety = Safety.EXACT
    message = "kept"
    calls: ClassVar = ("cumsum",)
    attributes: ClassVar = ("grad",)
    shown: ClassVar[list[str]] = []

    def visit_Call(self, node: cst.Call) -> None:
        self.shown.append(code(node))

    def visit_Attribute(self, node: cst.Attribute) -> None:
        self.shown.append(code(node))


def test_a_rule_that_says_names_is_shown_what_is_called_so() -> None:
    Seen.shown.clear()
    lines = ("from torch import cumsum, cumsum as c, sum as s", "cumsum(x)", "x.cumsum(0)", "c(y)", "s(z)", "sum(x)")
    text = "\n".join((*lines, "x.grad.data", "cumsum.by(x)", "f(x)(y)", "x[cumsum](y)", "grad(x)"))
    visit(Project.parse({"module/a.py": ("a.py", f"{text}\n")}), [Seen])
    # A name that the import made up may mean anything.
    assert Seen.shown == ["cumsum(x)", "x.cumsum(0)", "c(y)", "s(z)", "x.grad"]


@pytest.mark.parametrize("rule", [r for r in load().rules if r.calls or r.attributes], ids=lambda rule: str(rule.code))
def test_a_rule_asks_for_nothing_where_no_name_is_that_it_says(
    rule: type[Rule], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*(one.before for one in rule.examples), *rule.untouched]

    def made() -> list[str]:
        projects = (Project.parse({"module/a.py": ("a.py", text)}) for text in texts)
        return [rewrite(project, [rule]).files["module/a.py"].text for project in projects]

    chosen = made()
    monkeypatch.setattr(rule, "calls", None)
    monkeypatch.setattr(rule, "attributes", None)
    assert made() == chosen
