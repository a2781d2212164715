"""`status` for machines: why a package is stale, at places upstream, and a repository that holds its own port."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.sarif_form import complaints
from tests.tiny_upstream import SYNC, run, tiny


def results_of(upstream: Path, out: Path, status: int) -> list[dict[str, Any]]:
    result = run("status", upstream, out, "--sarif")
    assert result.exit_code == status, result.stderr
    log = json.loads(result.stdout)
    assert complaints(log) == []
    assert log["runs"][0]["automationDetails"]["id"] == "sovits-port/status/"
    results = log["runs"][0]["results"]
    assert isinstance(results, list)
    return results


def test_what_changed_is_found(tmp_path: Path) -> None:
    upstream, out = tiny(tmp_path / "tiny"), tmp_path / "out"
    assert run("generate", upstream, "--out", out).exit_code == 0
    assert results_of(upstream, out, 0) == []
    tiny(upstream, {"GPT_SoVITS/module/sync.py": SYNC})
    (out / "module/tpu/commons.py").unlink()
    results = results_of(upstream, out, 1)
    told = {
        (r["ruleId"], r["level"], r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]) for r in results
    }
    assert ("upstream-changed", "warning", "GPT_SoVITS/module/sync.py") in told
    assert ("SYN", "error", "GPT_SoVITS/module/sync.py") in told
    assert any(r["ruleId"] == "missing-file" and "commons.py" in r["message"]["text"] for r in results)
    assert all(r["partialFingerprints"] for r in results)


def test_one_format_only(tmp_path: Path) -> None:
    assert run("status", tiny(tmp_path / "tiny"), tmp_path, "--sarif", "--json").exit_code == 2


def test_a_commit_alone_changes_headers(tmp_path: Path) -> None:
    def commit() -> None:
        subprocess.run(["git", "-C", upstream, "add", "-A"], check=True)
        name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", upstream, *name, "commit", "-qm", "x"], check=True)

    upstream, out = tiny(tmp_path / "tiny"), tmp_path / "tiny" / "GPT_SoVITS"
    subprocess.run(["git", "init", "-q", upstream], check=True)
    commit()
    assert run("generate", upstream, "--install").exit_code == 0
    commit()
    assert run("status", upstream, out).exit_code == 1
    assert run("status", upstream, out, "--content").exit_code == 0
    tiny(upstream, {"GPT_SoVITS/module/commons.py": "import torch\n\n\ndef double(x):\n    return 2 * x\n"})
    assert run("status", upstream, out, "--content").exit_code == 1
    assert run("generate", upstream, "--install").exit_code == 0
    assert run("status", upstream, out, "--content").exit_code == 0
    (out / "module/tpu/commons.py").unlink()
    assert run("status", upstream, out, "--content").exit_code == 1
