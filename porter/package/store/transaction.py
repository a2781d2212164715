"""Replacing several files and folders at once, through kills, full disks and concurrent runs.

A package is several things that have to change together: the folder `module/tpu`, the manifest `port.json`,
and files such as `module/__init__.py`. No system call replaces them all, so `replace` does it in four steps,
under a lock on the root folder, which the caller holds:

1. Everything new is written and synced in a folder `.port-write-XXXX` in the root. A run killed here leaves
   the old files and a folder without a journal, which the next run deletes.
2. A journal, naming each item and the digests of its new and its old content, is renamed into that folder. That
   rename is the moment of decision: before it the old files count, after it the new ones do.
3. Each item in turn changes places with its staged successor: in one step where the system can exchange two
   names, otherwise old aside, new in. After a kill `finish_all`, which every later run calls first, goes on:
   an item whose place has the recorded digest is done, the others are swapped. Doing so twice does no harm.
4. The journal is deleted, and then the folder, which by now holds the old items.

An old item that is no longer as it was recorded was changed by somebody else meanwhile, perhaps between a kill and
the next run. It would be deleted with the folder, so then all items go back.

When step 3 fails rather than dies (permission, another file system), the items done are swapped back. Who
reads without `finish_all` sees each item whole at any time where names can be exchanged; at worst some items
are old and some new.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from porter.errors import PortError
from porter.inputs.upstream.snapshot import check_member
from porter.package.store.digest import digest
from porter.package.store.exchange import exchange

_WORK = ".port-write-"
_JOURNAL = "journal.json"
_AT_ONCE = 16  # files: a disk syncs many in the time of one


class HalfDoneError(Exception):
    """Some items are new, and neither the rest nor the way back succeeded; the journal stays."""


class ChangedError(Exception):
    """Somebody changed what was to be replaced, after it was looked at; everything is as they left it."""


def replace(
    root: Path,
    folders: Mapping[str, Mapping[str, bytes]],
    files: Mapping[str, bytes],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Give each of `folders` exactly these files, and each of `files` this content; all of it or nothing.

    Names are posix, relative to `root` (inside `folders`, to the folder), and checked by the caller. Folders
    come first. `check` is called when all is staged, and stops it by raising; what is changed later is noticed
    here. Raises OSError or ChangedError with everything as it was, or HalfDoneError.
    """
    work = Path(tempfile.mkdtemp(prefix=_WORK, dir=root))
    try:
        names = [*folders, *files]
        staged = [work / str(number) for number in range(len(names))]
        for place, inside in zip(staged, folders.values(), strict=False):
            _write_folder(place, inside)
        for place, content in zip(staged[len(folders) :], files.values(), strict=True):
            _write(place, content)
        items = [[name, digest(place), digest(root / name)] for name, place in zip(names, staged, strict=True)]
        check()
        _write(work / "journal", json.dumps({"items": items}).encode())
        (work / "journal").rename(work / _JOURNAL)
        _sync(work)
        _sync(root)
    except BaseException:
        _discard(work)
        raise
    _finish(root, work)


def has_leftovers(root: Path) -> bool:
    """Whether `root` holds a folder of a run that was killed, or that is at work."""
    return any(True for _ in _leftovers(root))


def finish_all(root: Path) -> None:
    """Finish every decided replacement in `root`, delete every undecided one; the caller holds the lock."""
    for work in list(_leftovers(root)):
        if (work / _JOURNAL).is_file():
            with contextlib.suppress(ChangedError):  # the old files count again, as somebody left them
                _finish(root, work)
        else:
            _discard(work)


