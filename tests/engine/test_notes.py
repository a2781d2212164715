"""Notes keep rules off, and with an edit all that means nothing without it."""

from __future__ import annotations

import ast
import textwrap

import libcst as cst
import pytest

from porter.analysis.project import Project
from porter.codemod import rulebook
from porter.codemod.engine import Rewrites, rewrite
from porter.codemod.suppress import Suppressions
from porter.errors import PortError
from porter.hazards.account import account
from porter.hazards.hazard import Status
from porter.rule import Needed, Rule, Safety
from porter.syntax.walk import own_of_type


class Rename(Rule):
    """In each function, `old` becomes `new` wherever it stands."""

    code = "TST001"
    title = "rename"
    safety = Safety.EXACT
    message = "old is old"

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        for name in own_of_type(node, cst.Name):
            if name.value == "old":
                self.replace(name, cst.Name("new"))


class Announce(Rule):
    """Two edits in visits of their own: what `make` gives is another thing, and so is what `use` takes."""

    code = "TST002"
    title = "announce"
    safety = Safety.EXACT
    message = "announced"

    def visit_Call(self, node: cst.Call) -> None:
        if isinstance(node.func, cst.Name) and node.func.value in ("make", "use"):
            self.replace(node.func, cst.Name(f"{node.func.value}_new"), together=["announced"])


class Careless(Rule):
    """Two edits that belong together, and nothing says so."""

    code = "TST003"
    title = "careless"
    safety = Safety.EXACT
    message = "careless"

    def visit_Assign(self, node: cst.Assign) -> None:
        target = node.targets[0].target
        if isinstance(target, cst.Name) and target.value == "first":
            self.replace(target, cst.Name("second"))

    def visit_Return(self, node: cst.Return) -> None:
        if isinstance(node.value, cst.Name) and node.value.value == "first":
            self.replace(node.value, cst.Name("second"))


class Inside(Rule):
    """A loop is unrolled where the other rule has renamed all in it."""

    code = "TST004"
    title = "inside"
    safety = Safety.EXACT
    message = "inside"

    def visit_While(self, node: cst.While) -> None:
        statements = [s for s in node.body.body if isinstance(s, cst.BaseStatement)]
        self.replace(node, statements, needs=[Needed(node, (Rename.code,))])


def run(*rules: type[Rule], **texts: str) -> Rewrites:
    files = {f"module/{name}.py": (f"{name}.py", textwrap.dedent(text)) for name, text in texts.items()}
    return rewrite(Project.parse(files), rules)


def text_of(rewrites: Rewrites, name: str = "a") -> str:
    return rewrites.files[f"module/{name}.py"].text


TWO = "def f(\n    old,\n):\n    x = old\n    return (\n        old  # here\n        + x\n    )\n\n\ndef g(old):\n    return old\n"


