"""The boundaries with which an epoch computes the fewest frames: an exact dynamic programme over sorted lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from ..runtime.training.plan import padded_frames

# Upstream stands silence of 100 frames in for a clip that it cannot read, and rounds that up.
_STAND_IN = padded_frames(100)


def partitions(lengths: Sequence[int], batch: int, most: int) -> list[tuple[int, ...]]:
    """Upper boundaries of 1, 2, … `most` buckets for clips of these lengths in frames, ends of the lists ascending.

    Each is a best one of its size: clips are padded to their bucket, and a bucket's last batch is filled with clips of
    its own, so a bucket computes its full batches times its frames. The lists end where there are no more lengths to
    tell apart. ValueError for no lengths, no batch or no bucket.
    """
    if not lengths or batch < 1 or most < 1:
        raise ValueError("boundaries need lengths, a batch and a bucket")
    counts = Counter(max(_STAND_IN, padded_frames(length)) for length in lengths)
    frames = sorted(counts)
    before = [0, *accumulate(counts[length] for length in frames)]
    ends = range(len(frames) + 1)
    # best[end]: the fewest frames, in batches, of the clips before `end` with so many buckets.
    best = [0.0] + [float("inf")] * len(frames)
    starts: list[list[int]] = []
    for buckets in range(1, min(most, len(frames)) + 1):
        last, best, start_of = best, [float("inf")] * len(ends), [0] * len(ends)
        for end in range(buckets, len(ends)):
            clips, length = before[end], frames[end - 1]
            best[end], start_of[end] = min(
                (last[start] - (before[start] - clips) // batch * length, start) for start in range(buckets - 1, end)
            )
        starts.append(start_of)
    return [_limits(frames, starts[: size + 1]) for size in range(len(starts))]


def _limits(frames: Sequence[int], starts: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Upper boundaries, from the last back to the first."""
    end = len(frames)
    limits = []
    for start_of in reversed(starts):
        limits.append(frames[end - 1] - 1)  # the longest length with these padded frames
        end = start_of[end]
    return tuple(reversed(limits))
