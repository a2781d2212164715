"""What of port.json several commands print with --json."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..answers.package import PackageFacts
    from ..package.manifest import Manifest


def facts_of(manifest: Manifest) -> PackageFacts:
    """Upstream, options, rules, files, scope, edits, hazards, notes that do nothing, and needs."""
    return {
        "upstream": manifest["upstream"],
        "options": manifest["options"],
        "rules": manifest["rules"],
        "files": manifest["files"],
        "scope": manifest["scope"],
        "edits": manifest["edits"],
        "hazards": manifest["hazards"],
        "unused_ignores": manifest["unused_ignores"],
        "needs": manifest["needs"],
    }
