"""Parameters that something else than their module holds."""

from __future__ import annotations

import pytest

from porter.hazards.hazard import Status
from tests.scan.test_scan import hazards

NET = """import functools
import torch
from torch import nn


class Plain:
    def __init__(self, weight):
        self.weight = weight


class Part(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.width = weight.size(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.other = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("table", torch.ones(4))
        weight = self.layer.weight
        LINE

    def forward(self, x):
        both = [x, self.layer.weight]
        return torch.relu(both[1])
"""


LINE = NET.splitlines().index("        LINE") + 1


@pytest.mark.parametrize(
    "line",
    [
        "self.held = Plain(self.layer.weight)",
        "Plain(self.scale)",
        "self.both = (self.layer.weight, 2)",
        "self.named = {'w': [self.table]}",
        "self.all = list(self.parameters())",
        "self.all = [p for p in self.layer.parameters()]",
        "self.f = functools.partial(nn.functional.linear, weight=self.layer.weight)",
        "self.f = lambda x: nn.functional.linear(x, weight)",
        "self.other.weight = self.layer.weight",
    ],
)
def test_what_holds_a_parameter_is_kept_in_place(line: str) -> None:
    assert [(h.code, h.line, h.status) for h in hazards(NET.replace("LINE", line))] == [("DEV018", LINE, Status.FIXED)]


@pytest.mark.parametrize(
    "line",
    [
        "self.held = Plain(weight=weight.data.t())",
        "self.all = [self.layer.weight.detach()]",
        "self.all = [layer.weight for layer in (self.layer, self.other)]",
        "self.held = Plain(self.layer.weight) if weight is None else None",
    ],
)
def test_what_cannot_be_kept_is_residual(line: str) -> None:
    found = hazards(NET.replace("LINE", line))
    assert [(h.code, h.line, h.status) for h in found] == [("DEV", LINE, Status.RESIDUAL)]


@pytest.mark.parametrize(
    "line",
    [
        "self.part = Part(self.layer.weight)",
        "self.width = self.layer.weight.size(0)",
        "self.copy = [self.layer.weight.clone()]",
        "self.f = lambda x: nn.functional.linear(x, self.layer.weight)",
        "nn.init.normal_(self.layer.weight)",
        "self.layer.weight.data.normal_()",
        "extra = nn.Parameter(torch.ones(2)); self.extra = extra",
        "torch.optim.SGD([self.layer.weight], 0.1)",
    ],
)
def test_what_only_reads_one_is_none(line: str) -> None:
    assert hazards(NET.replace("LINE", line)) == ()
