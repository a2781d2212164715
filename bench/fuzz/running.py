"""Runs a program on one side, and writes down all that can be seen of it."""

from __future__ import annotations

import io
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from random import Random
from types import FrameType, ModuleType
from typing import Any

import numpy as np
import torch

from .inputs import draw_sizes, make
from .programs import Program

SECONDS = 10.0  # that one call may take; programs are written to take none

Seen = object  # numbers, texts, tuples of such, and tensors apart from any graph


@dataclass
class Observation:
    """What one call gave, printed, changed and raised."""

    result: Seen = None
    error: tuple[str, str] | None = None
    printed: str = ""
    inputs: Seen = None
    gradients: Seen = None
    state: Seen = None  # parameters' gradients and buffers of a module
    generator: Seen = None
    where: str = ""  # which set of inputs
    samples: int = 1  # in a batch


def observe(program: Program, module: ModuleType, device: torch.device | None = None) -> list[Observation]:
    """Two calls of a program with inputs of different sizes, from the same state of the generators each time."""
    rng = Random(f"{program.name}:inputs")
    entry = getattr(module, program.entry)
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network: object = entry
        first = Observation(where="construction")
        if program.builds:
            network = _build(program, entry, first, device)
            if network is None:
                return [first]
        for number in range(2):
            sizes = draw_sizes(rng)
            values = [make(p, sizes, rng) for p in program.parameters]
            where = f"inputs {number}: batch of {sizes.batch}, {sizes.time} long"
            seen.append(_call(network, _moved(values, device), where, state=device is None))
            seen[-1].samples = sizes.batch
    return seen


def _build(program: Program, entry: object, told: Observation, device: torch.device | None) -> object | None:
    torch.manual_seed(5)
    np.random.seed(5)
    try:
        network = eval(f"entry{program.builds}", {"entry": entry, "torch": torch})
        return network.to(device) if device is not None and isinstance(network, torch.nn.Module) else network
    except Exception as error:
        told.error = _error(error)
        return None


def _call(function: object, values: list[object], where: str, *, state: bool) -> Observation:
    assert callable(function)
    seen = Observation(where=where)
    torch.manual_seed(11)
    np.random.seed(11)
    printed = io.StringIO()
    if isinstance(function, torch.nn.Module):
        function.zero_grad(set_to_none=True)
    result: object = None
    with redirect_stdout(printed):
        try:
            with _limited():
                result = function(*values)
            seen.result = freeze(result)
        except (Exception, EndlessError) as error:
            seen.error = _error(error)
    seen.printed = printed.getvalue()
    numpy_state: Any = np.random.get_state()
    seen.generator = freeze((torch.get_rng_state(), numpy_state[1:3]))
    seen.inputs = freeze(values)
    if seen.error is None:
        seen.gradients = _gradients(result, values)
    if state and isinstance(function, torch.nn.Module):  # on XLA each of these is a graph of its own
        seen.state = (
            {name: freeze(p.grad) for name, p in function.named_parameters()},
            {name: freeze(b) for name, b in function.named_buffers()},
            sorted(function.state_dict()),
        )
    return seen


def _moved(values: list[object], device: torch.device | None) -> list[object]:
    if device is None:
        return values

    def move(value: object) -> object:
        if isinstance(value, torch.Tensor):
            return value.detach().to(device).requires_grad_(value.requires_grad)
        return [move(v) for v in value] if isinstance(value, list) else value

    return [move(value) for value in values]


class EndlessError(BaseException):
    """A call took too long. No handler of a program takes it."""


@contextmanager
def _limited() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise EndlessError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _error(error: BaseException) -> tuple[str, str]:
    return type(error).__name__, str(error)


def _gradients(result: object, values: Sequence[object]) -> Seen:
    """Gradients of a weighted sum of all results, the same weights on both sides."""
    found = [t for t in tensors(result) if t.requires_grad and t.is_floating_point()]
    if not found:
        return "none"
    wanted = [v for v in tensors(values) if v.is_leaf and v.requires_grad]
    try:
        terms = [(t * _ramp(t)).sum().double() for t in found]
        loss = torch.stack(terms).sum()
        torch.autograd.backward(loss)
    except Exception as error:  # torch's complaint, whose words count how often a tensor was changed
        return type(error).__name__
    return [freeze(v.grad) for v in wanted]


def _ramp(t: torch.Tensor) -> torch.Tensor:
    return torch.linspace(0.5, 1.5, max(t.numel(), 1), dtype=torch.float64)[: t.numel()].reshape(t.shape).to(t)


def tensors(value: object) -> list[torch.Tensor]:
    """All tensors in a nested value."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [t for part in value.values() for t in tensors(part)]
    return [t for part in value for t in tensors(part)] if isinstance(value, (list, tuple)) else []


def freeze(value: object) -> Seen:
    """A value as it is now, whatever happens to it later."""
    if isinstance(value, torch.Tensor):
        kept = value.detach().cpu()
        return kept.clone(), bool(value.requires_grad)
    if isinstance(value, np.ndarray):
        return "array", value.copy()
    if isinstance(value, Mapping):
        return type(value).__name__, [(freeze(k), freeze(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [freeze(v) for v in value]
    if isinstance(value, torch.device):
        return "a device"  # another for each side, where the port runs on XLA
    if value is None or isinstance(value, (bool, int, float, str, np.generic, torch.dtype)):
        return value
    return f"a {type(value).__name__}"
