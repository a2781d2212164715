"""What a random operator of PyTorch asks for, brought to a few families whose values both sides can share.

A draw is split in two: a *base* value that carries all the randomness and no parameter (a standard normal, a
number below one, a zero-or-one mask, …) and the arithmetic that the operator does with it. The base is what
is recorded, so `normal_(0, 2)` on one side and `2 * randn` on the other still share one value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

Finish = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Request:
    """One draw that an operator asks for."""

    family: str  # normal, uniform, bernoulli, exponential, integer, permutation or choice
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    sample: Callable[[], Tensor]  # the operator's own base value, where nothing is replayed
    finish: Finish  # base → the operator's result
    with_mask: bool = False  # whether the operator also gives the base, as a mask
    chance: Tensor | None = None  # of a one, where the family is bernoulli; a number or one for each value
    bounds: tuple[int, int] | None = None  # of an integer: the least, and the one behind the largest

    def result(self, base: Tensor) -> Tensor:
        """The operator's result for a base value, of this request's dtype and on its device."""
        place = base.to(device=self.device)
        if self.dtype.is_floating_point:
            place = place.to(self.dtype)
        return self.finish(place).to(self.dtype)

    def mask(self, base: Tensor) -> Tensor:
        """The base as a mask, boolean, on this request's device."""
        return base.to(self.device, torch.bool)


@cache  # asked of each operation
def is_random(function: OpOverload) -> bool:
    """Whether PyTorch tags an operator as one that takes numbers from a generator."""
    return torch.Tag.nondeterministic_seeded in function.tags


