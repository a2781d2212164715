"""Arguments that torch turns down: what stands in for a function raises what torch raises, which somebody may catch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from porter.runtime import ops

_TENSOR = torch.linspace(-1, 1, 12).reshape(3, 4)
_GIVEN: list[Any] = [None, 2, "a", [1.0, 2.0], _TENSOR]


@pytest.mark.parametrize("device_form", [False, True], ids=["torch's own form", "XLA's form"])
@pytest.mark.parametrize(
    ("ours", "theirs", "most"),
    [
        (ops.amax, torch.amax, 2),
        (ops.mean, torch.mean, 2),
        (ops.bincount, torch.bincount, 2),
        (ops.cdist, torch.cdist, 2),
        (ops.glu, F.glu, 2),
        (ops.inverse, torch.inverse, 1),
        (ops.leaky_relu, F.leaky_relu, 2),
        (ops.logdet, torch.logdet, 1),
        (ops.matmul, torch.matmul, 2),
        (ops.relu, F.relu, 1),
        (ops.sinc, torch.sinc, 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_torch_turns_down_is_turned_down_alike(
    ours: Callable[..., Any], theirs: Callable[..., Any], most: int, *, device_form: bool
) -> None:
    for count in range(1, most + 1):
        for given in product(_GIVEN, repeat=count):
            expected = _raised(theirs, given)
            with ops.device_forms() if device_form else nullcontext():
                assert _raised(ours, given) is expected, given


def _raised(function: Callable[..., Any], given: tuple[Any, ...]) -> type[Exception] | None:
    try:
        function(*given)
    except Exception as error:
        return type(error)
    return None
