"""What a port's trainers refuse: configurations and checkpoints, in one sentence and with exit status 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from porter.validate.cases.base import host_case
from porter.validate.cases.known import Call, calling_known

_KEYS = ("train.seed", "data.hop", "name")
_NAMES = ["a.bias", "a.weight", "b.bias", "b.weight"]
_OTHER = "HERE/w.pth is a checkpoint of another version: "
_NO = "HERE/w.pth is no checkpoint of this kind: "


def _network() -> nn.Module:
    """Two parts, `a` and `b`."""
    return nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(3, 1)})


def _config(text: str | None, checks: Any, folder: Path, numbers: tuple[str, ...] = ("train.rate",)) -> object:
    path = folder / "s2.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with patch.object(sys, "argv", ["train.py", "-c", str(path)]):
        return checks.read_config(partial(_read, path), _KEYS, numbers)


def _config_of_bytes(content: bytes, checks: Any, folder: Path) -> object:
    path = folder / "s2.json"
    path.write_bytes(content)
    with patch.object(sys, "argv", ["train.py", "--config", str(path), "--other", "1"]):
        return checks.read_config(lambda: path.read_text(encoding="utf-8"), _KEYS)


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
    "config": Call(partial(_config, _whole(rate=1e-4)), gives=json.loads(_whole(rate=1e-4))),
    "config with numbers": Call(partial(_config, _whole(rate=[0.8, 1])), gives=json.loads(_whole(rate=[0.8, 1]))),
    "no config": Call(partial(_config, None), "HERE/s2.json cannot be read: No such file or directory"),
    "a key": Call(partial(_config, '{"train": {"seed": 1}, "name": "x"}'), "HERE/s2.json lacks the key 'data.hop'"),
    "keys": Call(partial(_config, '{"train": {"seed": 1}}'), "HERE/s2.json lacks the keys 'data.hop', 'name'"),
    "no UTF-8": Call(
        lambda checks, folder: _config_of_bytes(b'{"\xff": 1}', checks, folder),
        "HERE/s2.json is not UTF-8: byte 2 cannot be decoded",
    ),
    "a key of a text": Call(
        lambda checks, folder: checks.check_config({"a": "text"}, ("a.b",)), "the config file lacks the key 'a.b'"
    ),
    "an attribute that is needed": Call(
        lambda checks, folder: checks.read_config(lambda: SimpleNamespace(a=1).b, ()),
        "the config file lacks the key 'b'",
    ),
    "a key that is needed": Call(
        lambda checks, folder: checks.read_config(lambda: {"a": 1}["b"], ()), "the config file lacks the key 'b'"
    ),
    "a fault of the program": Call(
        lambda checks, folder: checks.read_config(lambda: json.absent, ()),  # type: ignore[attr-defined]
        gives="AttributeError: module 'json' has no attribute 'absent'",
    ),
    "a fault of a class": Call(
        lambda checks, folder: checks.read_config(lambda: Path.absent, ()),  # type: ignore[attr-defined]
        gives="AttributeError: type object 'Path' has no attribute 'absent'",
    ),
    "many keys": Call(
        lambda checks, folder: checks.check_config({"a": {"b": 1}}, ("a.b", *"cdefgh", "a.b.c")),
        "the config file lacks the keys 'c', 'd', 'e' (and 4 more)",
    ),
    "a text": Call(
        partial(_config, _whole(rate="fast")),
        "HERE/s2.json has the text 'fast' for train.rate, where a number is meant",
    ),
    "a number as text": Call(
        partial(_config, _whole(rate=[0.8, "1e-4"])),
        "HERE/s2.json has the text '1e-4' for train.rate, where a number is meant: write it without quotes",
    ),
    "no JSON": Call(
        partial(_config, "{"),
        "HERE/s2.json is not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    "whole": Call(partial(_saved, lambda s: {"model": s}, "checked", None), gives=True),
    "whole, wrapped": Call(partial(_saved, lambda s: {"model": s}, "checked", "wrapped"), gives=True),
    "no model": Call(partial(_saved, lambda s: {"weight": s}, "checked", None), f"{_NO}it has no 'model'"),
    "no dictionary": Call(partial(_saved, lambda s: [s], "checked", None), f"{_NO}it has no 'model'"),
    "no weights": Call(partial(_saved, lambda s: {"model": [1]}, "checked", None), f"{_NO}it has no 'model'"),
    "shape": Call(
        partial(_saved, lambda s: {"model": _reshaped(s)}, "checked", None),
        f"{_OTHER}b.weight has the shape (1, 4) there and (1, 3) in the network",
    ),
    "number": Call(
        partial(_saved, lambda s: {"model": {**s, "b.bias": 1}}, "checked", None),
        f"{_OTHER}b.bias has the shape () there and (1,) in the network",
    ),
    "less": Call(
        partial(_saved, lambda s: {"model": _without(s, "b.")}, "checked", None),
        f"{_OTHER}it lacks b.bias, b.weight",
    ),
    "more": Call(
        partial(_saved, lambda s: {"model": {**s, "c.bias": s["b.bias"]}}, "checked", None),
        f"{_OTHER}it also has c.bias",
    ),
    "weights": Call(partial(_saved, lambda s: s, "weights", None), gives=_NAMES),
    "weights of a key": Call(partial(_saved, lambda s: {"weight": s}, "weights", "weight"), gives=_NAMES),
    "some weights": Call(partial(_saved, lambda s: _without(s, "b."), "weights", None), gives=_NAMES[:2]),
    "more weights": Call(
        partial(_saved, lambda s: {**s, "c.bias": s["b.bias"]}, "weights", None), gives=[*_NAMES, "c.bias"]
    ),
    "no key": Call(partial(_saved, lambda s: s, "weights", "weight"), f"{_NO}it has no 'weight'"),
    "a list": Call(partial(_saved, lambda s: [1], "weights", None), f"{_NO}its weights are no dictionary"),
    "a list for a dictionary": Call(partial(_saved, lambda s: [1], "weights", "weight"), f"{_NO}it has no 'weight'"),
    "nothing": Call(partial(_saved, lambda s: {}, "weights", None), f"{_OTHER}it has nothing else, and lacks a, b"),
    "another version": Call(
        partial(_saved, lambda s: {**_without(s, "b."), "c.bias": s["b.bias"]}, "weights", None),
        f"{_OTHER}it has c, and lacks b",
    ),
    "weights of another shape": Call(
        partial(_saved, _reshaped, "weights", None),
        f"{_OTHER}b.weight has the shape (1, 4) there and (1, 3) in the network",
    ),
    "a torn one": Call(
        partial(_saved, b"PK\x03\x04torn", "weights", None), "HERE/w.pth cannot be read as a checkpoint: …"
    ),
    "a torn one to resume from": Call(
        partial(_saved, b"", "checked", None), "HERE/w.pth cannot be read as a checkpoint: …"
    ),
    "no network": Call(
        lambda checks, folder: checks.fitting({"weight": {"a": 1}}, None, "w.pth", "weight"), gives={"a": 1}
    ),
    "many parts": Call(
        lambda checks, folder: checks.fitting(dict.fromkeys(("c.x", "d.x", "e.x", "f.x", "g.x")), _network(), "w.pth"),
        "w.pth is a checkpoint of another version: it has c, d, e (and 2 more), and lacks a, b",
    ),
    "none to begin with, as text": Call(partial(_exists, ""), gives=False),
    "none to begin with": Call(partial(_exists, None), gives=False),
    "some to begin with": Call(partial(_exists, "there.pth"), gives=True),
    "absent": Call(
        partial(_exists, "absent.pth"),
        "the config file names HERE/absent.pth for train.pretrained, and there is no such file: "
        "leave it empty to begin without",
    ),
    "no pair": Call(partial(_pairs, "")),
    "a pair": Call(partial(_pairs, "G_5.pth D_5.pth G_x.pth")),
    "pairs": Call(partial(_pairs, "G_5.pth D_5.pth G_12.pth D_12.pth")),
    "half a pair": Call(
        partial(_pairs, "G_5.pth D_5.pth G_12.pth"),
        "HERE/G_12.pth has no D_12.pth beside it: put that there, or move it away to train from the pair before it",
    ),
    "one half": Call(
        partial(_pairs, "D_3.pth"),
        "HERE/D_3.pth has no G_3.pth beside it: put that there, or move it away to train from the beginning",
    ),
}


CASES = (
    host_case(
        "files.refusals",
        calling_known("training.checks", _CALLS),
    ),
)
