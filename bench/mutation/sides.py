"""Upstream's side of each case, kept in the user's cache, so that a run that goes on need not run it again."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from porter.validate.job import Told

_TOLD = "reference.json"
_STALE_SECONDS = 12 * 3600.0
_NOTHING = "nothing.json"  # instead of a side: there is nothing to compare with


@dataclass(frozen=True)
class Side:
    """Upstream's side of a case."""

    place: Path
    reference: Told


@dataclass(frozen=True)
class Sides:
    """The sides in a folder."""

    folder: Path

    def get(self, name: str, by: str) -> Side | None:
        """What is kept of a case, by the judge with the hash `by`. LookupError where that is not known."""
        place = self._place(name, by)
        if (place / _NOTHING).is_file():
            return None
        if not place.is_dir():
            raise LookupError(name)
        return Side(place, Told.load(place / _TOLD))

    def keep(self, name: str, by: str, place: Path, reference: Told | None) -> Side | None:
        """Take what upstream's run left in `place`, whole or not at all, for what was there; as `get` gives it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".") as temporary:
            fresh = Path(temporary) / name
            if reference is None:
                fresh.mkdir()
                (fresh / _NOTHING).write_text(json.dumps(None), encoding="utf-8")
            else:
                shutil.copytree(place, fresh)
                reference.save(fresh / _TOLD)
            for old in self.folder.glob(f"{name}@*"):
                shutil.rmtree(old, ignore_errors=True)
            with suppress(OSError):  # another run was faster
                fresh.rename(self._place(name, by))
        return self.get(name, by)

    def _place(self, name: str, by: str) -> Path:
        return self.folder / f"{name}@{by}"


def remove_stale(folder: Path) -> None:
    """Remove the sides in `folder` that are old: those of all cases are more than 10 GB."""
    for old in folder.iterdir() if folder.is_dir() else ():
        if time.time() - old.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
