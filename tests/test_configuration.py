"""One configuration for all commands, and what a package was made with in place of one."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import yaml

from porter.changes.decisions import NAME as DECISIONS
from porter.changes.decisions import decision
from porter.changes.decisions.undecided import undecided_hunks
from porter.changes.decisions.writing import write
from porter.errors import PortError
from porter.package.base import read_base
from porter.package.manifest import read as read_manifest
from tests.tiny_upstream import own_rules, run, run_json, tiny

NETS = """import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x, lengths):
        y = torch.swap_me(x)
        mean = x.mean()

        print(mean)
        z = torch.randn(3, 4).to(x.device)
        if x.min() < 0:
            raise ValueError("negative")

        keep = x[x > 0]
        return y + z, keep

    def again(self, x):
        return torch.randn(3, 4).to(x.device) + torch.zeros(3, 4).to(x.device)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with an upstream and a folder of rules."""
    tiny(tmp_path / "co", {"GPT_SoVITS/module/nets.py": NETS})
    own_rules(tmp_path / "rules")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configure(folder: Path, text: str) -> None:
    (folder / "sovits-port.toml").write_text(text)


def refused(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    return result.stderr


class TestConfiguration:
    def test_all_commands_read_it_from_below_too(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        configure(home, 'upstream = "co"\nout = "port"\nrules = ["rules"]\nignore = ["RNG"]\n')
        told = run_json("generate")
        assert (home / "port/module/tpu/nets.py").is_file()
        assert told["rules"]["SYN900"] == 3
        assert told["options"]["ignore"] == ["RNG"]
        monkeypatch.chdir(home / "co/GPT_SoVITS")
        assert not run_json("generate")["written"]
        assert run_json("status")["stale"] is False
        assert run_json("check", status=1)["rules"] == told["rules"]
        assert run("diff", "--stat").exit_code == run("review", "--list").exit_code == 0
        assert "SYN900" in run("rules").stdout

    def test_options_win(self, home: Path) -> None:
        configure(home, 'upstream = "nowhere"\nout = "port"\nignore = ["RNG"]\ninstall = true\n')
        told = run_json("generate", "co", "--out", "other", "--ignore", "SYN", "--no-install")
        assert told["options"] == {"select": [], "ignore": ["SYN"], "install": False}
        assert (home / "other/port.json").is_file()
        assert "nowhere" in refused("check")

    def test_none_is_read_where_a_person_says_so(self, home: Path) -> None:
        configure(home, 'upstream = "co"\n')
        assert "give UPSTREAM" in refused("--no-config", "generate")
        (home / "sub").mkdir()
        (home / "sub/mine.toml").write_text('upstream = "../co"\nout = "here"\n')
        assert run("--config", "sub/mine.toml", "generate").exit_code == 0
        assert (home / "sub/here/port.json").is_file()
        assert "cannot read no.toml" in refused("--config", "no.toml", "generate")

    def test_in_pyproject(self, home: Path) -> None:
        (home / "pyproject.toml").write_text('[project]\nname = "x"\n\n[tool.sovits-port]\nupstream = "co"\n')
        assert run("generate").exit_code == 0
        (home / "generated").rename(home / "elsewhere")
        (home / "pyproject.toml").write_text('[project]\nname = "x"\n')
        assert "give UPSTREAM" in refused("check", "--select", "SYN")
        configure(home, 'upstream = "co"\nout = "own"\n')
        assert run("generate").exit_code == 0
        assert (home / "own").is_dir()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("upstream = 1", "upstream is 1, and has to be a text"),
            ("select = 'SYN'", "select is 'SYN', and has to be a list of texts"),
            ("install = 'yes'", "install is 'yes', and has to be true or false"),
            ("upstraem = 'x'", "'upstraem', which is no setting; did you mean 'upstream'?"),
            ("zzz = 'x'", "settings are upstream, out"),
            ("upstream = ", "is not TOML"),
            ("ignore = ['NOPE']\nupstream = 'co'", "NOPE"),
        ],
    )
    def test_damaged(self, home: Path, text: str, words: str) -> None:
        configure(home, text)
        assert words in refused("generate")

    def test_what_is_no_path_stays(self, home: Path) -> None:
        configure(home, 'upstream = "pypi:no-such-name-here==1.0.bad.bad"\n')
        assert "pypi:no-such-name-here" in refused("generate")


class TestInit:
    def test_what_it_writes_is_read(self, home: Path) -> None:
        assert run("init", "co", "--out", "port", "--ignore", "RNG,DEV", "--rules", "rules").exit_code == 0
        told = run_json("generate")
        assert told["options"]["ignore"] == ["DEV", "RNG"]
        assert told["rules"]["SYN900"] == 3
        assert "has a configuration; --force replaces it" in refused("init", "co")
        assert run("init", "co", "--force").exit_code == 0
        assert (home / "sovits-port.toml").read_text() == 'upstream = "co"\n'

    def test_into_pyproject(self, home: Path) -> None:
        (home / "pyproject.toml").write_text("# mine\n[project]\nname = 'x' # a name\n")
        assert run("init", "co", "--pyproject", "--install").exit_code == 0
        text = (home / "pyproject.toml").read_text()
        assert text.startswith("# mine\n[project]\nname = 'x' # a name\n")
        assert "[tool.sovits-port]\nupstream = " in text
        assert run_json("generate")["options"]["install"]

    def test_nothing_is_written_for_what_cannot_be_used(self, home: Path) -> None:
        assert "nowhere" in refused("init", "nowhere")
        assert "give UPSTREAM" in refused("init")
        assert "NOPE" in refused("init", "co", "--select", "NOPE")
        assert not (home / "sovits-port.toml").exists()


class TestMadeWith:
    def test_nothing_has_to_be_said_twice(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run_json("generate", "co", "--out", "a/port", "--rules", "rules", "--ignore", "RNG")
        for directory in (["a/port"], ["co", "a/port"]):
            assert run_json("status", *directory)["stale"] is False
        account = run_json("check", "a/port", status=1)
        assert account["options"]["ignore"] == ["RNG"]
        assert account["rules"]["SYN900"] == 3
        monkeypatch.chdir(home / "a/port")
        assert run_json("status", ".")["stale"] is False
        (home / "co/GPT_SoVITS/module/nets.py").write_text(NETS.replace("3, 4", "4, 4"))
        assert run_json("status", ".", status=1)["stale"] is True

    def test_the_log_knows_the_rules_of_the_package(self, home: Path) -> None:
        run_json("generate", "co", "--out", "port", "--rules", "rules")
        log = json.loads(run("check", "port", "--all", "--sarif").stdout)["runs"][0]["tool"]["driver"]["rules"]
        (own,) = (rule for rule in log if rule["id"] == "SYN900")
        assert "swap me" in json.dumps(own)

    def test_decisions_of_a_package_are_not_those_of_another_upstream(self, home: Path) -> None:
        tiny(home / "other", {"GPT_SoVITS/module/nets.py": NETS})
        run_json("generate", "co", "--rules", "rules")
        _decide(home / "generated", home / "mine.toml", 1)
        run_json("generate", "co", "--rules", "rules", "--decisions", "mine.toml")
        plain = run_json("check", "other", "--rules", "rules", status=1)["hazards"]["residual"]
        assert plain < run_json("check", "generated", status=1)["hazards"]["residual"]

    def test_port_json_holds_no_paths(self, home: Path) -> None:
        run_json("generate", "co", "--out", "port", "--rules", "rules")
        assert str(home) not in (home / "port/port.json").read_text()
        (home / "port").rename(home / "moved")
        assert "give UPSTREAM" in refused("status", "moved")
        assert run_json("status", "co", "moved", "--rules", "rules")["stale"] is False

    def test_another_package_in_its_place(self, home: Path) -> None:
        tiny(home / "other")
        run_json("generate", "co", "--out", "port")
        run_json("generate", "other", "--out", "second")
        (home / "port").rename(home / "first")
        (home / "second").rename(home / "port")
        assert "give UPSTREAM" in refused("status", "port")

    def test_a_damaged_or_missing_cache(self, home: Path) -> None:
        run_json("generate", "co")
        for kept in platformdirs.user_state_path("sovits-port").glob("packages/*"):
            kept.write_text("[")
        assert "give UPSTREAM" in refused("status")
        run_json("generate", "co")
        assert run_json("status")["stale"] is False

    def test_decisions_of_another_file(self, home: Path) -> None:
        run_json("generate", "co", "--rules", "rules", "--decisions", "mine.toml")
        run_json("generate", "co", "--rules", "rules")
        _decide(home / "generated", home / "mine.toml", 1)
        run_json("generate", "co", "--rules", "rules", "--decisions", "mine.toml")
        assert run_json("status")["stale"] is False
        assert [h["state"] for h in run_json("review")["hunks"]].count("undecided") < len(run_json("review")["hunks"])


class TestInstalled:
    def test_found_from_the_checkout(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        told = run("generate", "co", "--install").stdout
        assert "PYTHONPATH=co/GPT_SoVITS:co python" in told
        monkeypatch.chdir(home / "co")
        for arguments in ([], ["."], ["GPT_SoVITS"], [".", "GPT_SoVITS"]):
            assert run_json("status", *arguments)["stale"] is False, arguments
        assert run("diff").stdout == run("diff", ".").stdout != ""
        assert run("review", ".", "--list").exit_code == 0
        found = {f["name"]: f["found"] for f in json.loads(run("doctor", "--json").stdout)["findings"]}
        assert found["its imports"] == "all that GPT_SoVITS/module/tpu needs is installed"
        assert run_json("check", status=1)["upstream"]["spec"] == "co"

    def test_two_of_them(self, home: Path) -> None:
        run_json("generate", "co", "--install")
        (home / "co/GPT_SoVITS").rename(home / "co/one")
        tiny(home / "co")
        run_json("generate", "co/GPT_SoVITS", "--install")
        (home / "co/GPT_SoVITS").rename(home / "co/two")
        assert "both hold an installed package" in refused("diff", "co")


def _decide(package: Path, file: Path, seed: int) -> None:
    """Write random decisions about the hunks of a package."""
    manifest = read_manifest(package)
    assert manifest is not None
    hunks = undecided_hunks(manifest, read_base(package, manifest))
    chosen = random.Random(seed).sample(hunks, k=len(hunks) // 2)
    write(file, [decision(hunk, "reject") for hunk in chosen])


@pytest.mark.parametrize("seed", range(20))
def test_all_commands_count_the_same_hazards(home: Path, seed: int) -> None:
    """generate, check, status, SARIF and the hook of pre-commit, whatever was decided and noted."""
    chance = random.Random(seed)
    lines = [
        line + ("  # port: ignore[RNG]" if "randn" in line and chance.random() < 0.4 else "")
        + ("  # port: ignore[SYN]" if ("print" in line or ".min()" in line) and chance.random() < 0.4 else "")
        for line in NETS.splitlines()
    ]  # fmt: skip
    (home / "co/GPT_SoVITS/module/nets.py").write_text("\n".join(lines) + "\n")
    configure(home, 'upstream = "co"\nrules = ["rules"]\n')
    run_json("generate")
    _decide(home / "generated", home / "generated" / DECISIONS, seed)
    made = run("generate", "--json")
    if made.exit_code == 2:  # a decision may not leave a name that nothing defines: no command goes on
        assert run("check").exit_code == 2
        return
    hazards: dict[str, Any] = json.loads(made.stdout)["hazards"]
    left = int(hazards["residual"] > 0)
    assert hazards["residual"] == run_json("check", status=left)["hazards"]["residual"]
    assert run_json("status")["stale"] is False
    log = json.loads(run("check", "--sarif").stdout)["runs"][0]["results"]
    assert sum(result["level"] == "error" for result in log) == hazards["residual"]
    hooks = yaml.safe_load((Path(__file__).parent.parent / ".pre-commit-hooks.yaml").read_text())
    entry = next(hook for hook in hooks if hook["id"] == "sovits-port-check")
    assert run(*entry["entry"].split()[1:], *entry.get("args", [])).exit_code == left


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    from porter.cli.configuration import read

    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PortError, match=r"x\.toml is not TOML"):
        read(tmp_path / "x.toml")
    (tmp_path / "pyproject.toml").write_text("[tool]\nsovits-port = 3\n")
    with pytest.raises(PortError, match=r"tool\.sovits-port is no table"):
        read(tmp_path / "pyproject.toml")


def test_a_changed_checkout_is_named_after_its_commit(home: Path) -> None:
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(home / "co"), *command], check=True)
    clean = run_json("generate", "co")["upstream"]["revision"]
    (home / "co/README.md").write_text("changed")
    assert run_json("generate", "co", "--out", "b")["upstream"]["revision"] == f"{clean}-dirty"
    assert f"({clean[:12]}-dirty)" in run("generate", "co", "--out", "c").stdout


class TestNotPorted:
    """What computes with torch and stays upstream's is named."""

    def test_it_is_named_by_folder(self, home: Path) -> None:
        for name in ("AR/gpt.py", "AR/deep/blocks.py", "s1.py", "text/plain.py"):
            place = home / "co/GPT_SoVITS" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("import torch\n" if "plain" not in name else "import re\n")
        told = run_json("generate", "co")
        known = ["AR/deep/blocks.py", "AR/gpt.py", "module/models_onnx.py", "s1.py"]
        assert told["scope"]["not_ported"] == [f"GPT_SoVITS/{name}" for name in known]
        words = "Not ported, and not looked at, though it computes with torch: AR (2 files), module (1 file), s1.py"
        assert words in run("check", "co").stdout
        assert words in run("generate", "co", "--out", "b").stdout

    def test_a_new_one_is_news(self, home: Path) -> None:
        run_json("generate", "co")
        assert run_json("status")["stale"] is False
        (home / "co/GPT_SoVITS/s1.py").write_text("import torch\n")
        assert run_json("generate", "co")["written"]
        assert not run_json("generate", "co")["written"]

    def test_a_package_of_an_older_version_is_read(self, home: Path) -> None:
        run_json("generate", "co")
        place = home / "generated/port.json"
        told = json.loads(place.read_text())
        del told["scope"]
        place.write_text(json.dumps(told))
        assert run("diff", "--stat").exit_code == 0
        told["scope"] = {"not_ported": "x"}
        place.write_text(json.dumps(told))
        assert "scope" in refused("diff")
