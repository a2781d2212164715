"""Writing under masks and into ranges, cutting segments: the runtime's operations beside plain indexing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Case
from porter.validate.cases.calls import Calls, calling
from porter.validate.cases.shapes import normal
from porter.validate.settings import Settings

_CUT = 4  # positions of a segment


def _inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    batch, frames = settings.batch, settings.frames
    first = torch.randint(0, frames // 2 + 1, (batch,), generator=generator)
    return {
        "x": normal(generator, batch, 3, frames),
        "y": normal(generator, batch, 3, frames),
        "chosen": torch.rand(batch, 3, frames, generator=generator) < 0.4,
        "first": first,
        "last": torch.minimum(first + frames // 3 + 1, torch.tensor(frames)),
        "starts": torch.randint(0, max(1, frames - _CUT + 1), (batch,), generator=generator),
    }


def _on_copy(write: Callable[[Any, Tensor, Batch], object]) -> Callable[[Any, Batch], object]:
    """What is written, and whether the same tensor comes back."""

    def call(ops: Any, given: Batch) -> object:
        target = given["x"].clone()
        return target, write(ops, target, given) is target

    return call


_WRITES: Calls = {
    "number": _on_copy(lambda o, t, g: o.masked_write_(t, g["chosen"], 2.5)),
    "whole number": _on_copy(lambda o, t, g: o.masked_write_(t, g["chosen"], 2)),
    "scalar": _on_copy(lambda o, t, g: o.masked_write_(t, g["chosen"], g["y"][0, 0, 0])),
    "values": _on_copy(lambda o, t, g: o.masked_write_(t, g["chosen"], g["y"])),
    "rows": _on_copy(lambda o, t, g: o.masked_write_(t, g["chosen"][:, :, 0], 1.0)),
    "samples": _on_copy(lambda o, t, g: o.masked_write_(t, g["chosen"][:, 0, 0], g["y"])),
    "filled": _on_copy(lambda o, t, g: o.fill_ranges_(t, -1.5, g["first"], g["last"])),
    "filled by a scalar": _on_copy(lambda o, t, g: o.fill_ranges_(t, g["y"][0, 0, 0], g["first"], g["last"])),
    "filled alike": _on_copy(lambda o, t, g: o.fill_ranges_(t, 3.0, 1, -1)),
    "filled to the end": _on_copy(lambda o, t, g: o.fill_ranges_(t, 3.0, g["first"], t.shape[-1])),
    "filled from behind": _on_copy(lambda o, t, g: o.fill_ranges_(t, 3.0, g["first"] - t.shape[-1], t.shape[-1])),
    "copied": _on_copy(lambda o, t, g: o.copy_ranges_(t, g["y"], g["first"], g["last"])),
    "copied alike": _on_copy(lambda o, t, g: o.copy_ranges_(t, g["y"], 0, 2)),
    "copied and rounded": _on_copy(lambda o, t, g: o.copy_ranges_(t, g["y"].double(), g["first"], g["last"])),
    "ranges": lambda o, g: o.range_mask(g["x"].shape[-1], g["first"], g["last"]),
    "one range": lambda o, g: o.range_mask(g["x"].shape[-1], 1, -1),
    "squares": lambda o, g: o.ranges_mse(g["x"], g["y"], g["first"], g["last"]),
    "squares of all": lambda o, g: o.ranges_mse(g["x"], g["y"], 0, g["x"].shape[-1]),
    "distances": lambda o, g: o.ranges_l1(g["x"], g["y"], g["first"], g["last"]),
    "wide distances": lambda o, g: o.ranges_l1(g["x"].double(), g["y"], g["first"], g["last"]),
    "segments": lambda o, g: o.slice_segments(g["x"], g["starts"], min(_CUT, g["x"].shape[-1])),
    "flat segments": lambda o, g: o.slice_segments(g["x"][:, 0], g["starts"], min(_CUT, g["x"].shape[-1])),
    "longest": lambda o, g: o.static_max(g["last"]),
    "longest number": lambda o, g: o.static_max(g["x"].detach()),
}
_NO_WRITES: Calls = {
    "integers": lambda o, g: o.masked_write_(g["first"].clone(), g["first"] > 0, 1.5),
    "mask": lambda o, g: o.masked_write_(g["x"].clone(), g["chosen"][:, :, 1:], 1.0),
    "numbers": lambda o, g: o.masked_write_(g["x"].clone(), g["chosen"], g["y"][:, :, 1:]),
    "dtypes": lambda o, g: o.masked_write_(g["x"].clone(), g["chosen"], g["y"].double()),
    "far": lambda o, g: o.slice_segments(g["x"], g["starts"] + g["x"].shape[-1], 2),
}

CASES = (Case("functions.writes", (calling("writes", _inputs, _WRITES, _NO_WRITES, "x", "y", "chosen", "first",
                                           "last", "starts"),)),)  # fmt: skip
