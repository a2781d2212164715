"""Attention whose weights never leave the chip: see `kernels.attention`.

The scores, their softmax and what a dropout leaves of it are not computed until somebody looks at them. The product
with the values does not: it has them computed in a kernel, and whoever looks later has them computed again.
"""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from .. import utils
from . import dropout, on_chip
from .deferred import Deferred
from .relative import added_diagonals, spread

if TYPE_CHECKING:
    from .kernels.attention import Plan

_DTYPES = (torch.float32, torch.bfloat16)
_UNSEEN = -1e30  # a score whose weight is zero, though of numbers and not of infinities


def scores(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """`torch.matmul(queries, keys)`, for a softmax that weighs values.

    queries [B, H, T, D], keys [B, H, D, S]; or both without H. Where a TPU may run an attention in one kernel, the
    result computes itself when it is looked at.
    """
    tensors = isinstance(queries, torch.Tensor) and isinstance(keys, torch.Tensor)
    if tensors and _fit(queries, keys) and _may_wait(queries, keys) and not torch.is_inference_mode_enabled():
        return _Scores(queries, keys)  # type: ignore[return-value]
    return torch.matmul(queries, keys)


def scaled_dot_product_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """`F.scaled_dot_product_attention`; on a TPU in one kernel, where no dropout and no added mask are asked for.

    query [B, H, T, D], key [B, H, S, D], value [B, H, S, E]; or all without H.
    """
    plain = on_chip.wanted(query, "attention") and dropout_p == 0 and not enable_gqa
    weights = _softmax_of(query, key, attn_mask, is_causal, scale) if plain else None
    plan = None if weights is None else _plan(weights, value)
    if weights is None or plan is None:
        more: dict[str, Any] = {"enable_gqa": True} if enable_gqa else {}
        return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **more)
    result = _weighed(plan, weights, value)
    # To torch, a query that sees no key is one that gets nothing.
    return result if attn_mask is None else torch.where(attn_mask.any(-1, keepdim=True), result, 0)


class _Scores(Deferred):
    """Products [B, H, T, S], which may be scaled, and diagonals added to them; then some may be filled."""

    def __init__(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        factor: float = 1.0,
        diagonals: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        filling: float = 0.0,
    ) -> None:
        super().__init__(queries.device, queries, keys, diagonals, mask)
        self.queries, self.keys, self.diagonals, self.mask = queries, keys, diagonals, mask
        self.factor, self.filling = factor, filling
        self.shape = torch.Size((*queries.shape[:-1], keys.shape[-1]))

    def _compute(self) -> torch.Tensor:
        found = torch.matmul(self.queries, self.keys)
        found = found if self.factor == 1 else found * self.factor
        if self.diagonals is not None:
            found = found + spread(self.diagonals)
        return found if self.mask is None else found.masked_fill(self.mask, self.filling)


class _Weights(Deferred):
    """The softmax of scores, and what a dropout leaves of it."""

    def __init__(self, scores: _Scores, kept: torch.Tensor | None = None, scale: float = 1.0) -> None:
        super().__init__(scores.device, scores.queries, scores.keys, scores.diagonals, scores.mask, kept)
        self.scores, self.kept, self.scale = scores, kept, scale
        self.shape = scores.shape

    def _compute(self) -> torch.Tensor:
        scores = self.scores.read() if self.scores.current else self.scores._compute()
        weights = torch.softmax(scores, -1)
        return weights if self.kept is None else dropout.dropped(weights, self.kept, self.scale)


def _softmax_of(
    query: torch.Tensor, key: torch.Tensor, seen: torch.Tensor | None, causal: bool, scale: float | None
) -> _Weights | None:
    """The weights of a scaled attention, which sees keys where `seen` is true; None where no kernel may be had."""
    keys = key.transpose(-2, -1)
    if not _fit(query, keys) or _computed_in(query, keys) is None:
        return None
    shape = (*query.shape[:-1], key.shape[-2])
    if causal:
        if seen is not None:
            return None
        seen = torch.ones(shape[-2:], dtype=torch.bool, device=query.device).tril()
    if seen is not None:
        if seen.dtype != torch.bool or not 2 <= seen.dim() <= len(shape):
            return None
        seen = seen[(None,) * (len(shape) - seen.dim())]
        if any(size not in (1, wanted) for size, wanted in zip(seen.shape, shape, strict=True)):
            return None
        seen = ~seen.expand(*seen.shape[:-2], *shape[-2:])
    factor = query.shape[-1] ** -0.5 if scale is None else float(scale)
    return _Weights(_Scores(query, keys, factor, None, seen, _UNSEEN))


