"""How much commands print, and in which form."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from porter.cli import cli
from porter.cli.logs import junit, workflow_commands
from porter.validate.report import print_outcome
from porter.views.console import stdout_console
from porter.views.sarif import Finding, Waiver
from porter.views.validate_findings import passed_cases, validate_findings
from tests.tiny_upstream import SYNC, own_rules, run, run_json, tiny
from tests.validate.made_up import outcome

ROOT = Path(__file__).parent.parent


@pytest.fixture
def residual(tmp_path: Path) -> Path:
    """An upstream with a hazard that no rule knows, another that a note waives, and one that a rule fixes."""
    waived = SYNC + "\n\ndef other(x):\n    return x.item()  # port: ignore[SYN] it runs once\n"
    return tiny(tmp_path / "tiny", {"GPT_SoVITS/module/sync.py": SYNC, "GPT_SoVITS/module/waived.py": waived})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    upstream, rules = tiny(tmp_path / "up"), own_rules(tmp_path / "rules")
    assert run("generate", upstream, "--rules", rules, "--out", tmp_path / "out").exit_code == 0
    return tmp_path / "out"


class TestHelp:
    def test_sentences_are_whole(self) -> None:
        told = run("--help").stdout
        assert "..." not in told.partition("Commands:")[2]
        assert "that tells every edit." in " ".join(told.split())

    def test_every_command_has_one_sentence(self) -> None:
        told = run("--help").stdout
        assert all(f"  {name} " in told for name in cli._lazy)


class TestHowMuch:
    def test_rules_are_counted_on_request_and_after_the_result(self, tmp_path: Path) -> None:
        upstream, rules = tiny(tmp_path / "up"), own_rules(tmp_path / "rules")
        short = run("generate", upstream, "--rules", rules, "--out", tmp_path / "a").stdout
        assert "SYN900" not in short
        assert "2 edits by 1 rule" in short or "edits by" in short
        whole = run("generate", upstream, "--rules", rules, "--out", tmp_path / "b", "-v").stdout
        assert whole.index("Hazards: ") < whole.index("SYN900")

    def test_a_quiet_generate_tells_residual_hazards_only(self, residual: Path, tmp_path: Path) -> None:
        told = run("generate", residual, "--out", tmp_path / "a", "-q").stdout
        assert "sync.py:6" in told and "Ported" not in told and "PYTHONPATH" not in told
        assert run("generate", tiny(tmp_path / "clean"), "--out", tmp_path / "b", "-q").output == ""

    def test_check(self, residual: Path, tmp_path: Path) -> None:
        quiet, usual, all_of_it = (run("check", residual, *more) for more in (["-q"], [], ["-v"]))
        assert quiet.exit_code == usual.exit_code == 1
        hazards = run_json("check", residual, status=1)["hazards"]["list"]
        places = [f"{h['file']}:{h['line']}" for h in hazards if h["status"] == "residual"]
        assert re.findall(r"\S+\.py:\d+", quiet.stdout) == places
        assert "Hazards:" not in quiet.stdout and "Hazards:" in usual.stdout
        assert all_of_it.stdout == run("check", residual, "--all").stdout
        assert run("check", tiny(tmp_path / "clean"), "--quiet").output == ""

    def test_status(self, out: Path, tmp_path: Path) -> None:
        assert run("status", out, "-q").output == ""
        names = []
        for number in range(9):
            names.append(f"module/tpu/by_hand_{number}.py")
            (out / names[-1]).write_text("x = 1\n")
        assert "and 4 more" in run("status", out).stdout
        assert all(name in run("status", out, "-v").stdout for name in names)
        (out / "module/tpu/models.py").unlink()
        assert len(run("status", out, "-q").stdout.splitlines()) == 1

    def test_validate(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_outcome(outcome(), stdout_console(), quiet=True)
        told = capsys.readouterr().out
        assert "wrong: mismatch" in told and "good" not in told

    def test_notes_are_left_out(self, out: Path, tmp_path: Path) -> None:
        arguments = ("generate", tmp_path / "up", "--out", tmp_path / "more", "--decisions", tmp_path / "none.toml")
        assert "note:" in run(*arguments).stderr
        assert run(*arguments, "--force", "-q").stderr == ""

    def test_doctor(self) -> None:
        usual, quiet = run("doctor"), run("doctor", "-q")
        assert usual.exit_code == quiet.exit_code
        assert "Python" in usual.stdout and "Python  " not in quiet.stdout


class TestGithub:
    def test_check(self, residual: Path) -> None:
        done = run("check", residual, "--output-format", "github")
        assert done.exit_code == 1
        lines = done.stdout.splitlines()
        assert [line for line in lines if "sync.py" in line and "line=6" in line and line.startswith("::error file=")]
        assert all(line.startswith(("::error ", "::warning ")) for line in lines)

    def test_what_would_end_a_value_is_escaped(self) -> None:
        found = [
            Finding("SYN", "error", "50% of\nit", "a,b:c.py", 3),
            Finding("SYN", "note", "fine", "a.py", 4, waiver=Waiver("it runs once")),
        ]
        told = workflow_commands(found)
        assert told == "::error file=a%2Cb%3Ac.py,line=3,title=sovits-port (SYN)::50%25 of%0Ait\n"

    def test_validate(self) -> None:
        told = workflow_commands(validate_findings(outcome())).splitlines()
        assert [line.rpartition("::")[2].partition(":")[0] for line in told] == ["wrong", "dear", "late"]
        assert "file=GPT_SoVITS/module/models.py,line=38" in told[0]


class TestJunit:
    def test_check(self, residual: Path) -> None:
        suite = ElementTree.fromstring(run("check", residual, "--output-format", "junit").stdout)[0]
        cases = {(case.get("classname"), case.get("line")): case for case in suite}
        failed = cases["GPT_SoVITS/module/sync.py", "6"].find("failure")
        assert failed is not None and "waits for the device" in str(failed.get("message"))
        assert int(str(suite.get("failures"))) == len(suite.findall("testcase/failure")) > 0
        assert int(str(suite.get("tests"))) == len(suite)
        skipped = [case.find("skipped") for (path, _), case in cases.items() if path == "GPT_SoVITS/module/waived.py"]
        assert any(s is not None and "it runs once" in str(s.get("message")) for s in skipped)

    def test_status(self, out: Path, tmp_path: Path) -> None:
        good = ElementTree.fromstring(run("status", out, "--output-format", "junit").stdout)[0]
        assert (good.get("tests"), good.get("failures")) == ("1", "0")
        (out / "module/tpu/models.py").unlink()
        bad = ElementTree.fromstring(run("status", out, "--output-format", "junit").stdout)[0]
        assert "models.py of the package is missing" in str(bad[0][0].get("message"))

    def test_validate(self) -> None:
        told = outcome()
        suite = ElementTree.fromstring(junit("validate", validate_findings(told), passed_cases(told)))[0]
        assert {case.get("classname") for case in suite if case.find("failure") is None} == {"good"}
        assert (suite.get("tests"), suite.get("failures")) == ("4", "3")

    def test_control_characters_are_no_xml(self) -> None:
        whole = junit("check", [Finding("SYN", "error", "a \x1b[31m b", "a\x00.py", 1)], [])
        assert "\\x1b[31m" in str(ElementTree.fromstring(whole)[0][0][0].get("message"))


class TestPager:
    """`tee` stands for a pager: it shows what it gets, and keeps it."""

    def shown(self, out: Path, kept: Path, *options: str, **environment: str) -> tuple[str, bool]:
        """What a terminal shows of a diff, and whether the pager had it."""
        pty = pytest.importorskip("pty")
        ours, theirs = pty.openpty()
        base = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
        base |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PAGER": f"tee {kept}", **environment}
        arguments = [sys.executable, "-m", "porter", "diff", str(out), *options]
        with subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=base) as child:
            os.close(theirs)
            parts = []
            while True:
                try:
                    parts.append(os.read(ours, 65536))
                except OSError:  # Linux's way to say that the other side is closed
                    break
            os.close(ours)
            assert child.wait() == 0
        told, paged = b"".join(parts).decode().replace("\r\n", "\n"), kept.exists()
        if paged:
            assert kept.read_text() == told
            kept.unlink()
        return told, paged

    def test_on_a_terminal(self, out: Path, tmp_path: Path) -> None:
        kept = tmp_path / "kept"
        told, paged = self.shown(out, kept)
        assert paged and "\x1b[36mSYN900\x1b[0m" in told
        assert self.shown(out, kept, "--no-pager") == (told, False)
        assert self.shown(out, kept, PAGER="cat") == (told, False)
        assert self.shown(out, kept, PAGER="no-such-program -x") == (told, False)

    def test_without_colours(self, out: Path, tmp_path: Path) -> None:
        told, paged = self.shown(out, tmp_path / "kept", NO_COLOR="1")
        assert paged and "SYN900" in told and "\x1b[3" not in told

    def test_not_in_a_pipe(self, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PAGER", f"tee {tmp_path / 'kept'}")
        assert run("diff", out).stdout.startswith("diff ") or "--- " in run("diff", out).stdout
        assert not (tmp_path / "kept").exists()


def test_forms_that_a_command_does_not_have_are_refused(residual: Path) -> None:
    assert run("generate", residual, "--output-format", "sarif").exit_code == 2
    assert run("check", residual, "--output-format", "text").stdout == run("check", residual).stdout
    assert run("check", residual, "--output-format", "sarif").stdout == run("check", residual, "--sarif").stdout
    assert "both print to stdout" in run("check", residual, "--output-format", "junit", "--json").stderr


class TestStartup:
    """Time of the processor, the least of several, with compiled files: an installed tool on a machine at rest."""

    @pytest.mark.parametrize("words", ["--help", "status", "check"])
    def test_takes_less_than_a_third_of_a_second(self, words: str, out: Path, tmp_path: Path) -> None:
        arguments = [words] if words == "--help" else [words, str(out)]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
        seconds = []
        for _ in range(6):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(
                [sys.executable, "-m", "porter", *arguments], env=environment, capture_output=True, text=True
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert done.returncode == 0, done.stderr
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert min(seconds) < 0.3


def test_check_parses_nothing_where_a_package_knows(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {form: run("check", out, *form).stdout for form in ((), ("--json",), ("--sarif",), ("-v",))}
    monkeypatch.setattr("porter.generate.building.build", None)
    for form, before in told.items():
        assert run("check", out, *form).stdout == before
    assert run("check", out, "--scope", "all").exit_code not in (0, 2)  # that does ask for more


def test_check_of_a_package_is_that_of_its_upstream(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("check", tmp_path / "up", "--rules", tmp_path / "rules")
    from_package = run("check", out, "--json").stdout
    monkeypatch.chdir(tmp_path / "rules")  # where no package lies
    afresh = run(*arguments, "--json").stdout
    assert json.loads(from_package) == json.loads(afresh)


def test_a_changed_upstream_is_checked_anew(out: Path, tmp_path: Path) -> None:
    assert run("check", out).exit_code == 0
    (tmp_path / "up/GPT_SoVITS/module/sync.py").write_text(SYNC)
    assert run("check", out).exit_code == 1
