"""Flat sources in the shape of VITS, written for this test: the loop of the hand-made port's README runs on their port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.tiny_upstream import run, write_tree

SEARCH = """def maximum_path_loops(paths, values, t_ys, t_xs):
    for path, value, t_y, t_x in zip(paths, values, t_ys, t_xs):
        for y in range(t_y):
            for x in range(max(0, t_x - t_y + y), min(t_x, y + 1)):
                stay = -1e9 if x == y else value[y - 1, x]
                move = (0.0 if y == 0 else -1e9) if x == 0 else value[y - 1, x - 1]
                value[y, x] += max(stay, move)
        at = t_x - 1
        for y in range(t_y - 1, -1, -1):
            path[y, at] = 1
            if at != 0 and (at == y or value[y - 1, at] < value[y - 1, at - 1]):
                at = at - 1
"""
ALIGN = '''import numpy as np
import torch
from .loops import maximum_path_loops


def maximum_path(scores, mask):
    """scores and mask [b, frames, tokens]"""
    device = scores.device
    dtype = scores.dtype
    scores = scores.data.cpu().numpy().astype(np.float32)
    path = np.zeros(scores.shape, dtype=np.int32)
    frames = mask.sum(1)[:, 0].data.cpu().numpy().astype(np.int32)
    tokens = mask.sum(2)[:, 0].data.cpu().numpy().astype(np.int32)
    maximum_path_loops(path, scores, frames, tokens)
    return torch.from_numpy(path).to(device=device, dtype=dtype)
'''
COMMONS = """import torch


def sequence_mask(length, max_length=None):
    if max_length is None:
        max_length = length.max()
    x = torch.arange(max_length, dtype=length.dtype, device=length.device)
    return x.unsqueeze(0) < length.unsqueeze(1)


def slice_segments(x, ids_str, segment_size=4):
    ret = torch.zeros_like(x[:, :, :segment_size])
    for i in range(x.size(0)):
        idx_str = ids_str[i]
        idx_end = idx_str + segment_size
        ret[i] = x[i, :, idx_str:idx_end]
    return ret


def rand_slice_segments(x, x_lengths, segment_size=4):
    b, d, t = x.size()
    ids_str_max = x_lengths - segment_size + 1
    ids_str = (torch.rand([b]).to(device=x.device) * ids_str_max).to(dtype=torch.long)
    return slice_segments(x, ids_str, segment_size), ids_str
"""
MODELS = """import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import weight_norm

import commons
import monotonic_align


class TextEncoder(nn.Module):
    def __init__(self, n_vocab, channels):
        super().__init__()
        self.emb = nn.Embedding(n_vocab, channels)
        self.proj = nn.Conv1d(channels, channels * 2, 1)

    def forward(self, x, x_lengths):
        x = torch.transpose(self.emb(x), 1, -1)
        x_mask = torch.unsqueeze(commons.sequence_mask(x_lengths, x.size(2)), 1).to(x.dtype)
        m, logs = torch.chunk(self.proj(x * x_mask) * x_mask, 2, dim=1)
        return x, m, logs, x_mask


class PosteriorEncoder(nn.Module):
    def __init__(self, spec_channels, channels):
        super().__init__()
        self.proj = nn.Conv1d(spec_channels, channels * 2, 1)

    def forward(self, y, y_lengths):
        y_mask = torch.unsqueeze(commons.sequence_mask(y_lengths, y.size(2)), 1).to(y.dtype)
        m, logs = torch.chunk(self.proj(y) * y_mask, 2, dim=1)
        return (m + torch.randn_like(m) * torch.exp(logs)) * y_mask, m, logs, y_mask


