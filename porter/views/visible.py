"""Text from elsewhere made fit to be looked at: what would steer a terminal, or reorder a line, is shown instead."""

from __future__ import annotations

import re

# C0 (but tab and line feed), DEL, C1; separators that end lines; marks that make text run another way (CVE-2021-42574);
# bytes of a file's name that are no UTF-8.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """`text` with control characters and marks of direction as Python writes them: `\\x1b`, `\\u202e`."""
    return _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
