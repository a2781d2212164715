"""modules.py: norms, convolutions and residual blocks."""

from __future__ import annotations

from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, lengths
from porter.validate.cases.shapes import Arguments, built, drawn, normal, width
from porter.validate.settings import Settings

_X = drawn(x=("width", "frames"))
_MASKED = drawn("x_mask", x=("width", "frames"))
_CONDITIONED = drawn("x_mask", x=("width", "frames"), g=(16, 1))
_MASKS = ("x_mask",)


def _sized(*names: str, **more: Any) -> Arguments:
    """Arguments of which those called `names` are the width."""
    return built(lambda s: {**{name: width(s) for name in names}, **more})


def _wave(**more: Any) -> Arguments:
    return _sized(
        "hidden_channels", **{"kernel_size": 5, "dilation_rate": 2, "n_layers": 3, "gin_channels": 16, **more}
    )


def _keys(size: int, settings: Settings, generator: torch.Generator) -> torch.Tensor:
    """(size, frames, frames), true where a key lies behind its sample's end."""
    ends = lengths(size, settings.frames // 2, settings.frames, generator)
    outside = torch.arange(settings.frames) >= ends[:, None]
    return outside.unsqueeze(1).expand(-1, settings.frames, -1).contiguous()


def _attention(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {
        "x": normal(generator, settings.batch, settings.frames, width(settings)),
        "mask": _keys(settings.batch, settings, generator),
    }


def _scaled(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    shape = (settings.batch, settings.frames, 8)
    return {
        **{name: normal(generator, *shape) for name in "qkv"},
        "mask": _keys(settings.batch, settings, generator),
    }


def _plain(model: Any) -> None:
    model.remove_weight_norm()


CASES = (
    Case(
        "modules.convolutions",
        (
            Part("modules", "LayerNorm", _X, _sized("channels")),
            Part(
                "modules",
                "ConvReluNorm",
                _MASKED,
                _sized("in_channels", "out_channels", hidden_channels=24, kernel_size=5, n_layers=2, p_dropout=0.1),
                constant=_MASKS,
            ),
            Part(
                "modules",
                "DDSConv",
                drawn("x_mask", x=("width", "frames"), g=("width", 1)),
                _sized("channels", kernel_size=3, n_layers=3, p_dropout=0.1),
                constant=_MASKS,
            ),
            Part("modules", "Mish", _X, built(lambda s: {})),
            Part("modules", "ConvNorm", drawn(input=("width", "frames")), _sized("in_channels", out_channels=12)),
            Part(
                "modules",
                "ConvNorm",
                drawn(input=("width", "frames")),
                _sized(
                    "in_channels", out_channels=12, kernel_size=3, stride=2, dilation=2, bias=False, spectral_norm=True
                ),
                label="ConvNorm spectral",
            ),
            Part("modules", "LinearNorm", drawn(input=("frames", "width")), _sized("in_channels", out_channels=12)),
            Part(
                "modules",
                "LinearNorm",
                drawn(input=("frames", "width")),
                _sized("in_channels", out_channels=12, spectral_norm=True),
                label="LinearNorm spectral",
            ),
            Part("modules", "Conv1dGLU", _X, _sized("in_channels", "out_channels", kernel_size=5, dropout=0.1)),
        ),
    ),
    Case(
        "modules.residual",
        (
            Part("modules", "WN", _CONDITIONED, _wave(p_dropout=0.1), constant=_MASKS),
            Part("modules", "WN", _MASKED, _wave(gin_channels=0), label="WN alone", constant=_MASKS),
            Part("modules", "WN", _CONDITIONED, _wave(), finish=_plain, label="WN plain", constant=_MASKS),
            *(
                Part(
                    "modules", name, inputs, _sized("channels"), finish=finish, label=f"{name}{label}", constant=_MASKS
                )
                for name in ("ResBlock1", "ResBlock2")
                for label, inputs, finish in (
                    ("", _X, lambda model: None),
                    (" masked", _MASKED, lambda model: None),
                    (" plain", _X, _plain),
                )
            ),
        ),
    ),
    Case(
        "modules.attention",
        (
            Part("modules", "MultiHeadAttention", _attention, _sized("d_model", n_head=2, d_k=8, d_v=6, dropout=0.1)),
            Part(
                "modules",
                "MultiHeadAttention",
                drawn(x=("frames", "width")),
                _sized("d_model", n_head=2, d_k=8, d_v=6, spectral_norm=True),
                label="spectral",
            ),
            Part(
                "modules", "ScaledDotProductAttention", _scaled, built(lambda s: {"temperature": 3.0, "dropout": 0.1})
            ),
        ),
    ),
)
