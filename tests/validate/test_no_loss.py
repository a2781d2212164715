"""Gradients of a loss that is no number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from safetensors.numpy import save_file

from porter.validate.job import Told
from porter.validate.judge_varied import variation_tensors


@pytest.mark.parametrize(("took", "loss", "wrong"), [(("f",), np.nan, 0), ((), np.nan, 1), (("f",), 1.0, 1)])
def test_they_tell_nothing_of_a_tpu_s_forms(took: tuple[str, ...], loss: float, wrong: int, tmp_path: Path) -> None:
    for role, gradient in (("reference", np.nan), ("port", 0.0)):
        tensors = {"v/results/loss": np.array([loss]), "v/gradients/w": np.array([gradient])}
        save_file(tensors, tmp_path / f"{role}.varied.safetensors")
    (reports,) = variation_tensors(Told(varied={"v": {}}), Told(varied={"v": {}}, took=took), tmp_path, "cpu").values()
    assert sum(not report.passed for report in reports) == wrong
