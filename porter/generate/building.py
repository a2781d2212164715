"""The package in memory: parsed, rewritten, scanned and laid out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import rulebook
from ..base import NAME, Base, pack
from ..emit import Emitted, layout
from ..engine import Rewrites, no_collection, rewrite
from ..hazards import account
from ..manifest import Manifest
from ..manifest.describe import describe
from ..project import Project
from ..sources import Sources, collect
from .fingerprint import engine_hash

if TYPE_CHECKING:
    from ..upstream import Snapshot
    from .settings import Settings


@dataclass(frozen=True, slots=True)
class Built:
    """A package that is ready to be written."""

    sources: Sources
    rewrites: Rewrites
    files: Mapping[str, Emitted]  # by place below the output folder
    manifest: Manifest
    base: Base

    @property
    def contents(self) -> dict[str, bytes]:
        """The bytes of every file but port.json."""
        return {**self.base.generated, NAME: pack(self.base)}


def build(snapshot: Snapshot, settings: Settings, step: Callable[[str], None]) -> Built:
    """Port `snapshot`. PortError for input that cannot be used."""
    with no_collection():
        return _build(snapshot, settings, step)


def _build(snapshot: Snapshot, settings: Settings, step: Callable[[str], None]) -> Built:
    options = settings.record()
    rules = rulebook.load(settings.rules).selected(options["select"], options["ignore"])
    step("reading upstream")
    sources = collect(snapshot)
    step("parsing")
    project = Project.parse(sources.texts)
    step("rewriting")
    rewrites = rewrite(project, rules)
    step("looking for what is left")
    hazards = account(rewrites)
    spec, revision = snapshot.spec, snapshot.revision
    files = layout(rewrites, sources, spec=spec, revision=revision, install=settings.install)
    base = Base(
        {path: text.encode(sources.encodings[path]) for path, (_, text) in sources.texts.items()},
        {name: emitted.content for name, emitted in files.items()},
    )
    manifest = describe(
        sources=sources,
        rewrites=rewrites,
        files=files,
        hazards=hazards,
        spec=spec,
        revision=revision,
        options=options,
        tool={"rulebook": settings.rulebook_hash(), "engine": engine_hash()},
        base=pack(base),
    )
    return Built(sources, rewrites, files, manifest, base)
