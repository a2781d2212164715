"""Lengths rounded up to a few boundaries, so that batches of many lengths share few graphs."""

import bisect
import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

_FEWEST_FRAMES = 16  # sound has the samples of this many frames at least; shorter lengths count frames
_chosen: tuple[int, ...] | None = None


class Pads(NamedTuple):
    """What every batch of one bucket is padded to: `frames`, `frames * hop_length` samples, `tokens` of text.

    Without `tokens`, text is padded as it is without pads.
    """

    frames: int
    hop_length: int
    tokens: int | None = None


class _Current(threading.local):
    pads: Pads | None = None


_current = _Current()


def use_pads(pads: Pads | None) -> None:
    """Pad what this thread pads from now on to these lengths; None goes back to boundaries."""
    _current.pads = pads


def bucket(length: int, *, tokens: bool = False) -> int:
    """What a `length` (0 or more) of frames or samples is padded to, or with `tokens` one of text.

    With `use_pads` that is one of its lengths, else the next boundary. ValueError where `length` is beyond it.
    """
    if length < 0:
        raise ValueError(f"a length cannot be negative: {length}")
    pads = _current.pads
    if pads is None or (tokens and pads.tokens is None):
        return _boundary(length)
    return _token_pad(length, pads) if tokens else _sound_pad(length, pads)


def _token_pad(length: int, pads: Pads) -> int:
    assert pads.tokens is not None
    if length > pads.tokens:
        raise ValueError(f"a text of {length} tokens is beyond those of its bucket, {pads.tokens}")
    return pads.tokens


def _sound_pad(length: int, pads: Pads) -> int:
    if length <= pads.frames:
        return pads.frames
    samples = pads.frames * pads.hop_length
    if length < _FEWEST_FRAMES * pads.hop_length:
        raise ValueError(f"a length of {length} is beyond the frames of its bucket, {pads.frames}")
    if length > samples:
        raise ValueError(f"a length of {length} is beyond the samples of its bucket, {samples}")
    return samples


def _boundary(length: int) -> int:
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
