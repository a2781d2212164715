"""What people decided, told by `diff`, its page and `status` where the hunk is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from porter.changes.decisions import NAME, decision
from porter.changes.decisions.undecided import undecided_hunks
from porter.changes.decisions.writing import write
from porter.package.base import read_base
from porter.package.manifest import read as read_manifest
from tests.tiny_upstream import own_rules, run, run_json, tiny


class TestDecisions:
    @pytest.fixture
    def out(self, tmp_path: Path) -> Path:
        upstream = tiny(tmp_path / "tiny")
        self.arguments = (upstream, "--rules", own_rules(tmp_path / "rules"), "--out", tmp_path / "out")
        run_json("generate", *self.arguments)
        return tmp_path / "out"

    def decide(self, out: Path, what: Literal["accept", "reject", "edit"], **more: str) -> dict[str, Any]:
        manifest = read_manifest(out)
        assert manifest is not None
        (hunk,) = (h for h in undecided_hunks(manifest, read_base(out, manifest)) if h.path.endswith("commons.py"))
        write(out / NAME, [decision(hunk, what, **more)])
        run_json("generate", *self.arguments)
        told = run_json("diff", out)
        (found,) = (h for h in told["hunks"] if h["file"].endswith("commons.py"))
        assert found["key"] == hunk.key
        return {**found, "totals": told}

    def test_an_edited_hunk_is_by_hand(self, out: Path) -> None:
        found = self.decide(out, "edit", text="    return x * 3\n", reason="")
        assert (found["by_hand"], found["safety"], found["reasons"]) == (True, None, [])
        assert found["decision"] == {"what": "edit", "reason": ""}
        assert found["new"] == "    return x * 3\n"
        (same,) = run_json("diff", out, "--rule", "HAND")["hunks"]
        assert same["key"] == found["key"]
        assert "HAND" in found["totals"]["rules"]
        assert found["totals"]["rules"]["SYN900"]["edits"] == 1
        assert "edited by hand, in place of what SYN900 writes" in run("diff", out).stdout
        page = out.parent / "page.html"
        assert run("diff", out, "--html", page).exit_code == 0
        assert "edited by hand, in place of what SYN900 writes" in page.read_text()

    def test_a_rejected_hunk_is_told_where_it_would_be(self, out: Path) -> None:
        found = self.decide(out, "reject", reason="it runs once")
        assert found["old"] == found["new"] == "    return torch.swap_me(x) * 2\n"
        assert (found["by_hand"], found["decision"]) == (False, {"what": "reject", "reason": "it runs once"})
        assert found["totals"]["rules"]["SYN900"]["hunks"] == 1
        assert run_json("diff", out, "--rule", "SYN900", "--file", "commons.py")["hunks"][0]["key"] == found["key"]
        assert "commons.py" not in run("diff", out).stdout  # a patch holds what differs
        page = out.parent / "page.html"
        assert run("diff", out, "--html", page).exit_code == 0
        assert "rejected by a person" in page.read_text()
        assert "it runs once" in page.read_text()

    def test_an_accepted_hunk_is_the_rules_own(self, out: Path) -> None:
        found = self.decide(out, "accept")
        assert (found["by_hand"], found["safety"]) == (False, "exact")
        assert found["decision"] == {"what": "accept", "reason": ""}

    def test_the_heading_of_a_rejected_rewrite(self, out: Path) -> None:
        run_json("generate", *self.arguments)
        self.decide(out, "accept")
        manifest = read_manifest(out)
        assert manifest is not None
        hunks = undecided_hunks(manifest, read_base(out, manifest))
        write(out / NAME, [decision(h, "reject") for h in hunks if h.path.endswith("commons.py")])
        told = run("status", self.arguments[0], out).stdout
        assert "Hazards whose rewrite a person rejected (1)" in told
        assert "Hazards that no rule knows" not in told

    def test_a_conflict_that_is_left(self, out: Path) -> None:
        place = out / "module/tpu/commons.py"
        text = place.read_text()
        marked = text.replace("def double", "<<<<<<< edited by hand\ndef twice\n=======\ndef double", 1)
        place.write_text(marked + ">>>>>>> generated now\n")
        told = run_json("diff", out)
        assert [c["file"] for c in told["conflicts"]] == ["module/tpu/commons.py"]
        page = out.parent / "page.html"
        assert run("diff", out, "--html", page).exit_code == 0
        assert "not solved: module/tpu/commons.py" in page.read_text()
