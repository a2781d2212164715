import numpy as np
import pytest
import torch
import torch.nn.functional as F

from porter.runtime import ops, utils
from porter.runtime.ops.interpolate import nearest_positions

from .graphs import check_operation, device

FACTORS = [0.5, 0.7, 1.0, 1.1, 1.5, 1.875, 2.0, 2.05, 2.5, 3.0, 7.3, 8.0]


def test_nearest_reads_the_positions_that_torch_reads_for_every_pair_of_sizes() -> None:
    for source in range(1, 240):
        row = torch.arange(source, dtype=torch.float32).reshape(1, 1, -1)
        for length in range(1, 320, 1 if source < 120 else 3):
            wanted = F.interpolate(row, size=length).flatten().numpy()
            assert np.array_equal(nearest_positions(source, length, None), wanted), (source, length)


@pytest.mark.parametrize("factor", FACTORS)
def test_nearest_with_a_factor_equals_torch_for_every_length(factor: float) -> None:
    for source in range(2, 500):
        row = torch.arange(source, dtype=torch.float32).reshape(1, 1, -1)
        with ops.device_forms():
            ours = ops.interpolate(row, scale_factor=factor)
        assert torch.equal(ours, F.interpolate(row, scale_factor=factor)), source


@pytest.mark.xla
@pytest.mark.parametrize(
    "arguments",
    [
        {"scale_factor": 2},
        {"scale_factor": 1.875},
        {"scale_factor": 0.5},
        {"scale_factor": [3.0]},
        {"size": 17},
        {"size": (24,)},
        {"scale_factor": 1.1, "recompute_scale_factor": True},
    ],
)
def test_nearest_gives_the_same_bits_and_gradients(arguments: dict[str, object]) -> None:
    x = torch.randn(2, 3, 24)
    check_operation(
        lambda x: ops.interpolate(x, **arguments),  # type: ignore[arg-type]
        lambda x: F.interpolate(x, **arguments),  # type: ignore[arg-type]
        x,
        least=145,
    )
    with ops.device_forms():
        assert torch.equal(ops.interpolate(x, **arguments), F.interpolate(x, **arguments))  # type: ignore[arg-type]


@pytest.mark.xla
def test_nearest_on_xla_picks_the_same_positions_over_many_sizes() -> None:
    pairs = [(s, n) for s in (1, 3, 10, 31, 100, 333) for n in (1, 2, 7, 62, 99, 100, 201, 625)]
    rows = {s: torch.arange(s, dtype=torch.float32).reshape(1, 1, -1) for s, _ in pairs}
    sent = {s: utils.constant(row, device()) for s, row in rows.items()}
    ours = [ops.interpolate(sent[s], size=n) for s, n in pairs]
    ours += [ops.interpolate(sent[s], scale_factor=f) for s in (10, 100, 333) for f in FACTORS]
    utils.mark_step()
    wanted = [F.interpolate(rows[s], size=n) for s, n in pairs]
    wanted += [F.interpolate(rows[s], scale_factor=f) for s in (10, 100, 333) for f in FACTORS]
    assert all(torch.equal(a.cpu(), b) for a, b in zip(ours, wanted, strict=True))


@pytest.mark.xla
@pytest.mark.parametrize("align_corners", [None, False, True])
@pytest.mark.parametrize("arguments", [{"size": 45}, {"scale_factor": 0.6}, {"size": 20}, {"size": 1}])
def test_linear_gives_the_same_values_and_gradients(arguments: dict[str, object], align_corners: bool | None) -> None:
    check_operation(
        lambda x: ops.interpolate(x, mode="linear", align_corners=align_corners, **arguments),  # type: ignore[arg-type]
        lambda x: F.interpolate(x, mode="linear", align_corners=align_corners, **arguments),  # type: ignore[arg-type]
        torch.randn(2, 3, 20),
        least=125,
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("factor", FACTORS)
def test_linear_with_a_factor_equals_torch_for_many_lengths(factor: float, align_corners: bool) -> None:
    for source in range(2, 80):
        x = torch.randn(1, 2, source)
        wanted = F.interpolate(x, scale_factor=factor, mode="linear", align_corners=align_corners)
        with ops.device_forms():
            ours = ops.interpolate(x, scale_factor=factor, mode="linear", align_corners=align_corners)
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_linear_mixes_half_precision_in_float32_and_float64_in_float64(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 20).to(dtype)
    wide = torch.promote_types(dtype, torch.float32)
    wanted = F.interpolate(x.to(wide), size=33, mode="linear").to(dtype)
    with ops.device_forms():
        ours = ops.interpolate(x, size=33, mode="linear")
    torch.testing.assert_close(ours, wanted)


def test_other_ranks_and_modes_are_left_to_torch() -> None:
    image = torch.randn(1, 1, 4, 4)
    with ops.device_forms():
        for mode in ("nearest", "bilinear"):
            ours = ops.interpolate(image, scale_factor=2, mode=mode)
            assert torch.equal(ours, F.interpolate(image, scale_factor=2, mode=mode))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"size": 3, "scale_factor": 2},
        {"size": 3, "align_corners": True},
        {"size": (3, 4)},
        {"scale_factor": 0.01},
    ],
)
def test_wrong_arguments_raise_what_torch_raises(arguments: dict[str, object]) -> None:
    x = torch.randn(1, 1, 8)
    with pytest.raises(Exception) as wanted:
        F.interpolate(x, **arguments)  # type: ignore[arg-type]
    with ops.device_forms(), pytest.raises(wanted.type) as ours:
        ops.interpolate(x, **arguments)  # type: ignore[arg-type]
    assert str(ours.value) == str(wanted.value)


def test_upsample_is_the_module_of_the_same_name() -> None:
    x = torch.randn(1, 2, 9)
    ours = ops.Upsample(scale_factor=1.5, mode="linear", align_corners=True)
    assert isinstance(ours, torch.nn.Upsample)
    wanted = torch.nn.Upsample(scale_factor=1.5, mode="linear", align_corners=True)(x)
    assert torch.equal(ours(x), wanted)
