"""A made-up upstream with the interface that the `synthesizer` cases run, and a port of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

MODELS = '''"""Made up for tests."""
import random

import torch
from torch import nn
from torch.nn import functional as F

from module import commons


class Mixer(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)
        self.drop = nn.Dropout(0.3)  # port: ignore[TPU006]

    def forward(self, x, mask):
        y = torch.relu(self.conv(x * mask))  # port: ignore[TPU006]
        return x + self.drop(y) * mask


class SynthesizerTrn(nn.Module):
    def __init__(self, spec_channels, segment_size, **kwargs):
        super().__init__()
        self.segment_size = segment_size
        self.embed = nn.Embedding(50, 8)
        self.pre = nn.Conv1d(spec_channels, 8, 1)
        self.mix = nn.ModuleList([Mixer(8), Mixer(8)])
        self.keys = nn.Linear(8, 8)
        self.post = nn.Conv1d(8, 4, 1)
        self.post.weight.data.zero_()
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, ssl, y, y_lengths, text, text_lengths, sv_emb=None):
        mask = commons.mask_of(y_lengths, y.size(2))
        x = self.pre(y) * mask + ssl[:, :8]
        for mixer in self.mix:
            x = mixer(x, mask)
        scores = torch.softmax(self.embed(text) @ self.keys(x.transpose(1, 2)).transpose(1, 2), 2)
        x = x + torch.einsum("bnt,bct->bc", scores, x)[:, :, None] * random.random()
        z = (x + torch.randn_like(x)) * mask
        self.seen += z.detach().mean((0, 2))
        return self.post(z)[:, :, : self.segment_size], (z, mask)

    def infer(self, y):
        return self.post(y)
'''

COMMONS = """import torch


def mask_of(lengths, size):
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None].float()
"""


def write_upstream(folder: Path, models: str = MODELS) -> Path:
    """An upstream below `folder`, in the layout of a checkout."""
    module = folder / "GPT_SoVITS" / "module"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "models.py").write_text(models)
    (module / "commons.py").write_text(COMMONS)
    return folder


def write_port(upstream: Path, folder: Path, old: str = "", new: str = "") -> Path:
    """A package at `folder`, made from `upstream` by hand: imports redirected, and `old` replaced by `new`."""
    package = folder / "module" / "tpu"
    package.mkdir(parents=True)
    (folder / "module" / "__init__.py").write_text("")
    files, edits = {}, []
    for name in ("__init__.py", "commons.py", "models.py"):
        source = upstream / "GPT_SoVITS" / "module" / name
        text = source.read_text()
        files[f"module/tpu/{name}"] = {
            "upstream": f"GPT_SoVITS/module/{name}",
            "input_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        ported = text.replace("from module import", "from module.tpu import")
        if name == "models.py" and old:
            assert old in ported
            line = ported[: ported.index(old)].count("\n") + 1
            ported = ported.replace(old, new)
            edits.append(
                {
                    "rule": "TST001",
                    "file": f"GPT_SoVITS/module/{name}",
                    "line": line,
                    "target": name,
                    "target_line": line,
                    "target_end_line": line + new.count("\n"),
                    "reason": "made by a test",
                }
            )
        (package / name).write_text(ported)
    told = {
        "tool": "sovits-port",
        "upstream": {"spec": upstream.name, "revision": ""},
        "files": files,
        "edits": edits,
    }
    (folder / "port.json").write_text(json.dumps(told))
    return folder
