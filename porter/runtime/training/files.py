"""Checkpoints that load anywhere and are never torn: CPU tensors, whole files, several files at once.

Whatever is saved is written under a name of its own in the folder where it belongs, synced, and then renamed. The names
begin with `.saving-` and a random token, one token for each block of `saved_together`:

    .saving-TOKEN.claim    the folder takes part; says where the journal is; locked while the writer lives
    .saving-TOKEN.N        the new content of a file
    .saving-TOKEN.journal  which file goes where; in the first folder of the block

The rename of the journal into place is the moment of decision. Before it the old files count, and who finds what a
killed writer left deletes it; after it the new ones do, and who finds it renames what is left. A block of one file
needs no journal: its own rename decides.
"""

import contextlib
import functools
import glob
import json
import os
import pickle
import secrets
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import torch

from .host import host_copy

try:
    import fcntl
except ImportError:  # not a Unix: who finds a claim takes its writer for dead
    fcntl = None  # type: ignore[assignment]

_PREFIX = ".saving-"


def save(obj: object, f: str | os.PathLike[str] | IO[bytes], **options: Any) -> None:
    """`torch.save(obj, f)` with every tensor of a dict, list or tuple, however nested, copied to the CPU first.

    Objects of classes that a file beside `module` defines, such as a configuration, are written under upstream's name
    of the class, so that upstream loads them without the port.
    A file given by its path is replaced at once or not at all, also when the process is killed; OSError if it cannot
    be written. Inside `saved_together` it appears at the end of the block.
    """
    value = host_copy(obj)
    options.setdefault("pickle_module", _UpstreamNames)
    if isinstance(f, (str, os.PathLike)):
        with _new_content(f) as file:
            torch.save(value, file, **options)
    else:
        torch.save(value, f, **options)


def write(data: bytes, path: str | os.PathLike[str]) -> None:
    """Replace the file at `path` by these bytes, in the way of `save`."""
    with _new_content(path) as file:
        file.write(data)


@contextlib.contextmanager
def saved_together() -> Iterator[None]:
    """Files saved inside appear together when the block ends: all of them, or none if it raises or is killed.

    A block inside another one is part of it, but takes only its own files back when it raises.
    """
    outer = _current.get()
    if outer is not None:
        before = dict(outer.staged)
        try:
            yield
        except BaseException:
            outer.staged = before
            raise
        return
    block = _Block()
    mark = _current.set(block)
    try:
        try:
            yield
        finally:
            _current.reset(mark)
        block.publish()
    finally:
        block.leave()


def settle(place: str | os.PathLike[str]) -> None:
    """Finish or undo what a killed process began to save in a folder; before its files are listed or loaded.

    The place may be a pattern of file names too: then in each folder that it looks into. Waits for another process
    that is about to rename its files, and leaves one alone that still writes them.
    """
    if glob.has_magic(os.fspath(place)) and not Path(place).is_dir():
        for folder in glob.glob(str(Path(place).parent), recursive=True):  # noqa: PTH207  # may be absolute
            settle(folder)
        return
    here = Path(place).resolve()
    for token in sorted({n.split(".")[1].removeprefix("saving-") for n in _names(here) if n.startswith(_PREFIX)}):
        if token not in _own:
            _settle(here, token)


# --- one block ------------------------------------------------------------------------------------

_own: set[str] = set()  # tokens of this process that are at work


class _Block:
    """The files of one `saved_together`, by the path where they will appear."""

    def __init__(self) -> None:
        self.staged: dict[Path, Path] = {}
        self._token = secrets.token_hex(8)
        self._claims: dict[Path, int] = {}  # folder to the descriptor that holds the lock of its claim
        self._made: list[Path] = []

    def stage(self, path: Path) -> Path:
        """A new file in the folder of `path`, for its content."""
        self._claim(path.parent)
        staged = path.parent / f"{_PREFIX}{self._token}.{len(self._made)}"
        self._made.append(staged)
        return staged

    def publish(self) -> None:
        """Let all files appear."""
        folders = {path.parent for path in self.staged}
        for folder in folders:
            _sync(folder)
        if len(self.staged) > 1:
            home = next(iter(self._claims))
            journal = _journal(home, self._token)
            moves = [[os.path.relpath(p, home) for p in (new, path)] for path, new in self.staged.items()]
            draft = self.stage(journal)
            with draft.open("x") as file:
                json.dump(moves, file)
                _flush(file)
            draft.replace(journal)
            _sync(home)
            _finish(home, self._token)
        else:
            for path, new in self.staged.items():
                new.replace(path)
                _sync(path.parent)

    def leave(self) -> None:
        """Delete what did not appear, and free the folders; a decision whose renames failed stays for `settle`."""
        decided = any(_journal(folder, self._token).exists() for folder in self._claims)
        for staged in self._made if not decided else ():
            staged.unlink(missing_ok=True)
        for folder, lock in self._claims.items():
            if not decided:
                _claim(folder, self._token).unlink(missing_ok=True)
            os.close(lock)
        _own.discard(self._token)

    def _claim(self, folder: Path) -> None:
        if folder in self._claims:
            return
        settle(folder)
        _own.add(self._token)
        home = next(iter(self._claims), folder)
        claim = _claim(folder, self._token)
        while True:
            lock = os.open(claim, os.O_RDWR | os.O_CREAT, 0o666)
            _lock(lock, wait=True)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(claim.stat(), os.fstat(lock)):
                    break
            os.close(lock)  # before it was locked, another process took it for a dead writer's
        self._claims[folder] = lock
        os.write(lock, os.fsencode(os.path.relpath(home, folder)))
        os.fsync(lock)
        _sync(folder)


