"""f5_tts/model: DiT, the network of the v3 and v4 models, whole and in parts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch

from porter.validate.budget import Allowance
from porter.validate.cases.base import Batch, Case, Part, lengths, method, require
from porter.validate.cases.shapes import Arguments, Inputs, built, drawn, normal, width
from porter.validate.settings import Settings

_WHOLE, _PARTS = "f5_tts.model.backbones.dit", "f5_tts.model.modules"
_MELS, _TEXT = 20, 12
_HEADS, _HEAD = 2, 16
# Times become angles a thousand times as large, where float32 has few digits left: of times up to 1, upstream's own
# embeddings are down to 100 dB from those in float64 (the worst of 200 seeds); of these, 118.
_LATEST = 0.1

Call = Callable[[Any, Batch], object]


def _network(*needed: str, **more: Any) -> Arguments:
    """Constructor arguments. Unavailable where `forward` knows no checkpointing, or lacks a parameter of `needed`."""

    def told(entry: Any, settings: Settings) -> dict[str, Any]:
        require(method(entry, "forward"), "use_grad_ckpt", *needed)
        return {
            "dim": width(settings),
            "depth": 2,
            "heads": _HEADS,
            "dim_head": _HEAD,
            "ff_mult": 2,
            "mel_dim": _MELS,
            "text_dim": _TEXT,
            "conv_layers": 2,
            **more,
        }

    return told


def _step(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Spectrograms as channels by frames, and a time in [0, 1)."""
    count, frames = settings.batch, settings.frames
    return {
        "x0": normal(generator, count, _MELS, frames),
        "cond0": normal(generator, count, _MELS, frames),
        "x_lens": lengths(count, frames // 2, frames, generator),
        "time": torch.rand(count, generator=generator) * _LATEST,
        "dt_base_bootstrap": torch.rand(count, generator=generator) * _LATEST,
        "text0": normal(generator, count, _TEXT, frames),
    }


def _one_time(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """The time is one number for all samples, as in inference."""
    return {**_step(subject, settings, generator), "time": torch.rand((), generator=generator) * _LATEST}


def _cached(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {
        **_step(subject, settings, generator),
        "text_cache": normal(generator, settings.batch, settings.frames, _TEXT),
        "dt_cache": normal(generator, settings.batch, width(settings)),
    }


def _dit(label: str, inputs: Inputs, told: Mapping[str, bool] = MappingProxyType({}), **more: Any) -> Part:
    arguments = _network(*told, **more)

    def call(model: Any, given: Batch) -> object:
        # Older revisions gave the flag no default.
        flag = inspect.signature(model.forward).parameters["use_grad_ckpt"]
        asked = {"use_grad_ckpt": False} if flag.default is flag.empty else {}
        return model(**given, **{**asked, **told})

    return Part(_WHOLE, "DiT", inputs, arguments, call=call, label=label)


def _frames_of(**shapes: Any) -> Inputs:
    """Inputs, and a mask (batch, frames), true up to each sample's end."""

    def inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
        ends = lengths(settings.batch, settings.frames // 2, settings.frames, generator)
        mask = torch.arange(settings.frames) < ends[:, None]
        return {**drawn(**shapes)(subject, settings, generator), "mask": mask}

    return inputs


def _embedded(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    count, frames = settings.batch, settings.frames
    sizes = {"x": _MELS, "cond": _MELS, "text_embed": _TEXT}
    return {name: normal(generator, count, frames, channels) for name, channels in sizes.items()}


def _times(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"x": torch.rand(settings.batch, generator=generator) * _LATEST}


def _timesteps(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"timestep": torch.rand(settings.batch, generator=generator) * _LATEST}


def _starts(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {
        "start": torch.randint(0, 9, (settings.batch,), generator=generator),
        "padded": torch.zeros(settings.frames),
    }


def _turned(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """A block's inputs; `freqs` are the angles of rotary embeddings."""
    given = _frames_of(x=("frames", "width"), t=("width",))(subject, settings, generator)
    return {**given, "freqs": torch.rand(1, settings.frames, _HEAD, generator=generator) * 3}


def _joined(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    context = normal(generator, settings.batch, settings.phonemes, width(settings))
    angles = torch.rand(1, settings.phonemes, _HEAD, generator=generator) * 3
    return {**_turned(subject, settings, generator), "c": context, "context_freqs": angles}


def _join(block: Any, given: Batch) -> object:
    ropes = {"rope": (given["freqs"], 1.0), "c_rope": (given["context_freqs"], 1.0)}
    return block(given["x"], given["c"], given["t"], mask=given["mask"], **ropes)


def _block(name: str, inputs: Inputs, label: str = "", call: Call | None = None, **more: Any) -> Part:
    arguments = built(lambda s: {"dim": width(s), **more})
    return Part(_PARTS, name, inputs, arguments, call or _keywords, label=label or name)


def _keywords(model: Any, given: Batch) -> object:
    return model(**given)


def _transform(block: Any, given: Batch) -> object:
    return block(given["x"], given["t"], mask=given["mask"], rope=(given["freqs"], 1.0))


def _attend(block: Any, given: Batch) -> object:
    """The block's attention alone; its constructor takes an object, which arguments told as data cannot hold."""
    scales = given["freqs"].exp()  # as rotary embeddings with xpos have them
    return block.attn(given["x"], mask=given["mask"], rope=(given["freqs"], scales))


_X = drawn(x=("frames", "width"))
_MODULATED = drawn(x=("frames", "width"), emb=("width",))
_HEADS_OF_BLOCK: dict[str, Any] = {"heads": _HEADS, "dim_head": _HEAD, "ff_mult": 2}

CASES = (
    Case(
        "dit",
        (
            _dit("DiT", _step),
            _dit("checkpointed", _step, {"use_grad_ckpt": True}, long_skip_connection=True, conv_layers=0),
        ),
        # The backward pass of each checkpointed block draws the same dropout again.
        allowance=lambda model: Allowance(restarts=len(model.subject("checkpointed").transformer_blocks)),
    ),
    Case(
        "dit.inference",
        (
            _dit("one time", _one_time, {"infer": True, "drop_audio_cond": True, "drop_text": True}),
            _dit("cached", _cached, {"infer": True}),
        ),
        training=False,
        gradients=False,
    ),
    Case(
        "dit.blocks",
        (
            _block("DiTBlock", _turned, call=_transform, **_HEADS_OF_BLOCK),
            _block("DiTBlock", drawn(x=("frames", "width"), t=("width",)), label="unmasked", **_HEADS_OF_BLOCK),
            _block("DiTBlock", _turned, label="Attention", call=_attend, **_HEADS_OF_BLOCK),
            *(
                _block(
                    "MMDiTBlock",
                    _joined,
                    label=label,
                    call=_join,
                    heads=_HEADS,
                    dim_head=_HEAD,
                    ff_mult=2,
                    context_pre_only=last,
                )
                for label, last in (("MMDiTBlock", False), ("MMDiTBlock last", True))
            ),
            _block("AdaLayerNormZero", _MODULATED),
            _block("AdaLayerNormZero_Final", _MODULATED),
            _block("FeedForward", _X, dim_out=12, dropout=0.1),
            Part(
                _WHOLE,
                "InputEmbedding",
                _embedded,
                built(lambda s: {"mel_dim": _MELS, "text_dim": _TEXT, "out_dim": width(s)}),
            ),
        ),
    ),
    Case(
        "dit.embeddings",
        (
            _block("SinusPositionEmbedding", _times),
            _block("TimestepEmbedding", _timesteps, freq_embed_dim=24),
            _block("ConvPositionEmbedding", _frames_of(x=("frames", "width")), kernel_size=5),
            _block("GRN", _X),
            _block("ConvNeXtV2Block", _X, intermediate_dim=24, dilation=2),
            Part(
                _WHOLE,
                "TextEmbedding",
                drawn(text=("frames", _TEXT)),
                built(lambda s: {"text_dim": _TEXT, "conv_layers": 1}),
                call=lambda model, given: model(given["text"], given["text"].shape[1]),
            ),
            Part(
                _PARTS,
                "get_pos_embed_indices",
                _starts,
                call=lambda f, given: f(given["start"], given["padded"].shape[0], 20, 1.5),
                constant=("padded",),
            ),
        ),
    ),
)
