"""What a port's trainers refuse: configurations and checkpoints, in one sentence and with exit status 2.

Upstream's trainers end in a traceback there, or go on. What its side gives here is what the judge knows of each.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from porter.validate.cases.base import Batch, Case, Part
from porter.validate.cases.files import told
from porter.validate.cases.operations import TORCHS
from porter.validate.noise import unwatched

_KEYS = ("train.seed", "data.hop", "name")
_OTHER = "CONFIG/w.pth is a checkpoint of another version: "
_NO = "CONFIG/w.pth is no checkpoint of this kind: "


@dataclass(frozen=True)
class _Call:
    """A call of the checks in a folder, and the sentence that it ends with; "" where it ends well."""

    run: Callable[[Any, Path], object]
    words: str = ""


def _network() -> nn.Module:
    """Two parts, `a` and `b`."""
    return nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(3, 1)})


def _config(text: str | None, checks: Any, folder: Path, numbers: tuple[str, ...] = ("train.rate",)) -> object:
    path = folder / "s2.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with patch.object(sys, "argv", ["train.py", "-c", str(path)]):
        return checks.read_config(partial(_read, path), _KEYS, numbers)


def _read(path: Path) -> SimpleNamespace:
    with path.open() as file:
        values = json.load(file)
    parts = {k: SimpleNamespace(**v) if isinstance(v, dict) else v for k, v in values.items()}
    return SimpleNamespace(**parts)


def _whole(**train: Any) -> str:
    return json.dumps({"train": {"seed": 1, **train}, "data": {"hop": 640}, "name": "x"})


def _saved(
    value: Callable[[dict[str, Any]], Any] | bytes, name: str, key: str | None, checks: Any, folder: Path
) -> Any:
    """One of the checks of a checkpoint that is made of the network's own state, or of bytes."""
    path, network = folder / "w.pth", _network()
    if isinstance(value, bytes):
        path.write_bytes(value)
    else:
        torch.save(value(network.state_dict()), path)
    wrapped = nn.Module()
    wrapped.module = network
    if name == "checked":
        return checks.checked(str(path), wrapped if key == "wrapped" else network) == str(path)
    found = checks.weights(network, str(path), key, map_location="cpu", weights_only=False)
    return sorted(found) if isinstance(found, dict) else str(found)


def _reshaped(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "b.weight": torch.zeros(1, 4)}


def _without(state: dict[str, Any], *starts: str) -> dict[str, Any]:
    return {name: value for name, value in state.items() if not name.startswith(starts)}


def _pairs(names: str, checks: Any, folder: Path) -> object:
    for name in names.split():
        (folder / name).touch()
    return checks.paired(str(folder), ("G_*.pth", "D_*.pth"))


def _exists(name: str | None, checks: Any, folder: Path) -> object:
    (folder / "there.pth").touch()
    with patch.object(sys, "argv", ["train.py"]):
        return checks.exists(name and str(folder / name), "train.pretrained")


