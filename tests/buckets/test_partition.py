"""Planned boundaries against every other way to part the lengths."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porter.buckets.partition import partitions
from porter.runtime.training.plan import padded_frames


def computed(lengths: list[int], batch: int, limits: tuple[int, ...]) -> int:
    """Batches times frames, bucket by bucket."""
    total, above = 0, 0
    for upto in limits:
        held = [length for length in lengths if above < length <= upto]
        total += -(-len(held) // batch) * padded_frames(upto)
        above = upto
    assert max(lengths) <= above
    return total


@given(
    st.lists(st.integers(60, 170), min_size=1, max_size=14),
    st.integers(1, 5),
    st.integers(1, 4),
)
def test_no_other_boundaries_compute_fewer_frames(lengths: list[int], batch: int, most: int) -> None:
    found = partitions(lengths, batch, most)
    ends = sorted({max(103, 8 * (length // 8) + 7) for length in lengths})
    assert [len(limits) for limits in found] == list(range(1, min(most, len(ends)) + 1))
    for limits in found:
        others = ((*inner, ends[-1]) for inner in combinations(ends[:-1], len(limits) - 1))
        assert computed(lengths, batch, limits) == min(computed(lengths, batch, other) for other in others)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60), st.integers(1, 8), st.integers(1, 20))
def test_every_length_has_a_bucket_and_every_bucket_a_length(lengths: list[int], batch: int, most: int) -> None:
    for limits in partitions(lengths, batch, most):
        assert list(limits) == sorted(set(limits))
        assert all(padded_frames(limit) == limit + 1 for limit in limits)
        assert limits[0] >= 100, "upstream's stand-in for a clip that it cannot read has 100 frames"
        held = [
            sum(above < length <= upto for length in lengths) for above, upto in zip((0, *limits), limits, strict=False)
        ]
        assert all(held) and sum(held) == len(lengths)


def test_a_filled_batch_costs_as_much_as_a_full_one() -> None:
    lengths = [199] * 3 + [399] * 3
    assert partitions(lengths, 1, 2)[1] == (199, 399)
    # Eight clips are two batches of four; apart they would be three.
    assert partitions([199] * 5 + [207] * 3, 4, 2) == [(207,), (199, 207)]
    assert computed([199] * 5 + [207] * 3, 4, (207,)) < computed([199] * 5 + [207] * 3, 4, (199, 207))


@pytest.mark.parametrize(("lengths", "batch", "most"), [([], 1, 1), ([50], 0, 1), ([50], 1, 0)])
def test_nothing_to_part_is_refused(lengths: list[int], batch: int, most: int) -> None:
    with pytest.raises(ValueError, match="boundaries need"):
        partitions(lengths, batch, most)
