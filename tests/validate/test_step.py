"""The loss of a step."""

from __future__ import annotations

import torch

from porter.validate.step import weighted_squares


def test_scales_may_be_numbers_or_tensors() -> None:
    generator = torch.Generator().manual_seed(0)
    results = {name: torch.randn(3, 5, generator=generator, requires_grad=True) for name in ("a", "b")}
    numbers = {"a": 0.25, "b": 7e-4}
    loss = weighted_squares(results, numbers)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: value.grad for name, value in results.items()}
    for value in results.values():
        value.grad = None
    other = weighted_squares(results, {name: torch.tensor(scale) for name, scale in numbers.items()})
    other.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(other, loss)
    for name, value in results.items():
        torch.testing.assert_close(value.grad, gradients[name])
    assert loss > results["b"].square().mean() / 7e-4
