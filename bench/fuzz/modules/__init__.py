"""Modules in the style of such models, with what varies from one to the next chosen at random."""

from __future__ import annotations

from collections.abc import Callable

from ..writer import Writer
from . import attention, batches, codebooks, critics, decoders, layers

# Writes a module, and says what its entry is called and with what arguments it is built.
Template = Callable[[Writer], tuple[str, str]]

# How often each is written, in parts.
_SHARES: tuple[tuple[Template, int], ...] = (
    (layers.layers, 4),
    (layers.recurrent, 1),
    (layers.held, 1),
    (codebooks.codebook, 2),
    (codebooks.book, 3),
    (codebooks.flags, 1),
    (decoders.residual, 3),
    (decoders.gated, 2),
    (critics.critic, 2),
    (critics.composed, 1),
    (attention.attending, 2),
    (batches.criterion, 1),
    (batches.collated, 1),
    (batches.clips, 1),
)
MODULES: tuple[Template, ...] = tuple(template for template, share in _SHARES for _ in range(share))