def _multiply(first: Any, second: Any) -> _Scores | None:
    """Scores times a number."""
    if isinstance(second, _Scores):
        first, second = second, first
    if not isinstance(first, _Scores) or not first.current or not isinstance(second, (int, float)):
        return None
    if first.diagonals is not None or first.mask is not None:
        return None
    return _Scores(first.queries, first.keys, first.factor * float(second))


def _divide(first: Any, second: Any, **named: Any) -> _Scores | None:
    """Scores divided by a number."""
    usable = isinstance(first, _Scores) and isinstance(second, (int, float)) and second != 0 and not named
    return _multiply(first, 1 / float(second)) if usable else None


def _add(first: Any, second: Any, **named: Any) -> _Scores | None:
    """Scores and a tensor that is all diagonals."""
    if isinstance(second, _Scores):
        first, second = second, first
    if not isinstance(first, _Scores) or not first.current or not isinstance(second, torch.Tensor) or named:
        return None
    diagonals = added_diagonals(second)
    if diagonals is None or first.diagonals is not None or first.mask is not None or second.shape != first.shape:
        return None
    return _Scores(first.queries, first.keys, first.factor, diagonals)


def _masked_fill(scores: Any, mask: Any, value: Any) -> _Scores | None:
    """Scores with a number where a mask is set."""
    if not isinstance(scores, _Scores) or not scores.current or scores.mask is not None:
        return None
    if not isinstance(value, (int, float)) or not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        return None
    if mask.dim() != len(scores.shape) or mask.shape[-2:] != scores.shape[-2:]:
        return None
    if any(of not in (1, wanted) for of, wanted in zip(mask.shape, scores.shape, strict=True)):
        return None
    return _Scores(scores.queries, scores.keys, scores.factor, scores.diagonals, mask, float(value))


def _softmax(scores: Any, dim: Any = None, **named: Any) -> _Weights | None:
    """The softmax over the keys."""
    if not isinstance(scores, _Scores) or not scores.current or named.get("dtype") is not None:
        return None
    if dim not in (-1, len(scores.shape) - 1):
        return None
    return _Weights(scores)


