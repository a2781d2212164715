"""What stands for peft around a trainer of LoRA."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

import torch
from torch import nn

from porter.validate.cases.adapters import LoraConfig, get_peft_model


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(4, 6)
        self.to_out = nn.ModuleList([nn.Linear(6, 4)])
        self.factor = 2.0

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.to_out[0](self.to_q(values)) * self.factor
        return result


def test_an_adapted_network_begins_as_the_network_and_learns_in_its_adapters_alone() -> None:
    torch.manual_seed(0)
    block, values = Block(), torch.randn(3, 4)
    plain = block(values)
    adapted = get_peft_model(block, LoraConfig(target_modules=["to_q", "to_out.0"], r=2, lora_alpha=4))
    assert torch.equal(adapted(values), plain) and adapted.factor == 2.0
    learning = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert learning == {
        f"base_model.model.{layer}.lora_{letter}.default.weight" for layer in ("to_q", "to_out.0") for letter in "AB"
    }
    assert "base_model.model.to_q.base_layer.bias" in adapted.state_dict()
    with torch.no_grad():
        adapted.get_parameter("base_model.model.to_q.lora_B.default.weight").fill_(1.0)
    added = values @ block.get_parameter("to_q.lora_A.default.weight").T @ torch.ones(2, 6) * 2.0
    wanted = block.to_out[0](block.get_submodule("to_q.base_layer")(values) + added) * 2.0
    torch.testing.assert_close(adapted(values), wanted)


def test_a_network_without_such_layers_is_an_error() -> None:
    with pytest.raises(ValueError, match="no linear layer of this network is called to_k"):
        get_peft_model(Block(), LoraConfig(target_modules=["to_k"], r=2, lora_alpha=2))