_CALLS = {
    "config": _Call(partial(_config, _whole(rate=1e-4))),
    "config with numbers": _Call(partial(_config, _whole(rate=[0.8, 1]))),
    "no config": _Call(partial(_config, None), "CONFIG/s2.json cannot be read: No such file or directory"),
    "a key": _Call(partial(_config, '{"train": {"seed": 1}, "name": "x"}'), "CONFIG/s2.json lacks the key 'data.hop'"),
    "keys": _Call(partial(_config, '{"train": {"seed": 1}}'), "CONFIG/s2.json lacks the keys 'data.hop', 'name'"),
    "many keys": _Call(
        lambda checks, folder: checks.check_config({"a": {"b": 1}}, ("a.b", *"cdefgh", "a.b.c")),
        "the config file lacks the keys 'c', 'd', 'e' (and 4 more)",
    ),
    "a text": _Call(
        partial(_config, _whole(rate="fast")),
        "CONFIG/s2.json has the text 'fast' for train.rate, where a number is meant",
    ),
    "a number as text": _Call(
        partial(_config, _whole(rate=[0.8, "1e-4"])),
        "CONFIG/s2.json has the text '1e-4' for train.rate, where a number is meant: write it without quotes",
    ),
    "no JSON": _Call(
        partial(_config, "{"),
        "CONFIG/s2.json is not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    "whole": _Call(partial(_saved, lambda s: {"model": s}, "checked", None)),
    "whole, wrapped": _Call(partial(_saved, lambda s: {"model": s}, "checked", "wrapped")),
    "no model": _Call(partial(_saved, lambda s: {"weight": s}, "checked", None), f"{_NO}it has no 'model'"),
    "no dictionary": _Call(partial(_saved, lambda s: [s], "checked", None), f"{_NO}it has no 'model'"),
    "no weights": _Call(partial(_saved, lambda s: {"model": [1]}, "checked", None), f"{_NO}it has no 'model'"),
    "shape": _Call(
        partial(_saved, lambda s: {"model": _reshaped(s)}, "checked", None),
        f"{_OTHER}b.weight has the shape (1, 4) there and (1, 3) in the network",
    ),
    "number": _Call(
        partial(_saved, lambda s: {"model": {**s, "b.bias": 1}}, "checked", None),
        f"{_OTHER}b.bias has the shape () there and (1,) in the network",
    ),
    "less": _Call(
        partial(_saved, lambda s: {"model": _without(s, "b.")}, "checked", None),
        f"{_OTHER}it lacks b.bias, b.weight",
    ),
    "more": _Call(
        partial(_saved, lambda s: {"model": {**s, "c.bias": s["b.bias"]}}, "checked", None),
        f"{_OTHER}it also has c.bias",
    ),
    "weights": _Call(partial(_saved, lambda s: s, "weights", None)),
    "weights of a key": _Call(partial(_saved, lambda s: {"weight": s}, "weights", "weight")),
    "some weights": _Call(partial(_saved, lambda s: _without(s, "b."), "weights", None)),
    "more weights": _Call(partial(_saved, lambda s: {**s, "c.bias": s["b.bias"]}, "weights", None)),
    "no key": _Call(partial(_saved, lambda s: s, "weights", "weight"), f"{_NO}it has no 'weight'"),
    "a list": _Call(partial(_saved, lambda s: [1], "weights", None), f"{_NO}its weights are no dictionary"),
    "a list for a dictionary": _Call(partial(_saved, lambda s: [1], "weights", "weight"), f"{_NO}it has no 'weight'"),
    "nothing": _Call(partial(_saved, lambda s: {}, "weights", None), f"{_OTHER}it has nothing else, and lacks a, b"),
    "another version": _Call(
        partial(_saved, lambda s: {**_without(s, "b."), "c.bias": s["b.bias"]}, "weights", None),
        f"{_OTHER}it has c, and lacks b",
    ),
    "weights of another shape": _Call(
        partial(_saved, _reshaped, "weights", None),
        f"{_OTHER}b.weight has the shape (1, 4) there and (1, 3) in the network",
    ),
    "none to begin with": _Call(partial(_exists, None)),
    "some to begin with": _Call(partial(_exists, "there.pth")),
    "absent": _Call(
        partial(_exists, "absent.pth"),
        "the config file names CONFIG/absent.pth for train.pretrained, and there is no such file: "
        "leave it empty to begin without",
    ),
    "no pair": _Call(partial(_pairs, "")),
    "a pair": _Call(partial(_pairs, "G_5.pth D_5.pth G_x.pth")),
    "pairs": _Call(partial(_pairs, "G_5.pth D_5.pth G_12.pth D_12.pth")),
    "half a pair": _Call(
        partial(_pairs, "G_5.pth D_5.pth G_12.pth"),
        "CONFIG/G_12.pth has no D_12.pth beside it: put that there, or move it away to train from the pair before it",
    ),
    "one half": _Call(
        partial(_pairs, "D_3.pth"),
        "CONFIG/D_3.pth has no G_3.pth beside it: put that there, or move it away to train from the beginning",
    ),
}


def _checking(ops: Any) -> Callable[[_Call, Path], object]:
    """How a call ends: its value and "", or exit status and sentence."""
    if ops is TORCHS:
        return lambda call, folder: [2, f"{call.words}\n"] if call.words else [0, ""]
    checks = importlib.import_module(f"{ops.__name__.rpartition('.')[0]}.training.checks")

    def run(call: _Call, folder: Path) -> object:
        with redirect_stderr(StringIO()) as said, unwatched():
            try:
                call.run(checks, folder)
                status = 0
            except SystemExit as stop:
                status = int(stop.code or 0)
        return [status, said.getvalue().replace(str(folder), "CONFIG")]

    return run


def _check_all(check: Any, given: Batch) -> object:
    found = {}
    for label, call in _CALLS.items():
        with tempfile.TemporaryDirectory(prefix="refusals-") as name:
            found[label] = told(check(call, Path(name).resolve()))
    return found


CASES = (
    Case(
        "files.refusals",
        (
            Part(
                "ops",
                "refusals",
                lambda *_: {"unused": torch.zeros(1)},
                call=_check_all,
                network=_checking,
                label="refusals",
            ),
        ),
        gradients=False,
        on_host=True,
        varies=False,
    ),
)
