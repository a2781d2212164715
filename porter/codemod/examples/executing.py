"""Executing a rule's example: the code before on the CPU, the code after on the CPU and on XLA."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from porter.codemod.examples.texts import place
from porter.inputs.sources.layout import TRAINERS
from porter.rule import Example, Safety

CLOSE = 100.0  # dB, what rules of other safety than exact have to reach, and all on XLA


def load(source: str, name: str, folder: Path, example: Example) -> ModuleType:
    """Import `source` as a module of the runtime's package, so that its relative imports find the runtime."""
    path = folder / f"{name}.py"
    path.write_text(source, "utf-8")
    full = f"porter.runtime._{name}"
    if place(example.path).startswith(f"{TRAINERS}/"):
        package = ModuleType(f"porter.runtime.{TRAINERS}")
        package.__path__ = []  # nothing to find there
        sys.modules[package.__name__] = package
        full = f"{package.__name__}._{name}"
    spec = importlib.util.spec_from_file_location(full, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    spec.loader.exec_module(module)
    return module


def runner(
    module: ModuleType, example: Example, device: torch.device | None = None
) -> Callable[[], list[torch.Tensor]]:
    """A function that evaluates the example's call and backward pass: results, then gradients."""
    names: dict[str, Any] = {"torch": torch, "F": torch.nn.functional}
    torch.manual_seed(0)  # inputs that are drawn are the same on both sides
    exec(example.inputs, names)  # the rule book's own text
    if device is not None:
        for key, value in list(names.items()):
            if isinstance(value, torch.Tensor):
                names[key] = value.to(device)
    names.update({k: v for k, v in vars(module).items() if not k.startswith("__")})

    def run() -> list[torch.Tensor]:
        for name in example.grad:
            names[name] = names[name].detach().requires_grad_()
        torch.manual_seed(0)
        results = list(tensors(eval(example.call, names)))
        if example.grad:
            loss = sum((r.float() ** 2).sum() for r in results if r.requires_grad)
            assert isinstance(loss, torch.Tensor)
            torch.autograd.backward(loss)
        return [r.detach() for r in results] + [names[name].grad for name in example.grad]

    return run


def tensors(value: object) -> list[torch.Tensor]:
    """All tensors in a result; Python numbers become tensors."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [t for part in value for t in tensors(part)]
    if isinstance(value, (int, float)):
        return [torch.tensor(value)]
    return []


def difference(safety: Safety, before: list[torch.Tensor], after: list[torch.Tensor], *, trim: bool = False) -> str:
    """How results and gradients differ by more than a safety allows; empty if they do not."""
    if not before or len(before) != len(after):
        return f"{len(before)} tensors before, {len(after)} after"
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        why = _more_than_zeros(old, new) if trim else _deviation(safety, old, new)
        if why:
            return f"tensor {number} {why}"
    return ""


def _more_than_zeros(old: torch.Tensor, new: torch.Tensor) -> str:
    shared = new[tuple(slice(0, n) for n in old.shape)]
    padded = torch.equal(old, shared) and torch.count_nonzero(new) == torch.count_nonzero(shared)
    return "" if padded else "differs, or what was added to it is not zero"


def _deviation(safety: Safety, old: torch.Tensor, new: torch.Tensor) -> str:
    if old.dtype != new.dtype or old.shape != new.shape:
        return f"was {_described(old)} and is {_described(new)}"
    if safety is Safety.EXACT and not torch.equal(old, new):
        return f"is not bit-identical ({decibels(new, old):.0f} dB)"
    return f"has {decibels(new, old):.0f} dB" if decibels(new, old) < CLOSE else ""


def _described(value: torch.Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"


def decibels(value: torch.Tensor, reference: torch.Tensor) -> float:
    """Signal-to-noise ratio of tensors of one shape; infinite for equal ones, nan and inf at equal places included."""
    value, reference = value.detach().cpu().double(), reference.detach().cpu().double()
    finite = reference.isfinite()
    if not torch.equal(value[~finite].nan_to_num(), reference[~finite].nan_to_num()):
        return -math.inf
    noise = (value - reference)[finite].square().sum()
    if noise == 0:
        return math.inf
    return float(10 * torch.log10(reference[finite].square().sum() / noise))
