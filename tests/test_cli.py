"""The command line as a whole: exit statuses, streams, pipes and terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from porter import __version__
from porter.cli import cli
from porter.estimate.pair import to_install
from tests.tiny_upstream import SYNC, own_rules, run, run_json, tiny

ROOT = Path(__file__).parent.parent


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-m", "porter", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return tiny(tmp_path / "tiny")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return own_rules(tmp_path / "rules")


class TestGroup:
    def test_version(self) -> None:
        assert run("--version").stdout == f"sovits-port, version {__version__}\n"

    def test_help_lists_commands_that_are_there(self) -> None:
        told = run("--help").stdout
        for name in ("generate", "check", "rules", "doctor"):
            assert f"\n  {name} " in told

    def test_a_terminal_that_knows_ascii_only(self, upstream: Path, tmp_path: Path) -> None:
        done = command("generate", upstream, "--out", tmp_path / "out", PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        assert "module/tpu" in done.stdout

    def test_a_command_that_is_not_installed_is_not_listed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(cli._lazy, "magic", "porter.cli.magic:magic")
        assert "magic" not in run("--help").stdout
        assert run("magic").exit_code == 2

    @pytest.mark.parametrize("arguments", [(), ("nonsense",), ("generate",), ("generate", "--nonsense")])
    def test_wrong_usage(self, arguments: tuple[str, ...]) -> None:
        assert run(*arguments).exit_code == 2

    def test_an_interrupt_is_quiet(self, monkeypatch: pytest.MonkeyPatch, upstream: Path) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("porter.inputs.upstream.open_upstream", interrupt)
        result = run("generate", upstream)
        assert (result.exit_code, result.output) == (130, "")

    def test_starting_is_light(self) -> None:
        """Nothing heavy is imported before a command asks for it."""
        heavy = ("libcst", "rich", "torch", "platformdirs")
        code = f"import sys, porter.cli; print([m for m in {heavy} if m in sys.modules])"
        told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert told.stdout == "[]\n"


class TestProcess:
    def test_piped_output_is_plain(self, upstream: Path, rules: Path, tmp_path: Path) -> None:
        done = command("generate", upstream, "--rules", rules, "--out", tmp_path / "out", "-v")
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout
        assert done.stderr == ""
        assert "SYN900" in done.stdout

    def test_a_sentence_and_status_2(self, tmp_path: Path) -> None:
        done = command("generate", tmp_path / "nowhere")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("sovits-port: error: ")
        assert done.stderr.count("\n") == 1

    def test_a_closed_pipe_is_quiet(self) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-m", "porter", "rules", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait() == 141

    def test_control_c(self, upstream: Path, tmp_path: Path) -> None:
        """A rule that sleeps stands for any long run."""
        rules = tmp_path / "slow"
        rules.mkdir()
        (rules / "slow.py").write_text("import time\nprint('asleep', flush=True)\ntime.sleep(60)\n")
        arguments = ("generate", upstream, "--rules", rules, "--out", tmp_path / "out")
        with subprocess.Popen(
            [sys.executable, "-m", "porter", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            # A shell's background jobs, and so the tests when run in one, ignore the signal.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.stderr.read() == b""
        assert not (tmp_path / "out").exists()

    def test_nothing_to_do_is_quick(self, upstream: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        assert command("generate", upstream, "--out", out).returncode == 0
        start = time.perf_counter()
        done = command("generate", upstream, "--out", out, PYTHONPROFILEIMPORTTIME="1")
        assert time.perf_counter() - start < 5  # the real limit is bench/generate_speed.py's
        assert "up to date" in done.stdout
        for heavy in ("libcst", "rich"):
            assert f" {heavy}\n" not in done.stderr


class TestTerminal:
    """What a person sees; the width comes from COLUMNS, colours from the terminal."""

    @pytest.mark.parametrize("arguments", [("check",), ("rules",), ("rules", "SYN900"), ("doctor",)])
    def test_narrow(
        self, monkeypatch: pytest.MonkeyPatch, upstream: Path, rules: Path, arguments: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "60")
        more = {"check": (upstream, "--rules", rules), "rules": ("--rules", rules), "doctor": ()}[arguments[0]]
        told = run(*arguments, *more).stdout
        code = ("    x", "  +", "  -", "To keep")
        assert max(len(line) for line in told.split("\n") if not line.startswith(code)) <= 60

    def test_colours(self, upstream: Path, rules: Path) -> None:
        arguments = ["generate", str(upstream), "--rules", str(rules), "--diff"]
        coloured = in_terminal(arguments)
        assert "\x1b[32m+" in coloured
        assert "\x1b[31m-" in coloured
        assert "\x1b[3" not in in_terminal(arguments, NO_COLOR="1")


def in_terminal(arguments: list[str], **environment: str) -> str:
    """What a command prints on a terminal."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "porter", *arguments], stdout=theirs, stderr=theirs, env=env | environment
    ) as process:
        os.close(theirs)
        told = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            told += part
        process.wait()
    os.close(ours)
    return told.decode()


