"""Trains the port of a checkout of VITS, or of a relative with its interface, by the loop of one's own.

    python bench/family_loop.py UPSTREAM [--device cpu|xla] [--steps N]

UPSTREAM is a folder with `models.py` at its top, whose search for alignments is built. The loop is written out, in
small sizes: `model(x, x_lengths, y, y_lengths, sid)`, losses, `loss.backward()`, `optimizer.step()` and, of the port,
`mark_step()`, with `get_xla_device` and `mark_step` from `module.tpu.utils`. The original runs it on the CPU with the
same seed. For each step: both losses, and what it cost on the device. Nothing is written outside a temporary folder.
Exit status 1 where losses differ on the CPU, or where a step on XLA falls back or reads, or one after the second
compiles.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.family_infer import SIZES
from porter.generate import Settings, generate
from porter.inputs.upstream import open_upstream
from porter.package.store import Place

_BATCH, _SYMBOLS, _FRAMES = 2, 12, 24
_LEAST_DB = 120.0
_FIRST = 2  # steps that compile: one without the optimizer's state and one with it


@dataclass(frozen=True)
class Step:
    """One step: its loss, and what it cost."""

    loss: Tensor  # a scalar, on its device
    compiles: int = 0
    fallbacks: int = 0
    reads: int = 0  # transfers to the host
    seconds: float = 0.0


def main() -> int:
    """Print a row for each step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("upstream", metavar="UPSTREAM")
    parser.add_argument("--device", choices=("cpu", "xla"), default="xla")
    parser.add_argument("--steps", type=int, default=6)
    given = parser.parse_args()
    os.environ["SOVITS_PORT_DEVICE"] = given.device
    with tempfile.TemporaryDirectory() as folder:
        generate(open_upstream(given.upstream), Place(Path(folder, "port")), Settings())
        sys.path[:0] = [str(Path(folder, "port")), given.upstream]
        original = importlib.import_module("models").SynthesizerTrn
        ported = importlib.import_module("module.tpu.models").SynthesizerTrn
        utils = importlib.import_module("module.tpu.utils")
        device = utils.get_xla_device()  # before any backward pass: autograd counts its devices then
        wanted = list(_train(original, torch.device("cpu"), lambda: None, given.steps))
        found = list(_train(ported, device, utils.mark_step, given.steps))
    print("| step | loss of the original | loss of the port | compiles | fallbacks | reads | seconds |")
    print("|---|---|---|---|---|---|---|")
    good = True
    for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
        cells = (float(one.loss), float(other.loss))
        costs = (other.compiles, other.fallbacks, other.reads)
        print(
            f"| {number + 1} | {cells[0]:.6f} | {cells[1]:.6f} | {' | '.join(map(str, costs))} | {other.seconds:.2f} |"
        )
        near = 20 * math.log10(abs(cells[0] / (cells[0] - cells[1]))) if cells[0] != cells[1] else math.inf
        good &= math.isfinite(cells[1]) and (given.device == "xla" or near > _LEAST_DB)
        good &= given.device == "cpu" or (costs[1:] == (0, 0) and (number < _FIRST or costs[0] == 0))
    return int(not good)


def _train(constructor: Any, device: torch.device, mark_step: Callable[[], object], steps: int) -> Iterator[Step]:
    """The loop; a model of the constructor is trained in small sizes."""
    taken = inspect.signature(constructor).parameters
    torch.manual_seed(0)
    model = constructor(**{name: value for name, value in SIZES.items() if name in taken}).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-4, betas=(0.8, 0.99), eps=1e-9)
    model.train()
    for number in range(steps):
        x, x_lengths, y, y_lengths, sid = (part.to(device) for part in _batch(number))
        measured = _Costs(device)
        torch.manual_seed(number)
        optimizer.zero_grad(set_to_none=True)
        o, l_length, _, _, _, z_mask, (_, z_p, m_p, logs_p, _, logs_q) = model(x, x_lengths, y, y_lengths, sid)[:7]
        kl = logs_p - logs_q - 0.5 + 0.5 * (z_p - m_p) ** 2 * torch.exp(-2 * logs_p)
        loss = torch.sum(l_length.float()) + torch.sum(kl * z_mask) / torch.sum(z_mask) + torch.mean(o.abs())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        mark_step()
        yield measured.ended(loss.detach())


def _batch(number: int) -> tuple[Tensor, ...]:
    """A text (batch, symbols) and a spectrogram (batch, channels, frames), of lengths that change, and speakers."""
    generator = torch.Generator().manual_seed(number)
    return (
        torch.randint(SIZES["n_vocab"], (_BATCH, _SYMBOLS), generator=generator),
        torch.tensor([_SYMBOLS, _SYMBOLS - 1 - number % 4]),
        torch.rand(_BATCH, SIZES["spec_channels"], _FRAMES, generator=generator),
        torch.tensor([_FRAMES, _FRAMES - 1 - number % 7]),
        torch.tensor([0, 2]),
    )


def _metrics() -> Any:
    """What XLA counts, which torch_xla tells without types."""
    return importlib.import_module("torch_xla.debug.metrics")


class _Costs:
    """What XLA counts from here on; nothing of another device."""

    def __init__(self, device: torch.device) -> None:
        self._on_device = device.type == "xla"
        if self._on_device:
            import torch_xla

            torch_xla.sync(wait=True)
            _metrics().clear_all()
        self._start = time.time()

    def ended(self, loss: Tensor) -> Step:
        """The step that ends here."""
        if not self._on_device:
            return Step(loss, seconds=time.time() - self._start)
        met = _metrics()
        importlib.import_module("torch_xla.core.xla_model").wait_device_ops()
        fallbacks = sum(met.counter_value(name) for name in met.counter_names() if name.startswith("aten::"))
        reads = (met.metric_data("TransferFromDeviceTime") or (0,))[0]
        return Step(loss, met.counter_value("UncachedCompile") or 0, fallbacks, reads, time.time() - self._start)


if __name__ == "__main__":
    sys.exit(main())
