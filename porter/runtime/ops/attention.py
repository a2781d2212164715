"""Attention whose weights never leave the chip: see `kernels.attention`."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from .. import utils
from . import dropout, on_chip
from .deferred import Deferred
from .relative import relative_values, spread

if TYPE_CHECKING:
    from .kernels.attention import Plan

_DTYPES = (torch.float32, torch.bfloat16)
_UNSEEN = -1e30  # a score whose weight is zero, though of numbers and not of infinities


class Scores(NamedTuple):
    """Products of queries [B, H, T, D] and keys [B, H, D, S], or of both without H, and what is done with them.

    They are multiplied by `factor`; the diagonals [B, H, T, 2w + 1] are added; and where the mask, broadcast to
    [B, H, T, S], is set they are `filling`.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    factor: float = 1.0
    diagonals: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    filling: float = 0.0

    @property
    def shape(self) -> torch.Size:
        """That of the products."""
        return torch.Size((*self.queries.shape[:-1], self.keys.shape[-1]))

    def softmax(self) -> torch.Tensor:
        """The weights, step by step."""
        found = torch.matmul(self.queries, self.keys)
        found = found if self.factor == 1 else found * self.factor
        if self.diagonals is not None:
            found = found + spread(self.diagonals)
        found = found if self.mask is None else found.masked_fill(self.mask, self.filling)
        return torch.softmax(found, -1)


class Weights(Deferred):
    """The softmax of scores, and what a dropout leaves of it: computed when somebody looks at it."""

    def __init__(self, scores: Scores, kept: torch.Tensor | None = None, scale: float = 1.0) -> None:
        super().__init__(scores.queries, scores.keys, scores.diagonals, scores.mask, kept)
        self._scores, self._kept, self._scale = scores, kept, scale

    @staticmethod
    def of(
        scores: Scores, kept: torch.Tensor | None = None, scale: float = 1.0, dtype: torch.dtype | None = None
    ) -> "Weights":
        """The weights of scores; `kept` says which of them a dropout keeps, multiplied by `scale`.

        `dtype` is theirs, where that is known.
        """
        if dtype is None:
            dtype = _held_dtype(_computed_in(scores.queries, scores.keys) or scores.queries.dtype, scores.queries)
        return Weights.like(scores.shape, dtype, scores.queries.device, scores, kept, scale)

    def _compute(self) -> torch.Tensor:
        weights = self._scores.softmax()
        return weights if self._kept is None else dropout.dropped(weights, self._kept, self._scale)


class Attended(NamedTuple):
    """What an attention gives."""

    sums: torch.Tensor  # of values, by their weights, and of the embeddings of their positions
    weights: torch.Tensor  # the softmax; neither is computed before it is looked at
    dropped: torch.Tensor  # and what the dropout leaves of it
    reason: str = ""  # why no kernel computed it


def attend(
    scores: Scores, values: torch.Tensor, near_values: torch.Tensor | None = None, p: float = 0.0
) -> Attended | str:
    """The values [B, H, S, E] summed by their weights, of which a dropout with `p` leaves some.

    `near_values` [H or 1, 2w + 1, E] are embeddings of relative positions, summed by the same weights. Where no kernel
    can be had this is computed step by step if there are relative positions, in their diagonals; else as text why not.
    """
    plan = _plan(scores, values, p)
    windowed = scores.diagonals is not None or near_values is not None
    if isinstance(plan, str) and not windowed:
        return plan
    kept, scale = None, 1.0
    if p:
        kept = dropout.kept(torch.ones(scores.shape, device=values.device), p)
        scale = 1 / (1 - p)
    if isinstance(plan, str):
        weights = scores.softmax()
        left = weights if kept is None else dropout.dropped(weights, kept, scale)
        sums = dropout.matmul(left, values)
        sums = sums if near_values is None else sums + relative_values(left, near_values)
        return Attended(sums, weights, left, f"{plan}; so it ran step by step, with relative positions in diagonals")
    sums, near = _weighed(plan, scores, values, kept)
    held = getattr(torch, plan.held)
    weights = Weights.of(scores, dtype=held)
    left = weights if kept is None else Weights.of(scores, kept, scale, held)
    if near_values is not None and near is not None and near.shape[-1] == near_values.shape[-2]:
        sums = sums + torch.matmul(near, near_values)
    elif near_values is not None:
        sums = sums + relative_values(left.read(), near_values)
    return Attended(sums, weights, left)


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
    scores = _scaled(query, key, attn_mask, is_causal, scale) if plain else None
    plan = "" if scores is None else _plan(scores, value)
    if scores is None or isinstance(plan, str):
        more: dict[str, Any] = {"enable_gqa": True} if enable_gqa else {}
        return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, **more)
    result, _ = _weighed(plan, scores, value)
    # To torch, a query that sees no key is one that gets nothing.
    return result if attn_mask is None else torch.where(attn_mask.any(-1, keepdim=True), result, 0)