def _dropout(weights: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> _Weights | None:
    """A dropout of weights."""
    if not isinstance(weights, _Weights) or not weights.current or weights.kept is not None or inplace:
        return None
    if not training or p == 0:
        return weights
    if not 0 < p < 1:
        return None
    ones = torch.ones(weights.shape, device=weights.device)
    return _Weights(weights.scores, dropout.kept(ones, p), 1 / (1 - p))


def _matmul(weights: Any, values: Any, **named: Any) -> torch.Tensor | None:
    """The values [B, H, S, E], summed by their weights."""
    if not isinstance(weights, _Weights) or not weights.current or not isinstance(values, torch.Tensor) or named:
        return None
    plan = _plan(weights, values) if weights.near is None else None
    return dropout.matmul(weights.read(), values) if plan is None else _weighed(plan, weights, values)


def _weighed(plan: "Plan", weights: _Weights, values: torch.Tensor) -> torch.Tensor:
    """The sums of values, by the kernel; it also leaves the weights their diagonals."""
    of = weights.scores
    dtype = getattr(torch, plan.dtype)
    given = [None if value is None else value.to(dtype) for value in (of.queries, of.keys, values, of.diagonals)]
    flags = [None if flag is None else flag.to(torch.int8) for flag in (of.mask, weights.kept)]
    single = len(of.shape) == 3
    headed = [value.unsqueeze(1) if single and value is not None else value for value in (*given, *flags)]
    found, *near = _Attention.apply(plan, *headed)  # type: ignore[no-untyped-call]
    if near:
        weights.near = near[0].squeeze(1) if single else near[0]
    result: torch.Tensor = found.squeeze(1) if single else found
    return result


_Scores.known = {
    **dict.fromkeys((torch.mul, torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__), _multiply),
    **dict.fromkeys((torch.div, torch.Tensor.div, torch.Tensor.__truediv__), _divide),
    **dict.fromkeys((torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.__radd__), _add),
    **dict.fromkeys((torch.masked_fill, torch.Tensor.masked_fill), _masked_fill),
    **dict.fromkeys((F.softmax, torch.softmax, torch.Tensor.softmax), _softmax),
}
_Weights.known = {
    F.dropout: _dropout,
    **dict.fromkeys((torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__), _matmul),
    **dict.fromkeys((torch.bmm, torch.Tensor.bmm), _matmul),
}


def _may_wait(queries: torch.Tensor, keys: torch.Tensor) -> bool:
    """Whether a kernel may be had for these."""
    return on_chip.wanted(queries, "attention") and _computed_in(queries, keys) is not None


def _fit(queries: torch.Tensor, keys: torch.Tensor) -> bool:
    """Whether these have products for each sample and head."""
    if queries.dim() not in (3, 4) or queries.dim() != keys.dim():
        return False
    return queries.shape[:-2] == keys.shape[:-2] and queries.shape[-1] == keys.shape[-2]


def _computed_in(*tensors: torch.Tensor) -> torch.dtype | None:
    """The dtype of a product of these, autocast or not; None where no kernel knows it."""
    device = tensors[0].device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        return dtype if all(t.dtype in _DTYPES for t in tensors) and dtype in _DTYPES else None
    dtypes = {tensor.dtype for tensor in tensors}
    dtype = dtypes.pop()
    return dtype if not dtypes and dtype in _DTYPES else None


def _plan(weights: _Weights, values: torch.Tensor) -> "Plan | None":
    """What the kernels have to know; None where they cannot be had."""
    of = weights.scores
    if not of.keys.numel() or not values.numel():
        return None
    if len(of.shape) == 3 and utils.devices() > 1:  # its first axis may be heads, which the devices do not divide
        return None
    if values.dim() != len(of.shape) or values.shape[:-1] != (*of.keys.shape[:-2], of.keys.shape[-1]):
        return None
    dtype = _computed_in(of.queries, of.keys, values)
    if dtype is None or (of.diagonals is not None and of.diagonals.dtype != dtype):
        return None
    held = torch.softmax(torch.zeros(1, dtype=dtype, device=values.device), -1).dtype  # autocast may widen it
    plan: Plan = on_chip.kernels("attention").Plan(
        batch=of.shape[0],
        heads=of.shape[1] if len(of.shape) == 4 else 1,
        queries=of.shape[-2],
        keys=of.shape[-1],
        width=of.queries.shape[-1],
        values=values.shape[-1],
        factor=of.factor,
        diagonals=0 if of.diagonals is None else of.diagonals.shape[-1],
        mask=None if of.mask is None else (len(of.mask) > 1, of.mask.dim() == 4 and of.mask.shape[1] > 1),
        filling=torch.tensor(of.filling, dtype=dtype).item(),
        dropped=weights.kept is not None,
        scale=weights.scale,
        held=on_chip.named(held),
        dtype=on_chip.named(dtype),
        precise=utils.precise_products(),
    )
    return plan if on_chip.available(of.queries, "attention", plan) else None


class _Attention(torch.autograd.Function):
    """The two kernels of an attention."""

    @staticmethod
    def forward(ctx: Any, plan: "Plan", *given: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        ctx.plan = plan
        ctx.save_for_backward(*given)
        return tuple(on_chip.run("attention", plan, _there(given)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        given = ctx.saved_tensors
        found = on_chip.run("attention", ctx.plan, [*_there(given), *gradients], backward=True)
        results = [*found, *[None] * (len(given) - len(found))]
        return None, *results


def _there(given: tuple[torch.Tensor | None, ...]) -> list[torch.Tensor]:
    return [value for value in given if value is not None]
