"""Two packages in, what differs out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .changes import Changes, Fact
from .files import consulted_files, package_files, upstream_files
from .hazards import compare_hazards
from .rewrites import compare_rewrites
from .sides import Lines, sources

if TYPE_CHECKING:
    from ...package.base import Base
    from ...package.manifest import Manifest


def compare(old: tuple[Manifest, Base], new: tuple[Manifest, Base]) -> Changes:
    """What differs from one package, as it was generated, to another; nothing is read or run."""
    (before, base_before), (after, base_after) = old, new
    was, now = sources(before, base_before), sources(after, base_after)
    lines = Lines(was, now)
    return Changes(
        facts=_facts(before, after),
        upstream=upstream_files(was, now),
        consulted=consulted_files(before, after),
        rules_new=tuple(sorted(set(after["rules"]) - set(before["rules"]))),
        rules_gone=tuple(sorted(set(before["rules"]) - set(after["rules"]))),
        rewrites=compare_rewrites(before, after, was, now, lines),
        hazards=compare_hazards(before, after, was, now, lines),
        package=package_files(before, after, base_before, base_after),
    )


def _facts(old: Manifest, new: Manifest) -> tuple[Fact, ...]:
    before, after = _told(old), _told(new)
    return tuple(Fact(name, before[name], after[name]) for name in before if before[name] != after[name])


def _told(manifest: Manifest) -> dict[str, str]:
    upstream, options = manifest["upstream"], manifest["options"]
    return {
        "spec": upstream["spec"],
        "revision": upstream["revision"],
        "module": upstream["module"],
        "licence": upstream["licence"],
        "imports": upstream["shape"],
        "version": manifest["version"],
        "engine": manifest["engine"],
        "rulebook": manifest["rulebook"],
        "select": ", ".join(options["select"]),
        "ignore": ", ".join(options["ignore"]),
        "install": str(options["install"]).lower(),
        "decisions": manifest["decisions"]["hash"],
    }
