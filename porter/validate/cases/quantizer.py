"""core_vq.py and quantize.py: the quantizer in training, when codes expire, in evaluation, and how it begins."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from porter.validate.cases.base import Batch, Case, Part
from porter.validate.cases.shapes import Arguments, built, drawn, normal, width
from porter.validate.settings import Settings

_CODES = 16
_KEPT = 10.0  # how often a living code was used, by its moving average
_DEAD = 0.1
_X = drawn(x=("width", "frames"))


def _quantizer(**more: Any) -> Arguments:
    return built(lambda s: {"dimension": width(s), "n_q": 2, "bins": _CODES, "kmeans_iters": 3, **more})


def _residual(**more: Any) -> Arguments:
    return lambda entry, settings: {
        "num_quantizers": 3,
        "dim": width(settings),
        "codebook_size": _CODES,
        "codebook_dim": width(settings) // 2,
        "kmeans_init": False,
        **more,
    }


def _layer(**more: Any) -> Arguments:
    return built(lambda s: {"dim": width(s), "codebook_size": _CODES, "kmeans_init": False, **more})


def _codes(layers: int, first: tuple[str, ...] = ()) -> Any:
    def inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
        shape = (layers, settings.batch, settings.frames) if layers else (settings.batch, settings.frames)
        return {"codes": torch.randint(0, _CODES, shape, generator=generator)}

    return inputs


def _rows(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Points in groups, so that clusters are far from ties."""
    count = settings.batch * settings.frames
    groups = torch.arange(count) % _CODES
    centres = normal(generator, _CODES, width(settings)) * 5
    return {"samples": centres[groups] + normal(generator, count, width(settings))}


def _average(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {name: torch.rand(_CODES, generator=generator) * 5 for name in ("old", "new")}


def _ema(function: Any, given: Batch) -> object:
    average = given["old"].clone()
    function(average, given["new"], 0.9)
    return average


@torch.no_grad()
def _let_expire(model: nn.Module) -> None:
    """Every third code is hardly used any more."""
    for module in model.modules():
        if "cluster_size" in module._buffers:
            module.get_buffer("cluster_size")[::3] = _DEAD
            module.get_buffer("embed_avg")[::3] *= _DEAD / _KEPT


@torch.no_grad()
def _uninitialised(model: nn.Module) -> None:
    for module in model.modules():
        if "inited" in module._buffers:
            for buffer in module._buffers.values():
                assert buffer is not None
                buffer.zero_()


def _replace(codebook: Any, given: Batch) -> object:
    codebook.replace_(given["samples"], torch.arange(_CODES, device=given["samples"].device) % 3 == 0)
    return codebook.codebook_size


CASES = (
    Case(
        "quantizer.training",
        (
            Part("quantize", "ResidualVectorQuantizer", _X, _quantizer(threshold_ema_dead_code=0)),
            Part(
                "quantize",
                "ResidualVectorQuantizer",
                _X,
                _quantizer(threshold_ema_dead_code=0),
                label="by layer",
                call=lambda model, given: model(given["x"], n_q=2, layers=[0, 1]),
            ),
            Part("core_vq", "ResidualVectorQuantization", _X, _residual(threshold_ema_dead_code=0, decay=0.8)),
            Part("core_vq", "VectorQuantization", _X, _layer(threshold_ema_dead_code=0, commitment_weight=0.3)),
            Part("core_vq", "EuclideanCodebook", drawn(x=("frames", "width")), _layer(threshold_ema_dead_code=0)),
            Part("core_vq", "laplace_smoothing", _average, call=lambda f, given: f(given["old"], _CODES)),
            Part("core_vq", "ema_inplace", _average, call=_ema, constant=("old", "new")),
        ),
    ),
    Case(
        "quantizer.expiry",
        (
            Part("quantize", "ResidualVectorQuantizer", _X, _quantizer(), finish=_let_expire),
            Part("core_vq", "EuclideanCodebook", drawn(x=("frames", "width")), _layer(), finish=_let_expire),
            Part("core_vq", "EuclideanCodebook", drawn(samples=("width",)), _layer(), _replace, label="by hand"),
        ),
        process_group=True,
    ),
    Case(
        "quantizer.evaluation",
        (
            Part("quantize", "ResidualVectorQuantizer", _X, _quantizer()),
            Part(
                "quantize",
                "ResidualVectorQuantizer",
                _X,
                _quantizer(),
                label="encode",
                call=lambda model, given: (model.encode(**given), model.encode(**given, n_q=2, st=1)),
            ),
            Part(
                "quantize",
                "ResidualVectorQuantizer",
                _codes(2),
                _quantizer(),
                label="decode",
                call=lambda model, given: (model.decode(given["codes"]), model.decode(given["codes"][:1], st=1)),
            ),
            Part("core_vq", "VectorQuantization", _X, _layer(codebook_dim=6)),
            Part(
                "core_vq",
                "VectorQuantization",
                _codes(0),
                _layer(codebook_dim=6),
                label="layer decode",
                call=lambda model, given: (model.decode(given["codes"]), model.codebook),
            ),
            Part(
                "core_vq",
                "EuclideanCodebook",
                drawn(x=("frames", "width")),
                _layer(),
                label="codebook",
                call=lambda model, given: (model(given["x"]), model.encode(given["x"])),
            ),
        ),
        training=False,
    ),
    Case(
        "quantizer.initialisation",
        (
            Part("quantize", "ResidualVectorQuantizer", _X, _quantizer(kmeans_init=True), finish=_uninitialised),
            Part("core_vq", "kmeans", _rows, call=lambda f, given: f(given["samples"], _CODES, 4)),
            Part("core_vq", "sample_vectors", _rows, call=lambda f, given: f(given["samples"], 7)),
            Part(
                "core_vq",
                "sample_vectors",
                _rows,
                call=lambda f, given: f(given["samples"][:5], 7),
                label="with repeats",
            ),
        ),
        process_group=True,
        on_host=True,
        gradients=False,
    ),
)
