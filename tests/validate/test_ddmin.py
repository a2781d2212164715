"""The search for the fewest edits to blame, on numbers."""

from __future__ import annotations

import random

import pytest

from porter.validate.ddmin import smallest_cure


@pytest.mark.parametrize("seed", range(30))
def test_exactly_the_culprits_are_found(seed: int) -> None:
    chance = random.Random(seed)
    items = list(range(chance.randrange(1, 60)))
    culprits = set(chance.sample(items, chance.randrange(1, min(4, len(items)) + 1)))
    asked: list[frozenset[int]] = []

    def cures(without: frozenset[int]) -> bool:
        asked.append(without)
        return culprits <= without

    found = smallest_cure([items], cures, 1000)
    assert found.cure is not None and set(found.cure) == culprits
    assert found.whole
    assert found.probes == len(asked) == len(set(asked))  # nothing is asked twice


def test_one_culprit_among_many_takes_few_probes() -> None:
    for culprit in range(150):
        found = smallest_cure([range(150)], lambda without, culprit=culprit: culprit in without, 40)  # type: ignore[misc]
        assert found.cure == (culprit,)
        assert found.probes <= 10  # the binary logarithm, and two


def test_it_is_reduced_where_more_is_not_always_better() -> None:
    def cures(without: frozenset[int]) -> bool:
        return ({2, 7} <= without and 5 not in without) or len(without) == 10

    found = smallest_cure([range(10)], cures, 100)
    assert found.cure is not None and cures(frozenset(found.cure))
    assert not any(cures(frozenset(found.cure) - {item}) for item in found.cure)


def test_the_most_suspect_group_comes_first_and_may_be_enough() -> None:
    asked: list[frozenset[int]] = []

    def cures(without: frozenset[int]) -> bool:
        asked.append(without)
        return 3 in without

    assert smallest_cure([[1, 2], [3, 4], range(5, 99)], cures, 40).cure == (3,)
    assert all(number <= 4 for without in asked for number in without)


def test_what_cannot_be_taken_away_together_is_taken_one_by_one() -> None:
    needed = {0, 5, 9}

    def cures(without: frozenset[int]) -> bool:
        return 6 in without and not needed & without

    assert smallest_cure([[5, 6], range(10)], cures, 40, suspects=[5, 6]).cure == (6,)
    assert smallest_cure([range(10)], cures, 40).cure == (6,)  # last of all, when groups do not help


def test_no_cure_is_told_as_none_and_the_limit_is_kept() -> None:
    asked: list[frozenset[int]] = []

    def never(without: frozenset[int]) -> bool:
        asked.append(without)
        return False

    found = smallest_cure([range(10)], never, 40)
    assert (found.cure, found.probes, found.whole) == (None, 11, True)
    asked.clear()
    found = smallest_cure([range(100)], never, 7)
    assert (found.cure, found.probes, found.whole, len(asked)) == (None, 7, False, 7)


def test_where_the_limit_stops_it_the_best_so_far_is_told() -> None:
    found = smallest_cure([range(64)], lambda without: {0, 63} <= without, 5)
    assert found.cure is not None and {0, 63} <= set(found.cure)
    assert not found.whole
