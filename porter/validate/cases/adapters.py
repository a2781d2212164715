"""What stands for peft where a trainer of LoRA runs: as much of it as such a trainer asks for.

peft is no package of this tool, and what it computes is neither upstream's nor the port's. Both sides get this one: the
named linear layers gain a product of two small matrices, all else that a network has is frozen, and parameters are
called as peft calls them.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

_ADAPTER = "default"  # what peft calls an adapter that is given no name


@dataclass(frozen=True)
class LoraConfig:
    """Which linear layers are adapted, and by how much."""

    target_modules: Collection[str]  # the last parts of their names
    r: int  # rank
    lora_alpha: float
    init_lora_weights: bool = True  # whether the second matrix begins with zeros


class _Adapted(nn.Module):
    """A linear layer, frozen, beside a product of two matrices."""

    def __init__(self, base: nn.Linear, config: LoraConfig) -> None:
        super().__init__()
        self.base_layer = base
        first = nn.Linear(base.in_features, config.r, bias=False)
        second = nn.Linear(config.r, base.out_features, bias=False)
        nn.init.kaiming_uniform_(first.weight, a=math.sqrt(5))
        if config.init_lora_weights:
            nn.init.zeros_(second.weight)
        self.lora_A, self.lora_B = nn.ModuleDict({_ADAPTER: first}), nn.ModuleDict({_ADAPTER: second})
        self.scaling = config.lora_alpha / config.r

    def forward(self, values: Tensor) -> Tensor:
        """`values` (…, in) become (…, out)."""
        added: Tensor = self.lora_B[_ADAPTER](self.lora_A[_ADAPTER](values))
        plain: Tensor = self.base_layer(values)
        return plain + added * self.scaling


class _Tuner(nn.Module):
    """The network itself, one level deeper, as peft has it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **named: Any) -> Any:
        """What the network gives."""
        return self.model(*args, **named)


class PeftModel(nn.Module):
    """A network with adapted layers; it gives what the network gives."""

    def __init__(self, model: nn.Module) -> None:
        """`model` has its adapted layers already."""
        super().__init__()
        self.base_model = _Tuner(model)

    def forward(self, *args: Any, **named: Any) -> Any:
        """What the network gives."""
        return self.base_model(*args, **named)

    def __getattr__(self, name: str) -> Any:
        """What only the network has, as its other methods."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model":  # while this is being made
                raise
            return getattr(self.base_model.model, name)


def get_peft_model(model: nn.Module, config: LoraConfig) -> PeftModel:
    """`model` with the named layers adapted, in place, and all its own parameters frozen."""
    for parameter in model.parameters():
        parameter.requires_grad = False
    endings = tuple(config.target_modules)
    wanted = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and any(name == end or name.endswith(f".{end}") for end in endings)
    ]
    if not wanted:
        raise ValueError(f"no linear layer of this network is called {' or '.join(endings)}")
    for name, layer in wanted:
        with torch.device(layer.weight.device):
            model.set_submodule(name, _Adapted(layer, config))
    return PeftModel(model)


def as_peft() -> ModuleType:
    """A module for `import peft`."""
    made = ModuleType("peft")
    for kind in (LoraConfig, PeftModel, get_peft_model):
        setattr(made, kind.__name__, kind)
    return made
