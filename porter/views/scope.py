"""What of upstream is ported, what runs on the host, and what is not ported: three lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..inputs.sources.scope import in_groups
from ..package.manifest import folder_around
from .console import NARROW

if TYPE_CHECKING:
    from ..package.manifest import Manifest, ScopeRecord

_HOST = "On the host, as upstream has it"
_LEFT = "Not ported, and not looked at, though it computes with torch"
_USING = "Of that, what holds networks or trains, and imports what is ported"
_LOOKED_AT = "Not ported, though it computes with torch"


def print_scope(console: Console, manifest: Manifest, *, looked_at: bool = False) -> None:
    """Print the scope of a package on stdout; nothing for one of an earlier version, which does not tell it.

    `looked_at` says that more than the ported files are.
    """
    scope = manifest.get("scope")
    if scope is None:
        return
    around = folder_around(manifest)
    told = [
        ("Ported", _ported(scope)),
        (_HOST, in_groups(scope["host"], around)),
        (_LOOKED_AT if looked_at else _LEFT, in_groups(scope["not_ported"], around)),
    ]
    if scope.get("left_out"):
        told.append((_USING, scope["left_out"]))
    for name, parts in told:
        if parts:
            line = Text(f"{name}: ", style="bold").append(", ".join(parts), style="not bold")
            console.print(line, soft_wrap=console.width >= NARROW)


def _ported(scope: ScopeRecord) -> list[str]:
    networks = [_named(network["name"], network["versions"]) for network in scope["networks"]]
    trainers = [_named(trainer["file"].rpartition("/")[2], trainer["versions"]) for trainer in scope["trainers"]]
    return [*networks, *trainers]


def _named(name: str, versions: Sequence[str]) -> str:
    return f"{name} ({', '.join(versions)})" if versions else name
