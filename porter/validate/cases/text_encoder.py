"""TextEncoder: in training, at another speed, as streaming calls it, and with the text left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, accepted, lengths, method, require, within
from porter.validate.cases.synthesizer import LEAST, SSL_CHANNELS, symbols
from porter.validate.settings import Settings

STYLE_CHANNELS = 512  # of the style that MRTE adds, fixed by upstream's code
RESULT = 8  # frames that are kept, from the end
PADDING = 2  # frames that are cut off the end
OVERLAP = 4  # frames that are blended with those of the chunk before
_SPEEDS = (1.25, 0.8)


def _arguments(*needed: str) -> Callable[[Callable[..., Any], Settings], dict[str, Any]]:
    """Constructor arguments. Unavailable where `forward` lacks one of the parameters `needed`."""

    def told(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
        require(method(constructor, "forward"), *needed)
        own = {"out_channels": settings.model["inter_channels"], "version": "v2"}
        return accepted(constructor, {**settings.model, **own})

    return told


def _inputs(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Features y (batch, channels, frames), phonemes text (batch, phonemes), a style ge (batch, channels, 1)."""
    count, frames, phonemes = settings.batch, settings.frames, settings.phonemes
    y_lengths = lengths(count, int(frames * LEAST), frames, generator)
    text_lengths = lengths(count, max(1, int(phonemes * LEAST)), phonemes, generator)
    ids = torch.randint(1, symbols(model), (count, phonemes), generator=generator)
    return {
        "y": torch.randn(count, SSL_CHANNELS, frames, generator=generator),
        "y_lengths": y_lengths,
        "text": within(ids, text_lengths),
        "text_lengths": text_lengths,
        "ge": torch.randn(count, STYLE_CHANNELS, 1, generator=generator),
    }


def _chunk(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """The same, and the end of the chunk before, (batch, channels, OVERLAP)."""
    shape = (settings.batch, model.hidden_channels, OVERLAP)
    return {
        **_inputs(model, settings, generator),
        "overlap_frames": torch.randn(shape, generator=generator),
    }


def _faster(model: Any, given: Batch) -> object:
    return [model(**given, speed=speed) for speed in _SPEEDS]


def _stream(model: Any, given: Batch) -> object:
    return model(**given, result_length=RESULT, padding_length=PADDING)


def _without_text(model: Any, given: Batch) -> object:
    return model(**{**given, "ge": None}, test=1)


def _inference(name: str, part: Part) -> Case:
    return Case(name, (part,), training=False, gradients=False)


CASES = (
    Case("text_encoder.plain", (Part("models", "TextEncoder", _inputs, _arguments()),)),
    _inference("text_encoder.speed", Part("models", "TextEncoder", _inputs, _arguments("speed"), _faster)),
    _inference(
        "text_encoder.streaming",
        Part(
            "models",
            "TextEncoder",
            _chunk,
            _arguments("result_length", "overlap_frames", "padding_length"),
            _stream,
        ),
    ),
    _inference("text_encoder.without_text", Part("models", "TextEncoder", _inputs, _arguments("test"), _without_text)),
)
