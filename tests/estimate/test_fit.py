"""The search for the largest size that fits, against a compiler that is only a formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porter.estimate.fit import Found, Probe, largest

CAPACITY = 1000.0


def searched(
    sizes: Sequence[int], start: int, needs: Callable[[int], float], *, telling: bool = True
) -> tuple[Found, list[int]]:
    """What the search finds where a size needs `needs(size)`, and which sizes it tried."""
    tried: list[int] = []

    def probe(size: int) -> Probe:
        tried.append(size)
        fits = needs(size) <= CAPACITY
        told = math.ceil(needs(size)) if fits or telling else 0
        return Probe(size, fits, told, str(needs(size)))

    return largest(sizes, start, CAPACITY, probe), tried


def expect(found: Found, fitting: Sequence[int], sizes: Sequence[int]) -> None:
    """The largest that fits is found, exactly up to 64 and nearly above."""
    best = fitting[-1] if fitting else None
    if best is None or best < 64 or best == sizes[-1]:
        assert found.largest == best
        assert found.exceeded == next((size for size in sizes if best is None or size > best), None)
    else:
        assert found.largest is not None and found.exceeded is not None
        assert found.largest <= best < found.exceeded
        step = sizes[sizes.index(found.largest) + 1] - found.largest
        assert found.exceeded - found.largest <= max(step, found.largest / 64)


ladders = st.lists(st.integers(1, 5000), min_size=1, max_size=300, unique=True).map(sorted)
steps = st.lists(st.integers(0, 400), min_size=300, max_size=300)


@given(ladders, st.integers(1, 5000), steps, st.integers(0, 1200), st.booleans())
def test_the_largest_that_fits_is_found_whatever_sizes_need(
    sizes: list[int], start: int, steps: list[int], first: int, telling: bool
) -> None:
    needs = {}
    total = first
    for size, step in zip(sizes, steps, strict=False):
        needs[size] = total
        total += step
    found, tried = searched(sizes, start, lambda size: needs[size], telling=telling)
    expect(found, [size for size in sizes if needs[size] <= CAPACITY], sizes)
    assert len(set(tried)) == len(tried)
    assert len(tried) <= 3 * math.ceil(math.log2(len(sizes) + 1)) + 3


@given(st.floats(0.1, 200), st.floats(0, 500), st.integers(1, 64))
def test_where_sizes_cost_alike_a_few_compiles_are_enough(each: float, fixed: float, start: int) -> None:
    found, tried = searched(range(1, 1025), start, lambda size: fixed + each * size)
    expect(found, [size for size in range(1, 1025) if fixed + each * size <= CAPACITY], range(1, 1025))
    assert len(tried) <= 9


def test_what_does_not_depend_on_the_size_fits_at_any() -> None:
    found, tried = searched(range(1, 1025), 8, lambda size: 10.0)
    assert (found.largest, found.exceeded, found.unaffected) == (1024, None, True)
    assert len(tried) <= 4


@pytest.mark.parametrize(("each", "words"), [(0.0, "any"), (0.1, "1024 or more"), (20.0, "50"), (5000.0, "none")])
def test_where_a_search_ended_in_words(each: float, words: str) -> None:
    assert searched(range(1, 1025), 8, lambda size: each * size)[0].words == words


def test_a_compiler_that_saves_memory_near_the_limit_costs_few_probes() -> None:
    """As seen of libtpu: it computes values again rather than keep them, until it can do no more."""

    def needs(size: int) -> float:
        return min(CAPACITY * 0.95, size * 2.0) if size <= 640 else size * 1.9

    found, tried = searched(range(1, 1025), 2, needs)
    expect(found, range(1, 641), range(1, 1025))
    assert len(tried) <= 11


def test_nothing_fits() -> None:
    found, _ = searched(range(1, 100), 8, lambda size: 5000.0)
    assert (found.largest, found.exceeded, found.needs) == (None, 1, 0)


@pytest.mark.parametrize(("start", "reached"), [(1, 3), (7, None), (1000, None)])
def test_a_probe_that_fails_ends_the_search(start: int, reached: int | None) -> None:
    def probe(size: int) -> Probe:
        return Probe(size, False, problem="the compiler crashed") if size > 3 else Probe(size, True, 300, "g")

    found = largest(range(1, 20), start, CAPACITY, probe)
    assert found.problem == "the compiler crashed"
    assert (found.largest, found.exceeded, found.unaffected) == (reached, None, False)
    assert found.words == (f"{reached} or more" if reached else "not known")