def interpret(function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Request | None:
    """The draw that a call asks for; None when it is no draw, or one that no family here describes."""
    if not is_random(function):
        return None
    name = function._schema.name.partition("::")[2].removesuffix("_functional").rstrip("_")
    reader = _READERS.get(name)
    return None if reader is None else reader(_Call(function, args, kwargs))


def is_idle(function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a tagged operator takes nothing from the generator here, such as attention with dropout 0."""
    given = _bind(function, args, kwargs)
    rate = given.get("dropout_p", given.get("dropout", given.get("p")))
    training = given.get("train", given.get("training", True))
    return rate == 0 or training is False


def mutates(function: OpOverload) -> bool:
    """Whether an operator writes its result into its first argument."""
    first = function._schema.arguments[0] if function._schema.arguments else None
    return first is not None and first.alias_info is not None and first.alias_info.is_write


class _Call:
    """A call with its arguments by name, and what every reader needs of it."""

    def __init__(self, function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.given = _bind(function, args, kwargs)
        source = self.given.get("self")
        self.source: Tensor | None = source if isinstance(source, Tensor) else None

    def shape(self) -> tuple[int, ...]:
        if self.given.get("size") is not None:
            return tuple(int(n) for n in self.given["size"])
        assert self.source is not None
        return tuple(self.source.shape)

    def dtype(self, default: torch.dtype | None = None) -> torch.dtype:
        asked = self.given.get("dtype")
        if isinstance(asked, torch.dtype):
            return asked
        if self.source is not None:
            return self.source.dtype
        return default or torch.get_default_dtype()

    def device(self) -> torch.device:
        asked = self.given.get("device")
        if asked is not None:
            return torch.device(asked)
        for value in self.given.values():
            if isinstance(value, Tensor):
                return value.device
        return torch.device("cpu")

    def request(
        self,
        family: str,
        sample: Callable[[], Tensor],
        finish: Finish = lambda base: base,
        shape: tuple[int, ...] | None = None,
        dtype: torch.dtype | None = None,
        chance: Tensor | None = None,
        bounds: tuple[int, int] | None = None,
    ) -> Request:
        return Request(
            family,
            self.shape() if shape is None else shape,
            self.dtype() if dtype is None else dtype,
            self.device(),
            sample,
            finish,
            chance=chance,
            bounds=bounds,
        )


def _bind(function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name; the dispatcher leaves out those that equal their default."""
    declared = function._schema.arguments
    given = {a.name: a.default_value for a in declared if a.has_default_value()}
    given.update(zip((a.name for a in declared), args, strict=False))
    given.update(kwargs)
    return given


def _standard(family: str, draw: Callable[..., Tensor]) -> Callable[[_Call], Request]:
    """Readers of operators without parameters: rand, randn and their likes."""

    def read(call: _Call) -> Request:
        shape, dtype = call.shape(), call.dtype()
        return call.request(family, lambda: draw(shape, dtype=dtype))

    return read


def _read_normal(call: _Call) -> Request:
    given = call.given
    # `normal(mean, std)` keeps the mean where other operators keep `self`, and either may be a tensor.
    mean, std = given.get("mean", 0.0), given.get("std", 1.0)
    tensors = [value for value in (mean, std) if isinstance(value, Tensor)]
    if call.source is None and tensors:
        shape = tuple((tensors[0] + tensors[-1]).shape)
        dtype = tensors[0].dtype
    else:
        shape, dtype = call.shape(), call.dtype()
    plain = not tensors and mean == 0 and std == 1
    return call.request(
        "normal",
        lambda: torch.randn(shape, dtype=dtype),
        lambda base: base if plain else base * std + mean,
        shape,
        dtype,
    )


def _read_uniform(call: _Call) -> Request:
    shape, dtype = call.shape(), call.dtype()
    low, high = call.given.get("from", 0.0), call.given.get("to", 1.0)
    return call.request(
        "uniform",
        lambda: torch.rand(shape, dtype=dtype),
        lambda base: base if (low, high) == (0, 1) else base * (high - low) + low,
    )


def _read_bernoulli(call: _Call) -> Request:
    # `bernoulli(probabilities)` has no `p`; in place, the tensor is only the place to write to.
    told: Tensor | float | None = call.given.get("p", call.source)
    shape = call.shape()
    chance = told if isinstance(told, Tensor) else torch.tensor(0.5 if told is None else float(told))
    return call.request(
        "bernoulli", lambda: torch.bernoulli(chance.detach().cpu().float().expand(shape)), chance=chance.detach()
    )


def _read_dropout(call: _Call) -> Request | None:
    """Dropout in one kernel, which is how CUDA runs it; elsewhere it is a mask from `bernoulli_`, and a product."""
    source, rate = call.given["input"], float(call.given["p"])
    if rate == 0 or call.given["train"] is False:
        return None
    keep = 1 - rate
    shape, scale = tuple(source.shape), 1 / keep if keep else 0.0
    return Request(
        "bernoulli",
        shape,
        source.dtype,
        source.device,
        lambda: torch.bernoulli(torch.full(shape, keep)),
        lambda base: source * (base * scale),
        with_mask=True,
        chance=torch.tensor(keep),
    )


def _read_exponential(call: _Call) -> Request:
    shape, dtype, rate = call.shape(), call.dtype(), call.given.get("lambd", 1.0)
    return call.request(
        "exponential",
        lambda: torch.empty(shape, dtype=dtype).exponential_(),
        lambda base: base if rate == 1 else base / rate,
    )


def _read_integer(call: _Call) -> Request:
    given = call.given
    low = given.get("low", given.get("from")) or 0
    high = given.get("high", given.get("to"))
    shape, dtype = call.shape(), call.dtype(torch.int64)
    if high is None:  # `random_()`: all that the dtype can hold exactly
        high = 2**24 if dtype.is_floating_point else torch.iinfo(dtype).max
    bounds = int(low), int(high)
    return call.request("integer", lambda: torch.randint(*bounds, shape), dtype=dtype, bounds=bounds)


def _read_permutation(call: _Call) -> Request:
    count = int(call.given["n"])
    return call.request("permutation", lambda: torch.randperm(count), shape=(count,), dtype=call.dtype(torch.int64))


def _read_choice(call: _Call) -> Request:
    assert call.source is not None
    weights, count = call.source, int(call.given["num_samples"])
    repeat = bool(call.given.get("replacement", False))
    return call.request(
        "choice",
        lambda: torch.multinomial(weights.detach().cpu(), count, repeat),
        shape=(*weights.shape[:-1], count),
        dtype=torch.int64,
    )


_READERS: dict[str, Callable[[_Call], Request | None]] = {
    "rand": _standard("uniform", torch.rand),
    "rand_like": _standard("uniform", torch.rand),
    "randn": _standard("normal", torch.randn),
    "randn_like": _standard("normal", torch.randn),
    "normal": _read_normal,
    "uniform": _read_uniform,
    "bernoulli": _read_bernoulli,
    "native_dropout": _read_dropout,
    "exponential": _read_exponential,
    "randint": _read_integer,
    "randint_like": _read_integer,
    "random": _read_integer,
    "randperm": _read_permutation,
    "multinomial": _read_choice,
}
