"""Small networks of layers that have a form of their own on a TPU, beside torch's own layers.

Each function makes a class of one side's operations (`operations.py`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1


def columns(ops: Any) -> type[nn.Module]:
    """Convolutions of few channels along time over the columns of a period."""

    class Columns(nn.Module):
        """Two of one stride: the second takes the first one's result as it lies."""

        def __init__(self, width: int, taps: int, stride: int) -> None:
            super().__init__()
            self.first = ops.weight_norm(ops.Conv2d(1, width, (taps, 1), (stride, 1), (taps // 2, 0)))
            self.second = ops.weight_norm(ops.Conv2d(width, 2 * width, (taps, 1), (stride, 1), (taps // 2, 0)))

        def forward(self, x: Tensor) -> list[Tensor]:
            """[B, 1, T, columns] -> both results."""
            inner = ops.leaky_relu(self.first(x), SLOPE)
            return [inner, self.second(inner)]

    return Columns


def groups(ops: Any) -> type[nn.Module]:
    """A convolution in groups, and one over few channels."""

    class Groups(nn.Module):
        """With strides, and lengths that these do not divide."""

        def __init__(self, width: int, count: int, taps: int, stride: int) -> None:
            super().__init__()
            self.first = ops.weight_norm(ops.Conv1d(1, width, taps, padding=taps // 2))
            self.second = ops.Conv1d(width, 4 * width, taps, stride, taps // 2, groups=count)

        def forward(self, x: Tensor) -> Tensor:
            """[B, 1, T] -> [B, C, T / stride]."""
            result: Tensor = self.second(ops.leaky_relu(self.first(x), SLOPE))
            return result

    return Groups


def upsampling(ops: Any) -> type[nn.Module]:
    """A decoder that upsamples to many samples of few channels."""

    class Upsampling(nn.Module):
        """Transposed convolutions, each followed by one that keeps the length."""

        def __init__(self, width: int, strides: list[int], taps: int, dilation: int) -> None:
            super().__init__()
            widths = [width // 2**i for i in range(len(strides) + 1)]
            self.ups = nn.ModuleList(
                ops.weight_norm(nn.ConvTranspose1d(widths[i], widths[i + 1], 2 * s, s, padding=s // 2))
                for i, s in enumerate(strides)
            )
            self.blocks = nn.ModuleList(
                ops.weight_norm(nn.Conv1d(w, w, taps, padding=dilation * (taps // 2), dilation=dilation))
                for w in widths[1:]
            )
            self.last = nn.Conv1d(widths[-1], 1, 7, padding=3, bias=False)
            ops.fold_time(self.ups, self.blocks, self.last)

        def forward(self, x: Tensor) -> Tensor:
            """[B, C, T] -> [B, 1, samples]."""
            for up, block in zip(self.ups, self.blocks, strict=True):
                x = up(ops.leaky_relu(x, SLOPE))
                x = x + block(ops.leaky_relu(x, SLOPE))
            return torch.tanh(self.last(ops.leaky_relu(x)))

    return Upsampling


def _odd_layers(width: int) -> dict[str, tuple[nn.Module, nn.Module, nn.Module]]:
    """Layers of decoders that a signal folded in time cannot pass, by what is odd about one of them."""
    half = width // 2

    def up(taps: int = 4, stride: int = 2, padding: int = 1, **named: Any) -> nn.Module:
        return nn.ConvTranspose1d(width, half, taps, stride, padding, **named)

    def block(taps: int = 3, padding: Any = 1, **named: Any) -> nn.Module:
        return nn.Conv1d(half, half, taps, padding=padding, **named)

    def last(padding: int = 3) -> nn.Module:
        return nn.Conv1d(half, 1, 7, padding=padding)

    return {
        "taps": (up(5), block(), last()),
        "cut": (up(4, 2, 0), block(), last()),
        "output padding": (up(3, 2, 1, output_padding=1), block(), last()),
        "groups above": (up(groups=2), block(), last()),
        "dilation above": (up(3, 2, 1, dilation=2), block(), last()),
        "narrow": (up(), block(5), last()),
        "stride": (up(), block(stride=2), last()),
        "groups": (up(), block(groups=2), last()),
        "circular": (up(), block(padding_mode="circular"), last()),
        "same": (up(), block(padding="same"), last()),
        "dilated": (up(), block(dilation=2), last()),
        "end": (up(), block(), last(2)),
    }


def odd_upsampling(ops: Any) -> type[nn.Module]:
    """Decoders that have to stay as they are."""

    class OddUpsampling(nn.Module):
        """Several, each with another layer that keeps folded signals away."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.decoders = nn.ModuleList(map(nn.ModuleList, _odd_layers(width).values()))
            for up, block, last in (decoder.children() for decoder in self.decoders):
                ops.fold_time(nn.ModuleList([up]), nn.ModuleList([block]), last)

        def forward(self, x: Tensor) -> list[Tensor]:
            """[B, C, T] -> one result a decoder."""
            parts = (decoder.children() for decoder in self.decoders)
            return [last(F.leaky_relu(block(up(x)), SLOPE)) for up, block, last in parts]

    return OddUpsampling


def product(ops: Any) -> type[nn.Module]:
    """A weight norm of one tap, for a signal that is smaller than the weight."""

    class Product(nn.Module):
        """As a condition passes it."""

        def __init__(self, given: int, gives: int) -> None:
            super().__init__()
            self.layer = ops.weight_norm(nn.Conv1d(given, gives, 1))

        def forward(self, g: Tensor) -> Tensor:
            """[B, C, 1] -> [B, C (out), 1]."""
            result: Tensor = self.layer(g)
            return result

    return Product


def dropping(ops: Any) -> type[nn.Module]:
    """A ReLU, and a dropout of weights before a product."""

    class Dropping(nn.Module):
        """Attention in few words."""

        def __init__(self, width: int, p: float) -> None:
            super().__init__()
            self.first = nn.Conv1d(width, width, 1)
            self.drop = ops.Dropout(p)

        def forward(self, x: Tensor) -> Tensor:
            """[B, C, T] -> [B, T, C]."""
            x = ops.relu(self.first(x))
            weights = self.drop(F.softmax(torch.matmul(x.transpose(1, 2), x), dim=-1))
            result: Tensor = ops.matmul(weights, x.transpose(1, 2))
            return result

    return Dropping


def recurrent(ops: Any) -> type[nn.Module]:
    """Long short-term memory."""

    class Recurrent(nn.Module):
        """Both ways or one, batches first or time, with given states and without, of one sample."""

        def __init__(self, width: int, hidden: int) -> None:
            super().__init__()
            self.both = ops.LSTM(width, hidden, 2, batch_first=True, bidirectional=True)
            self.plain = ops.LSTM(width, hidden, bias=False)

        def forward(self, x: Tensor, h: Tensor, c: Tensor) -> object:
            """[B, T, C], [layers, B, hidden] twice -> outputs and last states."""
            return {
                "both": self.both(x),
                "given": self.both(x, (h, c)),
                "one": self.both(x[0]),
                "one, given": self.both(x[0], (h[:, 0], c[:, 0])),
                "plain": self.plain(x.transpose(0, 1)),
            }

    return Recurrent


def norms(ops: Any) -> type[nn.Module]:
    """Norms of weights, in both of torch's ways."""

    class Norms(nn.Module):
        """Over all axes but one, over all, of other names, and taken off again."""

        def __init__(self, width: int) -> None:
            super().__init__()
            old, new = ops.weight_norm, ops.parametrized_weight_norm
            self.layers = nn.ModuleList(
                [
                    old(nn.Conv1d(width, width, 3, padding=1)),
                    old(nn.Conv1d(width, width, 1), dim=1),
                    old(nn.Conv1d(width, width, 3, padding=1), dim=2),
                    old(nn.Conv1d(width, width, 1), dim=None),
                    old(nn.ConvTranspose1d(width, width, 3, padding=1)),
                    new(nn.Conv1d(width, width, 3, padding=1)),
                    new(nn.Conv1d(width, width, 1), dim=None),
                    new(nn.Conv1d(width, width, 1), dim=2),
                    ops.parametrized_spectral_norm(nn.Conv1d(width, width, 3, padding=1)),
                    ops.parametrized_spectral_norm(nn.ConvTranspose1d(width, width, 1), n_power_iterations=2, eps=1e-6),
                    ops.remove_weight_norm(old(nn.Conv1d(width, width, 1))),
                ]
            )
            self.named = old(nn.Linear(width, width), name="weight", dim=1)
            self.twice = old(old(nn.GRUCell(width, width), "weight_ih"), "weight_hh", dim=None)

        def forward(self, x: Tensor) -> list[Tensor]:
            """[B, C, T] -> what each layer makes of it."""
            found = [layer(x) for layer in self.layers]
            found.append(self.named(x.transpose(1, 2)))
            found.append(self.twice(x[..., 0]))
            return found

    return Norms
