"""Tensors that the judge hands to a package: what it computes of those alone is no work of the package's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


class Supplied(Tensor):
    """A tensor of the judge's. What is computed of such tensors alone is one too; of others as well, a plain tensor."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [value for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        with torch._C.DisableTorchFunctionSubclass():  # type: ignore[no-untyped-call]
            found = func(*args, **kwargs)
        if all(isinstance(value, cls) for value in given):
            return pytree.tree_map_only(Tensor, supplied, found)
        return found


def supplied(tensor: Tensor) -> Supplied:
    """The same tensor, as one of the judge's."""
    return tensor.as_subclass(Supplied)
