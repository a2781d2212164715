"""Pages that are made from the program, or that programs read, are as they should be."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from porter import __version__
from porter.cli import cli
from porter.codemod import rulebook
from tests.tiny_upstream import own_rules, run
from tools.command_reference import page
from tools.diff_picture import draw
from tools.notebook import notebook

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


class TestRules:
    def test_the_page_is_not_stale(self) -> None:
        told = run("rules", "--markdown").stdout
        assert (DOCS / "rules.md").read_text("utf-8") == told, "run: sovits-port rules --markdown > docs/rules.md"

    def test_a_changed_rule_changes_the_page(self, tmp_path: Path) -> None:
        own = own_rules(tmp_path / "rules")
        first = run("rules", "--markdown", "--rules", own).stdout
        path = own / "swap.py"
        for old, new in (("it was there", "it stood there"), ("Swap one", "Change one"), ("(1)", "(2)")):
            path.write_text(path.read_text().replace(old, new))
            copy = tmp_path / new.replace(" ", "")
            copy.mkdir()
            (copy / "swap.py").write_text(path.read_text())
            changed = run("rules", "--markdown", "--rules", copy).stdout
            assert changed != first
            first = changed

    def test_every_rule_has_an_anchor_that_the_contents_name(self) -> None:
        page = (DOCS / "rules.md").read_text("utf-8")
        anchors = re.findall(r'^<a id="(\w+)"></a>$', page, re.MULTILINE)
        assert len(set(anchors)) == len(anchors)
        assert set(re.findall(r"\]\(#(\w+)\)", page)) == set(anchors)
        assert {rule.code.lower() for rule in rulebook.load().rules} < set(anchors)


class TestCommands:
    def test_the_page_is_not_stale(self) -> None:
        wanted = "run: python -m tools.command_reference > docs/commands.md"
        assert (DOCS / "commands.md").read_text("utf-8") == page(), wanted

    def test_every_command_and_option_is_told(self) -> None:
        context = click.Context(cli, info_name="sovits-port")
        for name in cli.list_commands(context):
            command = cli.get_command(context, name)
            assert command is not None
            _, _, part = page().partition(f"\n## {name}\n")
            part = part.partition("\n## ")[0]
            assert part, name
            options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
            assert all(option in part for option in options), name


def test_the_site_builds_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    # The file names strict: a link or an anchor that is not there fails.
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = {path.parent.name for path in (tmp_path / "site").rglob("index.html")}
    assert {path.stem for path in DOCS.glob("*.md")} - {"index"} <= built


class TestReadme:
    TEXT = (ROOT / "README.md").read_text("utf-8")

    def test_is_short(self) -> None:
        assert len(self.TEXT.split()) < 700

    @pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
    def test_links_lead_somewhere(self, page: str) -> None:
        links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text("utf-8"))
        assert [link for link in links if not link.startswith("http") and not (ROOT / link).is_file()] == []

    def test_names_every_page(self) -> None:
        for place in ("README.md", "docs/index.md"):
            told = (ROOT / place).read_text("utf-8")
            pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
            assert {page for page in pages if page not in told} == set()

    def test_its_picture_is_not_stale(self) -> None:
        wanted = "run: python -m tools.diff_picture RNG001 docs/images/diff.svg"
        assert (DOCS / "images/diff.svg").read_text("utf-8") == draw("RNG001"), wanted


def yaml_in(page: str) -> list[Any]:
    """What the YAML blocks of a page say."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


def workflow() -> dict[str, Any]:
    found = yaml_in("ci.md")[0]
    assert isinstance(found, dict)
    return found


def hooks() -> list[dict[str, Any]]:
    found = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert isinstance(found, list)
    return found


def commands() -> Iterator[str]:
    """Every command line of the tool in the workflow, the hooks and the code of the page."""
    for step in workflow()["jobs"]["holds"]["steps"]:
        yield from (
            line.strip() for line in step.get("run", "").splitlines() if line.strip().startswith("sovits-port ")
        )
    for hook in hooks():
        yield shlex.join([*hook["entry"].split(), *hook.get("args", [])])
    yield from re.findall(r"^sovits-port .*$", (DOCS / "ci.md").read_text("utf-8"), re.MULTILINE)


