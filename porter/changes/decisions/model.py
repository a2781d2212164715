"""What a person decides about a hunk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from ..hunks import plain_code

if TYPE_CHECKING:
    from ..hunks import Hunk

What = Literal["accept", "reject", "edit"]

NAME = "port.decisions.toml"
REJECTED = "a person rejected the rewrite"  # ends the reason of a hazard that is there because of that


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision; it holds for every hunk with its key, wherever that stands."""

    key: str  # of the hunk
    what: What
    reason: str = ""  # of a rejection: why upstream's lines are no hazard
    text: str = ""  # of an edit: the lines in place of the rule's, each with its end
    file: str = ""  # upstream; this and what follows is for people
    line: int = 0
    scope: str = ""
    rules: tuple[str, ...] = ()
    code: str = ""  # the first line of upstream's code
    rewrite: str = ""  # names what the rules had made of it


def decision(hunk: Hunk, what: What, *, reason: str = "", text: str = "") -> Decision:
    """A decision about `hunk`."""
    code = next((line.strip() for line in hunk.old if line.strip()), "")
    return Decision(hunk.key, what, reason, text, hunk.path, hunk.line, hunk.scope, hunk.rules, code, rewrite_of(hunk))


def rewrite_of(hunk: Hunk) -> str:
    """A name for what the rules made of the code, layout left out: 16 hex digits."""
    return hashlib.sha256(plain_code("".join(hunk.new)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def is_outdated(decision: Decision, hunk: Hunk) -> bool:
    """Whether the rules now make something else of the code than the person saw; upstream's own lines never change."""
    return decision.what != "reject" and decision.rewrite not in ("", rewrite_of(hunk))


def fingerprint(decisions: Sequence[Decision]) -> str:
    """SHA-256 of all that was decided, in any order and layout; "" for nothing."""
    if not decisions:
        return ""
    told = json.dumps([asdict(d) for d in sorted(decisions, key=lambda d: d.key)], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(told.encode()).hexdigest()
