"""Inputs of a forward, told by what its parameters are called: shapes to try, and tensors of a shape."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor, nn

from porter.validate.cases.base import Unavailable, lengths
from porter.validate.cases.shapes import varying_mask
from porter.validate.settings import Settings

Shape = list[Any]  # how values are drawn, then axes: a number, or the name of a size in `Settings`
Shapes = dict[str, Shape]  # by parameter

_ROWS = 8  # of an image
_MOST = 400  # combinations of shapes that are tried
_LEAST = 0.1  # of what a logarithm takes
_LOWEST, _HIGHEST = 80.0, 400.0  # Hz
_FREQUENCIES, _STYLES = ("f0", "pitchf", "nsff0"), ("g", "cond", "spk_emb", "style", "spk", "speaker")
_PLACES = ("sid", "ds", "spk_id", "speaker_id")
_OPTIONAL_MASKS = ("x_mask", "mask")
# What functions may ask for: one that asks for anything else may write files, and is not called to see whether it does.
_TENSORS = frozenset({
    *_OPTIONAL_MASKS, *_FREQUENCIES, *_STYLES, *_PLACES, "x", "y", "z", "h", "c", "m", "logs", "m_p", "logs_p", "m_q",
    "logs_q", "z_p", "z_q", "z_mask", "y_mask", "attn_mask", "length", "lengths", "x_lengths", "y_lengths", "uv", "mag",
    "x_mag", "y_mag", "y_hat", "input", "inputs", "pitch", "hidden", "hidden_states", "query", "key", "value", "q",
    "k", "v",
})  # fmt: skip
_POSITIVE = ("mag", "spec")
_TAKES = ("in_channels", "in_features", "input_size")  # what layers call the channels of their input
_NORMS = ("gamma", "weight", "bias")  # what a normalisation holds for each channel
_SOUNDS = ("y", "y_hat", "wav", "audio", "signal")


def shapes_to_try(entry: Any, function: Callable[..., Any], arguments: dict[str, Any]) -> Iterator[Shapes]:
    """Shapes of what `function` takes, the likeliest first; `entry` is the network it is the forward of, or None.

    Unavailable where it shows no parameters, or takes any number of them.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise Unavailable("what it is called with is not to be seen") from None
    wide = _widths(entry, arguments)
    plain = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    tried: list[set[str]] = []
    for more in (False, True):  # what has a default is left out first
        options: dict[str, list[Shape]] = {}
        for parameter in plain:
            name, needed = parameter.name, parameter.default is parameter.empty
            if needed and entry is None and name not in _TENSORS:
                raise Unavailable(f"it asks for {name}, whose name tells no tensor")
            styled = name in _STYLES and bool(arguments.get("gin_channels"))
            if needed or styled or name in _OPTIONAL_MASKS or (more and name in _TENSORS):
                options[name] = _options(name, entry, wide, arguments)
        if options.keys() in tried:
            continue
        tried.append(set(options))
        for chosen in islice(product(*options.values()), _MOST):
            yield dict(zip(options, chosen, strict=True))
    if tried == [set()]:
        raise Unavailable("it takes nothing that is a tensor by its name")


def drawn(shapes: Shapes, settings: Settings, generator: torch.Generator) -> dict[str, Tensor]:
    """Tensors of these shapes: floats are normal, lengths and masks end anywhere in the later half."""
    return {name: _tensor(shape, settings, generator) for name, shape in shapes.items()}


def _widths(entry: Any, arguments: dict[str, Any]) -> list[int]:
    """How many channels the input may have: what the first layer takes, then what the constructor was told."""
    found: list[int] = []
    if isinstance(entry, nn.Module):
        for module in entry.modules():
            taken = next((number for name in _TAKES if isinstance(number := getattr(module, name, None), int)), None)
            if taken is not None and module is not entry:
                found.append(taken)
                break
        found += [len(p) for name, p in entry.named_parameters() if p.dim() == 1 and name in _NORMS]
    told = [value for name, value in arguments.items() if isinstance(value, int) and "channel" in name]
    return list(dict.fromkeys([*found, *told])) or [32]


def _options(name: str, entry: Any, wide: Sequence[int], arguments: dict[str, Any]) -> list[Shape]:
    return _by_name(name, wide, arguments) or _by_layers(name, entry, wide)


def _by_name(name: str, wide: Sequence[int], arguments: dict[str, Any]) -> list[Shape]:
    """Shapes of what a name tells; none where it tells nothing."""
    plain = [["mask", "batch", 1, "frames"]]
    square = [["square", "batch", 1, "frames", "frames"]]
    if "mask" in name:
        return square + plain if name.startswith(("attn", "src")) else plain + square + [["mask", "batch", "frames"]]
    if "length" in name or name.endswith("_lens"):
        return [["lengths", "batch"]]
    if name in _STYLES:
        style = int(arguments.get("gin_channels") or wide[0])
        return [["normal", "batch", style, 1], ["normal", "batch", style], ["normal", "batch", style, "frames"]]
    if name in _FREQUENCIES:
        return [["pitch", "batch", "frames"], ["pitch", "batch", 1, "frames"], ["pitch", "batch", "frames", 1]]
    if name == "pitch":
        return [["ids", "batch", "frames"]]
    if name in _PLACES:
        return [["ids", "batch"], ["ids", "batch", 1]]
    return []


def _by_layers(name: str, entry: Any, wide: Sequence[int]) -> list[Shape]:
    """Shapes of signals, those first that the first layer of a network takes."""
    kind = "positive" if name.endswith(_POSITIVE) else "normal"
    sounds: list[Shape] = [["normal", "batch", 1, "samples"], ["normal", "batch", "samples"]]
    sequences: list[Shape] = [[kind, "batch", channels, "frames"] for channels in wide]
    sequences += [[kind, "batch", "frames", channels] for channels in wide]
    ids: list[Shape] = [["ids", "batch", "frames"]]
    rest: list[Shape] = [["normal", "batch", channels] for channels in wide]
    rest += [["normal", "batch", 1, "frames"], ["normal", "batch", wide[0], "frames", _ROWS]]
    layers = entry.modules() if isinstance(entry, nn.Module) else ()
    first = next((module for module in layers if not list(module.children())), None)
    if isinstance(first, nn.Embedding):
        return ids + sequences + sounds
    if isinstance(first, nn.Conv2d) or wide[0] == 1 or name in _SOUNDS:
        return sounds + sequences + rest
    return sequences + sounds + rest + ids


def _tensor(shape: Shape, settings: Settings, generator: torch.Generator) -> Tensor:
    kind, axes = shape[0], [axis if isinstance(axis, int) else getattr(settings, axis) for axis in shape[1:]]
    if kind == "normal":
        return torch.randn(axes, generator=generator)
    if kind == "positive":
        return torch.rand(axes, generator=generator) + _LEAST
    if kind == "lengths":
        return lengths(settings.batch, settings.frames // 2, settings.frames, generator)
    if kind == "pitch":
        return _LOWEST + torch.rand(axes, generator=generator) * (_HIGHEST - _LOWEST)
    if kind == "ids":
        return torch.randint(4, axes, generator=generator)
    mask = varying_mask(settings, generator)
    if kind == "square":
        return (mask.unsqueeze(2) * mask.unsqueeze(-1)).reshape(axes)
    return mask.reshape(axes)
