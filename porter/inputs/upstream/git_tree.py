"""A snapshot of one commit: the tree is listed once, and only the blobs that are asked for are read."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from porter.errors import PortError
from porter.inputs.upstream.git_command import GitError, run_git
from porter.inputs.upstream.snapshot import Snapshot, normal_folder

_MAX_LINKS = 16


@dataclass(frozen=True)
class _Entry:
    mode: str
    blob: str

    @property
    def is_link(self) -> bool:
        return self.mode == "120000"


class GitSnapshot(Snapshot):
    """The files of one commit in a repository on this machine; submodules are left out."""

    def __init__(
        self,
        git_dir: Path,
        commit: str,
        spec: str,
        *,
        prefix: str = "",
        notes: tuple[str, ...] = (),
        obtain: Callable[[list[str]], None] | None = None,
    ) -> None:
        """`commit` is a full hash; `prefix` a folder in it that becomes the root, ending in a slash.

        `obtain` is called with the hashes of blobs about to be read, and may fetch those that are missing.
        """
        self.spec = spec
        self.notes = notes
        self._git_dir = git_dir
        self._commit = commit
        self._prefix = prefix
        self._obtain = obtain
        self._contents: dict[str, bytes] = {}

    @property
    def revision(self) -> str:
        """The full commit hash."""
        return self._commit

    def files(self, folder: str = "") -> tuple[str, ...]:
        """Sorted paths below `folder`, from the tree objects alone."""
        folder = normal_folder(folder)
        below = f"{folder}/" if folder else ""
        return tuple(path for path in self._entries if path.startswith(below))

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Contents of these files, through one `git cat-file` process (one more where links are followed)."""
        wanted = {path: path for path in paths}
        for _ in range(_MAX_LINKS):
            self._load(place for place in wanted.values() if place not in self._contents)
            links = {path: place for path, place in wanted.items() if self._entry(place).is_link}
            if not links:
                return {path: self._contents[place] for path, place in wanted.items()}
            for path, place in links.items():
                wanted[path] = self._link_target(place)
        raise PortError(f"{next(iter(links))} in {self.spec} is a symbolic link that leads back to itself")

    @cached_property
    def _entries(self) -> dict[str, _Entry]:
        try:
            listing = run_git("ls-tree", "-r", "-z", "--full-tree", f"{self._commit}:{self._prefix}", at=self._git_dir)
        except GitError as error:
            raise PortError(f"cannot list the files of {self.spec}: {error}") from error
        return dict(sorted(_parse_listing(listing)))

    def _entry(self, path: str) -> _Entry:
        entry = self._entries.get(path)
        if entry is None:
            raise PortError(f"{self.spec} has no file {path}")
        return entry

    def _link_target(self, path: str) -> str:
        link = self._contents[path].decode("utf-8", "surrogateescape")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        if link.startswith("/") or target == ".." or target.startswith("../"):
            raise PortError(f"{path} in {self.spec} is a symbolic link that leaves the repository, so it is not read")
        return target

    def _load(self, paths: Iterable[str]) -> None:
        blobs = {path: self._entry(path).blob for path in dict.fromkeys(paths)}
        if not blobs:
            return
        if self._obtain:
            self._obtain(list(blobs.values()))
        request = "".join(f"{blob}\n" for blob in blobs.values()).encode()
        try:
            answer = run_git("cat-file", "--batch", at=self._git_dir, stdin=request)
        except GitError as error:
            # Git gives up at the first blob that a partial clone lacks; asking one by one tells which it is.
            if len(blobs) > 1:
                for path in blobs:
                    self._load([path])
                return
            path = next(iter(blobs))
            raise PortError(f"{self.spec} lists {path}, but this copy lacks its contents: {error}") from error
        self._contents.update(self._split(answer, list(blobs)))

    def _split(self, answer: bytes, paths: list[str]) -> Iterator[tuple[str, bytes]]:
        position = 0
        for path in paths:
            end = answer.find(b"\n", position)
            header = answer[position:end].split()
            if end < 0 or len(header) != 3 or header[1] != b"blob":
                raise PortError(f"{self.spec} lists {path}, but this copy lacks its contents; is it a partial clone?")
            start, size = end + 1, int(header[2])
            yield path, answer[start : start + size]
            position = start + size + 1


def _parse_listing(listing: bytes) -> Iterator[tuple[str, _Entry]]:
    for record in listing.split(b"\0"):
        if record:
            meta, _, name = record.partition(b"\t")
            mode, kind, blob = meta.decode("ascii").split()
            if kind == "blob":
                yield name.decode("utf-8", "surrogateescape"), _Entry(mode, blob)


def resolve_commit(git_dir: Path, revision: str) -> str | None:
    """Full hash of the commit that `revision` names in this repository, or None."""
    try:
        found = run_git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", at=git_dir)
    except GitError:
        return None
    commit = found.decode("ascii", "replace").strip()
    # `^v1` is answered with a hash too, but a negated one.
    return commit if re.fullmatch(r"[0-9a-f]{40,64}", commit) else None


def unknown_revision(git_dir: Path, revision: str, shown: str) -> PortError:
    """The error for a revision that is not there, naming tags and branches that look like it."""
    try:
        names = run_git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags", "refs/heads", at=git_dir).decode(
            "utf-8", "replace"
        )
    except GitError:
        names = ""
    close = difflib.get_close_matches(revision, names.split(), n=3, cutoff=0.5)
    hint = f"; close to it: {', '.join(close)}" if close else ""
    return PortError(f"{shown} has no revision {revision!r}{hint}")
