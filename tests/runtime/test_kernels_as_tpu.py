"""Every kernel in Pallas's interpreter of a TPU, where unwritten memory is NaN, beside its plain interpreter."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch

from porter.runtime.ops import programs

from .kernel_plans import label, numbers, plans

pytestmark = pytest.mark.xla

KNOWN = list(plans())


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("known", KNOWN, ids=map(label, KNOWN))
def test_a_kernel_reads_what_was_written_and_nothing_races(known: tuple[str, Any], backward: bool) -> None:
    name, plan = known
    given = numbers(name, plan, backward=backward)
    plain, as_tpu = (programs.interpreted(name, plan, given, backward=backward, as_tpu=tpu) for tpu in (False, True))
    for one, other in zip(plain, as_tpu, strict=True):
        assert one.isfinite().all()
        assert torch.allclose(one.float(), other.float(), rtol=1e-5, atol=1e-5), (
            (one.float() - other.float()).abs().max()
        )
