"""Executing a rule's example: the code before on the CPU, the code after on the CPU and on XLA."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from porter import rulebook
from porter.engine import rewrite
from porter.project import Project
from porter.rule import Example, Rule
from porter.sources import TRAINERS


@dataclass(frozen=True)
class Case:
    """One example of one rule."""

    rule: type[Rule]
    number: int
    example: Example

    def __str__(self) -> str:
        return f"{self.rule.code}-{self.number}"


def cases() -> list[Case]:
    return [Case(rule, n, e) for rule in rulebook.load().rules for n, e in enumerate(rule.examples)]


def apply(rule: type[Rule], text: str, example: Example | None = None, path: str = "module/example.py") -> str:
    """What a rule alone makes of a file."""
    path = example.path if example is not None else path
    files = {path: text, **(example.others if example is not None else {})}
    project = Project.parse({p: (place(p), t) for p, t in files.items()})
    return rewrite(project, [rule]).files[path].text


def place(path: str) -> str:
    """Where an example's file goes inside the emitted package: a trainer stands beside the folder `module`."""
    folder, _, rest = path.partition("/")
    return rest or f"{TRAINERS}/{folder}"


def load(source: str, name: str, folder: Path, example: Example) -> ModuleType:
    """Import `source` as a module of the runtime's package, so that its relative imports find the runtime."""
    path = folder / f"{name}.py"
    path.write_text(source)
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
