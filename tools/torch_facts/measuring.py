"""Runs every sample on XLA and reads torch_xla's counters: which operators fell back to the host, forward and backward.

The work is done by a process of its own, since some operators end it (`torch.istft` does): the next one goes on behind
what ended the last.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any

from porter.torch_facts.operators import MASKS, literal

_PATIENCE = 45  # seconds for one subject; a few samples of the decompositions never end
_STARTING = 600  # seconds until the first
_ENOUGH = 3  # samples of one subject that end the process


def measure() -> Iterator[dict[str, Any]]:
    """What was found of each subject: names, and for each sample what fell back."""
    place: tuple[int, int] | None = (0, 0)
    kept: list[dict[str, Any]] = []  # of the subject at which the last worker ended
    while place is not None:
        place = yield from _worker(*place, kept)


def _worker(
    start: int, sample: int, kept: list[dict[str, Any]]
) -> Generator[dict[str, Any], None, tuple[int, int] | None]:
    """Results from a sample of a subject on; where to go on if the process ended, None when all are done."""
    command = [sys.executable, "-W", "ignore", "-m", "tools.torch_facts.measuring", str(start), str(sample)]
    with tempfile.TemporaryFile() as errors:
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment())
        assert worker.stdout is not None
        waiting = selectors.DefaultSelector()
        waiting.register(worker.stdout, selectors.EVENT_READ)
        told: dict[str, Any] = {}
        hung = False
        while True:
            hung = not waiting.select(_PATIENCE if told else _STARTING)
            line = "" if hung else worker.stdout.readline()
            if not line:
                break
            last, told = told, {**told, **json.loads(line)}
            if "end" in told:
                worker.wait()
                return None
            if "number" in last and told["number"] != last["number"]:
                yield {"names": last["names"], "samples": [*kept]}
                kept.clear()
            if told.get("done"):
                kept.append(told["done"])
                told["done"] = None
        worker.kill()
        worker.wait()
        if "number" not in told:
            errors.seek(0)
            last_line = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise RuntimeError(
                f"the worker ended before it began anything (from {start}): {last_line or 'it said nothing'}"
            )
        if not hung and told.get("tried") is not None:
            kept.append({**told["tried"], "ended": True})
        if hung or sum("ended" in s for s in kept) >= _ENOUGH:
            yield {"names": told["names"], "samples": [*kept]}
            kept.clear()
            return told["number"] + 1, 0
        return told["number"], told["sample"] + 1


def _environment() -> dict[str, str]:
    return {**os.environ, "PJRT_DEVICE": "CPU", "TF_CPP_MIN_LOG_LEVEL": "3"}


def main() -> None:
    """Runs subjects from a sample of one of them on, and writes lines of JSON: what is begun, and what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("subject", type=int)
    parser.add_argument("sample", type=int)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever torch prints is no part of the answer

    import torch_xla.core.xla_model as xm

    xm.xla_device()  # before anything is differentiated, or autograd has no thread for the device
    from .subjects import subjects

    def write(**told: Any) -> None:
        out.write(json.dumps(told) + "\n")
        out.flush()

    for number, subject in enumerate(subjects()):
        if number < given.subject:
            continue
        write(number=number, names=subject.names, tried=None, sample=-1)
        for at, sample in enumerate(_samples(subject.samples)):
            if number > given.subject or at >= given.sample:
                write(sample=at, tried=_asked(sample))
                write(done=run(sample, wait=at == 0), tried=None)
    write(number=-1, names=[])
    write(end=True)


def _samples(draw: Callable[[], list[Any]]) -> list[Any]:
    import torch

    torch.manual_seed(0)
    try:
        return draw()
    except Exception:  # torch has no sample input for this machine
        return []


def _asked(sample: Any) -> dict[str, Any]:
    """What is called, with nothing found yet."""
    return {
        "args": [_brief(a) for a in sample.args],
        "kwargs": {k: _brief(v) for k, v in (sample.kwargs or {}).items()},
        "unknown": sample.unknown,
        "forward": [],
        "backward": [],
    }


def run(sample: Any, wait: bool) -> dict[str, Any] | None:
    """What one call does on XLA; None where it does not work on the host."""
    import torch
    import torch_xla.core.xla_model as xm

    torch.manual_seed(0)
    try:
        host = sample.call(torch.device("cpu"))
        _backward(host)
    except Exception:
        return None
    told = {**_asked(sample), "result": _kind(host)}
    stage = "forward"
    before = between = _counters()
    try:
        result = sample.call(xm.xla_device())
        between = _counters()
        told["forward"] = _grown(before, between)
        stage = "backward"
        _backward(result)
        told["backward"] = _grown(between, _counters())
        stage = "compiling"
        if wait:
            xm.mark_step()
            xm.wait_device_ops()
    except Exception:
        told["raised"] = stage
        if stage != "compiling":
            told[stage] = _grown(before if stage == "forward" else between, _counters())
    return told


def _backward(result: Any) -> None:
    import torch
    import torch.utils._pytree as pytree

    outputs = [v for v in pytree.tree_leaves(result) if isinstance(v, torch.Tensor) and v.requires_grad]
    if outputs:
        torch.autograd.backward(outputs, [torch.ones_like(v) for v in outputs])


def _counters() -> dict[str, int]:
    import torch_xla.debug.metrics as met

    names = met.counter_names()  # type: ignore[no-untyped-call]
    return {n: met.counter_value(n) or 0 for n in names if n.startswith("aten::")}  # type: ignore[no-untyped-call]


def _grown(before: dict[str, int], after: dict[str, int]) -> list[str]:
    return sorted(n for n, count in after.items() if count > before.get(n, 0))


def _brief(value: Any) -> str:
    """What may be seen of an argument: `tensor` with its number of dimensions, the source of a plain value, else its
    type.
    """
    import torch

    if isinstance(value, torch.Tensor):
        return f"tensor{value.dim()}" if value.numel() else "tensor of nothing"
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, torch.Tensor) for v in value):
        return MASKS if any(v.dtype is torch.bool for v in value) else "<tensors>"
    plain = value is None or isinstance(value, (bool, int, float, str))
    whole = isinstance(value, (list, tuple)) and value and all(isinstance(v, int) or v is None for v in value)
    return literal(value) if plain or whole else f"<{type(value).__name__}>"


def _kind(value: Any) -> str:
    """The kind of a result, as `results` names them; `mask` for a tensor of truth values."""
    import torch

    if isinstance(value, torch.Tensor):
        return "mask" if value.dtype is torch.bool else "tensor"
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, torch.Tensor) for v in value):
        named = type(value) is not tuple and type(value) is not list
        return f"tuple{len(value)}" if named else "sequence"
    plain = (bool, int, float, str, type(None), complex, torch.device, torch.dtype, torch.Size)
    return "host" if isinstance(value, plain) else "other"


if __name__ == "__main__":
    main()
