"""The runtime's operations in the place of torch's functions, called as nobody of upstream's calls them.

Upstream asks for one kind of arguments. Whatever else torch takes, and turns down, the runtime has to as well: axes
from either end, other dtypes and ranks, sizes that nothing divides, bounds and flags, wrong types. With a TPU's forms
on the CPU, forms for XLA run too; without them all of these would be torch's own. What torch checks in the values of a
tensor is left out: a device's forms look at none.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from porter.validate.cases import writing
from porter.validate.cases.base import Batch, Case
from porter.validate.cases.calls import Calls, calling
from porter.validate.cases.shapes import normal
from porter.validate.settings import Settings

_WINDOW, _NARROW = torch.hann_window(16) + 0.1, torch.hann_window(11) + 0.1


def _apart(ops: Any, given: Batch, p: float) -> object:
    return ops.cdist(given["x"], given["y"], p)


def _call(*known: Any) -> object:
    """One of the operations, by its name, of a member of the batch: these and further arguments come first."""
    name, member, *more, ops, given = known
    return getattr(ops, name)(given[member], *more)


def _regular(given: Batch) -> Tensor:
    """Matrices that have an inverse."""
    return given["square"] + 4 * torch.eye(5)


def _resampled(ops: Any, given: Batch, size: Mapping[str, Any], mode: Mapping[str, Any]) -> object:
    return ops.interpolate(given["x"], **size, **mode)


def _transformed(ops: Any, given: Batch, name: str, n_fft: int = 16, **named: Any) -> object:
    return getattr(ops, name)(given["sound"], n_fft, **{"window": _WINDOW, **named})


def _returned(ops: Any, given: Batch, **named: Any) -> object:
    return ops.istft(given["parts"], 16, 4, window=_WINDOW, **named)


_DISTANCES: Calls = {
    **{f"p {p}": partial(_apart, p=p) for p in (0.5, 1, 1.0, 2.0, 3.0, float("inf"))},
    "hamming": lambda o, g: o.cdist(g["x"].round(), g["y"].round(), 0.0),
    "products": lambda o, g: o.cdist(g["x"], g["y"], compute_mode="use_mm_for_euclid_dist"),
    "differences": lambda o, g: o.cdist(g["x"], g["y"], compute_mode="donot_use_mm_for_euclid_dist"),
    "matrices": lambda o, g: o.cdist(g["x"][0], g["y"][0]),
    "spread": lambda o, g: o.cdist(g["x"][:1], g["y"]),
    "more axes": lambda o, g: o.cdist(g["x"][:, None], g["y"][None]),
    "double": lambda o, g: o.cdist(g["x"].double(), g["y"].double()),
    "none": lambda o, g: o.cdist(g["x"][:, :0], g["y"]),
}
_NO_DISTANCES: Calls = {
    "dtypes": lambda o, g: o.cdist(g["x"], g["y"].double()),
    "integers": lambda o, g: o.cdist(g["x"].long(), g["y"].long()),
    "vector": lambda o, g: o.cdist(g["x"][0, 0], g["y"][0]),
    "widths": lambda o, g: o.cdist(g["x"][..., 1:], g["y"]),
    "batches": lambda o, g: o.cdist(torch.cat([g["x"]] * 3), torch.cat([g["y"]] * 2)),
    "negative": lambda o, g: o.cdist(g["x"], g["y"], -1.0),
    "mode": lambda o, g: o.cdist(g["x"], g["y"], 2.0, "quickly"),
    "list": lambda o, g: o.cdist(g["x"].tolist(), g["y"]),
}

_AXES: Calls = {
    **{f"sums {dim}": partial(_call, "cumsum", "x", dim) for dim in (0, 1, -1)},
    "wide sums": lambda o, g: o.cumsum(g["x"].double(), -1),
    "sums by name": lambda o, g: o.cumsum(g["x"], dim=1, dtype=torch.float64),
    **{f"halves {dim}": partial(_call, "glu", "even", dim) for dim in (1, 2, -1, -2)},
    "wide halves": lambda o, g: o.glu(g["even"].double()),
    "halves of a layer": lambda o, g: o.GLU(1)(g["even"]),
    "cardinal": lambda o, g: o.sinc(torch.cat([g["x"], torch.zeros_like(g["x"])])),
    **{
        f"{name} {dim} {kept}": partial(_call, name, "x", dim, kept)
        for name, dim, kept in itertools.product(("amax", "amin"), ((), 1, (0, -1)), (False, True))
    },
    "integer sums": lambda o, g: o.cumsum(g["labels"], 0),
    "integer cardinal": lambda o, g: o.sinc(g["labels"]),
    "counts": lambda o, g: o.bincount(g["labels"], minlength=9),
    "weighed counts": lambda o, g: o.bincount(g["labels"], g["weights"].detach(), 9),
    "wide counts": lambda o, g: o.bincount(g["labels"], g["weights"].detach().double(), 9),
    "no counts": lambda o, g: o.bincount(g["labels"][:0], g["weights"][:0].detach(), 9),
}
_NO_AXES: Calls = {
    "odd": lambda o, g: o.glu(g["even"][:, 1:], 1),
    "far": lambda o, g: o.glu(g["even"], 3),
    "near": lambda o, g: o.glu(g["even"], -4),
    "integers": lambda o, g: o.glu(g["labels"]),
    "words": lambda o, g: o.glu(g["even"], "1"),
    "far sums": lambda o, g: o.cumsum(g["x"], 3),
    "list": lambda o, g: o.sinc([1.0]),
    "floating labels": lambda o, g: o.bincount(g["weights"].detach(), minlength=9),
    "weights": lambda o, g: o.bincount(g["labels"], g["weights"].detach()[1:], 9),
    "negative length": lambda o, g: o.bincount(g["labels"], minlength=-1),
}

_MODES: Mapping[str, Mapping[str, Any]] = {
    "nearest": {"mode": "nearest"},
    "nearest-exact": {"mode": "nearest-exact"},
    "linear": {"mode": "linear"},
    "aligned": {"mode": "linear", "align_corners": True},
}
_SIZES: Mapping[str, Mapping[str, Any]] = {
    "longer": {"size": 61},
    "shorter": {"size": [7]},
    "one": {"size": (1,)},
    "half": {"scale_factor": 0.5},
    "thrice": {"scale_factor": (3,)},
    "a bit": {"scale_factor": 1.37},
    "a bit again": {"scale_factor": 1.37, "recompute_scale_factor": True},
}
_LENGTHS: Calls = {
    **{
        f"{mode} {size}": partial(_resampled, size=_SIZES[size], mode=_MODES[mode])
        for mode, size in itertools.product(_MODES, _SIZES)
    },
    "image": lambda o, g: o.interpolate(g["x"][:, None], scale_factor=2.0),
    "smooth image": lambda o, g: o.interpolate(g["x"][:, None], size=(5, 9), mode="bilinear"),
    "double": lambda o, g: o.interpolate(g["x"].double(), 31, mode="linear"),
    "older name": lambda o, g: o.upsample(g["x"], scale_factor=2, mode="linear", align_corners=False),
    "layer": lambda o, g: o.Upsample(scale_factor=2.5)(g["x"]),
}
_NO_LENGTHS: Calls = {
    "neither": lambda o, g: o.interpolate(g["x"]),
    "both": lambda o, g: o.interpolate(g["x"], 4, 2.0),
    "mode": lambda o, g: o.interpolate(g["x"], 4, mode="roughly"),
    "corners": lambda o, g: o.interpolate(g["x"], 4, align_corners=True),
    "axes": lambda o, g: o.interpolate(g["x"], (4, 4)),
    "matrix": lambda o, g: o.interpolate(g["x"][0], 4),
    "nothing": lambda o, g: o.interpolate(g["x"], 0),
    "antialias": lambda o, g: o.interpolate(g["x"], 4, antialias=True),
}


_KINDS: Mapping[str, Mapping[str, Any]] = {
    "default": {"window": None},
    "hop": {"hop_length": 5},
    "narrow window": {"window": _NARROW, "win_length": 11, "hop_length": 3},
    "odd": {"window": None, "n_fft": 15, "hop_length": 4},
    "from the first": {"center": False, "hop_length": 6},
    "constant": {"pad_mode": "constant"},
    "scaled": {"normalized": True},
    "both sides": {"onesided": False},
}
_SPECTRA: Calls = {
    **{
        f"{name} {kind}": partial(_transformed, name=name, **options)
        for name, (kind, options) in itertools.product(("stft_as_real", "stft_magnitude"), _KINDS.items())
    },
    "signal": lambda o, g: o.stft_as_real(g["sound"][0], 8, window=torch.ones(8)),
    "back": _returned,
    "back cut": partial(_returned, length=21),
    "back long": partial(_returned, length=40),
    "back scaled": partial(_returned, normalized=True),
    "abs": lambda o, g: o.complex_abs(g["parts"]),
    "angle": lambda o, g: o.complex_angle(g["parts"]),
    "phasor": lambda o, g: o.phasor_parts(g["x"], g["x"] * 2),
    "complex": lambda o, g: o.complex_parts(g["x"], g["x"][:1]),
    "polar": lambda o, g: o.polar_parts(g["x"].abs(), g["x"] * 2),
}


_NO_SPECTRA: Calls = {
    "no hop": lambda o, g: o.stft_as_real(g["sound"], 16, 0),
    "window": lambda o, g: o.stft_as_real(g["sound"], 16, window=torch.ones(9)),
    "wide window": lambda o, g: o.stft_magnitude(g["sound"], 16, win_length=17),
    "no window": lambda o, g: o.stft_magnitude(g["sound"], 16, win_length=0),
    "long": lambda o, g: o.stft_magnitude(g["sound"], 4096, center=False),
    "axes": lambda o, g: o.stft_magnitude(g["sound"][None, None], 16),
    "integers": lambda o, g: o.stft_magnitude(g["labels"], 2),
    "frequencies": lambda o, g: o.istft(g["parts"], 18, 4, window=torch.ones(18)),
    "dtypes": lambda o, g: o.complex_parts(g["x"], g["x"].double()),
}

_MATRICES: Calls = {
    "logdet": lambda o, g: o.logdet(_regular(g)),
    "negative": lambda o, g: o.logdet(_regular(g).detach() * -1),
    "inverse": lambda o, g: o.inverse(_regular(g)),
    "one": lambda o, g: (o.logdet(_regular(g)[0]), o.inverse(_regular(g)[0])),
    "double": lambda o, g: o.inverse(_regular(g).double()),
}
_NO_MATRICES: Calls = {
    "vector": lambda o, g: o.logdet(g["square"][0, 0]),
    "not square": lambda o, g: o.inverse(g["square"][:, 1:]),
    "integers": lambda o, g: o.inverse(torch.eye(3, dtype=torch.int64)),
    "list": lambda o, g: o.logdet([[1.0]]),
    "empty": lambda o, g: o.logdet(torch.zeros(0, 0)),
}


def _paths(ops: Any, given: Batch, *sizes: tuple[int, int], change: Callable[[Tensor], Tensor] = torch.clone) -> object:
    """Through scores of (frames, tokens) for each sample, the sizes by turns."""
    scores = change(given["x"].mT[:, :9])
    masks = [(torch.arange(9)[:, None] < t) & (torch.arange(6) < s) for t, s in sizes]
    mask = torch.stack([masks[index % len(masks)] for index in range(len(scores))])
    return ops.maximum_path(scores, mask.to(scores.dtype))


_PATHS: Calls = {
    "whole": lambda o, g: _paths(o, g, (9, 6)),
    "as many frames as tokens": lambda o, g: _paths(o, g, (6, 6), (1, 1)),
    "of other lengths": lambda o, g: _paths(o, g, (8, 3), (7, 1), (9, 5)),
    "ties": lambda o, g: _paths(o, g, (9, 6), (7, 4), change=torch.round),
    "negative": lambda o, g: _paths(o, g, (9, 6), (7, 4), change=lambda x: x - 9),
    "float64": lambda o, g: _paths(o, g, (9, 6), change=Tensor.double),
}


def _inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    batch, frames = settings.batch, settings.frames
    return {
        "x": normal(generator, batch, 6, frames),
        "y": normal(generator, batch, 4, frames),
        "even": normal(generator, batch, 4, 6),
        "labels": torch.randint(0, 9, (frames,), generator=generator),
        "weights": normal(generator, frames),
        "sound": normal(generator, batch, frames + 16),
        "parts": normal(generator, batch, 9, 9, 2),
        "square": normal(generator, batch, 5, 5),
    }


CASES = (
    Case("functions.distances", (calling("cdist", _inputs, _DISTANCES, _NO_DISTANCES, "x", "y"),)),
    Case("functions.axes", (calling("axes", _inputs, _AXES, _NO_AXES, "x", "even", "labels", "weights"),)),
    Case("functions.lengths", (calling("interpolate", _inputs, _LENGTHS, _NO_LENGTHS, "x"),)),
    Case(
        "functions.spectra",
        (calling("spectra", _inputs, _SPECTRA, _NO_SPECTRA, "x", "sound", "parts", "labels"),),
    ),
    *writing.CASES,
    Case("functions.matrices", (calling("matrices", _inputs, _MATRICES, _NO_MATRICES, "square"),)),
    Case("functions.paths", (calling("paths", _inputs, _PATHS, {}, "x"),), gradients=False),
)
