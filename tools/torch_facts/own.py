"""A sample call, and calls that are written down as text."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class Sample:
    """One call: on a device it makes its tensors and gives the result. `args` and `kwargs` are what a caller writes."""

    call: Callable[[torch.device], Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    unknown: bool = False  # whether args and kwargs are not known


def own(name: str, text: str) -> Sample:
    """The sample of a call that is written down; what it gives for the parameters is read from the text."""

    def call(device: torch.device) -> Any:
        return eval(text, _words(device))

    last = name.rpartition(".")[2]
    made = next(
        (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(f".{last}")),
        None,
    )
    if made is None:
        return Sample(call, unknown=True)
    before = (torch.zeros(1),) if name.startswith("torch.Tensor.") else ()
    return Sample(call, (*before, *map(_read, made.args)), {str(k.arg): _read(k.value) for k in made.keywords})


def _read(node: ast.expr) -> Any:
    """A literal of a sample's text; any other expression is a tensor."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return torch.zeros(1)


def _words(device: torch.device) -> dict[str, Any]:
    def t(*shape: int) -> torch.Tensor:
        values = torch.arange(1, 1 + int(torch.Size(shape).numel()), dtype=torch.float32).reshape(shape)
        return (values.sin() + 0.5).to(device).requires_grad_()

    def clipped(clip: Callable[..., Any]) -> None:
        weight = torch.nn.Parameter(t(3).detach())
        torch.autograd.backward([(weight * 2).sum()])
        clip([weight], 1.0)

    return {
        "torch": torch,
        "nn": torch.nn,
        "F": torch.nn.functional,
        "device": device,
        "t": t,
        "n": lambda *shape: torch.zeros(shape, dtype=torch.int64).to(device),
        "b": lambda *shape: torch.ones(shape, dtype=torch.bool).to(device),
        "layer": lambda module: module.to(device),
        "clipped": clipped,
    }
