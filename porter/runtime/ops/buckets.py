"""Lengths rounded up to a few boundaries, so that batches of many lengths share few graphs."""

import bisect
import os
from collections.abc import Sequence

_chosen: tuple[int, ...] | None = None


def bucket(length: int) -> int:
    """The boundary that `length` (0 or more) is padded to. ValueError beyond the last explicit one."""
    if length < 0:
        raise ValueError(f"a length cannot be negative: {length}")
    boundaries = buckets()
    if boundaries is None:
        return _default_boundary(length)
    if not boundaries:
        return length
    place = bisect.bisect_left(boundaries, length)
    if place == len(boundaries):
        raise ValueError(f"a length of {length} is beyond the last bucket boundary, {boundaries[-1]}")
    return boundaries[place]


def set_buckets(boundaries: Sequence[int] | None) -> None:
    """Set the boundaries; an empty sequence switches rounding off, None goes back to SOVITS_PORT_BUCKETS."""
    global _chosen
    _chosen = None if boundaries is None else _checked(boundaries)


def buckets() -> tuple[int, ...] | None:
    """The boundaries in force; () when rounding is off, None for the default series.

    SOVITS_PORT_BUCKETS is "320,400,..." or "off". The default series has four steps an octave: 32, 40, 48,
    56, 64, 80, ... (multiples of 8), and the even ones of the same steps below.
    """
    if _chosen is not None:
        return _chosen
    text = os.environ.get("SOVITS_PORT_BUCKETS", "").strip()
    if not text:
        return None
    if text.lower() == "off":
        return ()
    try:
        return _checked([int(part) for part in text.split(",")])
    except ValueError as error:
        raise ValueError(f"SOVITS_PORT_BUCKETS={text!r} is not a list of lengths: {error}") from None


def _checked(boundaries: Sequence[int]) -> tuple[int, ...]:
    ordered = tuple(sorted({int(boundary) for boundary in boundaries}))
    if ordered and ordered[0] < 1:
        raise ValueError(f"a bucket boundary is at least 1, not {ordered[0]}")
    return ordered


def _default_boundary(length: int) -> int:
    if length <= 8:
        return max(2, length + length % 2)
    step = 1 << max(1, (length - 1).bit_length() - 3)
    return -(-length // step) * step
