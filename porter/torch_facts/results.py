"""What torch's functions and a tensor's methods and attributes give."""

from __future__ import annotations

from functools import cache

from .reading import canonical, table


def result(target: str) -> frozenset[str]:
    """What `torch.split` or `torch.Tensor.max` may give: `tensor`, `mask` (a tensor of truth values), `sequence` of
    tensors, `tuple2` (of so many tensors) or `host` (a Python value); empty where nothing is known.
    """
    said: dict[str, str] = table("results")["calls"]
    kinds = said.get(canonical(target))
    return frozenset(kinds.split("|")) if kinds else frozenset()


@cache
def attributes(kind: str) -> frozenset[str]:
    """Names of a tensor's attributes that are `tensor` or `host` values."""
    said: dict[str, str] = table("results")["attributes"]
    return frozenset(name for name, given in said.items() if given == kind)
