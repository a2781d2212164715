"""Upstream's sources laid out on disk so that Python can import them, and nothing that no case needs.

The reference run sees upstream's files as upstream's own scripts do. The port's run sees the emitted package
and, of upstream, only what was not ported (such as `text/symbols.py`): should the package reach for an
unported sibling, the import fails, and that is a finding.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path, PurePosixPath
from typing import Any

from porter.errors import PortError
from porter.inputs.sources import Sources, collect
from porter.inputs.upstream import Snapshot
from porter.validate.cython_source import as_python

PORT_PACKAGE = "module.tpu"
_CONFIG = re.compile(r"s2(?P<version>\w+)\.json")
_QUOTED = re.compile(r"""["']([A-Za-z_]\w*)["']""")
_CHECKOUT = "GPT_SoVITS"  # upstream's own absolute imports name the folder around `module` like this


@dataclass(frozen=True)
class Paths:
    """How one side is imported."""

    package: str  # of the module files, such as `module`, `gpt_sovits.module` or `module.tpu`
    search: tuple[str, ...]  # entries for sys.path, first wins
    roots: tuple[str, ...]  # folders whose lines are this side's; file names are told relative to them


class UpstreamTree:
    """The files of a snapshot that running the modules takes."""

    def __init__(self, snapshot: Snapshot, asked: Sequence[str] = ()) -> None:
        """Nothing is read before it is needed; `asked` are the main folders that `generate` was told."""
        self._snapshot = snapshot
        self._asked = asked

    @cached_property
    def sources(self) -> Sources:
        """The files in scope of a port, and those that they read."""
        return collect(self._snapshot, self._asked)

    def config(self) -> dict[str, Any] | None:
        """`configs/s2.json`, which upstream's trainers read; None where the snapshot has none.

        Under `versions` it has the model of each version that has a file of its own, such as `s2v2Pro.json`.
        """
        folder = f"{self.sources.prefix}/configs" if self.sources.prefix else "configs"
        files = {name.rpartition("/")[2]: name for name in self._snapshot.files(folder)}
        told = self._json(files["s2.json"]) if "s2.json" in files else None
        if told is None:
            return None
        found = {_CONFIG.fullmatch(name): path for name, path in files.items()}
        others = {match["version"]: self._json(path) for match, path in found.items() if match}
        return {**told, "versions": {version: (other or {}).get("model", {}) for version, other in others.items()}}

    def _json(self, path: str) -> dict[str, Any] | None:
        """A JSON object of the snapshot; None for what is no object."""
        try:
            told = json.loads(self._snapshot.read(path))
        except ValueError as error:
            raise PortError(f"{path} of {self._snapshot.spec} is not valid JSON: {error}") from error
        return told if isinstance(told, dict) else None

    def text(self, path: str) -> str:
        """Text of a ported file of upstream, "" for any other."""
        return self.sources.texts[path][1] if path in self.sources.texts else ""

    def lay_out_reference(self, folder: Path) -> Paths:
        """Write all files to `folder`; how to import them."""
        self._write([*self.sources.texts, *self.sources.consulted, *self._compiled], folder)
        place = self._place(folder)
        for path, python in self.unbuilt.items():
            built = place / path
            # A build in the file's own folder puts the module into one more folder of the same name.
            for around in (built.parent, built.parent / built.parent.name):
                around.mkdir(exist_ok=True)
                (around / f"{built.stem}.py").write_text(python, encoding="utf-8")
        return Paths(self._package, self._search(folder), (str(folder / self._around), str(folder)))

    def lay_out_rest(self, folder: Path, port: Path) -> Paths:
        """Write what was not ported to `folder`; how to import the package at `port` with it."""
        self._write(list(self.sources.consulted), folder)
        return Paths(PORT_PACKAGE, (str(port), *self._search(folder)), (str(port / "module" / "tpu"),))

    def lay_out_beside(self, folder: Path, package: Path) -> Paths:
        """Write all files and a copy of `package` as `module/tpu` to `folder`; how to import the copy.

        A port made by hand may well import the modules of upstream that it does not replace.
        """
        self._write([*self.sources.texts, *self.sources.consulted], folder)
        around = folder / self._around
        copy = around / "module" / "tpu"
        shutil.rmtree(copy, ignore_errors=True)  # a checkout may hold a port of its own
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
        return Paths(PORT_PACKAGE, (str(around), str(folder)), (str(around), str(folder)))

    def _write(self, paths: list[str], folder: Path) -> None:
        self._snapshot.materialize([*paths, *self._data], self._place(folder))
        for entry in self._search(folder):
            _make_packages(Path(entry))

    def _place(self, folder: Path) -> Path:
        """Where the root of the snapshot is laid out."""
        return folder if self.sources.prefix else folder / _CHECKOUT

    @cached_property
    def _compiled(self) -> list[str]:
        """Extension modules that somebody built in the tree, as the search of VITS is, which its sources import."""
        return self._ending_with(*EXTENSION_SUFFIXES)

    @cached_property
    def unbuilt(self) -> dict[str, str]:
        """Cython sources of which no extension module was built, as Python; those that Python can take the place of."""
        built = {(place := PurePosixPath(path)).parent / place.name.partition(".")[0] for path in self._compiled}
        found = {}
        for path in self._ending_with(".pyx"):
            place = PurePosixPath(path).with_suffix("")
            if not built & {place, place.parent / place.parent.name / place.name}:
                found[path] = as_python(self._snapshot.read(path).decode(errors="replace"))
        return {path: python for path, python in found.items() if python is not None}

    def _ending_with(self, *suffixes: str) -> list[str]:
        """The files with such an ending in folders of the sources and below them."""
        folders = {path.rpartition("/")[0] for path in (*self.sources.texts, *self.sources.consulted)}
        return sorted(
            path
            for path in self._snapshot.files()
            if path.endswith(suffixes) and any(path.startswith(f"{folder}/") or not folder for folder in folders)
        )

    @cached_property
    def _data(self) -> list[str]:
        """JSON in folders that files beside the modules name, which may read it as soon as they are imported."""
        found: set[str] = set()
        for path in self.sources.consulted:
            around = path.rpartition("/")[0]
            if not around:
                continue
            named = set(_QUOTED.findall(self._snapshot.read(path).decode(errors="replace")))
            for file in self._snapshot.files(around):
                folder, slash, _ = file.removeprefix(f"{around}/").partition("/")
                if slash and folder in named and file.endswith(".json"):
                    found.add(file)
        return sorted(found)

    @property
    def _around(self) -> str:
        return self.sources.prefix or _CHECKOUT

    @property
    def _is_package(self) -> bool:
        """Whether the folder around `module` is itself a package, as in the wheels."""
        return bool(self.sources.prefix) and f"{self.sources.prefix}/__init__.py" in {
            *self.sources.consulted,
            *self.sources.texts,
        }

    @property
    def _package(self) -> str:
        name = self.sources.module_root.rpartition("/")[2]
        return f"{self.sources.prefix.replace('/', '.')}.{name}" if self._is_package else name

    def _search(self, folder: Path) -> tuple[str, ...]:
        inside, around = str(folder / self._around), str(folder)
        return (around, inside) if self._is_package else (inside, around)


def _make_packages(folder: Path) -> None:
    """Make packages of the folders in `folder` that an installed package of their name would hide.

    Python takes a package with an `__init__.py` from anywhere on its path before a folder without one.
    """
    for inner in sorted(folder.iterdir()) if folder.is_dir() else ():
        start = inner / "__init__.py"
        if inner.is_dir() and inner.name.isidentifier() and not start.exists() and any(inner.rglob("*.py")):
            installed = PathFinder.find_spec(inner.name)
            if installed is not None and installed.origin is not None:
                start.touch()
