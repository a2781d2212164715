"""The page of `diff --html`: whole, closed, and with links that lead somewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from porter.views.page.highlight import highlighted
from tests.tiny_upstream import run, run_json, write_tree

MODELS = """import torch
from torch import nn


class Model(nn.Module):
    \"\"\"Says "<script>alert(1)</script>" & more.

    Over lines.
    \"\"\"

    def noise(self, x):
        return torch.randn(3, 4).to(x.device) + x
"""
MODELS += "".join(f"\n    def number_{n}(self, x):\n        return x + {n}\n" for n in range(20))
MODELS += "\n    def wait(self, x):\n        return x.sum().item()\n"
_VOID = {"meta", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page; fails where tags are not nested as they should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.lines: dict[str, list[tuple[int, str]]] = {}  # upstream's, by file
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.elements.append((tag, told))
        if tag not in _VOID:
            self.open.append((tag, told))
        if "data-n" in told and not self._inside("code new"):
            self._of_file().append((int(told["data-n"]), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] == "script":
            self.scripts.append(data)
        if any("data-n" in told for _, told in self.open) and not self._inside("code new"):
            number, text = self._of_file()[-1]
            self._of_file()[-1] = (number, text + data)

    def _inside(self, name: str) -> bool:
        return any(told.get("class") == name for _, told in self.open)

    def _of_file(self) -> list[tuple[int, str]]:
        (path,) = (told["data-file"] for _, told in self.open if told.get("class") == "file")
        return self.lines.setdefault(path, [])

    def values(self, name: str) -> list[str]:
        return [told[name] for _, told in self.elements if name in told]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    upstream = write_tree(folder / "upstream", {"module/__init__.py": "", "module/models.py": MODELS})
    result = run("generate", upstream, "--out", folder / "out")
    assert result.exit_code == 0, result.stderr
    models = folder / "out/module/tpu/models.py"
    models.write_text(models.read_text().replace("x + 7", "x + 77"))
    return folder / "out"


@pytest.fixture(scope="module")
def text(out: Path) -> str:
    result = run("diff", out, "--html", out / "page.html")
    assert (result.exit_code, result.stdout) == (0, ""), result.stderr
    return (out / "page.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_line_of_upstream_is_there_once_and_in_order(page: Page) -> None:
    assert page.lines["module/models.py"] == list(enumerate(MODELS.splitlines(), 1))


def test_every_hunk_is_there_with_its_rules(out: Path, page: Page) -> None:
    told = run_json("diff", out)["hunks"]
    shown = {e["id"]: e["data-rules"].split() for _, e in page.elements if e.get("class") == "hunk"}
    assert shown == {f"h-{h['key']}": [*h["rules"], *(["HAND"] if h["by_hand"] else [])] for h in told}
    assert any(rules == ["HAND"] for rules in shown.values())
    assert set(page.values("data-rule")) == {rule for rules in shown.values() for rule in rules}


def test_every_reason_is_there(out: Path, text: str) -> None:
    from html import unescape

    plain = " ".join(unescape(re.sub(r"<[^>]+>", "", text)).split())
    for hunk in run_json("diff", out)["hunks"]:
        assert all(reason in plain for reason in hunk["reasons"])


def test_hazards_link_to_their_lines(out: Path, page: Page) -> None:
    hazards = json.loads((out / "port.json").read_bytes())["hazards"]["list"]
    assert {"fixed", "residual"} <= {h["status"] for h in hazards}
    rows = [(told["data-code"], told["data-file"]) for _, told in page.elements if "data-code" in told]
    assert sorted(rows) == sorted((h["code"], h["file"]) for h in hazards)
    at = {told["id"]: told.get("data-n") for _, told in page.elements if "id" in told}
    linked = {at[link[1:]] for link in page.values("href") if link[1:] in at and at[link[1:]]}
    assert {str(h["line"]) for h in hazards} == linked


def test_links_lead_somewhere_and_names_are_given_once(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.values("href")} <= set(ids)


def test_the_page_is_closed(text: str, page: Page) -> None:
    assert not page.values("src") and all(link.startswith("#") for link in page.values("href"))
    assert "http:" not in text and "https:" not in text and "url(" not in text
    (script,) = page.scripts
    policy = next(e["content"] for _, e in page.elements if e.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert "alert(1)" in text and "<script>alert" not in text


def test_the_page_is_the_same_twice(out: Path, text: str) -> None:
    run("diff", out, "--html", out / "again.html")
    assert (out / "again.html").read_text("utf-8") == text


def test_filters_leave_out_what_they_should(out: Path) -> None:
    run("diff", out, "--html", out / "part.html", "--rule", "HAND")
    part = Page((out / "part.html").read_text("utf-8"))
    assert [e["data-rules"] for _, e in part.elements if e.get("class") == "hunk"] == ["HAND"]
    assert part.lines["module/models.py"] == list(enumerate(MODELS.splitlines(), 1))


def test_a_place_that_cannot_be_written_is_one_sentence(out: Path) -> None:
    result = run("diff", out, "--html", out / "nowhere" / "page.html")
    assert result.exit_code == 2 and "cannot be written" in result.stderr


def test_lines_are_highlighted_inside_a_string_too() -> None:
    lines = ['x = """<a>', "  def", '"""', "", "def f(): return 1  # é"]
    html = highlighted(lines)
    assert len(html) == len(lines)
    assert html[1] == '<span class="s">  def</span>'
    assert "&lt;a&gt;" in html[0] and '<span class="k">def</span>' in html[4]
    assert [re.sub(r"<[^>]+>", "", line) for line in html[1:]] == lines[1:]
    assert highlighted([]) == [] and highlighted([""]) == [""]
