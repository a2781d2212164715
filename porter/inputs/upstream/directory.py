"""A snapshot of a folder: files are listed on demand, folder by folder, and read once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

from porter.errors import PortError
from porter.inputs.regular import read_regular
from porter.inputs.upstream.snapshot import Snapshot, normal_folder

_PRUNED = frozenset({"__pycache__", "node_modules", "site-packages"})
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta", "python.exe")


class DirectorySnapshot(Snapshot):
    """The files of a folder, as they were when each was first read.

    Hidden folders, `__pycache__` and Python environments are left out of listings. Linked files are listed,
    linked folders not followed; reading through a link that leaves the folder is refused.
    """

    def __init__(self, root: Path, spec: str, revision: str | Callable[[], str] = "") -> None:
        """`revision` may be a function, called once and only when somebody asks."""
        self.spec = spec
        self._root = root.resolve()
        self._find_revision = revision
        self._listings: dict[str, tuple[str, ...]] = {}
        self._contents: dict[str, bytes] = {}

    @cached_property
    def revision(self) -> str:
        """Commit hash of a checkout, with -dirty where files were changed, version of an unpacked wheel, or ""."""
        return self._find_revision if isinstance(self._find_revision, str) else self._find_revision()

    def files(self, folder: str = "") -> tuple[str, ...]:
        """Sorted paths below `folder`; no other folder is looked at."""
        folder = normal_folder(folder)
        if folder not in self._listings:
            try:
                self._listings[folder] = tuple(sorted(self._walk(folder)))
            except OSError as error:
                shown = folder or "the files"
                raise PortError(f"cannot list {shown} of {self.spec}: {error.strerror or error}") from error
        return self._listings[folder]

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Contents of these files; refuses links that leave the folder, and whatever is no regular file."""
        result = {}
        for path in paths:
            if path not in self._contents:
                self._contents[path] = self._read(path)
            result[path] = self._contents[path]
        return result

    def _read(self, path: str) -> bytes:
        try:
            place = self._inside(path)
            if place.is_dir():
                raise PortError(f"{path} in {self.spec} is a folder, not a file")
            if not place.is_file():  # opening a pipe or a device could block for ever
                raise PortError(f"{path} in {self.spec} is not a regular file")
            return read_regular(place)
        except FileNotFoundError as error:
            raise PortError(f"{self.spec} has no file {path}") from error
        except OSError as error:
            raise PortError(f"cannot read {path} in {self.spec}: {error.strerror or error}") from error

    def _inside(self, path: str) -> Path:
        """The real place of `path`; PortError outside the root, FileNotFoundError where there is nothing."""
        normal_folder(path)
        try:
            place = (self._root / path).resolve(strict=True)
        except NotADirectoryError as error:
            raise FileNotFoundError(path) from error
        except (RuntimeError, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.ELOOP:  # what Python 3.13 raises for a loop
                raise
            raise PortError(f"{path!r} in {self.spec} is a symbolic link that leads back to itself") from error
        except ValueError as error:
            raise PortError(f"{path!r} in {self.spec} is no file name") from error
        if not place.is_relative_to(self._root):
            raise PortError(f"{path} in {self.spec} is a symbolic link that leaves the folder, so it is not read")
        return place

    def _walk(self, folder: str) -> Iterator[str]:
        try:
            start = self._inside(folder)
        except FileNotFoundError:
            return
        if not start.is_dir():
            return
        pending = [(start, f"{folder}/" if folder else "")]
        while pending:
            place, prefix = pending.pop()
            with os.scandir(place) as scan:
                entries = list(scan)
            for entry in entries:
                if entry.is_symlink():
                    # A broken or escaping link is listed, so that whoever needs it hears why it is refused.
                    if not Path(entry.path).is_dir():
                        yield prefix + entry.name
                elif entry.is_dir(follow_symlinks=False):
                    if not _is_pruned(entry):
                        pending.append((Path(entry.path), f"{prefix}{entry.name}/"))
                else:  # a pipe or device too, so that whoever needs it hears why it is not read
                    yield prefix + entry.name


def _is_pruned(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or entry.name in _PRUNED:
        return True
    return any((Path(entry.path) / mark).exists() for mark in _ENVIRONMENT_MARKS)
