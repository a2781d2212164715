"""PyTorch's fused attention in a kernel, against PyTorch's own: values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch
import torch.nn.functional as F

from porter.runtime import ops, utils
from porter.runtime.ops import attention

from .graphs import assert_stays_on_device, decibels, device

pytestmark = pytest.mark.xla

ours: Any = ops.scaled_dot_product_attention
torchs: Any = F.scaled_dot_product_attention
HEADS, QUERIES, KEYS = 2, 9, 12


def tensors(*lead: int, keys: int = KEYS, width: int = 6, values: int = 10) -> list[torch.Tensor]:
    noise = torch.Generator().manual_seed(0)
    shapes = ((QUERIES, width), (keys, width), (keys, values))
    return [torch.randn(*lead, *shape, generator=noise) for shape in shapes]


def run(
    function: Callable[..., torch.Tensor], given: list[torch.Tensor], asked: dict[str, Any]
) -> list[torch.Tensor | None]:
    leaves = [value.detach().clone().requires_grad_() for value in given]
    result = function(*leaves, **asked)
    result.float().sin().sum().backward()  # type: ignore[no-untyped-call]
    return [result.detach(), *(leaf.grad for leaf in leaves)]


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The plans of kernels that are run from here on."""
    plans: list[Any] = []
    original = attention._weighed

    def counted(plan: Any, *given: Any) -> Any:
        plans.append(plan)
        return original(plan, *given)

    monkeypatch.setattr(attention, "_weighed", counted)
    return plans


def check(given: list[torch.Tensor], least: float = 120, **asked: Any) -> None:
    wanted = run(torchs, given, asked)
    with ops.device_forms(tpu=True):
        found = run(ours, given, asked)
    for one, other in zip(found, wanted, strict=True):
        assert one is not None
        assert other is not None
        assert one.isfinite().all()
        assert decibels(one, other) > least


def ends(*shape: int) -> torch.Tensor:
    """Keys that each sample has, the second a few less: true or false, at the ends of a mask of this shape."""
    lengths = torch.tensor([KEYS, KEYS - 3]).view(2, *[1] * (len(shape) - 1))
    return (torch.arange(KEYS) < lengths).expand(shape)


ONE = torch.arange(QUERIES)[:, None] + 2 > torch.arange(KEYS)
MASKS = {
    "none": None,
    "of each sample": ends(2, 1, 1, KEYS),
    "of each sample and query": ends(2, 1, QUERIES, KEYS),
    "of each head": torch.stack([ONE, ~ONE | (torch.arange(KEYS) == 0)])[None],
    "of all": ends(2, HEADS, QUERIES, KEYS),
    "of pairs": ONE,
}


@pytest.mark.parametrize("mask", MASKS)
def test_it_is_what_torch_computes(mask: str, kernels: list[Any]) -> None:
    check(tensors(2, HEADS), attn_mask=MASKS[mask])
    assert len(kernels) == 1


def test_a_scale_and_an_order_of_time(kernels: list[Any]) -> None:
    check(tensors(2, HEADS), scale=0.3, is_causal=True)
    check(tensors(2), is_causal=True)
    check(tensors(2), attn_mask=ends(2, 1, KEYS), scale=2.0)
    assert len(kernels) == 3


def test_a_query_that_sees_no_key_gets_nothing(kernels: list[Any]) -> None:
    mask = MASKS["of all"]
    assert mask is not None
    mask = mask.clone()
    mask[0, 0, 3] = False
    mask[1] = False
    check(tensors(2, HEADS), attn_mask=mask)
    with ops.device_forms(tpu=True):
        assert not ours(*tensors(2, HEADS), attn_mask=mask)[1].any()
    assert len(kernels) == 2


def test_autocast_rounds_where_torch_does(kernels: list[Any]) -> None:
    given = tensors(2, HEADS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        check(given, least=35, attn_mask=MASKS["of each sample"])
    half = [value.bfloat16() for value in given]
    check(half, least=35)
    assert [plan.dtype for plan in kernels] == ["bfloat16"] * 2


def test_what_no_kernel_knows_is_torchs_own(kernels: list[Any]) -> None:
    given = tensors(2, HEADS)
    added = torch.randn(QUERIES, KEYS, generator=torch.Generator().manual_seed(1))
    check(given, attn_mask=added)
    check([given[0], *(value[:, :1] for value in given[1:])], enable_gqa=True)
    check([given[0], *(value[:1] for value in given[1:])])  # keys that all samples share
    check([value.double() for value in given], least=200)
    torch.manual_seed(0)
    wanted = torchs(*given, dropout_p=0.5)
    torch.manual_seed(0)
    with ops.device_forms(tpu=True):
        assert torch.equal(ours(*given, dropout_p=0.5), wanted)
    assert kernels == []


@pytest.mark.parametrize(("keys", "values"), [(0, 6), (4, 0)])
def test_nothing_to_look_at_is_left_to_torch(keys: int, values: int, kernels: list[Any]) -> None:
    given = tensors(2, HEADS, keys=keys, values=values)
    with ops.device_forms(tpu=True):
        assert torch.equal(ours(*given), torchs(*given))
    assert kernels == []


def test_tensors_of_other_kinds_are_torchs(kernels: list[Any]) -> None:
    class Watched(torch.Tensor):
        pass

    with ops.device_forms(tpu=True):
        watched = [value.as_subclass(Watched) for value in tensors(2, HEADS)]
        assert type(ours(*watched)) is Watched
        assert ours(*(value.to("meta") for value in tensors(2, HEADS))).is_meta
    assert kernels == []


def test_keys_that_do_not_fit_are_left_to_torch(kernels: list[Any]) -> None:
    check(tensors(1, 1, keys=1100))
    assert kernels == []


def test_errors_are_torchs() -> None:
    given = tensors(2, HEADS)
    with ops.device_forms(tpu=True):
        with pytest.raises(IndexError):  # it knows no masks of keys alone
            ours(*given, attn_mask=torch.ones(KEYS, dtype=torch.bool))
        with pytest.raises(RuntimeError):
            ours(*given, attn_mask=ONE, is_causal=True)
        with pytest.raises(RuntimeError):
            ours(*given, attn_mask=torch.ones(1, 1, 1, 1, KEYS + 1, dtype=torch.bool))


def test_elsewhere_it_is_torchs_own(kernels: list[Any]) -> None:
    given, asked = tensors(2, HEADS), {"attn_mask": MASKS["of pairs"]}
    wanted = run(torchs, given, asked)
    found = run(ours, given, asked)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))  # type: ignore[arg-type]
    assert kernels == []


def test_on_xla_it_is_part_of_one_graph(kernels: list[Any]) -> None:
    given, mask = tensors(2, HEADS), MASKS["of each sample"]
    assert mask is not None
    sent = [utils.constant(value, device()) for value in (*given, mask)]
    with ops.device_forms(tpu=True):
        found = run(ours, sent[:3], {"attn_mask": sent[3]})
        for one, other in zip(found, run(torchs, given, {"attn_mask": mask}), strict=True):
            assert one is not None
            assert other is not None
            assert decibels(one, other) > 115
        assert_stays_on_device(lambda: run(ours, sent[:3], {"attn_mask": sent[3]}))
    assert len(kernels) == 3
