"""The program that shows a long text a screen at a time."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

from rich.pager import Pager


class ShellPager(Pager):
    """$PAGER, or less; where there is none, or it is `cat`, the text goes to the terminal.

    As git does it, less is told to show colours, to end at once where the text fits the screen, and to leave it there.
    """

    def show(self, content: str) -> None:
        """Show `content`; one who leaves the pager early needs no more of it."""
        command = _command()
        if command:
            environment = {"LESS": "FRX", "LV": "-c", **os.environ}
            try:
                with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
                    assert process.stdin is not None
                    _feed(process, content)
                return
            except OSError:
                pass  # it cannot be started
        sys.stdout.write(content)


def _feed(process: subprocess.Popen[bytes], content: str) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(content.encode("utf-8", "backslashreplace"))
        process.stdin.close()
    except BrokenPipeError:
        pass
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:
            pass  # meant for the pager, which goes on


def _command() -> list[str]:
    """Words of the command, [] for none."""
    try:
        words = shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:
        words = []
    return words if words and words != ["cat"] and shutil.which(words[0]) else []