def command_lines(page: str) -> list[str]:
    """Every command line of the tool in the blocks of a page."""
    blocks = re.findall(r"^```\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [part.strip() for line in lines for part in line.split("&&") if part.strip().startswith("sovits-port ")]


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md") if path.name != "rules.md"))
def test_commands_of_pages_can_be_parsed(page: str) -> None:
    for line in command_lines(page):
        words = shlex.split(re.split(r"[|>]| # ", line.partition("#")[0])[0])[1:]
        if words[0].startswith("-"):
            continue
        command = cli.get_command(click.Context(cli), words[0])
        assert command is not None, line
        with command.make_context(words[0], words[1:]):
            pass


class TestNotebook:
    page = DOCS / "from-wavs-to-speech.md"

    def test_it_is_not_stale(self) -> None:
        """Its cells are the page's blocks, which tests/test_training_page.py executes."""
        wanted = "run: python -m tools.notebook docs/from-wavs-to-speech.md > docs/from-wavs-to-speech.ipynb"
        found = self.page.with_suffix(".ipynb").read_text("utf-8")
        assert found == notebook(self.page.read_text("utf-8")), wanted

    def test_cells_of_code_are_installed_or_executed(self) -> None:
        cells = json.loads(notebook(self.page.read_text("utf-8")))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        tagged = [cell["metadata"].get("tags") == ["installs"] for cell in cells if cell["cell_type"] == "code"]
        assert tagged == [True, True, *[False] * 5]
        assert code[1] == "%cd GPT-SoVITS"  # a cell of bash would forget it
        assert [text.startswith("%%bash\n") for text in code] == [True, False, True, True, False, True, True]
        assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")


class TestCompared:
    TEXT = (DOCS / "compared.md").read_text("utf-8")

    def test_it_names_what_there_is(self) -> None:
        ours = [row.split("|")[2] for row in self.TEXT.splitlines() if row.startswith("| ")]
        context = click.Context(cli)
        names = {word for cell in ours for word in re.findall(r"`(\w+)[ `]", cell)} & {
            "generate",
            "check",
            "rules",
            "diff",
        }
        assert names == {"generate", "check", "rules", "diff"}
        for cell in ours:
            for name, option in re.findall(r"`(\w+) (--[\w-]+)", cell):
                command = cli.get_command(context, name)
                assert command is not None and option in {o for p in command.params for o in p.opts}


class TestCi:
    def test_it_names_the_version(self) -> None:
        text = (DOCS / "ci.md").read_text("utf-8")
        assert f'sovits-port@v{__version__}"' in text and f"rev: v{__version__}\n" in text

    @pytest.mark.parametrize("line", list(commands()))
    def test_commands_can_be_parsed(self, line: str) -> None:
        words = shlex.split(re.split(r"[|>]", line)[0])[1:]
        command = cli.get_command(click.Context(cli), words[0])
        if command is None:
            pytest.skip(f"there is no command {words[0]} yet")
        with command.make_context(words[0], words[1:]):  # ends with an error for an option that is not there
            pass

    def test_the_workflow_asks_all_questions(self) -> None:
        used = {line.split()[1] for line in commands()}
        assert {"status", "check", "validate", "generate"} <= used

    def test_what_fails_is_told_and_the_run_fails(self) -> None:
        steps = workflow()["jobs"]["holds"]["steps"]
        judged = {step["id"] for step in steps if "id" in step}
        assert judged == {"status", "check", "validate"}
        assert all(step["continue-on-error"] for step in steps if "id" in step)
        last = steps[-1]
        assert all(f"steps.{name}.outcome == 'failure'" in last["if"] for name in judged)
        assert last["run"].rstrip().endswith("exit 1")

    def test_the_pages_hooks_are_there(self) -> None:
        known = {hook["id"] for hook in hooks()}
        for told in yaml_in("ci.md")[1:]:
            used = [hook["id"] for repository in told["repos"] for hook in repository["hooks"]]
            assert used
            assert set(used) <= known

    @pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook["id"])
    def test_hooks_run_for_upstreams_files(self, hook: dict[str, Any]) -> None:
        assert re.search(hook["files"], "GPT_SoVITS/module/models.py")
        assert not re.search(hook["files"], "README.md")
        assert hook["pass_filenames"] is False
        assert hook["language"] == "python"