class Generator(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.up = weight_norm(nn.ConvTranspose1d(channels, channels, 4, 2, 1))
        self.post = nn.Conv1d(channels, 1, 3, padding=1)

    def forward(self, z, g):
        return torch.tanh(self.post(F.leaky_relu(self.up(z + g))))


class SynthesizerTrn(nn.Module):
    def __init__(self, n_vocab, spec_channels, segment_size, inter_channels, n_speakers):
        super().__init__()
        self.segment_size = segment_size
        self.enc_p = TextEncoder(n_vocab, inter_channels)
        self.enc_q = PosteriorEncoder(spec_channels, inter_channels)
        self.dec = Generator(inter_channels)
        self.dp = nn.Conv1d(inter_channels, 1, 1)
        self.emb_g = nn.Embedding(n_speakers, inter_channels)

    def forward(self, x, x_lengths, y, y_lengths, sid=None):
        x, m_p, logs_p, x_mask = self.enc_p(x, x_lengths)
        g = self.emb_g(sid).unsqueeze(-1)
        z, m_q, logs_q, y_mask = self.enc_q(y, y_lengths)
        with torch.no_grad():
            s = torch.exp(-2 * logs_p)
            scores = torch.matmul(-0.5 * (z**2).transpose(1, 2), s) + torch.matmul(z.transpose(1, 2), m_p * s)
            scores = scores - 0.5 * torch.sum(m_p**2 * s, [1], keepdim=True)
            attn_mask = torch.unsqueeze(x_mask, 2) * torch.unsqueeze(y_mask, -1)
            attn = monotonic_align.maximum_path(scores, attn_mask.squeeze(1)).unsqueeze(1).detach()
        logw = self.dp(x.detach()) * x_mask
        l_length = torch.sum((logw - torch.log(attn.sum(2) + 1e-6) * x_mask) ** 2, [1, 2]) / torch.sum(x_mask)
        m_p = torch.matmul(attn.squeeze(1), m_p.transpose(1, 2)).transpose(1, 2)
        logs_p = torch.matmul(attn.squeeze(1), logs_p.transpose(1, 2)).transpose(1, 2)
        z_slice, ids_slice = commons.rand_slice_segments(z, y_lengths, self.segment_size)
        return self.dec(z_slice, g), l_length, attn, ids_slice, x_mask, y_mask, (z, m_p, logs_p, m_q, logs_q)
"""
UTILS = "import torch\n\n\ndef save(net, place):\n    torch.save({'model': net.state_dict()}, place)\n"
TRAIN = """import torch

import utils
from models import SynthesizerTrn


def main(batches, place):
    net = SynthesizerTrn(20, 9, 4, 8, 3)
    for batch in batches:
        sum(net(*batch)[1]).backward()
    utils.save(net, place)
"""
FILES = {
    "models.py": MODELS, "commons.py": COMMONS, "utils.py": UTILS, "train.py": TRAIN,
    "monotonic_align/__init__.py": ALIGN, "monotonic_align/loops.py": SEARCH,
}  # fmt: skip
LOOP = """
import json, sys, torch
here = sys.argv[1]
if here == "upstream":
    from models import SynthesizerTrn
    device, mark_step = torch.device("cpu"), lambda: None
else:
    from module.tpu.models import SynthesizerTrn
    from module.tpu.utils import get_xla_device, mark_step
    device = get_xla_device()
torch.manual_seed(0)
model = SynthesizerTrn(20, 9, 4, 8, 3).to(device)
optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
model.train()
losses, costs = [], []
for number in range(4):
    g = torch.Generator().manual_seed(number)
    lengths = torch.tensor([6, 6 - number % 2]), torch.tensor([12, 12 - number])
    x, y = torch.randint(0, 20, (2, 6), generator=g), torch.rand(2, 9, 12, generator=g)
    x, x_lengths, y, y_lengths, sid = (t.to(device) for t in (x, lengths[0], y, lengths[1], torch.tensor([0, 2])))
    if device.type == "xla":
        import torch_xla, torch_xla.debug.metrics as met
        torch_xla.sync(wait=True)
        met.clear_all()
    optimizer.zero_grad(set_to_none=True)
    o, l_length, attn, ids_slice, x_mask, y_mask, (z, m_p, logs_p, m_q, logs_q) = model(x, x_lengths, y, y_lengths, sid)
    loss = l_length.sum() + (o**2).mean() + ((m_p - m_q) ** 2 * y_mask).mean() + (logs_p * y_mask).mean()
    loss.backward()
    optimizer.step()
    mark_step()
    if device.type == "xla":
        counters = {n: met.counter_value(n) for n in met.counter_names()}
        reads = (met.metric_data("TransferFromDeviceTime") or [0])[0]
        host = sum(v for n, v in counters.items() if n.startswith("aten::"))
        costs.append([counters.get("UncachedCompile", 0), host, reads])
    losses.append(loss.detach())
print(json.dumps({"losses": [float(l) for l in losses], "costs": costs}))
"""


def looped(side: str, search: list[Path], device: str = "cpu") -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search)), "SOVITS_PORT_DEVICE": device}
    if device == "cpu":
        done = warm.run(LOOP, side, env=environment)
    else:
        command = [sys.executable, "-W", "ignore", "-c", LOOP, side]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("vits")
    root, out = write_tree(folder / "up", FILES), folder / "out"
    done = run("generate", root, "--out", out)
    assert done.exit_code == 0, done.stderr
    return root, out


def test_nothing_is_residual(trees: tuple[Path, Path]) -> None:
    hazards = json.loads((trees[1] / "port.json").read_text())["hazards"]
    assert [h for h in hazards["list"] if h["status"] == "residual"] == []


def test_the_loop_trains_as_upstream_does(trees: tuple[Path, Path]) -> None:
    root, out = trees
    assert looped("port", [out])["losses"] == looped("upstream", [root])["losses"]


@pytest.mark.xla
def test_the_loop_compiles_once_and_reads_nothing_on_xla(trees: tuple[Path, Path]) -> None:
    costs = looped("port", [trees[1]], "xla")["costs"]
    assert [compiles for compiles, _, _ in costs[1:]].count(0) >= 2
    assert all(host == 0 and reads == 0 for _, host, reads in costs), costs


def test_the_validator_finds_the_synthesizer_by_its_signature(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("porter.validate.children.subprocess", warm.instead())
    root, out = trees
    given = ("--device", "cpu", "--preset", "tiny", "--steps", "0", "--case", "vits.first", "--json")
    done = run("validate", root, out, *given)
    (case,) = json.loads(done.stdout)["cases"]
    assert (case["verdict"], case["draws"]) == ("pass", 2), done.stderr  # noise of the latents, and starts of segments
