"""People's decisions about hunks: one text file beside port.json, read by every generate.

What follows them (`applying`, `account`) needs libcst and is for those who build; what reads and shows does not.
"""

from __future__ import annotations

from .model import NAME, Decision, What, decision, fingerprint, is_outdated, rewrite_of
from .reading import read

__all__ = ["NAME", "Decision", "What", "decision", "fingerprint", "is_outdated", "read", "rewrite_of"]
