"""Wrong arguments: what constructors and functions of upstream raise for them, and what is the last that they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Part, host_case
from porter.validate.cases.files import told
from porter.validate.settings import Settings

_WIDTH, _LONG, _BINS = 8, 12, 4

Calls = Mapping[str, Callable[[Any], object]]


def _inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"unused": torch.zeros(1)}


def _ending(function: Callable[[], object]) -> object:
    """The exception with its words, or that there was none; values are compared elsewhere."""
    try:
        function()
    except Exception as error:
        return told([type(error).__name__, str(error)])
    return told("taken")


def _part(module: str, entry: str, calls: Calls) -> Part:
    def call(subject: Any, given: Batch) -> object:
        torch.manual_seed(0)
        with torch.no_grad():
            return {label: _ending(partial(function, subject)) for label, function in calls.items()}

    return Part(module, entry, _inputs, call=call, label=f"{entry} of {module.rpartition('.')[2]}")


def _making(**wrong: Mapping[str, Any]) -> Calls:
    """Constructors with these arguments, by what is the matter with them."""
    return {
        label.replace("_", " "): lambda entry, given=given: entry(**given)  # type: ignore[misc]
        for label, given in wrong.items()
    }


def _attending(queries: int, keys: int, **options: Any) -> Callable[[Any], object]:
    """Attention of so many places to so many others."""

    def run(entry: Any) -> object:
        signals = (torch.randn(1, _WIDTH, size) for size in (queries, keys))
        return entry(_WIDTH, _WIDTH, 2, **options).eval()(*signals)

    return run


def _spline(**changed: Any) -> Callable[[Any], object]:
    def run(entry: Any) -> object:
        shape = (1, 1, 5)
        given: dict[str, Any] = {
            "inputs": torch.linspace(0, 1, 5).view(shape),
            "unnormalized_widths": torch.zeros(*shape, _BINS),
            "unnormalized_heights": torch.zeros(*shape, _BINS),
            "unnormalized_derivatives": torch.zeros(*shape, _BINS - 1 if "tails" in changed else _BINS + 1),
        }
        return entry(**{**given, **changed})

    return run


def _moved(by: float) -> Tensor:
    return torch.linspace(0, 1, 5).view(1, 1, 5) + by


def _flow(channels: int, **more: Any) -> Mapping[str, Any]:
    return {"channels": channels, "hidden_channels": 8, "kernel_size": 3, "n_layers": 1, **more}


def _mixing(test: int) -> Callable[[Any], object]:
    def run(entry: Any) -> object:
        model = entry(_WIDTH, _WIDTH, _WIDTH, 5, 2, 1).eval()
        signal, mask = torch.randn(1, _WIDTH, _LONG), torch.ones(1, 1, _LONG)
        return model(signal, mask, signal, mask, torch.zeros(1, _WIDTH, 1), test)

    return run


def _quantizing(layers: list[int], count: int | None = None) -> Callable[[Any], object]:
    def run(entry: Any) -> object:
        model = entry(dimension=_WIDTH, n_q=2, bins=6, kmeans_init=False).eval()
        return model(torch.randn(1, _WIDTH, _LONG), count, layers=layers)

    return run


_SPLIT = {"even": {"channels": _WIDTH, "n_split": 4}, "odd": {"channels": _WIDTH, "n_split": 3}}
_TAPS = {"odd": 3, "even": 4}
_WAVES = {"hidden_channels": _WIDTH, "dilation_rate": 1, "n_layers": 1}
_RELU = {"in_channels": 4, "hidden_channels": 4, "out_channels": 4, "kernel_size": 3, "p_dropout": 0.0}
_KINDS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "relative": {"window_size": 2},
    "proximal": {"proximal_bias": True},
    "local": {"block_length": 2},
}

CASES = (
    host_case(
        "wrong",
        _part("modules", "ConvReluNorm", _making(two={**_RELU, "n_layers": 2}, one={**_RELU, "n_layers": 1})),
        _part("modules", "WN", _making(**{label: {**_WAVES, "kernel_size": taps} for label, taps in _TAPS.items()})),
        _part("modules", "ConvNorm", _making(**{
            label: {"in_channels": 4, "out_channels": 4, "kernel_size": taps} for label, taps in _TAPS.items()
        })),
        _part("modules", "ResidualCouplingLayer", _making(
            even=_flow(4, dilation_rate=1), odd=_flow(5, dilation_rate=1)
        )),
        _part("modules", "InvConvNear", {
            **_making(**_SPLIT),
            "divided": lambda entry: entry(6, n_split=2)(torch.randn(1, 6, _LONG)),
            "not divided": lambda entry: entry(6, n_split=4)(torch.randn(1, 6, _LONG)),
        }),
        _part("attentions", "TransformerCouplingLayer", _making(
            even=_flow(4, n_heads=2, filter_channels=8, gin_channels=4),
            odd=_flow(5, n_heads=2, filter_channels=8, gin_channels=4),
        )),
        _part("attentions", "MultiHeadAttention", {
            **_making(
                divided={"channels": 8, "out_channels": 8, "n_heads": 2},
                not_divided={"channels": 9, "out_channels": 8, "n_heads": 2},
            ),
            **{
                f"{label}, {queries} to {keys}": _attending(queries, keys, **options)
                for label, options in _KINDS.items()
                for queries, keys in ((6, 6), (5, 6))
            },
        }),
        _part("models", "Quantizer", _making(
            divided={"embed_dim": 8, "n_code_groups": 4, "n_codes": 5},
            not_divided={"embed_dim": 9, "n_code_groups": 4, "n_codes": 5},
        )),
        _part("mrte_model", "MRTE", {f"test {test}": _mixing(test) for test in range(4)}),
        _part("mrte_model", "WN", _making(**{
            label: {**_WAVES, "kernel_size": taps} for label, taps in _TAPS.items()
        })),
        _part("quantize", "ResidualVectorQuantizer", {
            f"layers {layers} of {count}": _quantizing(layers, count)
            for layers in ([0], [1], [2]) for count in (None, 1)
        }),
        _part("transforms", "rational_quadratic_spline", {
            "inside": _spline(),
            "below": _spline(inputs=_moved(-1e-3)),
            "above": _spline(inputs=_moved(1e-3)),
            **{
                f"{name} {least}": _spline(**{name: least})
                for name in ("min_bin_width", "min_bin_height") for least in (1 / _BINS, 1 / _BINS + 0.01)
            },
        }),
        _part("transforms", "unconstrained_rational_quadratic_spline", {
            "linear": _spline(tails="linear"), "circular": _spline(tails="circular")
        }),
        _part("f5_tts.model.modules", "ConvPositionEmbedding", _making(**{
            label: {"dim": 4, "kernel_size": taps, "groups": 2} for label, taps in _TAPS.items()
        })),
        _part("AR.models.utils", "make_pad_mask", {
            "one axis": lambda function: function(torch.tensor([3, 2])),
            "two axes": lambda function: function(torch.tensor([[3, 2]])),
        }),
    ),
)  # fmt: skip
