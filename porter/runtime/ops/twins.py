"""A signal beside its folded twin, for a layer that would fold it again: what nobody reads is not computed on XLA.

A gradient that flows back through the twin does not pass the plain signal, so that one's own gradient is a part of it.
"""

from typing import NamedTuple

import torch

from . import folding

_TWIN = "_sovits_port_folded"


class Twin(NamedTuple):
    """A signal whose time is folded by `factor`, zeros after the first `time` samples."""

    signal: torch.Tensor
    factor: int
    time: int
    version: int  # of the plain signal; another one means that it was written to


def unfolded(signal: torch.Tensor, factor: int, time: int) -> torch.Tensor:
    """The first `time` samples of a folded signal as a plain one that knows its twin."""
    plain = folding.unfold(signal, factor)[:, :, :time]
    setattr(plain, _TWIN, Twin(signal, factor, time, plain._version))
    return plain


def folded(plain: torch.Tensor) -> Twin | None:
    """The twin of a signal, if it has one that is still its equal."""
    twin: Twin | None = getattr(plain, _TWIN, None)
    return twin if twin is not None and twin.version == plain._version else None
