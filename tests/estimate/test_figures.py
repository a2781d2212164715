"""Rooflines, chips, names of graphs and what still fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porter.errors import PortError
from porter.estimate.chips import CHIPS
from porter.estimate.lengths import longer
from porter.estimate.names import DEFAULT, means, wanted
from porter.estimate.outcome import Compiled, Said
from porter.estimate.roofline import ridge, roofline
from porter.validate.cases import TITLES

from .made_up import FAST


@pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda chip: chip.name)
def test_each_figure_of_a_chip_has_a_source_and_a_likely_size(chip: object) -> None:
    found = CHIPS[chip.name]  # type: ignore[attr-defined]
    for figure in (found.cores, found.bf16, found.int8, found.hbm, found.bandwidth, found.usable):
        assert figure.value > 0
        assert figure.source.startswith(("https://", "libtpu "))
    assert 0.9 < found.usable.value / found.hbm.value < 1.1
    assert 50 < ridge(found) < 1000


@given(st.floats(1, 1e16), st.floats(1, 1e13), st.sampled_from(sorted(CHIPS)))
def test_the_roofline_is_the_longer_of_both_times(flops: float, accessed: float, name: str) -> None:
    chip = CHIPS[name]
    found = roofline(flops, accessed, chip)
    assert found.seconds == max(flops / chip.peak, accessed / chip.speed)
    assert (found.bound == "compute") == (found.compute > found.memory)
    assert found.reach == pytest.approx(min(1.0, found.intensity / ridge(chip)))


def test_the_roofline_of_the_straightforward_port_on_v5e() -> None:
    found = roofline(1148e9, 62.9e9, CHIPS["v5e"])
    assert found.bound == "memory"
    assert found.seconds == pytest.approx(0.0768, rel=1e-2)


def test_nothing_takes_no_time() -> None:
    found = roofline(0, 0, CHIPS["v5e"])
    assert (found.seconds, found.reach, found.intensity) == (0, 0, 0)


def test_names_of_cases_and_parts() -> None:
    assert set(wanted(())) == {name.partition("/")[0] for name in DEFAULT} <= set(TITLES)
    assert wanted(["synthesizer.v2.forward/dec", "synthesizer.v2.forward", "synthesizer.v2.forward/dec"]) == {
        "synthesizer.v2.forward": ("dec", "")
    }
    assert set(wanted(["discriminator"])) == {name for name in TITLES if name.startswith("discriminator.")}
    for wrong in ("nothing", "nothing/dec", "discriminator.v2/"):
        with pytest.raises(PortError, match=r"nothing|slash"):
            wanted([wrong])


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("dec", "dec", True),
        ("dec", "dec.ups", False),
        ("*", "dec", True),
        ("*", "dec.ups", False),
        ("dec.*", "dec.ups", True),
        ("dec.ups.*", "dec.ups", False),
        ("enc_?", "enc_p", True),
    ],
)
def test_a_star_is_one_name(pattern: str, path: str, fits: bool) -> None:
    assert means(pattern, path) is fits


def test_moments_count_as_needed_and_may_be_too_much() -> None:
    chip = CHIPS["v5e"]
    said = Said("compiles", FAST)
    assert said.placed(chip, 7).needs == FAST.held + 7 == 300_000_000 + 50_000_000 + 40_000_000 - 10_000_000 + 5_000_007
    assert said.placed(chip, 7).verdict == "compiles"
    most = int(chip.usable.value) - FAST.held
    assert said.placed(chip, most).verdict == "compiles"
    over = said.placed(chip, most + 1)
    assert (over.verdict, over.compiled) == ("too large", FAST)
    assert "16.91 GB of HBM, where 16.91 GB" in over.error


def test_what_the_compiler_refused_stays_refused() -> None:
    assert Said("too large", needs=9, error="no").placed(CHIPS["v5e"], 1) == Said("too large", needs=10, error="no")
    assert Said("error", error="no").placed(CHIPS["v5e"], 1).needs == 0


def test_held_counts_aliased_results_once() -> None:
    assert Compiled(0, 0, 1, 10, 100, 100, 1000, 0, 0, 0).held == 1011


def test_phonemes_grow_with_frames() -> None:
    pytest.importorskip("torch", reason="needs torch (the extra xla)")
    from porter.estimate.exchange import Sizes
    from porter.estimate.lengths import buckets

    sizes = Sizes(8, 400, 100)
    assert longer(sizes, 400) == sizes
    assert longer(sizes, 800) == Sizes(8, 800, 224)
    ladder = buckets(32)
    assert ladder[0] == 32
    assert all(frames % 2 == 0 for frames in ladder)
    assert {320, 384, 448, 512, 4096} <= set(ladder)
