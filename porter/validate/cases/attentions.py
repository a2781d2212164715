"""attentions.py: the transformers, and what they are made of."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, mask_of
from porter.validate.cases.shapes import Arguments, built, drawn, normal, size, varying_mask, width
from porter.validate.settings import Settings

_HEADS = 2
_MASKS = ("x_mask", "h_mask", "attn_mask")


def _stack(**more: Any) -> Arguments:
    return built(
        lambda s: {
            "hidden_channels": width(s),
            "filter_channels": 2 * width(s),
            "n_heads": _HEADS,
            "n_layers": 2,
            "kernel_size": 3,
            "p_dropout": 0.1,
            **more,
        }
    )


def _attention(**more: Any) -> Arguments:
    return built(
        lambda s: {
            "channels": width(s),
            "out_channels": width(s) + 4,
            "n_heads": _HEADS,
            "p_dropout": 0.1,
            **more,
        }
    )


def _feed_forward(**more: Any) -> Arguments:
    return built(
        lambda s: {
            "in_channels": width(s),
            "out_channels": width(s) + 4,
            "filter_channels": 2 * width(s),
            "kernel_size": 3,
            "p_dropout": 0.1,
            **more,
        }
    )


def _separable(**more: Any) -> Arguments:
    return built(lambda s: {"in_channels": width(s), "out_channels": 2 * width(s), "kernel_size": 3, **more})


def _self(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """One sequence that attends to itself, as far as it reaches."""
    shape = (settings.batch, width(settings), settings.frames)
    mask = varying_mask(settings, generator)
    x = normal(generator, *shape)
    return {"x": x, "c": x.clone(), "attn_mask": mask.unsqueeze(2) * mask.unsqueeze(-1)}


def _cross(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    mask, other = varying_mask(settings, generator), varying_mask(settings, generator, "phonemes")
    return {
        "x": normal(generator, settings.batch, width(settings), settings.frames),
        "c": normal(generator, settings.batch, width(settings), settings.phonemes),
        "attn_mask": other.unsqueeze(2) * mask.unsqueeze(-1),
    }


def _decoder(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {
        "x": normal(generator, settings.batch, width(settings), settings.frames),
        "x_mask": varying_mask(settings, generator),
        "h": normal(generator, settings.batch, width(settings), settings.phonemes),
        "h_mask": varying_mask(settings, generator, "phonemes"),
    }


def _short(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Shorter than the window of relative positions."""
    mask = mask_of(torch.tensor([3] * settings.batch), 3)
    x = normal(generator, settings.batch, size(settings, "width"), 3)
    return {"x": x, "c": x.clone(), "attn_mask": mask.unsqueeze(2) * mask.unsqueeze(-1)}


def _attend(model: Any, given: Batch) -> object:
    return model(**given), model.attn


def _normed(model: Any) -> None:
    _of(model).weight_norm_modules(model)


def _plain_again(model: Any) -> None:
    _of(model).weight_norm_modules(model)
    _of(model).remove_weight_norm_modules(model)


def _plain_conditioning(model: Any) -> None:
    _of(model).remove_weight_norm_modules(model.cond_layer)


def _of(model: Any) -> Any:
    """The side's own file that the class comes from."""
    return inspect.getmodule(type(model))


_X = drawn("x_mask", x=("width", "frames"))
_CONDITIONED = drawn("x_mask", x=("width", "frames"), g=(16, 1))
_FLOW = {"isflow": True, "gin_channels": 16}

CASES = (
    Case(
        "attentions.encoder",
        (
            Part("attentions", "Encoder", _X, _stack(), constant=_MASKS),
            Part("attentions", "Encoder", _CONDITIONED, _stack(**_FLOW), label="conditioned", constant=_MASKS),
        ),
    ),
    Case(
        "attentions.decoder",
        (
            Part("attentions", "Decoder", _decoder, _stack(n_layers=1), constant=_MASKS),
            Part(
                "attentions",
                "Decoder",
                _decoder,
                _stack(n_layers=1, proximal_bias=True),
                label="Decoder proximal",
                constant=_MASKS,
            ),
            Part("attentions", "FFT", _X, _stack(n_layers=1), constant=_MASKS),
            Part(
                "attentions",
                "FFT",
                _CONDITIONED,
                _stack(proximal_bias=True, proximal_init=False, **_FLOW),
                label="FFT conditioned",
                constant=_MASKS,
            ),
        ),
    ),
    Case(
        "attentions.attention",
        tuple(
            Part("attentions", "MultiHeadAttention", inputs, _attention(**more), _attend, label=label, constant=_MASKS)
            for label, inputs, more in (
                ("cross", _cross, {}),
                ("relative", _self, {"window_size": 4}),
                ("relative by head", _self, {"window_size": 4, "heads_share": False}),
                ("relative short", _short, {"window_size": 4}),
                ("local", _self, {"block_length": 3}),
                ("proximal", _self, {"proximal_bias": True, "proximal_init": True}),
            )
        ),
    ),
    Case(
        "attentions.blocks",
        (
            Part("attentions", "FFN", _X, _feed_forward(), constant=_MASKS),
            Part("attentions", "FFN", _X, _feed_forward(kernel_size=1), label="FFN pointwise", constant=_MASKS),
            Part(
                "attentions",
                "FFN",
                _X,
                _feed_forward(activation="gelu", causal=True),
                label="FFN causal",
                constant=_MASKS,
            ),
            *(
                Part(
                    "attentions", name, drawn(input=("width", "frames")), _separable(**more), finish=finish, label=label
                )
                for name, more in (
                    ("Depthwise_Separable_Conv1D", {"dilation": 2, "padding": 2}),
                    ("Depthwise_Separable_TransposeConv1D", {"stride": 2, "output_padding": 1}),
                )
                for label, finish in (
                    (name, lambda model: None),
                    (f"{name} normed", _normed),
                    (f"{name} plain again", _plain_again),
                )
            ),
            Part(
                "attentions",
                "Encoder",
                _CONDITIONED,
                _stack(n_layers=1, **_FLOW),
                finish=_plain_conditioning,
                label="Encoder plain",
                constant=_MASKS,
            ),
        ),
    ),
)
