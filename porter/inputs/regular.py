"""Reading a file that somebody may have put something else in the place of."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ..errors import PortError


def read_regular(path: Path, within: Path | None = None) -> bytes:
    """The bytes of a regular file; a pipe, device or socket is never opened, since that could wait for ever.

    Links are followed, but with `within` only to what lies in that folder. PortError for anything that is not so;
    OSError, as `Path.read_bytes`, where there is no file or it cannot be read.
    """
    place = path.resolve() if within is not None else path
    if within is not None and not place.is_relative_to(within.resolve()):
        raise PortError(f"{path} is a symbolic link that leaves {within}, so it is not read")
    _refuse_special(path, place.stat().st_mode)
    # Between the look and this another file may have come there.
    handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as source:  # noqa: PTH123  # a descriptor
        _refuse_special(path, os.fstat(handle).st_mode)
        return source.read()


def refuse_other_than_file(path: Path) -> None:
    """PortError for a pipe, device or socket, and OSError where there is no file: before a library opens it."""
    _refuse_special(path, path.stat().st_mode)


def _refuse_special(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise PortError(f"{path} is not a regular file, so it is not read")
