"""What the page of `diff --html` shows for an address, in Chromium where there is one; conflicts and decisions on it."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from porter import __version__
from porter.changes.decisions import NAME, decision
from porter.changes.decisions.undecided import undecided_hunks
from porter.changes.decisions.writing import write
from porter.package.base import read_base
from porter.package.manifest import read as read_manifest
from porter.views.page.layout import kinds_of
from tests.tiny_upstream import own_rules, run, run_json, tiny

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_COMMAND = (
    str(CHROMIUM),
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--virtual-time-budget=2000",
    "--dump-dom",
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


class Shown(HTMLParser):
    """Hunks that are not hidden, and the rows of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.hunks: list[str] = []
        self.here: list[str] = []
        self.values: dict[str, str] = {}
        self._hidden = ""
        self.feed(text)
        self.count = re.search(r'id="shown"[^>]*>([^<]*)<', text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "section" and "file" in told.get("class", "").split():
            self._hidden = told["id"] if "hidden" in told else ""
        if tag == "article" and "hidden" not in told and not self._hidden and "beside" not in told["class"]:
            self.hunks.append(told["id"])
        if "here" in told.get("class", "").split():
            self.here.append(told["id"])


def shown(page: Path, fragment: str) -> Shown:
    """The page as Chromium has it, some moments after it was opened at this address."""
    done = subprocess.run(
        [*_COMMAND, f"{page.as_uri()}{fragment}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return Shown(done.stdout)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A package with a decision, an edit by hand and a conflict."""
    upstream, rules = tiny(tmp_path / "tiny"), own_rules(tmp_path / "rules")
    arguments = (upstream, "--rules", rules, "--out", tmp_path / "out")
    run_json("generate", *arguments)
    out = tmp_path / "out"
    manifest = read_manifest(out)
    assert manifest is not None
    (hunk,) = (h for h in undecided_hunks(manifest, read_base(out, manifest)) if h.path.endswith("commons.py"))
    write(out / NAME, [decision(hunk, "reject", reason="it runs once")])
    run_json("generate", *arguments)
    models = out / "module/tpu/models.py"
    text = models.read_text().replace("# a comment that stays", "# mine")
    models.write_text(f"{text}<<<<<<< edited by hand\nx = 1\n=======\nx = 2\n>>>>>>> generated now\n")
    return out


@pytest.fixture
def page(out: Path) -> Path:
    place = out.parent / "page.html"
    assert run("diff", out, "--html", place).exit_code == 0
    return place


def test_conflicts_decisions_and_versions_are_told(out: Path, page: Path) -> None:
    text = page.read_text()
    told = run_json("diff", out)
    (conflict,) = told["conflicts"]
    (decided,) = (h for h in told["hunks"] if h["decision"])
    assert f"{conflict['file']}:{conflict['line']}</a>" in text
    assert f'<a href="#h-{decided["key"]}">{decided["file"]}:' in text and "it runs once" in text
    assert f"made by sovits-port {__version__}" in text and "on 20" in text


def test_the_date_can_be_given(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    place = out.parent / "dated.html"
    run("diff", out, "--html", place)
    assert "on 1970-01-02" in place.read_text()


def test_who_was_at_work(out: Path) -> None:
    from porter.changes.comparison import compare

    found = compare(out)
    kinds = {c.key: kinds_of(c, [m.line for m in found.marked if m.file == f.name]) for f, c in found.changes}
    assert {("decided",), ("rule", "hand")} <= set(kinds.values())
    assert sum("conflict" in told for told in kinds.values()) == 1


@needs_chromium
class TestAddress:
    def test_of_nothing_shows_all(self, out: Path, page: Path) -> None:
        hunks = run_json("diff", out)["hunks"]
        assert shown(page, "").hunks == [f"h-{h['key']}" for h in hunks]

    @pytest.mark.parametrize(
        ("fragment", "wanted"),
        [
            ("#rule=SYN9", lambda h: "SYN900" in h["rules"]),
            ("#kind=decided", lambda h: bool(h["decision"])),
            ("#kind=conflict", lambda h: "=======" in h["new"]),
            ("#safety=exact&rule=SYN900", lambda h: h["safety"] == "exact" and "SYN900" in h["rules"]),
            ("#text=X+%3D+2", lambda h: "x = 2" in h["new"]),
            ("#file=GPT_SoVITS%2Fmodule%2Fcommons.py", lambda h: h["file"].endswith("commons.py")),
            ("#text=no+such+words", lambda h: False),
        ],
    )
    def test_of_filters(self, out: Path, page: Path, fragment: str, wanted: object) -> None:
        assert callable(wanted)
        hunks = [h for h in run_json("diff", out)["hunks"] if wanted(h)]
        told = shown(page, fragment)
        assert told.hunks == [f"h-{h['key']}" for h in hunks]
        assert told.count is not None and told.count[1].startswith(f"{len(hunks)} of ")

    def test_of_a_hunk(self, out: Path, page: Path) -> None:
        key = run_json("diff", out)["hunks"][-1]["key"]
        assert shown(page, f"#h-{key}").here == [f"h-{key}"]
        hidden = shown(page, f"#text=no+such+words&at=h-{key}")  # what an address names is shown
        assert hidden.here == [f"h-{key}"] and len(hidden.hunks) == len(run_json("diff", out)["hunks"])