def _finish(root: Path, work: Path) -> None:
    """Swap in every staged item that is not in place yet, or, when that fails, swap all of them back."""
    begun: list[_Item] = []
    try:
        for item in _read_journal(root, work):
            if not item.target.parent.resolve().is_relative_to(root.resolve()):
                raise OSError(f"{item.target} lies behind a symbolic link")
            begun.append(item)
            item.settle()
            # An item that is neither here nor there was swapped before a kill, and somebody changed it since.
            if digest(item.target) != item.wanted and digest(item.staged) == item.wanted:
                item.refuse_changed(item.target)
                item.target.parent.mkdir(parents=True, exist_ok=True)
                item.swap()
            if digest(item.staged) != item.wanted:  # the old content lies there now, unless nothing was swapped
                item.refuse_changed(item.staged)
        for item in begun:
            _sync(item.target.parent)
    except (OSError, ChangedError) as error:
        _undo(begun, error)
        _discard(work)
        raise
    with contextlib.suppress(OSError):  # all is in place; the next run tidies up
        _discard(work)


def _undo(begun: list[_Item], reason: OSError | ChangedError) -> None:
    try:
        for item in reversed(begun):
            item.settle()
            if digest(item.target) != item.wanted:  # this one was not swapped
                if digest(item.staged) != item.wanted:  # or it was, and somebody changed the new one too
                    raise HalfDoneError(
                        f"{item.target} was changed by hand, and so was another part that is still old; copy "
                        f"what you need from {item.staged}, then delete {item.staged.parent}"
                    )
                continue
            if _there(item.staged):
                item.swap()
            else:
                item.target.rename(item.staged)
    except OSError as error:
        told = getattr(reason, "strerror", None) or reason
        raise HalfDoneError(f"{told}; the next run will try to finish") from error


@dataclass(frozen=True)
class _Item:
    """One thing to replace: `wanted` is the digest of its new content, which starts out at `staged`.

    `was` is that of its old content, "" for none; None in the journal of an older version of this tool.
    """

    staged: Path
    target: Path
    wanted: str
    was: str | None = None

    @property
    def aside(self) -> Path:
        return self.staged.with_name(f"{self.staged.name}.old")

    def swap(self) -> None:
        """Exchange the two, or move `staged` to where nothing is yet."""
        if _there(self.target):
            if exchange(self.staged, self.target):
                return
            self.target.rename(self.aside)
        self.staged.rename(self.target)
        if _there(self.aside):
            self.aside.rename(self.staged)

    def refuse_changed(self, old: Path) -> None:
        """ChangedError unless the old content, which lies at `old`, is as it was."""
        if self.was is not None and digest(old) != self.was:
            raise ChangedError(f"{self.target} was changed while it was replaced")

    def settle(self) -> None:
        """Undo or complete a swap that ended half way."""
        if _there(self.aside):
            if not _there(self.target):
                self.aside.rename(self.target)
            elif not _there(self.staged):
                self.aside.rename(self.staged)


def _read_journal(root: Path, work: Path) -> list[_Item]:
    try:
        items = [[str(part) for part in item] for item in json.loads((work / _JOURNAL).read_bytes())["items"]]
        for name, *digests in items:
            check_member(name, "the journal")
            if len(digests) not in (1, 2):
                return []
    except (ValueError, KeyError, TypeError, PortError):
        return []  # not one that we wrote: the folder is deleted and nothing else happens
    return [_Item(work / str(number), root / name, *digests) for number, (name, *digests) in enumerate(items)]


def _leftovers(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from (path for path in root.glob(f"{_WORK}*") if path.is_dir() and not path.is_symlink())


def _discard(work: Path) -> None:
    """Delete the folder, journal first, so that a half deleted one is never taken for a decision."""
    if _there(work / _JOURNAL):
        (work / _JOURNAL).unlink()
        _sync(work)
    shutil.rmtree(work, ignore_errors=True)


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in [pool.submit(_write, folder / name, content) for name, content in files.items()]:
            done.result()
    for below in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        below.chmod(0o755)
        _sync(below)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())
    path.chmod(0o644)


def _sync(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _there(path: Path) -> bool:
    return os.path.lexists(path)
