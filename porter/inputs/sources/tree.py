"""What lies where in upstream's tree, as far as an import cares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...syntax.text import decode
from .facts import Facts, read_facts
from .layout import Layout, folder_of, join
from .root import read_if_there

if TYPE_CHECKING:
    from ..upstream.snapshot import Snapshot


class Tree:
    """A snapshot with its main folder, asked for modules; lists only what is asked about."""

    def __init__(self, snapshot: Snapshot, layout: Layout) -> None:
        """Nothing is listed yet."""
        self.snapshot = snapshot
        self.layout = layout
        self.root = layout.root
        self.prefix = layout.prefix
        self._listings: dict[str, frozenset[str]] = {}
        self._top: dict[str, bool] = {}

    @property
    def bases(self) -> tuple[str, ...]:
        """Folders that absolute imports start from, first come first served."""
        return self.layout.bases

    def inside(self, path: str) -> bool:
        """Whether a file or folder belongs to the main folder."""
        return self.layout.inside(path)

    def beside(self, path: str) -> bool:
        """Whether a file lies beside the main folder, as scripts do."""
        return self.layout.beside(path)

    def package(self, path: str) -> str:
        """The top-level package (or module) that a file belongs to, as a place: `GPT_SoVITS/f5_tts`."""
        for base in self.bases:
            below = path.removeprefix(f"{base}/") if base else path
            if below != path or not base:
                return join(base, below.partition("/")[0].removesuffix(".py"))
        return path

    def module_file(self, place: str) -> str | None:
        """The file that the import of this place executes."""
        return next((f for f in (f"{place}/__init__.py", f"{place}.py") if self.has(f)), None)

    def is_folder(self, folder: str) -> bool:
        """Whether a folder holds Python files at any depth."""
        return any(p.endswith(".py") for p in self._listing(folder))

    def exists(self, place: str) -> bool:
        """Whether an import of this place finds anything."""
        return self.module_file(place) is not None or self.is_folder(place)

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        folder = folder_of(path)
        if folder:
            return path in self._listing(folder)
        if path not in self._top:
            self._top[path] = read_if_there(self.snapshot, path) is not None
        return self._top[path]

    def facts(self, path: str) -> Facts:
        """What a file imports and defines. PortError where it is not Python."""
        return read_facts(path, decode(path, self.snapshot.read(path))[0])

    def shape(self, names: Iterable[str]) -> str:
        """A hash of the Python files that top-level names have; while it stays, imports mean the same."""
        found: set[str] = set()
        for name in names:
            for base in self.bases:
                place = join(base, name)
                found |= {p for p in self._listing(place) if p.endswith(".py")}
                found |= {f"{place}.py"} if self.has(f"{place}.py") else set()
        text = "".join(f"{path}\n" for path in sorted(found))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

    def _listing(self, folder: str) -> frozenset[str]:
        if folder not in self._listings:
            self._listings[folder] = frozenset(self.snapshot.files(folder))
        return self._listings[folder]
