"""What one sentence gives the decoder, and several of them laid out in the slots of one bucket."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Row(NamedTuple):
    """One sentence; the driver takes it from the host."""

    phonemes: Tensor  # (X), int64
    bert: Tensor  # (1024, X)
    prompt: Tensor  # (P), int64: codes of the reference; may be empty


class Prompt(NamedTuple):
    """Rows that end at the same slot: empty slots first, then phonemes, then codes. B rows, S slots."""

    phonemes: Tensor  # (B, S), 0 where there is none
    bert: Tensor  # (B, S, 1024)
    codes: Tensor  # (B, S), 0 where there is none
    position: Tensor  # (B, S): from 0 in the phonemes and again in the codes
    start: Tensor  # (B, 1): the first slot that holds something
    first: Tensor  # (B, 1): the first slot that holds a code

    @property
    def slots(self) -> int:
        """S."""
        return self.phonemes.shape[1]


def lay_out(rows: Sequence[Row], slots: int) -> Prompt:
    """Rows in `slots` slots, which have to be enough; where the rows are."""
    parts: list[list[Tensor]] = []
    for row in rows:
        text, codes, device = row.phonemes.shape[0], row.prompt.shape[0], row.phonemes.device
        left = slots - text - codes
        places = [torch.arange(count, device=device) for count in (text, codes)]
        parts.append(
            [
                F.pad(row.phonemes.long(), (left, codes)),
                F.pad(row.bert.t(), (0, 0, left, codes)),
                F.pad(row.prompt.long(), (left + text, 0)),
                F.pad(torch.cat(places), (left, 0)),
                torch.full((1,), left, device=device),
                torch.full((1,), left + text, device=device),
            ]
        )
    return Prompt(*(torch.stack(part) for part in zip(*parts, strict=True)))
