"""One file beside a package: old or new, never half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from porter.errors import PortError


def write_file(path: Path, content: bytes) -> None:
    """Put `content` at `path`, links followed, which keeps its old content until the new one is whole.

    PortError where that fails.
    """
    try:
        place = path.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # a loop of links
        raise PortError(f"{path} cannot be written: {error}") from None
    if place.is_symlink():  # Python 3.13 resolves such links to themselves
        raise PortError(f"{path} cannot be written: its links go in a circle")
    # Only within one file system is a rename one step.
    draft = place.with_name(f".{place.name[:100]}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        if place.exists():
            draft.chmod(place.stat().st_mode & 0o7777)
        draft.replace(place)
    except OSError as error:
        raise PortError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
