"""The package in memory: parsed, rewritten, scanned and laid out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..analysis.project import Project
from ..changes.decisions import fingerprint
from ..changes.decisions.account import account_for
from ..changes.decisions.applying import Decided, decide
from ..codemod import rulebook
from ..codemod.engine import Rewrites, no_collection, rewrite
from ..errors import PortError
from ..inputs.sources import Sources, collect
from ..inputs.sources.depth import deepest
from ..package.base import NAME, Base, pack
from ..package.emit import Emitted, layout
from ..package.manifest import DecisionsRecord, Manifest
from ..package.manifest.describe import describe, edit_record
from ..syntax.stack import with_room
from .fingerprint import engine_hash

if TYPE_CHECKING:
    from ..inputs.upstream import Snapshot
    from .settings import Settings


@dataclass(frozen=True, slots=True)
class Built:
    """A package that is ready to be written."""

    sources: Sources
    rewrites: Rewrites  # decisions followed
    files: Mapping[str, Emitted]  # by place below the output folder
    manifest: Manifest
    base: Base
    packed: bytes  # `base`, as port.base

    @property
    def contents(self) -> dict[str, bytes]:
        """The bytes of every file but port.json."""
        return {**self.base.generated, NAME: self.packed}


def build(snapshot: Snapshot, settings: Settings, step: Callable[[str], None]) -> Built:
    """Port `snapshot`. PortError for input that cannot be used."""
    with no_collection():
        return _build(snapshot, settings, step)


def _build(snapshot: Snapshot, settings: Settings, step: Callable[[str], None]) -> Built:
    book = rulebook.load(settings.rules)
    options = settings.record()
    book.selected(options["select"], options["ignore"])  # before anything is read
    step("reading upstream")
    sources = collect(snapshot, settings.sources)
    spec, revision = snapshot.spec, snapshot.revision
    try:
        return with_room(lambda: _port(sources, spec, revision, settings, book, step))
    except RecursionError:  # some versions of Python limit calls by way of C, of which libcst's printing makes many
        (_, line), path = max((deepest(text), path) for path, (_, text) in sources.texts.items())
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise PortError(f"{path} nests too deeply for libcst on Python {version} (line {line})") from None


def _port(
    sources: Sources,
    spec: str,
    revision: str,
    settings: Settings,
    book: rulebook.RuleBook,
    step: Callable[[str], None],
) -> Built:
    options = settings.record()
    rules = book.selected(options["select"], options["ignore"])
    step("parsing")
    project = Project.parse(sources.texts, sources.arrangement)
    step("rewriting")
    decided = decide(rewrite(project, rules), settings.decisions)
    rewrites = decided.rewrites
    step("looking for what is left")
    hazards = account_for(decided)
    files = layout(rewrites, sources, spec=spec, revision=revision, install=settings.install)
    undecided = _undecided(decided, sources, files, spec, revision)
    base = Base(
        {path: text.encode(sources.encodings[path]) for path, (_, text) in sources.texts.items()},
        {name: emitted.content for name, emitted in files.items()},
        {name: emitted.content for name, emitted in undecided.items()},
    )
    packed = pack(base)
    manifest = describe(
        sources=sources,
        rewrites=rewrites,
        files=files,
        hazards=hazards,
        spec=spec,
        revision=revision,
        options=options,
        tool={"rulebook": settings.rulebook_hash(), "engine": engine_hash()},
        decisions=_decisions(decided, settings, undecided),
        base=packed,
        codes={*rulebook.FAMILIES, *(rule.code for rule in book.rules)},
    )
    return Built(sources, rewrites, files, manifest, base, packed)


def _undecided(
    decided: Decided, sources: Sources, files: Mapping[str, Emitted], spec: str, revision: str
) -> dict[str, Emitted]:
    """Files that decisions changed, as the rules alone would have them, by place. PortError where headers differ."""
    if not decided.changes:
        return {}
    found: dict[str, Emitted] = {}
    for name, emitted in layout(decided.undecided, sources, spec=spec, revision=revision).items():
        if emitted.upstream in decided.changes:
            if emitted.header_at != files[name].header_at:
                raise PortError(
                    f"a decision about the first lines of {emitted.upstream} changes one that the system or Python "
                    "reads (#! or coding), which no decision may"
                )
            found[name] = emitted
    return found


def _decisions(decided: Decided, settings: Settings, undecided: Mapping[str, Emitted]) -> DecisionsRecord:
    mirrors = {emitted.upstream: emitted for emitted in undecided.values()}
    return {
        "hash": fingerprint(settings.decisions),
        "list": list(decided.records),
        "undecided": [
            edit_record(edit, mirrors[edit.file].line)
            for edit in sorted(decided.undecided.edits)
            if edit.file in decided.changes
        ],
    }
