"""Batch sizes and lengths to search in."""

from __future__ import annotations

from porter.estimate.exchange import Sizes

MOST_BATCH = 1024
MOST_FRAMES = 4096


def batches() -> tuple[int, ...]:
    """Every size of a batch."""
    return tuple(range(1, MOST_BATCH + 1))


def buckets(least: int) -> tuple[int, ...]:
    """The default buckets of the emitted runtime, from `least` frames on."""
    from porter.runtime.ops.buckets import bucket

    return tuple(sorted({bucket(length) for length in range(least, MOST_FRAMES + 1)}))


def longer(sizes: Sizes, frames: int) -> Sizes:
    """The same batch in another bucket, its phonemes in proportion and padded to a bucket as well."""
    from porter.runtime.ops.buckets import bucket

    phonemes = sizes.phonemes if frames == sizes.frames else bucket(-(-frames * sizes.phonemes // sizes.frames))
    return Sizes(sizes.batch, frames, phonemes)
