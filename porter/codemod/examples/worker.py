"""A process that executes examples, one line each: `python -m porter.codemod.examples.worker FOLDER... < jobs`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import torch

from porter.codemod import rulebook
from porter.codemod.examples.executing import difference, load, runner
from porter.codemod.examples.texts import Result
from porter.rule import Example, Rule, Safety
from porter.runtime import utils

ON_CPU = "same values and gradients on the CPU"
ON_XLA = "one graph on XLA, same values"


def main() -> None:
    """Execute the examples that stdin names, `CODE NUMBER` a line."""
    if find_spec("torch_xla") is not None:
        utils.get_xla_device()  # before the first backward pass, with which autograd counts the kinds of devices
    book = {rule.code: rule for rule in rulebook.load([Path(folder) for folder in sys.argv[1:]]).rules}
    with tempfile.TemporaryDirectory(prefix="sovits-port-") as folder:
        tempfile.tempdir = folder  # files that an example makes go with it
        for line in sys.stdin:
            code, number = line.split()
            for result in execute(book[code], int(number), Path(folder)):
                print(json.dumps(asdict(result)), flush=True)
            print(json.dumps(None), flush=True)


def execute(rule: type[Rule], number: int, folder: Path) -> Iterator[Result]:
    """Both sides of an example on the CPU, and the side after on XLA, as the device has it and as a TPU has it."""
    example = rule.examples[number - 1]
    for form in ("auto", "tpu") if rule.code.startswith("TPU") else ("auto",):
        os.environ["SOVITS_PORT_FORMS"] = form
        told = f" ({form} form)" * (form != "auto")
        name = f"{rule.code}_{number}_{form}"
        try:
            before = runner(load(example.before, f"{name}_before", folder, example), example)()
            after = runner(load(example.after, f"{name}_after", folder, example), example)()
            why = difference(rule.safety, before, after, trim=example.trim)
        except Exception as error:
            why, after = _told(error), []
        yield Result(rule.code, number, ON_CPU + told, not why, why)
        if example.on_device and not why and find_spec("torch_xla") is not None:
            try:
                why = _on_xla(example, after, name, folder)
            except Exception as error:
                why = _told(error)
            yield Result(rule.code, number, ON_XLA + told, not why, why)


def _on_xla(example: Example, wanted: list[torch.Tensor], name: str, folder: Path) -> str:
    """What is wrong with the code after a rule on XLA; empty if nothing is."""
    import torch_xla
    from torch_xla.core import xla_model

    from porter.validate.counting import figures

    run = runner(load(example.after, f"{name}_xla", folder, example), example, utils.get_xla_device())
    torch_xla.sync(wait=True)
    before = figures()
    got = run()
    torch_xla.sync(wait=True)
    xla_model.wait_device_ops()
    cost = figures() - before
    lacking = sorted(figure for figure in cost if figure.startswith("aten::"))
    if lacking:
        return f"falls back to the host: {', '.join(lacking)}"
    if cost["compiles"] > 1 or cost["downloads"]:
        return f"{cost['compiles']} graphs, {cost['downloads']} reads of the device"
    return "" if example.draws else difference(Safety.CLOSE, wanted, got)  # a device has a random generator of its own


def _told(error: Exception) -> str:
    """An exception in one line, with the example's line."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if "_before.py" in frame.filename]
    lines += [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(("_after.py", "_xla.py"))
    ]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{where}"


if __name__ == "__main__":
    main()
