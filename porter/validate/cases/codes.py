"""Classes of models.py that no synthesizer uses: ReferenceEncoder, Quantizer, CodePredictor."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import torch

from porter.validate.budget import Allowance
from porter.validate.cases.base import Batch, Case, Part, accepted, host_case, lengths, mask_of, method, offering
from porter.validate.cases.files import words
from porter.validate.settings import Settings

_MELS = 80
_GROUPS = offering(embed_dim=512, n_code_groups=4, n_codes=160)  # upstream's defaults
_GROUP = offering(n_e=160, e_dim=128)
_ENTRY = 0.004  # about the size of a codebook's entries: further away, rounding decides which is nearest


def _embeds(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    method(constructor, "embed")
    return _GROUPS(constructor, settings)


def _reference(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    return accepted(constructor, {"spec_channels": _MELS, "gin_channels": settings.model["gin_channels"]})


def _predictor(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    sizes = {"n_q": settings.sized(8, 3), "dims": settings.sized(1024, 32), "ssl_dim": settings.sized(768, 64)}
    return accepted(constructor, {**settings.model, **sizes})


def _mel(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"inputs": torch.randn(settings.batch, settings.frames, _MELS, generator=generator)}


def _vectors(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    shape = (settings.batch, model.embed_dim, settings.frames)
    return {"xin": torch.randn(shape, generator=generator) * _ENTRY}


def _rows(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    shape = (settings.frames, model.embedding.embedding_dim)
    return {"x": torch.randn(shape, generator=generator) * _ENTRY}


def _indices(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    count = model.quantizer_modules[0].embedding.num_embeddings
    shape = (settings.batch, model.n_code_groups, settings.frames)
    return {"x": torch.randint(count, shape, generator=generator)}


def _coded(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Features x and refer (batch, channels, frames), their mask, and codes (quantizers, batch, frames)."""
    count, size = settings.batch, settings.frames
    shape = (count, model.vq_proj.in_channels, size)
    return {
        "x": torch.randn(shape, generator=generator),
        "x_mask": mask_of(lengths(count, size // 2, size, generator), size),
        "refer": torch.randn(shape, generator=generator),
        "codes": torch.randint(model.dims, (model.n_q, count, size), generator=generator),
    }


@torch.no_grad()
def _printed(model: Any, given: Batch) -> object:
    with redirect_stdout(StringIO()) as said:
        model(**given, infer=True)
    return words(said.getvalue())


CASES = (
    Case("reference_encoder", (Part("models", "ReferenceEncoder", _mel, _reference),)),
    Case(
        "grouped_quantizer",
        (
            Part("models", "Quantizer", _vectors, _GROUPS),
            Part("models", "Quantizer", _indices, _embeds, lambda model, given: model.embed(**given), label="embed"),
            Part("models", "Quantizer_module", _rows, _GROUP),
        ),
    ),
    Case("code_predictor.training", (Part("models", "CodePredictor", _coded, _predictor, constant=("x_mask",)),)),
    Case(
        "code_predictor.infer",
        (Part("models", "CodePredictor", _coded, _predictor, lambda model, given: model(**given, infer=True)),),
        training=False,
        gradients=False,
        allowance=lambda model: Allowance(printed=2),  # the accuracies of the first guess and of the first ten
    ),
    host_case(
        "code_predictor.printed",
        Part("models", "CodePredictor", _coded, _predictor, _printed, finish=lambda model: model.eval()),
    ),
)
