"""What a rule is: its examples as they are written, and as they are read."""

import pytest

from porter.codemod.examples.texts import first_difference
from porter.rule import Example, Rule


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
