"""Speaks with the port of a checkout of VITS or a relative whose durations are predicted, padded to buckets.

    python bench/family_infer.py UPSTREAM [--device cpu|xla]

UPSTREAM is a folder with `models.py` at its top, whose search for alignments is built. For each text, with the weights
and the seed of the original: the number of samples, the least ratio of the results of `decoding.durations.infer` to
those of the original's `infer`, what was compiled, and the seconds. Nothing is written outside a temporary folder.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree

from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.store import Place

SIZES: dict[str, Any] = {
    "n_vocab": 50,
    "spec_channels": 33,
    "segment_size": 8,
    "inter_channels": 16,
    "hidden_channels": 16,
    "filter_channels": 32,
    "n_heads": 2,
    "n_layers": 2,
    "kernel_size": 3,
    "p_dropout": 0.1,
    "resblock": "1",
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "upsample_rates": [4, 2],
    "upsample_kernel_sizes": [8, 4],
    "upsample_initial_channel": 32,
    "n_speakers": 3,
    "gin_channels": 8,
}
_LENGTHS = (11, 12, 11, 12)  # of texts, which share a bucket
_SCALES = {"noise_scale": 0.7, "length_scale": 1.7, "noise_scale_w": 0.8}


def main() -> int:
    """Print the table; exit status 1 where a ratio is below 90 dB."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("upstream", metavar="UPSTREAM")
    parser.add_argument("--device", choices=("cpu", "xla"), default="xla")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        generate(open_upstream(given.upstream), Place(Path(folder, "port")), Settings())
        sys.path[:0] = [str(Path(folder, "port")), given.upstream]
        upstream, port = importlib.import_module("models"), importlib.import_module("module.tpu.models")
        speaking = importlib.import_module("module.tpu.decoding").durations
        utils = importlib.import_module(f"{speaking.__name__.rpartition('.decoding')[0]}.utils")
        return _compare(upstream.SynthesizerTrn, port.SynthesizerTrn, speaking.infer, utils, given.device)


def _compare(original: Any, ported: Any, infer: Any, utils: Any, device: str) -> int:
    taken = inspect.signature(original).parameters
    sizes = {name: value for name, value in SIZES.items() if name in taken}
    torch.manual_seed(0)
    network, port = original(**sizes).eval(), ported(**sizes).eval()
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.15
    port.load_state_dict(network.state_dict())
    utils.use_device(device)
    port.to(utils.default_device())
    print("| symbols | samples | least ratio, dB | compiles | seconds |\n|---|---|---|---|---|")
    good = True
    for seed, length in enumerate(_LENGTHS):
        text = torch.randint(50, (1, length)), torch.tensor([length])
        torch.manual_seed(seed)
        with torch.no_grad():
            wanted = network.infer(*text, sid=torch.tensor([1]), **_SCALES)
        before, start = utils.compiles() if device == "xla" else 0, time.time()
        torch.manual_seed(seed)
        got = infer(port, *text, sid=torch.tensor([1]), **_SCALES)
        seconds, after = time.time() - start, utils.compiles() if device == "xla" else 0
        least = min(map(_decibels, pytree.tree_leaves(got), pytree.tree_leaves(wanted)))
        good &= least > 90
        print(f"| {length} | {got[0].shape[-1]} | {least:.0f} | {after - before} | {seconds:.1f} |", flush=True)
    return int(not good)


def _decibels(value: torch.Tensor, reference: torch.Tensor) -> float:
    if value.shape != reference.shape:
        return float("-inf")
    error = (value.double() - reference.double()).square().sum()
    return float(10 * torch.log10(reference.double().square().sum() / error)) if error else float("inf")


if __name__ == "__main__":
    sys.exit(main())
