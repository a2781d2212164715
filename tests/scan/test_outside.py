"""Calls that hand tensors to what is not ported."""

from __future__ import annotations

import pytest

from tests.scan.marked import HEAD, reasons, wrong

OUTSIDE = {
    "a function of another package": """
from monotonic_align import maximum_path


class Net(nn.Module):
    def forward(self, x: Tensor, mask: Tensor):
        return maximum_path(x, mask).detach()  # hazard
""",
    "a module of another package, by its full name": """
import tools.audio as audio


def run(x: Tensor, rate: int):
    return audio.resampled(x, rate)  # hazard
""",
    "an object of another package": """
from rotary import Embedding


class Net(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.rotary = Embedding(size)  # clean

    def forward(self, x: Tensor):
        y = self.rotary(x)  # hazard
        return self.rotary.rotate(y, seq=x)  # hazard
""",
    "imported where it is used": """
def run(x: Tensor):
    from kernels import fused

    return fused([x, x])  # hazard
""",
    "an operator of one's own": """
def run(x: Tensor):
    return torch.ops.mine.fused(x)  # hazard
""",
    "handed on by a function of the project": """
import scipy.signal


class Net(nn.Module):
    def forward(self, x):
        return filtered(x)


def filtered(v):
    v = torch.relu(v)
    return scipy.signal.lfilter([1], [1], v)  # hazard
""",
    "numbers only, or known to compute with torch": """
import librosa
from einops import rearrange
from tools import sizes


class Net(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.table = librosa.filters.mel(sr=16000, n_fft=size)  # clean

    def forward(self, x: Tensor):
        n = sizes.rounded(x.size(1), 3)  # clean
        y = rearrange(x, "b t -> t b")  # waived
        return y[:n] + torch.relu(x) + F.relu(y)  # clean
""",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_not_ported_is_named(name: str) -> None:
    assert wrong(net=HEAD + OUTSIDE[name]) == []


def test_the_reason_names_the_function() -> None:
    text = HEAD + OUTSIDE["a function of another package"]
    found = [(code, reason) for code, _, _, reason in reasons(net=text)]
    assert [code for code, _ in found] == ["EXT"]
    assert "monotonic_align.maximum_path" in found[0][1] and "not ported" in found[0][1]
