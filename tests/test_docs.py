"""Pages that are made from the program, or that programs read, are as they should be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from porter import rulebook
from porter.cli import cli
from tests.tiny_upstream import own_rules, run

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
