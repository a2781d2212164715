"""Where upstream's sources come from: a folder, a git repository or URL, or a wheel; read, never executed."""

from __future__ import annotations

from porter.inputs.upstream.local import open_directory, open_git
from porter.inputs.upstream.snapshot import Snapshot
from porter.inputs.upstream.spec import DirectorySpec, GitSpec, GitUrlSpec, Spec, WheelSpec, parse

__all__ = [
    "DirectorySpec",
    "GitSpec",
    "GitUrlSpec",
    "Snapshot",
    "Spec",
    "WheelSpec",
    "open_upstream",
    "parse",
]


def open_upstream(text: str, *, offline: bool = False) -> Snapshot:
    """The upstream that `text` names, ready to be listed and read.

    `offline` keeps to what is on this machine already. Raises PortError, naming the input, when it cannot be
    used.
    """
    spec = parse(text)
    if isinstance(spec, DirectorySpec):
        return open_directory(spec)
    if isinstance(spec, GitSpec):
        return open_git(spec)
    # Imported late: most runs need neither the network nor the cache.
    if isinstance(spec, GitUrlSpec):
        from porter.inputs.upstream.remote import open_url

        return open_url(spec, offline=offline)
    from porter.inputs.upstream.wheel import open_wheel

    return open_wheel(spec, offline=offline)
