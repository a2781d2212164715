"""Activation checkpointing: the backward pass computes activations again."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.utils._pytree as pytree
import torch.utils.checkpoint as torch_checkpoint

from . import transfers, xla


def kept_apart(tensor: torch.Tensor) -> torch.Tensor:
    """A detached copy that XLA takes for another value, so that what is made of it is computed again."""
    copy = tensor.detach().clone()
    if not transfers.on_host(copy):
        xla.model().optimization_barrier_([copy])
    return copy


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """`torch.utils.checkpoint.checkpoint`, for XLA tensors too: the backward computes activations again.

    On XLA this is torch_xla's checkpoint, the only one that keeps the compiler from merging the two
    computations and that replays dropout. It is reentrant: gradients come from `.backward()`, not from
    `torch.autograd.grad`. A tensor of the result wants a gradient where the function's does. `context_fn`,
    `determinism_check`, `debug` and `early_stop` have no meaning there and are left out.
    """
    given = pytree.tree_leaves((args, kwargs))
    devices = [value.device for value in given if isinstance(value, torch.Tensor) and value.device.type == "xla"]
    if not devices:
        reentrant = bool(use_reentrant)
        return torch_checkpoint.checkpoint(function, *args, use_reentrant=reentrant, **kwargs)

    preserve = kwargs.pop("preserve_rng_state", True)
    for name in ("context_fn", "determinism_check", "debug", "early_stop"):
        kwargs.pop(name, None)
    if not torch.is_grad_enabled():
        return function(*args, **kwargs)

    leaves, form = pytree.tree_flatten((args, kwargs))
    with_gradient: list[bool] = []  # of each tensor of the result

    def run(_: torch.Tensor, *values: Any) -> Any:
        # The first time nobody keeps the graph, which tells what of the result wants a gradient.
        replayed = torch.is_grad_enabled()
        with torch.set_grad_enabled(True):
            own, named = pytree.tree_unflatten(list(values), form)
            flat, made = pytree.tree_flatten(function(*own, **named))
        if replayed:
            return tuple(flat)
        forms.append(made)
        with_gradient.extend(isinstance(value, torch.Tensor) and value.requires_grad for value in flat)
        return tuple(map(_detached, flat))

    # A reentrant checkpoint gives parameters no gradient unless some argument wants one, and all of its results one.
    forms: list[pytree.TreeSpec] = []
    wants_grad = torch.zeros((), device=devices[0], requires_grad=True)
    xla_checkpoint = importlib.import_module("torch_xla.utils.checkpoint").checkpoint
    # torch_xla 2.5 asks for the state of autocast by names that torch has deprecated, in the backward pass too.
    for category in (DeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category, module=r"torch_xla\.utils\.checkpoint")
    result = xla_checkpoint(run, wants_grad, *leaves, use_reentrant=True, preserve_rng_state=preserve)
    flat = [x if wants else _detached(x) for x, wants in zip(result, with_gradient, strict=True)]
    return pytree.tree_unflatten(flat, forms.pop())


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value
