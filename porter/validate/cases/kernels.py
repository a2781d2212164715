"""The kernels for a TPU, forward and backward, each against plain PyTorch; on the CPU they are interpreted.

Upstream has no such networks: they are the judge's own, made of torch's operations on upstream's side. Lengths are
beside multiples of registers wherever a kernel takes such, and larger than 128 under the variation `odd`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from porter.validate.cases import kernel_networks as networks
from porter.validate.cases.base import Batch, Case, Part
from porter.validate.cases.shapes import Inputs, Size, drawn, normal, size, varying_mask
from porter.validate.cases.shapes import judges_own as own
from porter.validate.settings import Settings

_SUBLANES = 8  # what a kernel's time is a multiple of, for some of them
_GIVEN = 6  # channels of a condition
_HEADS = 2


def _rows(settings: Settings) -> int:
    """Frames, up to whole registers."""
    return -(-settings.frames // _SUBLANES) * _SUBLANES


def _signal(width: int) -> Inputs:
    return lambda model, s, generator: {"x": normal(generator, s.batch, width, _rows(s))}


def _conditioned(width: int) -> Inputs:
    def inputs(model: Any, s: Settings, generator: torch.Generator) -> Batch:
        return {**_masked(width)(model, s, generator), "g": normal(generator, s.batch, _GIVEN, 1)}

    return inputs


def _masked(width: int) -> Inputs:
    def inputs(model: Any, s: Settings, generator: torch.Generator) -> Batch:
        mask = varying_mask(s, generator, _rows(s))
        return {"x": normal(generator, s.batch, width, _rows(s)), "mask": mask}

    return inputs


def _sound(factor: int, *columns: int) -> Inputs:
    """Of a length that no stride divides."""
    return lambda model, s, generator: {"x": normal(generator, s.batch, 1, factor * s.frames + 1, *columns)}


def _attended(*lead: int, keys: Size, width: int, values: int, masked: bool = True, by_head: bool = False) -> Inputs:
    """Queries of phonemes and keys of phonemes or frames, and where they may look; `lead` is what is before those.

    `by_head`: each head may look somewhere else, in all samples alike.
    """

    def inputs(model: Any, s: Settings, generator: torch.Generator) -> Batch:
        queries, count = s.phonemes, size(s, keys)
        given = {
            "q": normal(generator, s.batch, *lead, queries, width),
            "k": normal(generator, s.batch, *lead, count, width),
            "v": normal(generator, s.batch, *lead, count, values),
        }
        if by_head:
            heads = _seen(replace(s, batch=lead[0]), (), queries, count, generator)
            return {**given, "mask": heads.unsqueeze(0)}
        return {**given, "mask": _seen(s, lead, queries, count, generator)} if masked else given

    return inputs


def _seen(settings: Settings, lead: tuple[int, ...], queries: int, keys: int, generator: torch.Generator) -> Tensor:
    """[B, 1, T, S], or [B, T, S] without heads: 1.0 before each sample's end."""
    whole = varying_mask(settings, generator, keys).expand(settings.batch, queries, keys).clone()
    return whole.unsqueeze(1) if lead else whole


def _all(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    narrow = _masked(8)(model, settings, generator)
    wide = _signal(128)(model, settings, generator)
    return {**wide, "y": narrow["x"], "mask": narrow["mask"], "z": _sound(1, 3)(model, settings, generator)["x"]}


# Each length costs a program of its own, and the others have been run then: shorter than a register, and beyond 128.
_LENGTHS = ("shortest", "long")


def _case(name: str, *parts: Part) -> Case:
    """A case whose every part asks for one kernel a forward."""
    return Case(f"kernels.{name}", parts, kernels={name: len(parts)}, left_out=_LENGTHS)


CASES = (
    _case(
        "attention",
        own(networks.relative, "relative", _attended(_HEADS, keys="phonemes", width=24, values=24), ("mask",),
              width=24, window=4, p=0.1),
        own(networks.across, "across", _attended(keys="frames", width=7, values=10), ("mask",)),
        own(networks.scaled, "scaled", _attended(_HEADS, keys="frames", width=16, values=24, by_head=True),
              ("mask",), causal=False, scale=None),
        own(networks.scaled, "causal", _attended(3, keys="frames", width=16, values=5, masked=False),
              causal=True, scale=0.3),
    ),
    _case(
        "feed_forward",
        own(networks.feed_forward, "masked", drawn("mask", x=(10, "frames")), ("mask",),
              widths=[10, 192, 24], taps=3, p=0.1, padding=0, causal=False, bias=True),
        own(networks.feed_forward, "causal", drawn("mask", x=(7, "frames")), ("mask",),
              widths=[7, 40, 7], taps=4, p=0.0, padding=0, causal=True, bias=True),
        own(networks.feed_forward, "unmasked", drawn(x=(6, "frames")),
              widths=[6, 24, 136], taps=5, p=0.0, padding=2, causal=False, bias=False),
    ),
    _case(
        "features",
        own(networks.columns, "columns", _sound(4, 2), widths=[1, 8, 128, 256], taps=5, stride=3),
        own(networks.groups, "groups", _sound(9), widths=[1, 16, 64, 256, 256], counts=[1, 4, 16, 32], taps=11,
              stride=4, bias=True),
        own(networks.groups, "rows", _sound(1), widths=[1, 16, 128], counts=[1, 1], taps=7, stride=1, bias=False),
    ),
    _case(
        "gated",
        own(networks.gated, "conditioned", _conditioned(24), ("mask",), width=24, count=3, taps=5, given=_GIVEN),
        own(networks.gated, "wide", _masked(136), ("mask",), width=136, count=2, taps=3, given=0),
    ),
    _case(
        "residual",
        own(networks.residual, "pairs", _signal(128), width=128, taps=3, dilations=[1, 3], depth=2, bias=True),
        own(networks.residual, "wide", _signal(256), width=256, taps=7, dilations=[1], depth=1, bias=False),
    ),
    Case(
        "kernels.changing",
        (own(networks.changing, "changing", _signal(128)),),
        kernels={"residual": 2},
        left_out=_LENGTHS,
    ),
    Case(
        "kernels.none",
        (own(networks.kept, "kept", _all, ("mask",)),),
        kernels=dict.fromkeys(("feed_forward", "features", "gated", "residual"), 0),
    ),
)  # fmt: skip
