"""What decoding keeps from token to token: caches and marks in slots, all on the device, written in place."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_MARKS = ("valid", "tokens", "seen", "logits", "ended", "position", "slot", "step")  # what is no cache


@dataclass
class State:
    """B rows, T slots, H heads of D channels, V tokens. Slot S + i holds what step i drew."""

    keys: list[Tensor]  # one a layer, (B * H, D, T): a TPU pads the last axis to 128, and D is 32
    values: list[Tensor]
    valid: Tensor  # (B, T): slots that may be seen
    tokens: Tensor  # (B, T), int64: codes drawn so far, in their slots
    seen: Tensor  # (B, V): tokens of prompt and result so far
    logits: Tensor  # (B, V): for the next token
    ended: Tensor  # (B), int64: the step in which a row ended, -1 for none
    position: Tensor  # (B), int64: of the next token among the codes
    slot: Tensor  # (1), int64: of the next token
    step: Tensor  # (1), int64: steps done
    over: Tensor  # of no dimension: whether all rows have ended

    @property
    def slots(self) -> int:
        """T."""
        return self.valid.shape[1]

    @property
    def parts(self) -> list[Tensor]:
        """All of it but `over`."""
        return [*self.keys, *self.values, *(getattr(self, name) for name in _MARKS)]

    @classmethod
    def of(cls, parts: Sequence[Tensor]) -> "State":
        """A state of such parts, that is not over."""
        layers = (len(parts) - len(_MARKS)) // 2
        marks = dict(zip(_MARKS, parts[2 * layers :], strict=True))
        over = torch.zeros((), dtype=torch.bool, device=parts[0].device)
        return cls(list(parts[:layers]), list(parts[layers : 2 * layers]), **marks, over=over)

    def become(self, parts: Sequence[Tensor], over: Tensor) -> None:
        """Take new values; caches keep their memory."""
        caches = [*self.keys, *self.values]
        for cache, value in zip(caches, parts, strict=False):
            cache.copy_(value)
        for name, value in zip(_MARKS, parts[len(caches) :], strict=True):
            setattr(self, name, value)
        self.over = over

    def grow(self, slots: int) -> None:
        """Make room for more tokens: T becomes `slots`."""
        more = slots - self.slots
        self.keys = [F.pad(key, (0, more)) for key in self.keys]
        self.values = [F.pad(value, (0, more)) for value in self.values]
        self.valid = F.pad(self.valid, (0, more))
        self.tokens = F.pad(self.tokens, (0, more))


def room(slots: int) -> int:
    """T for a prompt of `slots` slots, or for a state that is full: the next power of two that leaves 256 free."""
    size = 512
    while size < slots + 256:
        size *= 2
    return size


def visible(valid: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention weights: 0 where `valid`, minus infinity elsewhere."""
    return torch.where(valid, 0.0, -torch.inf).to(dtype)