class TestRules:
    def test_book(self, rules: Path) -> None:
        told = run("rules", "--rules", rules).stdout
        assert "SYN900" in told
        assert "swap me" in told

    def test_one_rule(self, rules: Path) -> None:
        told = run("rules", "syn900", "--rules", rules).stdout
        for part in (
            "Swap one function",
            "it was there to be swapped",
            "host syncs",
            "exact",
            "ignore[SYN900]",
        ):
            assert part in told
        for line in ("   import torch", "  -torch.swap_me(1)", "  +torch.swapped(1)", "   swap_me(1)"):
            assert f"\n{line}\n" in told

    def test_json(self, rules: Path) -> None:
        book = run_json("rules", "--rules", rules)["rules"]
        assert {
            "code": "SYN900",
            "title": "swap me",
            "safety": "exact",
            "family": "host syncs",
            "default": True,
        } in book
        one = run_json("rules", "SYN900", "--rules", rules)["rules"][0]
        assert one["examples"][0]["before"].startswith("import torch")
        assert one["untouched"] == ["swap_me(1)\n"]

    @pytest.mark.parametrize(
        ("code", "advice"),
        [
            ("nope1", "the families are DEV,"),
            ("", "the families are DEV,"),
            ("RNG01", "did you mean RNG001"),
            ("low099", "did you mean LOW0"),
        ],
    )
    def test_unknown_code(self, code: str, advice: str) -> None:
        result = run("rules", "RNG001", code)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert repr(code) in result.stderr
        assert advice in result.stderr

    def test_several_and_a_family(self, rules: Path) -> None:
        told = run("rules", "rng001", "syn9", "JIT", "--rules", rules).stdout
        assert told.index("RNG001  draw") < told.index("swap me") < told.index("JIT  scripting") < told.index("JIT002")
        assert "SYN001" not in told
        told = run_json("rules", "rng", "SYN900", "--rules", rules)["rules"]
        assert [rule["code"] for rule in told] == ["RNG001", "RNG002", "SYN900"]
        assert all(rule["examples"] for rule in told)

    def test_every_code_of_a_package_is_told(self, upstream: Path, tmp_path: Path) -> None:
        text = "import torch\n\n\ndef f(x):\n    return torch.nn.functional.interpolate(x, scale_factor=2)\n"
        tiny(upstream, {"GPT_SoVITS/module/more.py": text})
        codes = run_json("generate", upstream, "--out", tmp_path / "out")["rules"]
        assert "PKG002" in codes
        for code in codes:
            assert run_json("rules", code)["rules"][0]["ignore"] is not None or code == "PKG002"

    def test_prose_fits_the_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "60")
        told = run("rules", "SHP006").stdout
        prose = told.partition("Example")[0].splitlines()
        assert len(prose) > 10
        assert max(map(len, prose)) <= 60
        assert not any(line.endswith(" ") for line in prose)

    def test_a_folder_that_is_none(self, tmp_path: Path) -> None:
        assert run("rules", "--rules", tmp_path / "nowhere").exit_code == 2

    def test_a_rule_that_cannot_be_loaded(self, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("1 / 0\n")
        result = run("rules", "--rules", tmp_path)
        assert result.exit_code == 2
        assert "broken.py" in result.stderr


class TestDoctor:
    def versions(self, monkeypatch: pytest.MonkeyPatch, chips: int = 0, /, **found: str) -> None:
        from porter.machine import diagnosis

        monkeypatch.setattr(diagnosis, "_version", lambda name: found.get(name))
        monkeypatch.setattr(diagnosis, "tpu_chips", lambda: chips)
        here = {name: found[name] for name in ("jax", "jaxlib", "libtpu") if name in found}
        monkeypatch.setattr(diagnosis, "installed", lambda: here)
        named = {"jax": "0.7.1", "jaxlib": "0.7.1", "libtpu": "0.0.21"}
        monkeypatch.setattr(diagnosis, "named_by_torch_xla", lambda: named)

    @pytest.mark.parametrize(
        ("chips", "jax", "state"),
        [(0, "0.7.1", "ok"), (4, "0.7.1", "ok"), (0, "0.10.2", "optional"), (4, "0.10.2", "mismatch")],
    )
    def test_packages_of_a_tpu_machine(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chips: int, jax: str, state: str
    ) -> None:
        self.versions(monkeypatch, chips, torch="2.9.0", torch_xla="2.9.0", jax=jax, jaxlib=jax, libtpu="0.0.21")
        told = run_json("doctor", "--out", tmp_path, status=int(state == "mismatch"))
        (pair,) = (f for f in told["findings"] if f["name"] == "TPU packages")
        assert pair["state"] == state
        usual = "libtpu 0.0.21 with jax 0.7.1"
        if state == "ok":
            assert pair["found"] == f"{usual}: what torch_xla 2.9.0 names for a TPU machine"
        else:
            there = "libtpu 0.0.21 with jax 0.10.2"
            assert pair["found"] == f"{there}, where torch_xla 2.9.0 names {usual} for a TPU machine"
        if state == "mismatch":
            assert pair["advice"] == to_install("2.9.0")

    def test_a_tpu_machine_without_jax(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.versions(monkeypatch, 1, torch="2.9.0", torch_xla="2.9.0", libtpu="0.0.21")
        told = run_json("doctor", "--out", tmp_path, status=1)
        (jax,) = (f for f in told["findings"] if f["name"] == "jax")
        assert jax["state"] == "missing"
        assert jax["found"] == "not installed; kernels on the TPU cannot be had"
        assert jax["advice"] == to_install("2.9.0")

    def test_matching(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.versions(monkeypatch, torch="2.9.0+cpu", torch_xla="2.9.1")
        told = run_json("doctor", "--out", tmp_path)
        assert told["passed"]
        assert {f["state"] for f in told["findings"] if f["name"] in ("libtpu", "jax")} == {"optional"}

    @pytest.mark.parametrize(
        ("found", "state"),
        [
            ({}, "missing"),
            ({"torch": "2.9.0"}, "missing"),
            ({"torch": "2.8.0", "torch_xla": "2.9.0"}, "mismatch"),
            ({"torch": "2.10.0", "torch_xla": "2.10.0"}, "mismatch"),
            ({"torch": "2.1.0", "torch_xla": "2.1.0"}, "mismatch"),
            ({"torch": "strange", "torch_xla": "strange"}, "mismatch"),
        ],
    )
    def test_amiss(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: dict[str, str], state: str) -> None:
        self.versions(monkeypatch, **found)
        told = run_json("doctor", "--out", tmp_path, status=1)
        bad = [f for f in told["findings"] if not f["passed"]]
        assert {f["state"] for f in bad} == {state}
        assert all(f["advice"] for f in bad)
        assert "pip install" in run("doctor", "--out", tmp_path).stdout

    def test_needs_of_the_package(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        changes: dict[str, str | bytes | None] = {"GPT_SoVITS/module/more.py": "import torch\nimport no_such_thing\n"}
        root = tiny(tmp_path / "tiny", changes)
        assert run("generate", root, "--out", tmp_path / "out").exit_code == 0
        self.versions(monkeypatch, torch="2.9.0", torch_xla="2.9.0")
        told = run_json("doctor", "--out", tmp_path / "out", status=1)
        assert "pip install no-such-thing" in {f["advice"] for f in told["findings"]}

    def test_no_git_and_no_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.versions(monkeypatch, torch="2.9.0", torch_xla="2.9.0")
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("SOVITS_PORT_CACHE", str(tmp_path / "file" / "cache"))
        told = run_json("doctor", "--out", tmp_path, status=1)
        assert {f["name"] for f in told["findings"] if not f["passed"]} == {"git", "cache"}


class TestCheck:
    def test_clean(self, upstream: Path, rules: Path) -> None:
        told = run_json("check", upstream, "--rules", rules)
        assert told["hazards"]["residual"] == 0
        assert told["rules"]["SYN900"] == 2
        assert {"files", "edits", "rules", "hazards"} <= set(told)
        fixed = [h for h in told["hazards"]["list"] if h["code"] == "SYN900"]
        assert [(h["file"], h["line"], h["status"]) for h in fixed] == [
            ("GPT_SoVITS/module/commons.py", 5, "fixed"),
            ("GPT_SoVITS/module/models.py", 13, "fixed"),
        ]

    def test_residual(self, tmp_path: Path) -> None:
        root = tiny(tmp_path / "tiny", {"GPT_SoVITS/module/sync.py": SYNC})
        told = run_json("check", root, status=1)
        assert ("GPT_SoVITS/module/sync.py", 6) in {
            (h["file"], h["line"]) for h in told["hazards"]["list"] if h["status"] == "residual"
        }
        shown = run("check", root)
        assert shown.exit_code == 1
        assert "GPT_SoVITS/module/sync.py:6" in shown.stdout

    def test_fixed_ones_are_counted_unless_asked_for(self, upstream: Path, rules: Path) -> None:
        assert "models.py:13" not in run("check", upstream, "--rules", rules).stdout
        assert "models.py:13" in run("check", upstream, "--rules", rules, "--all").stdout

    def test_a_note_keeps_a_rule_off(self, tmp_path: Path, rules: Path) -> None:
        text = "import torch\ny = torch.swap_me(1)  # port: ignore[SYN900]\nz = 1  # port: ignore[SYN900]\n"
        root = tiny(tmp_path / "tiny", {"GPT_SoVITS/module/noted.py": text})
        told = run_json("check", root, "--rules", rules, status=run("check", root, "--rules", rules).exit_code)
        assert told["rules"]["SYN900"] == 2
        assert told["unused_ignores"] == [{"file": "GPT_SoVITS/module/noted.py", "line": 3, "code": "SYN900"}]

    def test_codes(self, upstream: Path, rules: Path) -> None:
        assert "SYN900" not in run_json("check", upstream, "--rules", rules, "--ignore", "rng,SYN900")["rules"]
        assert "SYN900" in run_json("check", upstream, "--rules", rules, "--select", "RNG", "--select", "syn9")["rules"]
        assert run("check", upstream, "--select", "XYZ").exit_code == 2

    def test_json_is_all_of_stdout(self, upstream: Path) -> None:
        done = command("check", upstream, "--json")
        json.loads(done.stdout)
        assert done.stderr == ""
