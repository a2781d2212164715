"""Ends of steps: where the graph is cut, and what waits until it has run."""

import importlib
import os
from collections.abc import Callable
from typing import Any, TextIO

import torch

from . import choice, transfers, xla

_MODES = ("off", "step", "component")
_chosen: str | None = None


def set_graph_breaks(mode: str | None) -> None:
    """Set where `mark_step` cuts: "off", "step" or "component"; None goes back to the environment."""
    global _chosen
    _chosen = None if mode is None else _known_mode(mode)


def graph_breaks() -> str:
    """Where `mark_step` cuts the graph: "off", "step" or "component"."""
    return _chosen or _known_mode(os.environ.get("SOVITS_PORT_GRAPH_BREAKS") or "step")


def mark_step(boundary: str | None = None) -> None:
    """End a step, or, with the name of a component, mark a boundary inside one.

    The end of a step cuts the graph (compile and run what is pending) unless graph breaks are "off"; a
    boundary cuts it only when they are set to "component". Does nothing in a process that has not touched an
    XLA device.
    """
    mode = graph_breaks()
    if mode == "off" or (boundary is not None and mode != "component"):
        return
    run_pending()


def run_pending() -> None:
    """Compile and run what is pending, whatever graph breaks are set to; does nothing where no XLA device is in use."""
    module = xla.live()
    if module is None:
        return
    if hasattr(module, "sync"):
        module.sync()
    else:
        xla.model().mark_step()


def after_step(function: Callable[[], object]) -> Callable[[], object]:
    """Call `function` when the next `mark_step()` has run the graph; at once where no XLA device is in use.

    At once too where graph breaks are "off", since nobody knows when the step will end. Reading a tensor of the
    step there costs a transfer, but no graph of its own. For use as a decorator.
    """
    if xla.live() is None or choice.wanted() == "cpu" or graph_breaks() == "off":
        function()
    else:
        xla.model().add_step_closure(function)
    return function


def print_values(
    *values: object,
    sep: str = " ",
    end: str = "\n",
    file: TextIO | None = None,
    flush: bool = False,
    numbers: bool = False,
) -> None:
    """`print` without a host sync: with an XLA tensor among `values` it happens when the step is over.

    XLA tensors print as the CPU's, with the values of the moment of the call, and, with `numbers`, those of one
    element as Python numbers.
    """
    if not any(isinstance(value, torch.Tensor) and value.device.type == "xla" for value in values):
        print(*values, sep=sep, end=end, file=file, flush=flush)
        return
    held = [value.detach().clone() if isinstance(value, torch.Tensor) else value for value in values]

    def show(*arrived: object) -> None:
        print(*[_readable(value, numbers) for value in arrived], sep=sep, end=end, file=file, flush=flush)

    xla.model().add_step_closure(show, args=tuple(held))


def value_for_log(tensor: torch.Tensor, kind: Callable[[torch.Tensor], Any] | None = None) -> Any:
    """The number in a tensor of one element, for logs: `.item()`, or `kind(tensor)` if that is `float`.

    From a device it is a detached copy of that moment instead, of no dimension, which is read when the log is written.
    """
    if transfers.on_host(tensor):
        return tensor.item() if kind is None else kind(tensor)
    held = tensor.detach().clone().reshape(())
    return held if kind is None or held.is_floating_point() else held.to(torch.float64)


def compiles() -> int:
    """How many graphs this process has compiled; 0 where it has not touched an XLA device."""
    if xla.live() is None:
        return 0
    return int(importlib.import_module("torch_xla.debug.metrics").counter_value("UncachedCompile") or 0)


def _known_mode(mode: str) -> str:
    if mode not in _MODES:
        raise ValueError(f"unknown graph break mode {mode!r}: choose one of {', '.join(map(repr, _MODES))}")
    return mode


def _readable(value: object, number: bool) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    return value.item() if number and value.dim() == 0 else value.cpu()
