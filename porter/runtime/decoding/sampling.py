"""The next token from logits, as upstream's `sample` draws it, with options that are data and so no graph's own."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Options(NamedTuple):
    """How tokens are drawn; defaults are those of upstream's API. `top_p` of 1 or more keeps all tokens."""

    top_k: int = 15
    top_p: float = 1.0
    temperature: float = 1.0
    repetition_penalty: float = 1.35
    forced: int = 11  # so many tokens come before a sentence may end, in upstream's loops (1 in earlier ones)

    def checked(self, vocabulary: int) -> "Options":
        """The options as numbers that a graph can take. ValueError for those that upstream cannot draw with."""
        if self.top_k < 1:
            raise ValueError(f"top_k is at least 1, not {self.top_k}")
        if self.repetition_penalty <= 0:
            raise ValueError(f"repetition_penalty is above 0, not {self.repetition_penalty}")
        return self._replace(top_k=min(self.top_k, vocabulary), temperature=max(self.temperature, 1e-5))


class Drawing(NamedTuple):
    """Options on the device, as tensors of no dimension."""

    top_k: Tensor  # int64
    top_p: Tensor
    temperature: Tensor
    penalty: Tensor
    forced: Tensor  # int64

    @classmethod
    def of(cls, options: Options, sent: Callable[[Tensor], Tensor]) -> "Drawing":
        """Checked options; `sent` puts a tensor onto the device."""
        top_k, top_p, temperature, penalty, forced = options
        numbers = (top_k, float(top_p), float(temperature), float(penalty), forced)
        return cls(*(sent(torch.tensor(number)) for number in numbers))


def sample(logits: Tensor, seen: Tensor, noise: Tensor, may_end: Tensor, drawing: Drawing) -> tuple[Tensor, Tensor]:
    """The drawn token and the likeliest one after the penalty, both (B), int64.

    `logits` (B, V); `seen` (B, V) marks tokens so far; `noise` (B, V) is exponential; `may_end` is a truth of no
    dimension: until then the last token, which is the end, is out of question.
    """
    logits = torch.where(seen, torch.where(logits < 0, logits * drawing.penalty, logits / drawing.penalty), logits)
    last = torch.arange(logits.shape[-1], device=logits.device) == logits.shape[-1] - 1
    logits = torch.where(may_end | ~last, logits, -torch.inf)
    likeliest = logits.argmax(-1)

    ordered, places = torch.sort(logits, descending=True)
    beyond = (ordered.softmax(-1).cumsum(-1) > drawing.top_p) & (drawing.top_p < 1.0)
    rank = torch.arange(logits.shape[-1], device=logits.device)
    beyond = beyond & (rank > 0)  # the likeliest one stays
    dropped = torch.zeros_like(beyond).scatter(1, places, beyond)
    scaled = torch.where(dropped, -torch.inf, logits) / drawing.temperature
    kept = torch.where(beyond, -torch.inf, ordered) / drawing.temperature
    least = kept.index_select(1, (drawing.top_k - 1).view(1))
    scaled = torch.where(scaled < least, -torch.inf, scaled)
    return (scaled.softmax(-1) / noise).argmax(-1), likeliest
