"""Files as a port's trainers save them: whole or not at all, several together, and what a killed writer left."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch

from porter.validate.cases.base import host_case
from porter.validate.cases.known import FOLDER, Call, calling_known

_TOKEN = "0123456789abcdef"
_LEFT = f".saving-{_TOKEN}"
_SOON = 0.05  # seconds
_CONFIG = """
class Config:
    def __init__(self, **values):
        self.__dict__.update(values)

    class Data:
        rate = 3
"""


def _files(folder: Path) -> dict[str, str]:
    """What all files below a folder hold; writers' tokens are drawn, and so left out."""
    return {
        re.sub(r"saving-[0-9a-f]{16}", "saving-TOKEN", path.relative_to(folder).as_posix()): (
            f"{path.read_text('latin-1')}{' executable' if os.access(path, os.X_OK) else ''}"
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _writing(run: Callable[[Any, Path], object]) -> Callable[[Any, Path], object]:
    """What a call gives or raises, and the files afterwards; `old` and a folder are there before."""

    def call(files: Any, folder: Path) -> object:
        (folder / "old").write_text("1")
        (folder / "folder").mkdir()
        found: object = None
        try:
            found = run(files, folder)
        except Exception as error:
            found = f"{type(error).__name__}: {error}".replace(str(folder), FOLDER)
        return {"found": found, "files": _files(folder)}

    return call


def _after(found: object = None, **files: str) -> object:
    return {"found": found, "files": {"old": "1", **files}}


def _in_place(files: Any, folder: Path) -> None:
    files.write(b"2", folder / "old")
    files.write(b"3", str(folder / "folder" / "new"))


def _together(files: Any, folder: Path) -> object:
    """Several files, one of them twice; what is there before the block ends."""
    with files.saved_together():
        for name, content in (("old", b"2"), ("new", b"3"), ("folder/other", b"4"), ("new", b"5")):
            files.write(content, folder / name)
        files.settle(folder)
        return sorted(name for name in _files(folder) if not name.rpartition("/")[2].startswith("."))


def _beside(files: Any, folder: Path) -> object:
    """What is written beside files until they appear: their contents, and a claim in each folder."""
    with files.saved_together():
        files.write(b"2", folder / "new")
        files.write(b"3", folder / "folder" / "other")
        return _files(folder)


def _raising(files: Any, folder: Path) -> None:
    with files.saved_together():
        files.write(b"2", folder / "old")
        files.write(b"3", folder / "folder" / "new")
        raise KeyError("stopped")


def _inner(files: Any, folder: Path) -> None:
    """A block that raises in another one takes back its own files."""
    with files.saved_together():
        files.write(b"2", folder / "new")
        with contextlib.suppress(KeyError), files.saved_together():
            files.write(b"3", folder / "new")
            files.write(b"4", folder / "more")
            raise KeyError("stopped")
        with files.saved_together():
            files.write(b"5", folder / "kept")


def _blocked(files: Any, folder: Path) -> object:
    """A rename that fails after the decision: the next one who looks makes it."""
    with contextlib.suppress(OSError), files.saved_together():
        files.write(b"2", folder / "old")
        files.write(b"3", folder / "new")
        (folder / "new").mkdir()
    before = sorted(_files(folder))
    (folder / "new").rmdir()
    files.settle(folder)
    return before


def _saved(value: Callable[[], object], **options: Any) -> Callable[[Any, Path], object]:
    """What torch loads of what was saved, and how the file begins."""

    def run(files: Any, folder: Path) -> object:
        files.save(value(), folder / "saved.pth", **options)
        raw = (folder / "saved.pth").read_bytes()
        (folder / "saved.pth").unlink()
        return {"zip": raw[:2] == b"PK", "loaded": torch.load(io.BytesIO(raw), weights_only=False)}

    return run


def _to_file(files: Any, folder: Path) -> object:
    file = io.BytesIO()
    with files.saved_together():
        files.save([torch.ones(2)], file)
        return torch.load(io.BytesIO(file.getvalue()))


def _shared(files: Any, folder: Path) -> object:
    """Views of one tensor stay views, and a list inside itself stays so."""
    base = torch.arange(6.0)
    cycle: list[object] = [base[:3], base[3:]]
    cycle.append(cycle)
    files.save({"cycle": cycle}, folder / "saved.pth")
    one, other, again = torch.load(folder / "saved.pth", weights_only=False)["cycle"]
    (folder / "saved.pth").unlink()
    return [
        one.clone(),
        other.clone(),
        again[2] is again,
        one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr(),
    ]


def _under_upstreams_name(protocol: int) -> Callable[[Any, Path], object]:
    """The modules of an object's class, of a class inside it and of another one, once loaded."""

    def run(files: Any, folder: Path) -> object:
        name = f"{files.__name__.rsplit('.', 2)[0]}.trainers.settings"
        ported, upstream = ModuleType(name), ModuleType("settings")
        for module in (ported, upstream):
            exec(_CONFIG, vars(module))
        path = folder / "saved.pth"
        with patch.dict(sys.modules, {name: ported, "settings": upstream}):
            config = ported.Config(rate=2, inner=ported.Config(x=1), kind=ported.Config.Data, other=Path)
            files.save({"weight": torch.ones(2), "config": config, "again": config}, path, pickle_protocol=protocol)
            loaded = torch.load(path, weights_only=False)
        path.unlink()
        found = loaded["config"]
        kinds = [type(found), type(found.inner), found.kind, found.other]
        return {
            "modules": [kind.__module__.partition(".")[0] for kind in kinds],
            "values": [found.rate, found.inner.x, found.kind.rate, loaded["again"] is found],
        }

    return run


# -- what a killed writer left ------------------------------------------------------------------------------------


def _left(
    *,
    moves: Mapping[str, str] | None = None,
    contents: Mapping[str, str],
    claims: Mapping[str, str],
    run: Callable[[Any, Path], object] = lambda files, folder: files.settle(folder),
) -> Callable[[Any, Path], object]:
    """A folder as a writer left it: its journal's renames if it decided, new contents, claims with what they say."""

    def call(files: Any, folder: Path) -> object:
        for name, content in {**contents, **claims}.items():
            (folder / name).write_text(content)
        if moves is not None:
            (folder / f"{_LEFT}.journal").write_text(json.dumps([list(move) for move in moves.items()]))
        return run(files, folder)

    return _writing(call)


@contextlib.contextmanager
def _alive(folder: Path) -> Iterator[int]:
    """The writer is alive: it holds its claim."""
    lock = os.open(folder / f"{_LEFT}.claim", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield lock
    finally:
        os.close(lock)


def _beside_a_living(files: Any, folder: Path) -> None:
    with _alive(folder):
        files.settle(folder)


def _without_locks(files: Any, folder: Path) -> None:
    with _alive(folder), patch.object(files, "fcntl", None):
        files.settle(folder)


def _locks_that_fail(files: Any, folder: Path) -> None:
    with _alive(folder), patch.object(files.fcntl, "flock", side_effect=OSError):
        files.settle(folder)


def _waiting(files: Any, folder: Path) -> None:
    """The writer lives, has decided, and ends soon: whoever looks waits for it."""
    with _alive(folder) as lock:
        ends = threading.Timer(_SOON, fcntl.flock, (lock, fcntl.LOCK_UN))
        ends.start()
        files.settle(folder)
        ends.join()


def _told(files: Mapping[str, str]) -> dict[str, str]:
    """Files of the writer that was killed, as they are listed."""
    return {name.replace(_TOKEN, "TOKEN"): content for name, content in files.items()}


_CLAIMED = {f"{_LEFT}.claim": "."}
_NEW = {f"{_LEFT}.0": "2", f"{_LEFT}.1": "3"}
_MOVES = {f"{_LEFT}.0": "old", f"{_LEFT}.1": "folder/new"}
_DONE = _after(old="2", **{"folder/new": "3"})

_CALLS = {
    "in place": Call(_writing(_in_place), gives=_after(old="2", **{"folder/new": "3"})),
    "together": Call(_writing(_together), gives=_after(["old"], old="2", new="5", **{"folder/other": "4"})),
    "beside": Call(
        _writing(_beside),
        gives=_after(
            {
                ".saving-TOKEN.0": "2",
                ".saving-TOKEN.claim": ".",
                "folder/.saving-TOKEN.1": "3",
                "folder/.saving-TOKEN.claim": "..",
                "old": "1",
            },
            new="2",
            **{"folder/other": "3"},
        ),
    ),
    "raising": Call(_writing(_raising), gives=_after("KeyError: 'stopped'")),
    "inner": Call(_writing(_inner), gives=_after(new="2", kept="5")),
    "blocked": Call(
        _writing(_blocked),
        gives=_after([".saving-TOKEN.1", ".saving-TOKEN.claim", ".saving-TOKEN.journal", "old"], old="2", new="3"),
    ),
    "to a folder": Call(
        _writing(lambda files, folder: files.write(b"2", folder / "folder")),
        gives=_after("IsADirectoryError: HERE/folder is a folder, not a file to save to"),
    ),
    "saved": Call(
        _writing(_saved(lambda: {"x": [torch.ones(2), (3, "y")]})),
        gives=_after({"zip": True, "loaded": {"x": [torch.ones(2), (3, "y")]}}),
    ),
    "saved the old way": Call(
        _writing(_saved(lambda: torch.ones(2), _use_new_zipfile_serialization=False)),
        gives=_after({"zip": False, "loaded": torch.ones(2)}),
    ),
    "to a file": Call(_writing(_to_file), gives=_after([torch.ones(2)])),
    "shared": Call(_writing(_shared), gives=_after([torch.arange(3.0), torch.arange(3.0, 6.0), True, True])),
    **{
        f"under upstream's name, protocol {protocol}": Call(
            _writing(_under_upstreams_name(protocol)),
            gives=_after({"modules": ["settings", "settings", "settings", "pathlib"], "values": [2, 1, 3, True]}),
        )
        for protocol in (2, 4)
    },
    "not decided": Call(_left(contents=_NEW, claims=_CLAIMED), gives=_after()),
    "decided": Call(_left(moves=_MOVES, contents=_NEW, claims=_CLAIMED), gives=_DONE),
    "decided, and half done": Call(
        _left(moves=_MOVES, contents={f"{_LEFT}.1": "3"}, claims=_CLAIMED), gives=_after(**{"folder/new": "3"})
    ),
    "decided, no claim": Call(_left(moves=_MOVES, contents=_NEW, claims={}), gives=_DONE),
    "not decided, no claim": Call(_left(contents=_NEW, claims={}), gives=_after()),
    "decided elsewhere": Call(
        _left(
            moves=_MOVES,
            contents=_NEW,
            claims={f"folder/{_LEFT}.claim": ".."},
            run=lambda files, folder: files.settle(str(folder / "folder")),
        ),
        gives=_DONE,
    ),
    "of a pattern": Call(
        _left(
            contents={f"folder/{_LEFT}.0": "2"},
            claims={f"folder/{_LEFT}.claim": "."},
            run=lambda files, folder: files.settle(folder / "f*" / "G_*.pth"),
        ),
        gives=_after(),
    ),
    "of a pattern of folders": Call(
        _left(
            contents={f"{_LEFT}.1": "2", f"folder/{_LEFT}.0": "2"},
            claims={**_CLAIMED, f"folder/{_LEFT}.claim": "."},
            run=lambda files, folder: files.settle(folder / "**" / "G_*.pth"),
        ),
        gives=_after(),
    ),
    "of several": Call(
        _left(contents={f"{_LEFT}.0": "2", ".saving-ff.0": "3", ".saved": "4"}, claims={".saving-ff.claim": "."}),
        gives=_after(**{".saved": "4"}),
    ),
    "of a folder that is not there": Call(
        _left(contents={}, claims={}, run=lambda files, folder: files.settle(folder / "absent")), gives=_after()
    ),
    "of a file": Call(
        _left(contents={}, claims={}, run=lambda files, folder: files.settle(folder / "old")), gives=_after()
    ),
    "of a living writer": Call(
        _left(contents=_NEW, claims=_CLAIMED, run=_beside_a_living), gives=_after(**_told(_NEW), **_told(_CLAIMED))
    ),
    "of a living writer that has decided": Call(
        _left(moves=_MOVES, contents=_NEW, claims=_CLAIMED, run=_waiting), gives=_DONE
    ),
    "without locks": Call(_left(contents=_NEW, claims=_CLAIMED, run=_without_locks), gives=_after()),
    "with locks that fail": Call(_left(contents=_NEW, claims=_CLAIMED, run=_locks_that_fail), gives=_after()),
    "before writing": Call(
        _left(contents=_NEW, claims=_CLAIMED, run=lambda files, folder: files.write(b"4", folder / "new")),
        gives=_after(new="4"),
    ),
}

CASES = (
    host_case(
        "files.saving",
        calling_known("training.files", _CALLS),
    ),
)
