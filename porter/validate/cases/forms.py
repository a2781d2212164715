"""A TPU's own forms of layers, kernels apart, each against torch's own layer.

Upstream has no such networks: they are the judge's own, made of torch's operations on upstream's side. Each case names
the functions of the runtime that its step has to run, and how often: so a form that is not taken any more is seen,
though the plain one gives the same.
"""

from __future__ import annotations

from typing import Any

import torch

from porter.validate.cases import form_networks as networks
from porter.validate.cases.base import Batch, Case
from porter.validate.cases.shapes import drawn, normal
from porter.validate.cases.shapes import judges_own as own
from porter.validate.settings import Settings


def _columns(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Of a length that no stride divides."""
    return {"x": normal(generator, settings.batch, 1, 5 * settings.frames + 1, 3)}


def _sound(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"x": normal(generator, settings.batch, 1, 5 * settings.frames + 3)}


def _states(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    states = {name: normal(generator, 4, settings.batch, 5) for name in "hc"}
    return {"x": normal(generator, settings.batch, settings.phonemes, 7), **states}


CASES = (
    Case(
        "forms.layers",
        (
            own(networks.columns, "columns", _columns, width=4, taps=5, stride=3),
            own(networks.groups, "groups", _sound, width=16, count=4, taps=5, stride=2),
            own(networks.upsampling, "upsampling", drawn(x=(32, "frames")), width=32, strides=[4, 2], taps=3,
                dilation=3),
            own(networks.odd_upsampling, "odd upsampling", drawn(x=(8, "frames")), width=8),
        ),
        forms={
            "ops/folding.py:conv1d": 10,
            "ops/folding.py:conv_transpose1d": 4,
            "ops/grouped.py:conv1d": 2,
            "ops/periodic.py:Conv2d._folded": 2,
            "ops/recomputed.py:_Recomputed.backward": 5,
            "ops/twins.py:unfolded": 3,
        },
    ),
    Case(
        "forms.products",
        (
            own(networks.product, "product", drawn(g=(48, 1)), given=48, gives=72),
            own(networks.dropping, "dropping", drawn(x=(8, "phonemes")), width=8, p=0.2),
        ),
        forms={
            "ops/dropout.py:_Product.backward": 1,
            "ops/rectified.py:_Rectified.backward": 1,
            "ops/weight_norm.py:_NormedWeight.convolve": 1,
        },
    ),
    Case(
        "forms.recurrent",
        (own(networks.recurrent, "recurrent", _states, width=7, hidden=5),),
        forms={"ops/lstm.py:LSTM._layers": 5},
        left_out=("bfloat16",),  # under autocast torch's, on the CPU, gives bfloat16, and the runtime's float32
    ),
    Case("forms.norms", (own(networks.norms, "norms", drawn(x=(6, "frames")), width=6),)),
)  # fmt: skip
