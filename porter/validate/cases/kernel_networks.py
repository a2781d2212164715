"""Small networks that compute what a kernel does, written as upstream writes such layers.

Each function makes a class of one side's operations (`operations.py`): with torch's it is the plain reference, with the
runtime's a kernel stands for its layers on a TPU.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1


def residual(ops: Any) -> type[nn.Module]:
    """Residual layers of convolutions, with a leaky ReLU before each."""

    class Residual(nn.Module):
        """Steps of two convolutions, or of one where `depth` is 1."""

        def __init__(self, width: int, taps: int, dilations: list[int], depth: int, bias: bool) -> None:
            super().__init__()
            self.steps = nn.ModuleList(
                nn.ModuleList(
                    ops.weight_norm(nn.Conv1d(width, width, taps, padding=d * (taps // 2), dilation=d, bias=bias))
                    for d in (dilation, 1)[:depth]
                )
                for dilation in dilations
            )

        @ops.fused  # type: ignore[untyped-decorator]
        def forward(self, x: Tensor) -> Tensor:
            """[B, C, T] -> [B, C, T]."""
            for step in self.steps:
                inner = x
                for layer in step:  # type: ignore[attr-defined]
                    inner = layer(F.leaky_relu(inner, SLOPE))
                x = inner + x
            return x

    return Residual


def gated(ops: Any) -> type[nn.Module]:
    """Layers of a WaveNet."""

    class Gated(nn.Module):
        """Gated convolutions whose taps reach further and further."""

        def __init__(self, width: int, count: int, taps: int, given: int) -> None:
            super().__init__()
            self.width, self.count = width, count
            self.gates = nn.ModuleList(
                ops.weight_norm(nn.Conv1d(width, 2 * width, taps, padding=2**i * (taps // 2), dilation=2**i))
                for i in range(count)
            )
            self.passes = nn.ModuleList(
                ops.weight_norm(nn.Conv1d(width, 2 * width if i < count - 1 else width, 1)) for i in range(count)
            )
            self.tell = nn.Conv1d(given, 2 * width * count, 1) if given else None

        @ops.fused  # type: ignore[untyped-decorator]
        def forward(self, x: Tensor, mask: Tensor, g: Tensor | None = None) -> Tensor:
            """[B, C, T], [B, 1, T] and [B, given, 1] -> [B, C, T]."""
            total, width = torch.zeros_like(x), self.width
            if self.tell is not None:
                g = self.tell(g)
            for i in range(self.count):
                both = self.gates[i](x)
                if g is not None:
                    both = both + g[:, 2 * width * i : 2 * width * (i + 1)]
                out = self.passes[i](torch.tanh(both[:, :width]) * torch.sigmoid(both[:, width:]))
                if i < self.count - 1:
                    x = (x + out[:, :width]) * mask
                total = total + out[:, -width:]
            return total * mask

    return Gated


def _features(ops: Any) -> type[nn.Module]:
    """Layers whose results are all wanted, as a discriminator has them."""

    class Features(nn.Module):
        """A leaky ReLU after each of its `layers`."""

        layers: nn.ModuleList

        @ops.fused  # type: ignore[untyped-decorator]
        def forward(self, x: Tensor) -> list[Tensor]:
            """The result of each layer."""
            found = []
            for layer in self.layers:
                x = F.leaky_relu(layer(x), SLOPE)
                found.append(x)
            return found

    return Features


def columns(ops: Any) -> type[nn.Module]:
    """Convolutions of columns, as a discriminator of periods has."""

    class Columns(_features(ops)):  # type: ignore[misc]
        """[B, C, T, columns]: convolutions along time."""

        def __init__(self, widths: list[int], taps: int, stride: int) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                ops.weight_norm(ops.Conv2d(given, gives, (taps, 1), (stride, 1), (taps // 2, 0)))
                for given, gives in pairwise(widths)
            )

    return Columns


def groups(ops: Any) -> type[nn.Module]:
    """Convolutions in groups, as a discriminator of whole signals has."""

    class Groups(_features(ops)):  # type: ignore[misc]
        """[B, C, T]: convolutions in groups."""

        def __init__(self, widths: list[int], counts: list[int], taps: int, stride: int, bias: bool) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                ops.weight_norm(
                    ops.Conv1d(given, gives, taps, stride if count > 1 else 1, taps // 2, groups=count, bias=bias)
                )
                for (given, gives), count in zip(pairwise(widths), counts, strict=True)
            )

    return Groups


def feed_forward(ops: Any) -> type[nn.Module]:
    """The feed-forward part of a transformer's layer."""

    class FeedForward(nn.Module):
        """Two convolutions with a ReLU between, which pad themselves or are padded, on both sides or before."""

        def __init__(self, widths: list[int], taps: int, p: float, padding: int, causal: bool, bias: bool) -> None:
            super().__init__()
            given, inner, gives = widths
            self.first = nn.Conv1d(given, inner, taps, padding=padding, bias=bias)
            self.second = ops.weight_norm(nn.Conv1d(inner, gives, taps, padding=padding, bias=bias))
            self.drop = ops.Dropout(p)
            around = taps - 1 - 2 * padding
            self.around = (around, 0) if causal else (around // 2, around - around // 2)

        @ops.fused  # type: ignore[untyped-decorator]
        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            """[B, C, T] and [B, 1, T] -> [B, C (out), T]."""
            x = x if mask is None else x * mask
            x = self.drop(ops.relu(self.first(F.pad(x, self.around))))
            x = x if mask is None else x * mask
            x = self.second(F.pad(x, self.around))
            return x if mask is None else x * mask

    return FeedForward


def _by_distance(embeddings: Tensor, length: int) -> Tensor:
    """Embeddings [1, 2w + 1, D] for each distance of two positions [1, 2 * length - 1, D], 0 beyond the window."""
    more = length - 1 - embeddings.shape[1] // 2
    return F.pad(embeddings, (0, 0, more, more)) if more > 0 else embeddings[:, -more : -more + 2 * length - 1]


def _by_position(scores: Tensor) -> Tensor:
    """Scores [B, H, T, 2T - 1] of distances as those of positions [B, H, T, T]."""
    batch, heads, length, count = scores.shape
    flat = F.pad(F.pad(scores, (0, 1)).view(batch, heads, -1), (0, length - 1))
    return flat.view(batch, heads, length + 1, count)[:, :, :length, length - 1 :]


def _from_positions(weights: Tensor) -> Tensor:
    """Weights [B, H, T, T] of positions as those of distances [B, H, T, 2T - 1]."""
    batch, heads, length, _ = weights.shape
    flat = F.pad(F.pad(weights, (0, length - 1)).view(batch, heads, -1), (length, 0))
    return flat.view(batch, heads, length, 2 * length)[:, :, :, 1:]


def relative(ops: Any) -> type[nn.Module]:
    """Attention with embeddings of relative positions."""

    class Relative(nn.Module):
        """Queries, keys and values of as many positions, with a mask and a dropout of weights."""

        def __init__(self, width: int, window: int, p: float) -> None:
            super().__init__()
            self.drop = ops.Dropout(p)
            self.near_keys, self.near_values = (
                nn.Parameter(torch.randn(1, 2 * window + 1, width) * width**-0.5) for _ in range(2)
            )

        @ops.fused  # type: ignore[untyped-decorator]
        def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
            """[B, H, T, D] each, and [B, 1 or H, T, T] -> [B, H, T, D]."""
            near = torch.matmul(q / 2, _by_distance(self.near_keys, q.shape[2]).transpose(-2, -1))
            scores = torch.matmul(q / 2, k.transpose(-2, -1)) + _by_position(near)
            weights = self.drop(F.softmax(scores.masked_fill(mask == 0, -1e4), dim=-1))
            near = torch.matmul(_from_positions(weights), _by_distance(self.near_values, q.shape[2]))
            result: Tensor = ops.matmul(weights, v) + near
            return result

    return Relative


def across(ops: Any) -> type[nn.Module]:
    """Attention without heads, from one signal to another."""

    class Across(nn.Module):
        """Scores scaled after the product."""

        @ops.fused  # type: ignore[untyped-decorator]
        def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
            """[B, T, D], [B, S, D], [B, S, E] and [B, T, S] -> [B, T, E]."""
            scores = 0.5 * torch.bmm(q, k.transpose(1, 2)) / 1.5
            if mask is not None:
                scores = scores.masked_fill(mask == 0, -1e4)
            return torch.bmm(nn.functional.softmax(scores, dim=2), v)

    return Across


def scaled(ops: Any) -> type[nn.Module]:
    """PyTorch's fused attention."""

    class Scaled(nn.Module):
        """As it is, with a mask that tells what is seen."""

        def __init__(self, causal: bool, scale: float | None) -> None:
            super().__init__()
            self.causal, self.scale = causal, scale

        def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
            """[B, H, T, D], [B, H, S, D], [B, H, S, E] and [B, 1 or H, T, S] -> [B, H, T, E]."""
            seen = None if mask is None else mask != 0
            found: Tensor = ops.scaled_dot_product_attention(
                q, k, v, attn_mask=seen, is_causal=self.causal, scale=self.scale
            )
            return found

    return Scaled


def changing(ops: Any) -> type[nn.Module]:
    """A residual layer that is told another number between two calls."""

    class Sloped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv1d(128, 128, 1)
            self.slope = SLOPE

        @ops.fused  # type: ignore[untyped-decorator]
        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.layer(F.leaky_relu(x, self.slope)) + x
            return result

    class Changing(nn.Module):
        """What a kernel computes follows."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = Sloped()

        def forward(self, x: Tensor) -> list[Tensor]:
            """[B, C, T] -> the results with two slopes."""
            found = []
            for slope in (SLOPE, 3 * SLOPE):
                self.inner.slope = slope
                found.append(self.inner(x))
            return found

    return Changing


def kept(ops: Any) -> type[nn.Module]:
    """What looks like the layers of a kernel, and has one in it that no kernel takes."""

    class Kept(nn.Module):
        """Chains with an odd layer each; all have to run layer by layer."""

        def __init__(self) -> None:
            super().__init__()
            odd: dict[str, dict[str, Any]] = {
                "circular": {"padding_mode": "circular"},
                "groups": {"groups": 2},
                "same": {"padding": "same"},
            }
            self.residual = nn.ModuleList(_with_layer(_residual_of(ops), "steps.0.1", **more) for more in odd.values())
            self.narrow = residual(ops)(64, 3, [1], 1, True)  # of a register
            self.gated = nn.ModuleList(_with_layer(gated(ops)(8, 2, 3, 0), "gates.1", **more) for more in odd.values())
            self.gated.append(_with_layer(gated(ops)(8, 2, 3, 0), "passes.0", kernel_size=3, padding=1))
            self.fed = nn.ModuleList(
                _with_layer(feed_forward(ops)([8, 16, 8], 3, 0.0, 1, False, True), "first", **more)
                for more in (*odd.values(), {"dilation": 2, "padding": 2})
            )
            self.columns = nn.ModuleList(
                _with_layer(columns(ops)([1, 8, 128, 128], 3, 1), "layers.2", **more)
                for more in (
                    {"kernel_size": (3, 3), "padding": 1},
                    {"stride": (1, 2)},
                    {"padding_mode": "circular"},
                    {"padding": (1, 1)},
                )
            )
            # Channels that leave a register partly empty: of a group, of a block of groups, of a layer.
            self.unfilled = nn.ModuleList(
                groups(ops)(widths, [count], 5, 2, True)
                for widths, count in (([384, 384], 16), ([256, 384], 2), ([128, 136], 1), ([128, 12], 1))
            )
            self.conditioned = gated(ops)(8, 2, 3, 8)  # frame by frame
            self.masked = nn.ModuleList(  # channel by channel
                [gated(ops)(8, 2, 3, 0), feed_forward(ops)([8, 8, 8], 3, 0.0, 1, False, True)]
            )

        def forward(self, x: Tensor, y: Tensor, mask: Tensor, z: Tensor) -> object:
            """[B, 128, T], [B, 8, T], [B, 1, T] and [B, 1, T, columns]."""
            by_channel = mask.expand_as(y)
            return {
                "residual": [*(model(x) for model in self.residual), self.narrow(x[:, :64])],
                "gated": [model(y, mask) for model in self.gated],
                "fed": [model(y, mask) for model in self.fed],
                "columns": [model(z) for model in self.columns],
                "unfilled": [model(torch.cat([x] * (3 - i), 1)) for i, model in enumerate(self.unfilled[:3])],
                "few": self.unfilled[3](x),
                "conditioned": self.conditioned(y, mask, y),
                "masked": [model(y, by_channel) for model in self.masked],
            }

    return Kept


def _residual_of(ops: Any) -> nn.Module:
    return residual(ops)(128, 3, [1], 2, True)


def _with_layer(model: nn.Module, place: str, **more: Any) -> nn.Module:
    """A network with another layer at a place: as the one that is there, but for `more`."""
    owner, _, name = place.rpartition(".")
    old = model.get_submodule(place)
    told = {
        known: getattr(old, known)
        for known in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
    }
    kind = nn.Conv1d if isinstance(old, nn.Conv1d) else nn.Conv2d
    setattr(model.get_submodule(owner) if owner else model, name, kind(**{**told, **more}))
    return model
