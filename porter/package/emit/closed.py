"""Whether every import of a package finds something, looked at once more when all of its files are there."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ...errors import PortError
from ...inputs.sources import Sources, folder_of, join
from ...inputs.sources.facts import Facts, Import, read_facts
from ...inputs.sources.standard import STANDARD
from .parts import Emitted, Origin

if TYPE_CHECKING:
    from ...inputs.sources import Needs


def check_closed(files: Mapping[str, Emitted], sources: Sources) -> None:
    """PortError for an import of one of `files` (by place in the package) that finds nothing, or not the name.

    Imports that a file goes on without are left alone, and so are those of the runtime, which its tests execute.
    """
    package = _Package(files, sources.encodings)
    known = frozenset(name.partition(".")[0] for name in _foreign(sources.needs)) | STANDARD
    for target, emitted in files.items():
        if emitted.origin not in (Origin.REWRITTEN, Origin.IMPORT_PATH):
            continue
        for statement in package.facts(target).imports:
            if statement.optional:
                continue
            missing = package.missing(target, statement) if statement.level else _unknown(statement, known)
            if missing:
                raise PortError(
                    f"{emitted.upstream or target} would import {missing} as module/tpu/{target}, "
                    "which neither the emitted package nor upstream holds"
                )


def _foreign(needs: Needs) -> Iterator[str]:
    """The modules that the package imports and does not hold."""
    yield from (*needs.upstream, *needs.third_party, *needs.optional)
    for kind in (needs.trainers, needs.later, needs.outside):
        for names in kind.values():
            yield from names
    yield from ("torch", "torch_xla", "module")


def _unknown(statement: Import, known: frozenset[str]) -> str:
    return "" if statement.package in known else statement.module


class _Package:
    """The files of a package as an import sees them."""

    def __init__(self, files: Mapping[str, Emitted], encodings: Mapping[str, str]) -> None:
        self._files = files
        self._encodings = encodings
        self._folders = {folder for target in files for folder in _folders(target)}
        self._facts: dict[str, Facts] = {}

    def facts(self, target: str) -> Facts:
        """What a file imports and binds."""
        if target not in self._facts:
            emitted = self._files[target]
            codec = self._encodings.get(emitted.upstream or "", "utf-8")
            self._facts[target] = read_facts(target, codecs.decode(emitted.content, codec))
        return self._facts[target]

    def missing(self, target: str, statement: Import) -> str:
        """What a relative import of a file asks for and does not find; "" where it finds everything."""
        folder = folder_of(target)
        shown = f"{'.' * statement.level}{statement.module}"
        for _ in range(statement.level - 1):
            if not folder:
                return shown  # above the package
            folder = folder_of(folder)
        place = join(folder, statement.module.replace(".", "/"))
        if place and not self._holds(place):
            return shown
        lost = (name for name in statement.names if name != "*" and not self._finds(place, name))
        name = next(lost, None)
        return "" if name is None else f"{shown}{'.' if statement.module else ''}{name}"

    def _finds(self, place: str, name: str) -> bool:
        """Whether a module has a name: as a module inside it, or bound in its file."""
        file = self._file(place)
        return self._holds(join(place, name)) or (file is not None and self.facts(file).binds(name))

    def _file(self, place: str) -> str | None:
        return next((f for f in (join(place, "__init__.py"), f"{place}.py") if f in self._files), None)

    def _holds(self, place: str) -> bool:
        return self._file(place) is not None or place in self._folders


def _folders(target: str) -> Iterator[str]:
    while target := folder_of(target):
        yield target