@pytest.mark.parametrize("line", [1, 2, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("note", ["TST001", "tst001", "TST", "SYN, TST001", "SYN TST001", ""])
def test_what_is_asked_for_in_one_visit_is_kept_off_as_a_whole(line: int, note: str) -> None:
    lines = TWO.splitlines()
    lines[line - 1] += f"  # port: ignore[{note}]" if note else "  # port: ignore"
    text = "\n".join(lines) + "\n"
    after = text_of(run(Rename, a=text))
    assert after == text.replace("def g(old):\n    return old", "def g(new):\n    return new")


@pytest.mark.parametrize("file", ["a", "b"])
def test_edits_of_several_files_that_belong_together(file: str) -> None:
    texts = {"a": "def f():\n    return make()\n", "b": "def g(x):\n    use(x)\n"}
    texts[file] = f"{texts[file][:-1]}  # port: ignore[TST002]\n"
    rewrites = run(Announce, **texts)
    assert {name: text_of(rewrites, name) for name in texts} == texts
    assert len(rewrites.kept) == 2
    assert all(f"module/{file}.py" in kept.note for kept in rewrites.kept if kept.file != f"module/{file}.py")


def test_what_needs_another_rule_s_edits() -> None:
    noted = "def f(old):\n    while True:\n        x = old  # port: ignore[TST001]\n"
    assert text_of(run(Rename, Inside, a=noted)) == noted
    other = "def f(old):\n    while True:\n        x = old  # port: ignore[TST004]\n"
    assert text_of(run(Rename, Inside, a=other)) == other.replace("(old)", "(new)").replace("= old", "= new")


class HaveParameters(Rule):
    """Parameters get another name."""

    code = "TST005"
    title = "parameters"
    safety = Safety.EXACT
    message = "parameters"

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        for parameter in node.params.params:
            self.replace(parameter.name, cst.Name("other"), alone=True)


class ReturnOne(Rule):
    """A line goes, whatever else was asked for in it."""

    code = "TST006"
    title = "one"
    safety = Safety.EXACT
    message = "one"

    def visit_Return(self, node: cst.Return) -> None:
        self.replace(self.file.statement(node), cst.parse_statement("return 1"))


@pytest.mark.parametrize(
    ("rules", "after"),
    [
        ((HaveParameters, Rename), "def f(other):\n    return old\n"),
        ((Rename, HaveParameters), "def f(new):\n    return new\n"),
        ((Rename, ReturnOne), "def f(old):\n    return 1\n"),
    ],
)
def test_where_another_rule_has_one_edit_the_others_are_not_made(rules: list[type[Rule]], after: str) -> None:
    assert text_of(run(*rules, a="def f(old):\n    return old\n")) == after


def test_names_that_nothing_defines_any_more_are_looked_for() -> None:
    noted = "def f(x):\n    first = x  # port: ignore[TST003]\n    return first\n"
    assert text_of(run(Careless, a=noted)) == noted  # all that the rule asks for there stays away


def test_a_note_that_cannot_be_followed_is_named() -> None:
    text = "import torch  # port: ignore[PKG002]\n\n\ndef f(x):\n    return torch.nn.functional.interpolate(x, 2)\n"
    with pytest.raises(PortError, match=r"module/a\.py:1: the note '# port: ignore\[PKG002\]' cannot be followed"):
        run(*rulebook.load().selected(), a=text)


@pytest.mark.parametrize(
    ("comment", "codes", "reason"),
    [
        ("# port: ignore[SHP001] the length is fixed", ("SHP001",), "the length is fixed"),
        ("# port: ignore[SHP001]: the length is fixed", ("SHP001",), "the length is fixed"),
        ("# port: ignore[shp001,SYN] -- fixed", ("SHP001", "SYN"), "fixed"),
        ("# noqa  # port: ignore[SHP]  # type: ignore", ("SHP",), ""),
        ("#port:ignore SHP001, SYN002 fixed", ("SHP001", "SYN002"), "fixed"),
        ("# port: ignore", ("",), ""),
        ("# port: ignore - nobody runs it", ("",), "nobody runs it"),
        ("# Port: Ignore[SHP001]", ("SHP001",), ""),
    ],
)
def test_forms_of_a_note(comment: str, codes: tuple[str, ...], reason: str) -> None:
    (note,) = Suppressions(f"x = 1  {comment}\n").notes
    assert (note.codes, note.reason) == (codes, reason)


@pytest.mark.parametrize(
    "text", ["x = '# port: ignore[SHP001]'\n", "# port: ignored\n", "# port: ignore-file[SHP]\n", "# ports: ignore\n"]
)
def test_no_notes(text: str) -> None:
    assert Suppressions(text).notes == ()


def test_the_statement_of_a_note() -> None:
    text = (
        "# port: ignore[A1]\n# more\nx = f(\n    1,  # port: ignore[A2]\n)\n\n# port: ignore[A3]\n\ny = 1\n"
        "@d\n# port: ignore[A4]\ndef g(\n    a,\n):\n    z = 1  # port: ignore[A5]\n    # port: ignore[A6]\nw = 1\n"
    )
    told = {note.codes[0]: (note.first, note.last) for note in Suppressions(text).notes}
    assert told == {"A1": (3, 5), "A2": (3, 5), "A3": (7, 7), "A4": (10, 14), "A5": (15, 15), "A6": (16, 16)}


def test_a_note_without_a_rule_leaves_a_rewrite_around_its_line() -> None:
    text = (
        "import torch\n\n\ndef f(net, x):\n    if torch.cuda.is_available():\n        x = x + 1{}\n    return net(x)\n"
    )
    rules = rulebook.load().selected()
    assert "if torch" not in text_of(run(*rules, a=text.format("  # port: ignore")))
    assert "if torch" in text_of(run(*rules, a=text.format("  # port: ignore[DEV010]")))


WINDOWS = """\
import torch


def windows(x, starts, size):
    out = torch.zeros_like(x[:, :, :size])
    for i in range(x.size(0)):
        first = starts[i]
        last = first + size
        out[i] = x[i, :, first:last]
    return out
"""
COUNTS = """\
import torch


@torch.jit.script
def gate(x, count):
    n = count[0]
    return torch.tanh(x[:, :n]) * torch.sigmoid(x[:, n:])
"""
CALLS = """\
import torch
from module.a import gate


class Layer(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x):
        return gate(x, torch.IntTensor([self.width]))
"""


def noted(text: str, line: int, note: str) -> str:
    lines = text.splitlines()
    lines[line - 1] += f"  # port: ignore[{note}]"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("line", [5, 6, 7, 8, 9])
def test_no_half_of_a_rewrite_is_left(line: int) -> None:
    text = noted(WINDOWS, line, "SHP001")
    assert ast.dump(ast.parse(text_of(run(*rulebook.load().selected(), a=text)))) == ast.dump(ast.parse(WINDOWS))


@pytest.mark.parametrize(
    ("a", "b", "lists"), [(0, 0, True), (4, 0, False), (5, 0, False), (0, 2, False), (0, 11, False)]
)
def test_a_scripted_function_is_given_no_list(a: int, b: int, lists: bool) -> None:
    files = {"a": noted(COUNTS, a, "JIT001") if a else COUNTS, "b": noted(CALLS, b, "PKG001, JIT002") if b else CALLS}
    rewrites = run(*rulebook.load().selected(), **files)
    assert ("gate(x, [self.width])" in text_of(rewrites, "b")) is lists
    assert ("torch.jit.script" in text_of(rewrites, "a")) is bool(a)


def test_a_branch_for_cuda_is_not_taken_where_a_line_in_it_stays() -> None:
    text = "import torch\n\n\ndef f(net, x):\n    if torch.cuda.is_available():\n        x = torch.relu(x).cuda()\n    return net(x)\n"
    rules = rulebook.load().selected()
    assert "if torch" not in text_of(run(*rules, a=text))
    assert "if torch" in text_of(run(*rules, a=noted(text, 6, "DEV002")))


def test_what_a_note_keeps_off_is_told_with_its_reason() -> None:
    text = noted(WINDOWS, 9, "SHP001").replace("[SHP001]", "[SHP001] short")
    hazards = account(run(*rulebook.load().selected(), a=text))
    waived = [h for h in hazards if h.status is Status.WAIVED]
    assert {(h.code, h.line) for h in waived} == {("SHP001", 5), ("SHP001", 6)}
    assert all("'# port: ignore[SHP001]' (short) in line 9" in h.reason for h in waived)
    assert not [h for h in hazards if h.code == "SHP001" and h.status is not Status.WAIVED]


def test_an_import_may_be_noted_for_one_of_its_rules() -> None:
    text = "from torch.cuda.amp import GradScaler, autocast  # port: ignore[DEV001]\n\n\ndef f():\n    return GradScaler(), autocast()\n"
    after = text_of(run(*rulebook.load().selected(), a=text))
    assert "from torch.cuda.amp import autocast  # port: ignore[DEV001]\nfrom .utils import GradScaler\n" in after


def test_the_runtime_is_imported_only_where_it_is_called() -> None:
    text = noted(WINDOWS, 9, "SHP001")
    assert "import ops" not in text_of(run(*rulebook.load().selected(), a=text))


def test_a_number_is_kept_as_a_tensor_only_where_it_is_printed_as_a_number() -> None:
    text = "import torch\n\n\ndef f(x):\n    loss = torch.mean(x).item()\n    print(loss)\n"
    rules = rulebook.load().selected()
    assert ".item()" not in text_of(run(*rules, a=text)) and "    print" not in text_of(run(*rules, a=text))
    assert text_of(run(*rules, a=noted(text, 6, "SYN003"))) == noted(text, 6, "SYN003")
