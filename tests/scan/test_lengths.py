"""Lengths that are read from the device, and who is told of it."""

from __future__ import annotations

from porter.hazards.hazard import Status
from tests.scan.test_scan import hazards, residual

MASK = (
    "import torch\n\n\ndef mask(lengths, longest=None):\n    if longest is None:\n        longest = lengths.max()\n"
    "    return torch.arange(longest, device=lengths.device)[None] < lengths[:, None]\n"
)


def test_callers_that_leave_out_the_length_are_residual() -> None:
    net = "from .mask import mask\n\n\ndef f(lengths):\n    return mask(lengths)\n\n\ndef g(lengths, x):\n    return mask(lengths, x.size(1))\n"
    assert residual(net, mask=MASK) == [("SHP", 5)]


def test_a_length_that_is_always_read_is_residual() -> None:
    text = "import torch\n\n\ndef f(lengths):\n    return torch.arange(torch.max(lengths), device=lengths.device)\n"
    assert residual(text) == [("SYN", 5)]
    assert residual(MASK) == [("SYN", 6)]  # nobody is known to give it


def test_without_gradients_it_is_read_once_an_utterance() -> None:
    net = "import torch\nfrom .mask import mask\n\n\n@torch.no_grad()\ndef infer(lengths):\n    return mask(lengths)\n"
    told = [h for h in hazards(net, mask=MASK) if h.code == "SHP"]
    assert [(h.line, h.status) for h in told] == [(7, Status.WAIVED)] and "once an utterance" in told[0].reason
    looped = net.replace("    return mask(lengths)", "    return [mask(n) for n in lengths]")
    assert residual(looped, mask=MASK) == [("SHP", 7)]
