"""What people's notes keep off, and whether what they leave can work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..analysis.project import Project
from ..syntax.loose_names import problem
from ..syntax.spans import Span
from .imports import RuntimeImport
from .requests import Request, Requests
from .suppress import Note, Suppressions


@dataclass(frozen=True, slots=True)
class Noted:
    """A note, and the file that it stands in."""

    file: str
    note: Note

    @property
    def place(self) -> str:
        """The note in words that lead to it."""
        return f"{self.file}:{self.note.line}: the note {self.note.told}"

    def told(self, path: str) -> str:
        """The note in words for people who are at the file `path`."""
        return f"{self.note.told} in line {self.note.line}{f' of {self.file}' if self.file != path else ''}"


def kept_off(project: Project, notes: Mapping[str, Suppressions]) -> dict[Request, Noted]:
    """What notes themselves keep off; `notes` are those of each file, by path."""
    found: dict[Request, Noted] = {}
    for path, file in project.files.items():
        for request in file.fact(Requests) if notes[path].notes else ():
            note = notes[path].keeps(file, request)
            if note is not None:
                found[request] = Noted(path, note)
    return found


def of_rules(project: Project, noted: Mapping[Request, Noted], *, anywhere: bool) -> dict[Request, Noted]:
    """What notes keep off, and all else that the same rules ask for in the same file, or anywhere."""
    causes = {("" if anywhere else cause.file, request.rule): cause for request, cause in noted.items()}
    found = dict(noted)
    for path, file in project.files.items():
        for request in file.fact(Requests):
            cause = causes.get(("" if anywhere else path, request.rule))
            if cause is not None:
                found.setdefault(request, cause)
    return found


@dataclass(frozen=True, slots=True)
class NotedFile:
    """A file with its notes followed."""

    before: str  # upstream's text
    after: str
    runtime: tuple[Span, ...]  # where upstream the import of the runtime was put
    changed: bool  # whether a note kept anything off in it


def trouble(files: Mapping[str, NotedFile], notes: Mapping[str, Suppressions], noted: Mapping[Request, Noted]) -> str:
    """Why a project cannot work as notes leave it, in a sentence; "" where nothing is known against it."""
    for path, file in files.items():
        for note in notes[path].notes:
            needed = any(span.line <= note.last and note.first <= span.end_line for span in file.runtime)
            if RuntimeImport.code in note.codes and needed:
                why = "rewritten lines of the file call what is imported there"
                return f"{Noted(path, note).place} cannot be followed: {why}"
        why = problem((file.before,), file.after) if file.changed else ""
        if why:
            places = sorted({one.place for one in noted.values()}, key=lambda place: path not in place)
            return f"{places[0]} cannot be followed: in {path}, {why}"
    return ""
