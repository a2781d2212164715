"""What every upstream looks like once it is opened: a frozen tree of files that can be listed and read."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from porter.errors import PortError


class Snapshot(ABC):
    """A frozen set of upstream files; nothing in it is ever executed.

    Paths are posix and relative to the tree's root. Every method raises PortError for input that is unusable.
    """

    spec: str
    """Canonical text for a manifest, free of this machine's paths, such as `GPT-SoVITS@20250606v2pro`."""

    notes: tuple[str, ...] = ()
    """Sentences that a person should see, such as a cached branch that could not be refreshed."""

    @property
    @abstractmethod
    def revision(self) -> str:
        """Full commit hash, version of a wheel, or "" for files that no commit describes."""

    @abstractmethod
    def files(self, folder: str = "") -> tuple[str, ...]:
        """All file paths below `folder`, sorted, from the listing alone; none where there is no folder."""

    @abstractmethod
    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Contents of these files and of no others, in the order asked."""

    def read(self, path: str) -> bytes:
        """Contents of one file."""
        return self.read_many([path])[path]

    def materialize(self, paths: Iterable[str], destination: Path) -> None:
        """Write these files below `destination`, which is made when missing, and nowhere else."""
        wanted = list(paths)
        for path in wanted:
            check_member(path, self.spec)
        contents = self.read_many(wanted)
        try:
            destination.mkdir(parents=True, exist_ok=True)
            root = destination.resolve()
            for path, content in contents.items():
                _write_below(root, path, content)
        except OSError as error:
            raise PortError(
                f"cannot write the files of {self.spec} to {destination}: {error.strerror or error}"
            ) from error


def normal_folder(folder: str) -> str:
    """`folder` without `.` and needless slashes; "" is the root. Raises PortError when it leaves the tree."""
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts:
        raise PortError(f"the folder {folder!r} leaves the upstream tree")
    return "" if path == PurePosixPath(".") else str(path)


def check_member(path: str, where: str) -> None:
    """Raise PortError unless `path` names a place strictly below the folder that it will be written to."""
    parts = path.split("/")
    drive = len(path) > 1 and path[1] == ":"
    if (
        any(part in ("", ".", "..") or part.casefold() == ".git" for part in parts)
        or drive
        or "\\" in path
        or "\0" in path
    ):
        raise PortError(f"{where} holds a file with the unsafe name {path!r}, so it is not unpacked")


def _write_below(root: Path, path: str, content: bytes) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    # A link that was there before must not carry the file out of the destination.
    if target.is_symlink() or not target.parent.resolve().is_relative_to(root):
        raise PortError(f"refusing to write {path} through a symbolic link that was already in {root.name}")
    target.write_bytes(content)
    with contextlib.suppress(OSError):  # a file system without modes is as good
        target.chmod(0o644)
