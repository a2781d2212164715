"""`review`: what it lists, and what it does at a real terminal, a pseudo one of the tests' own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from porter.changes.decisions import NAME, read
from tests.tiny_upstream import own_rules, run, run_json, tiny

ROOT = Path(__file__).resolve().parent.parent
_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A package with hunks in two files."""
    out = tmp_path / "out"
    run_json("generate", tiny(tmp_path / "tiny"), "--rules", own_rules(tmp_path / "rules"), "--out", out)
    return out


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # shells let background jobs ignore it
            env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment}
            os.execve(sys.executable, [sys.executable, "-m", "porter", *arguments], env)
        self.screen = ""
        self.resize(30, 100)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, text: str) -> str:
        """Read until the screen shows `text`; what was shown since the screen was last cleared."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            shown = _CODES.sub("", self.screen.rpartition("\x1b[2J")[2])
            if text in shown:
                return shown
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.screen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    break
        raise AssertionError(f"{text!r} never came; the end was {self.screen[-2000:]!r}")

    def type(self, keys: str, text: str) -> str:
        """Press keys, and wait for what comes then."""
        # Until a key is waited for, the terminal is in its usual mode, which would swallow it.
        end = time.monotonic() + 60
        while termios.tcgetattr(self.fd)[3] & termios.ICANON and time.monotonic() < end:
            time.sleep(0.01)
        self.screen = ""
        os.write(self.fd, keys.encode())
        return self.wait(text)

    def answer(self, line: str, text: str) -> str:
        """Type a line where one is asked for, and wait for what comes then."""
        self.screen = ""
        os.write(self.fd, f"{line}\r".encode())
        return self.wait(text)

    def status(self) -> int:
        """Wait for the end; the exit status."""
        while select.select([self.fd], [], [], 10)[0]:
            try:
                if not (told := os.read(self.fd, 65536)):
                    break
            except OSError:
                break
            self.screen += told.decode(errors="replace")
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def terminal(out: Path, tmp_path: Path) -> Iterator[Terminal]:
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "text = path.read_text()\n"
        "path.write_text('    y = = 1\\n' if 'swapped' in text else '    return 1\\n')\n"
    )
    with_editor = {"EDITOR": f"'{sys.executable}' '{editor}'", "VISUAL": ""}
    found = Terminal(["review", str(out)], with_editor)
    yield found
    found.close()


def whats(out: Path) -> list[str]:
    return [d.what for d in read(out / NAME)]


class TestTerminal:
    def test_each_key(self, terminal: Terminal, out: Path) -> None:
        shown = terminal.wait("q quit")
        for part in ("1 of ", "SYN900 (exact) it was there to be swapped", "commons.py:5 in double", "undecided"):
            assert part in shown
        assert "-    return torch.swap_me(x) * 2" in shown
        assert "+    return torch.swapped(x) * 2" in shown
        terminal.type("a", "2 of ")
        terminal.type("b", "accepted")
        assert whats(out) == ["accept"]
        terminal.type("u", "1 of ")
        assert whats(out) == []
        terminal.type("r", "2 of ")
        terminal.type("b", "the hazard is residual")
        terminal.type("w", "Why is it no hazard?")
        os.write(terminal.fd, b"host only\r")
        terminal.wait("2 of ")
        terminal.type("b", "waived: host only")
        assert [(d.what, d.reason) for d in read(out / NAME)] == [("reject", "host only")]
        terminal.type("z", "means nothing here")
        terminal.type("s", "2 of ")
        terminal.type("q", "decisions are in")
        assert terminal.status() == 0

    def test_all_of_a_rule_or_a_file_at_once(self, terminal: Terminal, out: Path) -> None:
        terminal.wait("1 of 3, 3 undecided")
        assert "r: 2 of SYN900, f: 1 of " in terminal.type("A", "(nothing: go back)")
        terminal.answer("", "1 of 3, 3 undecided")
        assert not (out / NAME).exists()
        terminal.type("A", "(nothing: go back)")
        terminal.answer("r", "2 accepted")
        assert whats(out) == ["accept", "accept"]
        terminal.type("b", "1 of 3, 1 undecided")
        terminal.type("u", "1 of 3, 2 undecided")
        terminal.type("R", "(nothing: go back)")
        terminal.answer("f", "1 rejected")
        assert sorted(whats(out)) == ["accept", "reject"]
        terminal.type("q", "decisions are in")

    def test_help_search_and_the_text_of_a_rule(self, terminal: Terminal) -> None:
        terminal.wait("1 of 3")
        assert "Quit. Every decision is written at once." in terminal.type("?", "any key goes back")
        terminal.type("x", "1 of 3")
        assert "The first is a name that no library has." in terminal.type("t", "any key goes back")
        terminal.type("x", "1 of 3")
        terminal.type("/", "Search for")
        terminal.answer("textencoder", "3 of 3")
        terminal.type("/", "Search for")
        terminal.answer("no such words", "no hunk has 'no such words'")
        terminal.type("q", "decisions are in")

    def test_an_edit_that_is_no_python_is_kept_for_the_next_try(self, terminal: Terminal, out: Path) -> None:
        terminal.wait("q quit")
        terminal.type("e", "not Python any more; press e")
        assert not (out / NAME).exists()
        terminal.type("e", "2 of ")
        (edit,) = read(out / NAME)
        assert (edit.what, edit.text) == ("edit", "    return 1\n")
        assert "+    return 1" in terminal.type("b", "your lines stand here")

    def test_ctrl_c_keeps_what_was_decided(self, terminal: Terminal, out: Path) -> None:
        terminal.wait("q quit")
        terminal.type("r", "2 of ")
        terminal.type("\x03", "1 rejected")
        assert terminal.status() == 130
        assert whats(out) == ["reject"]
        assert "\x1b[?1049l" in terminal.screen  # the first screen is back

    def test_ctrl_c_while_a_reason_is_typed(self, terminal: Terminal, out: Path) -> None:
        terminal.wait("q quit")
        terminal.type("a", "2 of ")
        terminal.type("w", "Why is it no hazard?")
        os.write(terminal.fd, b"bec")
        terminal.wait("bec")
        time.sleep(0.5)  # readline waits for the next key by then; a signal just before that would wait with it
        os.write(terminal.fd, b"\x03")
        terminal.wait("1 accepted")
        assert terminal.status() == 130
        assert whats(out) == ["accept"]

    def test_a_resize_draws_anew_within_the_new_size(self, terminal: Terminal) -> None:
        terminal.wait("q quit")
        terminal.type("s", "2 of ")
        terminal.wait("q quit")  # the last of this screen, so that what comes now is the next
        time.sleep(0.5)
        terminal.screen = ""
        terminal.resize(12, 40)
        shown = terminal.wait("q quit")
        assert "2 of " in shown
        rows = shown.replace("\r", "").split("\n")
        assert len(rows) <= 12
        assert max(map(len, rows)) <= 40
        terminal.type("\x1b[B", "rows 2-")

    def test_undecided_hunks_come_first_next_time(self, terminal: Terminal, out: Path) -> None:
        terminal.wait("commons.py:5")
        terminal.type("a", "2 of ")
        terminal.type("q", "decisions are in")
        assert terminal.status() == 0
        again = Terminal(["review", str(out)], {})
        try:
            shown = again.wait("q quit")
            assert "commons.py:5" not in shown
            assert "1 of " in shown
        finally:
            again.close()


class TestWithoutTerminal:
    def test_it_says_so(self, out: Path) -> None:
        result = run("review", out)
        assert result.exit_code == 2
        assert result.stderr.startswith("sovits-port: error: review asks a person at a terminal")

    def test_list_and_json(self, out: Path) -> None:
        told = run_json("review", out)
        assert {h["state"] for h in told["hunks"]} == {"undecided"}
        assert [h["new"] for h in told["hunks"] if h["file"].endswith("commons.py")] == [
            "    return torch.swapped(x) * 2\n"
        ]
        listed = run("review", out, "--list").stdout
        assert all(f"{h['file']}:{h['line']}" in listed for h in told["hunks"])
        assert f"{len(told['hunks'])} hunks: {len(told['hunks'])} undecided" in listed

    def test_a_decision_is_shown_before_and_after_it_is_followed(self, out: Path, tmp_path: Path) -> None:
        key = next(h["key"] for h in run_json("review", out, "--rule", "syn", "--file", "commons.py")["hunks"])
        (out / NAME).write_text(f"version = 1\n[[decision]]\nkey = '{key}'\nwhat = 'reject'\nreason = 'r'\n")
        before = run_json("review", out)
        run_json("generate", tmp_path / "tiny", "--rules", tmp_path / "rules", "--out", out)
        after = run_json("review", out)
        assert after == before
        assert [(h["state"], h["reason"]) for h in after["hunks"] if h["key"] == key] == [("rejected", "r")]

    def test_only_some(self, out: Path) -> None:
        every = run_json("review", out)["hunks"]
        some = run_json("review", out, "--file", "module/tpu/models.py", "--rule", "PKG")["hunks"]
        assert 0 < len(some) < len(every)
        assert all("PKG" in edit["rule"] for h in some for edit in h["edits"])
        assert run("review", out, "--file", "none.py", "--list").exit_code == 2

    def test_no_package(self, tmp_path: Path) -> None:
        result = run("review", tmp_path, "--list")
        assert result.exit_code == 2
        assert "port.json" in result.stderr
