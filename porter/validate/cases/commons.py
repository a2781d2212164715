"""commons.py: masks, segments, signals, and clipping of gradients."""

from __future__ import annotations

from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part, lengths
from porter.validate.cases.shapes import drawn, normal, nothing, size, varying_mask
from porter.validate.settings import Settings

_SEGMENT = 4
_X = drawn(x=("width", "frames"))
_MASKED = drawn("x_mask", x=("width", "frames"))
_MASKS = ("x_mask", "mask", "duration")


def _path(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Whole durations that may end before the frames do."""
    most = settings.frames // settings.phonemes
    duration = torch.randint(1, most + 1, (settings.batch, 1, settings.phonemes), generator=generator).float()
    mask = varying_mask(settings, generator, "phonemes")
    frames = varying_mask(settings, generator)
    return {"duration": duration * mask, "mask": frames.unsqueeze(-1) * mask.unsqueeze(2)}


def _lengths(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"length": lengths(settings.batch, settings.frames // 2, settings.frames, generator)}


def _lengths_of_padded(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {**_lengths(subject, settings, generator), "padded": torch.zeros(settings.batch, settings.frames)}


def _segments(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    frames = max(settings.frames, _SEGMENT)  # no segment is longer than what it is cut out of
    return {
        "x": normal(generator, settings.batch, size(settings, "width"), frames),
        "ids_str": lengths(settings.batch, 0, frames - _SEGMENT, generator),
    }


def _padded(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    frames = max(settings.frames, 2 * _SEGMENT)
    return {
        "x": normal(generator, settings.batch, size(settings, "width"), frames),
        "x_lengths": lengths(settings.batch, frames // 2, frames, generator),
    }


def _parameters(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    shapes = {"a": (size(settings, "width"), 5), "b": (size(settings, "width"),), "c": (3, 2, 2)}
    return {name: normal(generator, *shape) for name, shape in shapes.items()}


def _clip(function: Any, given: Batch, value: float | None, **more: Any) -> object:
    """Clip gradients that are the inputs: the norm, and what became of them; a parameter without one stays so."""
    parameters = [torch.zeros_like(gradient).requires_grad_() for gradient in given.values()]
    for parameter, gradient in zip(parameters, given.values(), strict=True):
        parameter.grad = gradient.clone()
    norm = function([*parameters, torch.zeros(2, requires_grad=True)], value, **more)
    return norm, [parameter.grad for parameter in parameters]


def _clip_one(function: Any, given: Batch) -> object:
    parameter = torch.zeros_like(given["a"]).requires_grad_()
    parameter.grad = given["a"].clone()
    return function(parameter, 0.5), parameter.grad


def _fused(function: Any, given: Batch) -> object:
    # Upstream scripts this function, which then takes nothing but tensors.
    return function(given["a"], given["b"], torch.IntTensor([given["a"].shape[1] // 2]))


CASES = (
    Case(
        "commons.masks",
        (
            Part(
                "commons",
                "sequence_mask",
                _lengths_of_padded,
                call=lambda mask, given: mask(given["length"], given["padded"].shape[-1]),
                constant=("padded",),
            ),
            Part("commons", "generate_path", _path, constant=_MASKS),
            Part("commons", "shift_1d", _X),
            Part("commons", "squeeze", _MASKED, constant=_MASKS),
            Part("commons", "squeeze", _X, label="squeeze in threes", call=lambda f, given: f(given["x"], n_sqz=3)),
            Part("commons", "unsqueeze", _MASKED, constant=_MASKS),
            Part("commons", "unsqueeze", _X, label="unsqueeze all"),
            Part("commons", "intersperse", nothing, call=lambda f, given: f([1, 2, 3], 0)),
            Part("commons", "get_padding", nothing, call=lambda f, given: (f(7), f(5, 3), f(4, 3))),
            Part(
                "commons",
                "convert_pad_shape",
                nothing,
                call=lambda f, given: f([[0, 0], [1, 2], [3, 4]]),
            ),
        ),
    ),
    Case(
        "commons.segments",
        (
            Part("commons", "slice_segments", _segments),
            Part(
                "commons",
                "rand_slice_segments",
                _padded,
                call=lambda f, given: f(**given, segment_size=_SEGMENT),
            ),
            Part(
                "commons",
                "rand_slice_segments",
                _X,
                label="anywhere",
                call=lambda f, given: f(given["x"], None, _SEGMENT),
            ),
        ),
    ),
    Case(
        "commons.signals",
        (
            Part(
                "commons",
                "kl_divergence",
                drawn(
                    m_p=("width", "frames"),
                    logs_p=("width", "frames"),
                    m_q=("width", "frames"),
                    logs_q=("width", "frames"),
                ),
            ),
            Part("commons", "add_timing_signal_1d", _X),
            Part("commons", "add_timing_signal_1d", drawn(x=(7, "frames")), label="odd channels"),
            # Upstream's signal is of one sample, and is not repeated for the others.
            Part("commons", "cat_timing_signal_1d", _X, call=lambda f, given: f(given["x"][:1])),
            Part(
                "commons",
                "fused_add_tanh_sigmoid_multiply",
                drawn(a=("width", "frames"), b=("width", "frames")),
                call=_fused,
            ),
            Part("commons", "rand_gumbel_like", _X, constant=("x",)),
        ),
    ),
    Case(
        "commons.gradients",
        (
            Part(
                "commons", "clip_grad_value_", _parameters, call=lambda f, given: _clip(f, given, 0.5), label="clipped"
            ),
            Part(
                "commons",
                "clip_grad_value_",
                _parameters,
                call=lambda f, given: _clip(f, given, None),
                label="measured",
            ),
            Part(
                "commons",
                "clip_grad_value_",
                _parameters,
                call=lambda f, given: _clip(f, given, 0.5, norm_type=1),
                label="by sums",
            ),
            Part("commons", "clip_grad_value_", _parameters, call=_clip_one, label="one tensor"),
        ),
        gradients=False,
    ),
    Case("commons.host", (Part("commons", "sequence_mask", _lengths),), gradients=False, on_host=True),
)
