"""A person's own editor, for the lines of one hunk."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path, PurePosixPath

from ...errors import PortError


def editor() -> list[str]:
    """The command for $VISUAL, else $EDITOR, else vi, without the file. PortError for one that no shell could read."""
    told = os.environ.get("VISUAL", "").strip() or os.environ.get("EDITOR", "").strip() or "vi"
    try:
        return shlex.split(told)
    except ValueError as error:
        raise PortError(f"cannot run the editor {told!a}: {error}") from None


def edited(text: str, name: str) -> str | None:
    """`text` as a person leaves it, or None where nothing was changed or the editor says that it failed.

    `name` is that of the file which it is part of. PortError where the editor cannot be run.
    """
    command = editor()
    with tempfile.TemporaryDirectory(prefix="sovits-port-") as folder:
        path = Path(folder) / PurePosixPath(name).name
        path.write_text(text, encoding="utf-8", newline="\n")
        try:
            status = subprocess.run([*command, str(path)], check=False).returncode
        except OSError as error:
            raise PortError(f"cannot run the editor {command[0]}: {error.strerror or error}") from None
        if status:
            return None
        try:
            new = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
        except (OSError, UnicodeDecodeError) as error:
            raise PortError(f"cannot read what the editor left: {error}") from None
    return None if new == text else new