def _scaled(
    query: torch.Tensor, key: torch.Tensor, seen: torch.Tensor | None, causal: bool, scale: float | None
) -> Scores | None:
    """The scores of a scaled attention, which sees keys where `seen` is true; None where no kernel may be had."""
    shape = (*query.shape[:-1], key.shape[-2])
    if causal:
        if seen is not None:
            return None
        seen = torch.ones(shape[-2:], dtype=torch.bool, device=query.device).tril()
    if seen is not None:
        if seen.dtype != torch.bool or not 2 <= seen.dim() <= len(shape):
            return None
        seen = ~seen
    factor = query.shape[-1] ** -0.5 if scale is None else float(scale)
    return Scores(query, key.transpose(-2, -1), factor, None, seen, _UNSEEN)


def _plan(scores: Scores, values: torch.Tensor, p: float = 0.0) -> "Plan | str":
    """What the kernels have to know; as text, why they cannot be had."""
    queries, keys, shape = scores.queries, scores.keys, scores.shape
    if not on_chip.wanted(queries, "attention"):
        return on_chip.unwanted(queries)
    problem = _misshapen(scores, values)
    if problem:
        return problem
    dtype = _computed_in(queries, keys, values)
    if dtype is None or (scores.diagonals is not None and scores.diagonals.dtype != dtype):
        return on_chip.DTYPES
    if not 0 <= p < 1:
        return f"its dropout leaves nothing, with p = {p}"
    mask = None if scores.mask is None else _expanded(scores.mask, shape)
    plan: Plan = on_chip.kernels("attention").Plan(
        batch=shape[0],
        heads=shape[1] if len(shape) == 4 else 1,
        queries=shape[-2],
        keys=shape[-1],
        width=queries.shape[-1],
        values=values.shape[-1],
        factor=scores.factor,
        diagonals=0 if scores.diagonals is None else scores.diagonals.shape[-1],
        mask=None if mask is None else (len(mask) > 1, mask.dim() == 4 and mask.shape[1] > 1),
        filling=torch.tensor(scores.filling, dtype=dtype).item(),
        dropped=p > 0,
        scale=1 / (1 - p),
        held=on_chip.named(_held_dtype(dtype, values)),
        dtype=on_chip.named(dtype),
        precise=utils.precise_products(),
    )
    return on_chip.misfit(queries, "attention", plan) or plan


def _misshapen(scores: Scores, values: torch.Tensor) -> str:
    """Why the shapes are none that the kernels take, "" where they are."""
    queries, keys, shape = scores.queries, scores.keys, scores.shape
    if not _fit(queries, keys) or not keys.numel() or not values.numel():
        return f"it has no queries of {list(queries.shape)} and keys of {list(keys.shape)}"
    if len(shape) == 3 and utils.devices() > 1:  # its first axis may be heads, which the devices do not divide
        return "without heads it cannot be divided over several devices"
    if values.dim() != len(shape) or values.shape[:-1] != (*keys.shape[:-2], keys.shape[-1]):
        return f"it has no values of {list(values.shape)}"
    if scores.mask is not None and _expanded(scores.mask, shape) is None:
        return f"it has no mask of {list(scores.mask.shape)}"
    return ""


def _weighed(
    plan: "Plan", scores: Scores, values: torch.Tensor, kept: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The sums of values, by the kernel, and the diagonals of the weights where those of scores were added."""
    dtype = getattr(torch, plan.dtype)
    given = [None if one is None else one.to(dtype) for one in (scores.queries, scores.keys, values, scores.diagonals)]
    mask = None if scores.mask is None else _expanded(scores.mask, scores.shape)
    flags = [None if flag is None else flag.to(torch.int8) for flag in (mask, kept)]
    single = len(scores.shape) == 3
    headed = [value.unsqueeze(1) if single and value is not None else value for value in (*given, *flags)]
    found, *near = (
        one.squeeze(1) if single else one
        for one in _Attention.apply(plan, *headed)  # type: ignore[no-untyped-call]
    )
    return found, near[0] if near else None


def _expanded(mask: torch.Tensor, shape: torch.Size) -> torch.Tensor | None:
    """A mask for each query and key, as the kernel is given it; None for one that does not fit."""
    if mask.dim() > len(shape):
        return None
    mask = mask[(None,) * (len(shape) - mask.dim())]
    if any(size not in (1, wanted) for size, wanted in zip(mask.shape, shape, strict=True)):
        return None
    return mask.expand(*mask.shape[:-2], *shape[-2:])


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


def _held_dtype(dtype: torch.dtype, like: torch.Tensor) -> torch.dtype:
    """The dtype of a softmax of scores of `dtype`: autocast may widen it."""
    return torch.softmax(torch.zeros(1, dtype=dtype, device=like.device), -1).dtype


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
