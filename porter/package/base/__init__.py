"""port.base: what a package was made from and how it was first written, for everything that compares later.

A person may edit the package, and upstream moves on. To merge, to show what a rule did, and to tell what changed
upstream, both old texts have to be there; neither the cache of upstreams nor git can be relied on.
"""

from __future__ import annotations

from .archive import NAME, Base, pack, read_base, unpack

__all__ = ["NAME", "Base", "pack", "read_base", "unpack"]
