"""Which variations a case gets, and what they make of its batch."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

import torch

from porter.validate.cases import load_case
from porter.validate.variations import VARIATIONS, is_mask, varied


def names(*cases: str, device: str = "cpu") -> set[str]:
    return {variation.name for case in cases for variation in varied(load_case(case), {}, device)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("synthesizer.v1.forward", "synthesizer.v2.forward"),
        ("synthesizer.v2Pro.forward", "synthesizer.v2ProPlus.forward"),
        ("synthesizer_v3.v3.forward", "synthesizer_v3.v4.forward"),
        ("discriminator.v2", "discriminator.v2Pro"),
    ],
)
def test_cases_of_the_same_code_take_turns_and_leave_none_out(one: str, other: str) -> None:
    alone = {v.name for v in VARIATIONS if v.only(load_case(one)) and "cpu" in v.devices}
    alone -= set(load_case(one).left_out)
    assert names(one) < alone
    assert names(one, other) == alone
    assert {"step 2", "step 3", "odd", "too wide"} <= names(one) & names(other)


def test_xla_runs_what_needs_no_new_graph() -> None:
    assert names("losses", device="xla") == {"other batch"}
    assert names("generator.plain", device="xla") == {"step 2", "step 3"}
    batch = {"x/y": torch.ones(2, 3), "x/z": torch.zeros(2)}
    case = load_case("synthesizer.v2.decode")
    assert {v.name for v in varied(case, batch, "xla")} >= {"another y", "another z"}


def test_calls_of_a_pair_differ_in_one_input() -> None:
    case, generator = load_case("synthesizer.v2.decode"), torch.Generator()
    base = {"m/x": torch.randn(2, 9), "m/y": torch.arange(9)}
    first, second = [v for v in varied(case, base, "xla") if v.name.startswith("another")]
    assert first.change is not None and second.change is not None
    one, two = first.change(case, {**base}, generator), second.change(case, {**base}, generator)
    assert one is not None and two is not None
    assert not torch.equal(one["m/x"], base["m/x"]) and torch.equal(one["m/y"], base["m/y"])
    assert torch.equal(two["m/x"], one["m/x"]) and not torch.equal(two["m/y"], one["m/y"])


def test_masks_begin_and_end_anywhere() -> None:
    variation = next(v for v in VARIATIONS if v.name == "masks anywhere")
    assert variation.change is not None
    case, generator = load_case("losses"), torch.Generator().manual_seed(0)
    given = {"a/x_mask": torch.ones(64, 1, 20), "a/x": torch.ones(64, 1, 20)}
    found = variation.change(case, {**given}, generator)
    assert found is not None
    mask = found["a/x_mask"]
    assert is_mask("a/x_mask", mask) and torch.equal(found["a/x"], given["a/x"])
    edges = (mask[..., 1:] - mask[..., :-1]).abs().sum(-1)
    assert edges.max() == 2 and (mask[..., 0] == 0).any() and mask.any(-1).all()