_current: ContextVar[_Block | None] = ContextVar("block", default=None)


@contextlib.contextmanager
def _new_content(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write what `path` shall hold, in the block that is open, or else in one of its own."""
    with saved_together():
        block = _current.get()
        assert block is not None
        place = Path(path).resolve()
        if place.is_dir():
            raise IsADirectoryError(f"{path} is a folder, not a file to save to")
        staged = block.stage(place)
        with staged.open("xb") as file:
            yield file
            _flush(file)
        block.staged[place] = staged


# --- what a killed writer left --------------------------------------------------------------------


def _settle(folder: Path, token: str) -> None:
    try:
        claim = os.open(_claim(folder, token), os.O_RDWR)
    except FileNotFoundError:  # its writer is done, or a person deleted it
        _finish(folder, token)
        _clear(folder, token)
        return
    try:
        if not _lock(claim, wait=False):
            if not _journal(_home(folder, claim), token).exists():
                return  # a living writer, and the old files count
            _lock(claim, wait=True)
        _finish(_home(folder, claim), token)
        _clear(folder, token)
    finally:
        os.close(claim)


def _home(folder: Path, claim: int) -> Path:
    """Where the journal is, as the open claim of `folder` says."""
    return folder / os.fsdecode(os.pread(claim, 4096, 0))


def _finish(home: Path, token: str) -> None:
    """Make the renames of a journal that are still to be made, and delete it; nothing where there is none."""
    journal = _journal(home, token)
    try:
        moves = json.loads(journal.read_bytes())
    except FileNotFoundError:  # not decided, or another process was faster
        return
    targets = [home / target for _, target in moves]
    for new, target in zip((home / new for new, _ in moves), targets, strict=True):
        with contextlib.suppress(FileNotFoundError):  # renamed before
            new.replace(target)
    for parent in {target.parent for target in targets}:
        _sync(parent)
    journal.unlink(missing_ok=True)


def _clear(folder: Path, token: str) -> None:
    """Delete what is left of a block in one folder, its claim last."""
    for name in _names(folder):
        if name.startswith(f"{_PREFIX}{token}.") and not name.endswith(".claim"):
            (folder / name).unlink(missing_ok=True)
    _claim(folder, token).unlink(missing_ok=True)


def _claim(folder: Path, token: str) -> Path:
    return folder / f"{_PREFIX}{token}.claim"


def _journal(home: Path, token: str) -> Path:
    return home / f"{_PREFIX}{token}.journal"


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _lock(descriptor: int, wait: bool) -> bool:
    """Lock an open file; False if another process holds it and is not to be waited for."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _flush(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make the names in a folder last; where a folder cannot be synced, the file system does as it does."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# --- upstream's names -----------------------------------------------------------------------------

_TRAINERS = f"{(__package__ or '').rpartition('.')[0]}.trainers."  # what stood beside `module` upstream


_InPython: Any = vars(pickle)["_Pickler"]  # the one in C cannot be told other names


class _Pickler(_InPython):  # type: ignore[misc]
    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = getattr(obj, "__module__", None) or ""
        if not module.startswith(_TRAINERS):
            super().save_global(obj, name)
            return
        above, within = module.removeprefix(_TRAINERS), obj.__qualname__
        if self.proto >= 4:
            self.save(above)
            self.save(within)
            self.write(pickle.STACK_GLOBAL)
        elif "." in within:
            *outer, last = within.split(".")
            self.save_reduce(getattr, (functools.reduce(getattr, outer, sys.modules[module]), last), obj=obj)
            return
        else:
            self.write(pickle.GLOBAL + f"{above}\n{within}\n".encode())
        self.memoize(obj)


class _UpstreamNames:
    """A pickle module for torch.save."""

    Pickler = _Pickler
    dump = staticmethod(pickle.dump)
