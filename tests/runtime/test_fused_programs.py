"""Random forwards that are chains, or nearly: whatever is fused computes what the forward does, its writes included."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops
from porter.runtime.ops.fused import features, feed_forward, gated, residual

from .graphs import decibels

KERNELS = (residual, gated, features, feed_forward)
COUNT = 60
_BENT = ["F.leaky_relu({0}, 0.1)", "self.bend({0})", "ops.leaky_relu({0}, 0.1)", "F.leaky_relu({0}, 0.1, False)"]
_BENT_OTHERWISE = ["F.leaky_relu({0}, 0.2)", "self.bend_in_place({0})", "F.relu({0})", "F.leaky_relu_({0}, 0.1)"]
_SUM = ["{0} + {1}", "{1} + {0}", "torch.add({0}, {1})", "{0}.add({1})", "torch.add({1}, {0}, alpha=1)"]
_OTHER_SUM = [
    "{0} - {1}",
    "{0}.add_({1})",
    "{1}.add_({0})",
    "torch.add({0}, {1}, alpha=2)",
    "{0} + 0.5 * {1}",
    "{0} + {0}",
]
_FIRST = ["{0}[:, :8]", "{0}.chunk(2, 1)[0]", "{0}.narrow(1, 0, 8)", "torch.split({0}, 8, dim=1)[0]", "{0}[:, :8, :]"]
_SECOND = ["{0}[:, 8:]", "{0}.chunk(2, 1)[1]", "{0}.narrow(1, 8, 8)", "{0}[:, -8:]", "{0}[:, 8:16]"]
_AFTER = ["", "", "x = x * 2", "x = torch.tanh(x)", "x = x[:, 1:]", "x += 1", "x = self.idle(x)", "x = x + given"]


class Layers(nn.Module):
    """What the programs are made of."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = (nn.ModuleList(nn.Conv1d(8, 8, 3, padding=1) for _ in range(2)) for _ in range(2))
        self.gates = nn.ModuleList(nn.Conv1d(8, 16, 3, padding=1) for _ in range(2))
        self.passes = nn.ModuleList(nn.Conv1d(8, gives, 1) for gives in (16, 8))
        self.bend, self.bend_in_place = nn.LeakyReLU(0.1), nn.LeakyReLU(0.1, inplace=True)
        self.idle = nn.Dropout(0.0)


class Writer:
    """Writes a forward from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pick(self, usual: list[str], other: list[str], *names: str) -> str:
        """One of the usual words, or once in a while another."""
        return self._random.choice(other if self._random.random() < 0.08 else usual).format(*names)

    def forward(self) -> str:
        lines = self._random.choice([self._residual, self._gated, self._features, self._fed])()
        return "\n    ".join(["def forward(self, given, mask):", "x, kept = given, []", *lines])

    def _residual(self) -> list[str]:
        lines = []
        for i in range(2):
            lines += [f"h = self.a[{i}]({self.pick(_BENT, _BENT_OTHERWISE, 'x')})"]
            lines += [f"h = self.b[{i}]({self.pick(_BENT, _BENT_OTHERWISE, 'h')})"]
            lines += [f"x = {self.pick(_SUM, _OTHER_SUM, 'h', 'x')}"]
        return [*lines, self.pick(_AFTER, ["kept.append(h)"]), "return x, kept"]

    def _gated(self) -> list[str]:
        lines = ["total = torch.zeros_like(x)"]
        for i in range(2):
            lines += [f"h = self.gates[{i}](x)"]
            lines += [f"g = torch.tanh({self.pick(_FIRST, _SECOND, 'h')})"]
            lines += [
                f"g = g * {self.pick(['torch.sigmoid({0})', '({0}).sigmoid()'], ['{0}'], self.pick(_SECOND, _FIRST, 'h'))}"
            ]
            lines += [f"h = self.passes[{i}](self.idle(g))"]
            if i == 0:
                lines += [f"x = ({self.pick(_SUM, _OTHER_SUM, self.pick(_FIRST, _SECOND, 'h'), 'x')}) * mask"]
            lines += [f"total = {self.pick(_SUM, _OTHER_SUM, 'total', 'h[:, -8:]')}"]
        return [*lines, "x = total * mask", self.pick(_AFTER, ["kept.append(h)"]), "return x, kept"]

    def _features(self) -> list[str]:
        lines = []
        for i in range(2):
            lines += [f"x = self.a[{i}](x)", f"x = {self.pick(_BENT, _BENT_OTHERWISE, 'x')}"]
            lines += [self.pick(["kept.append(x)"], ["kept.append(x * 2)", "kept.append(given)"])]
        return [*lines, self.pick(_AFTER, ["x.mul_(2)"]), "return x, kept"]

    def _fed(self) -> list[str]:
        lines = ["h = self.a[0](x * mask)"]
        lines += [
            f"h = {self.pick(['F.relu({0})', 'torch.relu({0})', '{0}.relu()', '{0}.relu_()'], ['F.gelu({0})'], 'h')}"
        ]
        lines += [self.pick(["h = self.idle(h)", "h = h * mask", "h = F.pad(h, (1, 0))[:, :, 1:]"], ["h = h * 2"])]
        lines += [self.pick(["x = self.b[0](h)", "x = self.b[0](mask * h)"], ["x = self.b[0](h) + h"])]
        return [*lines, self.pick(_AFTER, ["kept.append(h)"]), "return x, kept"]


def run(network: Any) -> list[torch.Tensor]:
    """All that a call gives, leaves in its argument, and sends back."""
    leaf = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    given = leaf * 1
    mask = (torch.arange(6) < torch.tensor([[[6]], [[4]]])).float()
    x, kept = network(given, mask)
    found = [x, *kept, given]
    torch.stack([one.sin().sum() for one in found]).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in (leaf, *network.parameters()) if p.grad is not None]
    return [one.detach() for one in (*found, *gradients)]


def test_whatever_is_fused_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_its_own_words(reference: Any, *given: torch.Tensor) -> list[torch.Tensor]:
        found = reference(*given)
        return found if isinstance(found, list) else [found]

    for kernel in KERNELS:
        monkeypatch.setattr(kernel, "run", in_its_own_words)
    layers, fused, failed = Layers(), dict.fromkeys((kernel.NAME for kernel in KERNELS), 0), 0
    for seed in range(COUNT):
        text = Writer(seed).forward()
        made: dict[str, Any] = {}
        exec(text, {"torch": torch, "F": F, "ops": ops}, made)
        networks = []
        for forward in (made["forward"], ops.fused(made["forward"])):
            network: Any = copy.deepcopy(layers)
            network.__class__ = type("Made", (Layers,), {"forward": forward})
            networks.append(network)
        try:
            wanted = run(networks[0])
        except RuntimeError:  # it writes where a gradient needs the old value
            failed += 1
            continue
        with ops.device_forms(tpu=True):
            found = run(networks[1])
        (said,) = ops.fusions(networks[1])
        if said.kernel:
            fused[said.kernel] += 1
        assert len(found) == len(wanted), text
        for one, other in zip(found, wanted, strict=True):
            assert decibels(one, other) > 100, f"{text}\n{said}"
    assert min(fused.values()) > COUNT // 20 and sum(fused.values()) + failed < COUNT, fused
