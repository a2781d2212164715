"""Calls of what the emitted runtime has and upstream has not, and what the judge knows of each: how it ends.

Upstream's trainers end in a traceback where a port refuses in one sentence, with exit status 2, or go on. What
upstream's side gives here is what the judge knows; the port's side runs the call.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from porter.validate.cases.base import Batch, Part
from porter.validate.cases.files import told
from porter.validate.cases.operations import TORCHS, runtime_module
from porter.validate.noise import unwatched

FOLDER = "HERE"  # what stands for a call's own folder where it is said
_ON = "…"  # sentences that end so go on in another library's words


@dataclass(frozen=True)
class Call:
    """A call with a module of the runtime's, in an empty folder, and what is known of it."""

    run: Callable[[Any, Path], object]
    words: str = ""  # what it says on stderr, without the last line break
    gives: object = None
    goes_on: bool = False  # though it says something; else its sentence ends the process, with status 2


def calling_known(module: str, calls: Mapping[str, Call]) -> Part:
    """All these calls with a module of the runtime's package: `training.checks`."""
    return Part(
        "ops",
        module,
        lambda *_: {"unused": torch.zeros(1)},
        call=partial(_call_all, calls),
        network=partial(_ending, module),
        label=module.rpartition(".")[2],
    )


def _ending(module: str, ops: Any) -> Callable[[Call, Path], object]:
    """How a call ends on one side: exit status, sentences, what it gives."""
    if ops is TORCHS:
        return _known
    runtime = runtime_module(ops, module)

    def run(call: Call, folder: Path) -> object:
        status, given = 0, None
        with redirect_stderr(StringIO()) as said, unwatched():
            try:
                given = call.run(runtime, folder)
            except SystemExit as stop:
                status = int(stop.code or 0)
            except Exception as error:  # one that a caller is told to expect
                given = f"{type(error).__name__}: {error}".replace(str(folder), FOLDER)
        words = said.getvalue().replace(str(folder), FOLDER)
        return [status, words[: len(call.words) - 1] if call.words.endswith(_ON) else words, given]

    return run


def _known(call: Call, folder: Path) -> object:
    words = call.words.removesuffix(_ON) if call.words.endswith(_ON) else f"{call.words}\n" if call.words else ""
    return [2 if call.words and not call.goes_on else 0, words, call.gives]


def _call_all(calls: Mapping[str, Call], end: Any, given: Batch) -> object:
    found = {}
    for label, call in calls.items():
        with tempfile.TemporaryDirectory(prefix="known-") as name:
            found[label] = told(end(call, Path(name).resolve()))
    return found
