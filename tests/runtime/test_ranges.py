import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from porter.runtime import ops

from .graphs import check_operation, device

STARTS, ENDS = torch.tensor([0, 3, 5]), torch.tensor([7, 3, 40])


@pytest.mark.xla
def test_segments_are_the_slices_of_each_sample() -> None:
    for shape in ((3, 5, 20), (3, 20)):
        check_operation(
            lambda x, starts: ops.slice_segments(x, starts, 8),
            lambda x, starts: torch.stack([x[b, ..., s : s + 8] for b, s in enumerate(starts.tolist())]),
            torch.randn(shape),
            torch.tensor([0, 12, 5]),
        )


def test_a_mask_takes_ints_and_tensors() -> None:
    assert ops.range_mask(4, 1, 3).tolist() == [[False, True, True, False]]
    assert ops.range_mask(3, 0, torch.tensor([1, 9])).tolist() == [[True, False, False], [True] * 3]


@pytest.mark.xla
def test_filling_ranges_is_assigning_to_each_slice() -> None:
    def loop(x: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        y = x * 1
        for b in range(3):
            y[b, ..., int(starts[b]) : int(ends[b])] = value
        return y

    def ours(x: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return ops.fill_ranges_(x * 1, value, starts, ends)

    # The value's gradient is one sum, taken in another order.
    check_operation(ours, loop, torch.randn(3, 2, 20), STARTS, ENDS, torch.tensor(0.5), least=100, on_cpu=100)
    check_operation(
        lambda x, ends: ops.fill_ranges_(x * 1, 0.0, 0, ends),
        lambda x, ends: loop(x, torch.zeros(3), ends, torch.tensor(0.0)),
        torch.randn(3, 20),
        ENDS,
    )


@pytest.mark.xla
@pytest.mark.parametrize("length", [12, 20, 25])
def test_copying_ranges_is_assigning_each_slice(length: int) -> None:
    def loop(x: torch.Tensor, y: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        x = x * 1
        for b in range(3):
            x[b, ..., int(starts[b]) : int(ends[b])] = y[b, ..., int(starts[b]) : int(ends[b])]
        return x

    check_operation(
        lambda x, y, starts, ends: ops.copy_ranges_(x * 1, y, starts, ends),
        loop,
        torch.randn(3, 4, 20),
        torch.randn(3, 4, length),
        STARTS,
        ENDS.clamp(max=12),
    )


def test_writing_is_in_place_also_through_a_view() -> None:
    x = torch.zeros(2, 3, 4)
    assert ops.fill_ranges_(x[:, 1], 1.0, 0, torch.tensor([2, 9])).sum() == 6
    ops.copy_ranges_(x[:, 2], torch.full((2, 4), 5.0), 3, torch.tensor([4, 4]))
    assert x.sum() == 6 + 10


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 14)), min_size=1, max_size=4))
def test_any_ranges_mean_what_slices_mean(ranges: list[tuple[int, int]]) -> None:
    starts, ends = (torch.tensor(bounds) for bounds in zip(*ranges, strict=True))
    x, y = torch.randn(len(ranges), 3, 10), torch.randn(len(ranges), 3, 10)
    wanted = x.clone()
    for b, (start, end) in enumerate(ranges):
        wanted[b, :, start:end] = y[b, :, start:end]
    assert torch.equal(ops.copy_ranges_(x.clone(), y, starts, ends), wanted)
    losses = torch.stack([F.mse_loss(x[b, :, s:e], y[b, :, s:e]) for b, (s, e) in enumerate(ranges)])
    torch.testing.assert_close(ops.ranges_mse(x, y, starts, ends), losses, equal_nan=True)


@pytest.mark.xla
@pytest.mark.parametrize(
    ("ours", "original"), [(ops.ranges_mse, F.mse_loss), (ops.ranges_l1, F.l1_loss)], ids=["mse", "l1"]
)
def test_means_and_gradients_are_those_of_a_loop_and_an_empty_range_is_nan(ours, original) -> None:  # type: ignore[no-untyped-def]
    def loop(p: torch.Tensor, t: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        bounds = list(zip(starts.tolist(), ends.tolist(), strict=True))
        return torch.stack([original(p[b, :, s:e], t[b, :, s:e]) for b, (s, e) in enumerate(bounds)])

    x, y = torch.randn(3, 5, 20), torch.randn(3, 5, 20)
    for ends in (ENDS, torch.tensor([7, 9, 20])):
        check_operation(ours, loop, x, y, STARTS, ends, least=125, on_cpu=125)


def test_what_lies_outside_the_range_cannot_spoil_the_mean() -> None:
    x, y = torch.randn(1, 2, 6, requires_grad=True), torch.randn(1, 2, 6)
    y[..., 3:] = float("nan")
    torch.autograd.backward(ops.ranges_mse(x, y, 0, torch.tensor([3])))
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert ops.ranges_mse(x.bfloat16(), y, 0, 3).dtype == torch.float32


@pytest.mark.xla
@pytest.mark.parametrize("leading", [1, 2, 3])
def test_a_masked_write_is_an_assignment_through_the_mask(leading: int) -> None:
    mask = torch.randn((4, 5, 3)[:leading]) > 0

    def assign(x: torch.Tensor, mask: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        y = x * 1
        y[mask] = values[mask]
        return y

    check_operation(
        lambda x, mask, values: ops.masked_write_(x * 1, mask, values),
        assign,
        torch.randn(4, 5, 3),
        mask,
        torch.randn(4, 5, 3),
    )


def test_a_masked_write_takes_numbers_and_single_values() -> None:
    mask = torch.tensor([True, False, True])
    for value in (2.5, torch.tensor(2.5)):
        target = torch.zeros(3, 2)
        assert ops.masked_write_(target, mask, value) is target
        assert target.tolist() == [[2.5, 2.5], [0, 0], [2.5, 2.5]]


@pytest.mark.parametrize("first", range(-7, 4))
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_windows_longer_than_the_signal_are_those_of_a_loop(length: int, first: int) -> None:
    x, starts = torch.arange(4.0 * length).reshape(2, 2, length), torch.tensor([first, 0])
    wanted = torch.zeros_like(x[:, :, :5])
    try:
        for i in range(2):
            wanted[i] = x[i, :, starts[i] : starts[i] + 5]
    except RuntimeError:  # the slice has no place in the row
        with pytest.raises(IndexError):
            ops.slice_segments(x, starts, 5)
    else:
        assert torch.equal(ops.slice_segments(x, starts, 5), wanted)


def test_one_position_fills_a_whole_window() -> None:
    x, starts = torch.tensor([[5.0], [7.0]]), torch.zeros(2, dtype=torch.long)
    assert torch.equal(ops.slice_segments(x, starts, 3, whole=True), x.expand(2, 3))
    with pytest.raises(IndexError):
        ops.slice_segments(x.expand(2, 2), starts, 3, whole=True)


@pytest.mark.xla
def test_the_largest_length_is_a_number_on_every_device() -> None:
    for lengths, kind in ((torch.tensor([[2, 7]]), int), (torch.tensor([2.5, 1.0]), float)):
        for place in ("cpu", device()):
            largest = ops.static_max(lengths.to(place))
            assert largest == lengths.max().item() and type(largest) is kind
