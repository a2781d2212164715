"""What the trainers read and write: checkpoints, exported weights, configurations, logs; on the host."""

from __future__ import annotations

import inspect
import json
import logging
import os
import pickle
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from porter.inputs.sources.layout import TRAINERS
from porter.validate.cases.base import Batch, Part, host_case
from porter.validate.cases.shapes import normal
from porter.validate.settings import Settings

_KIB, _MIB = 1 << 10, 1 << 20
_SIZES = (82977 * _KIB, 82978 * _KIB, 100 * _MIB, 699 * _MIB, 700 * _MIB)  # around those that tell versions apart
_HEADS = ("00", "01", "02", "03", "04", "05", "06")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_CONFIG = {"train": {"epochs": 3, "betas": [0.8, 0.99], "name": "x"}, "data": {"hop": 640}, "version": "v2"}


def _weights(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"weight": normal(generator, 3, 4), "bias": normal(generator, 3)}


def told(value: object) -> object:
    """A value as comparisons see it: text, truth and nothing become numbers, objects what they hold."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, bool) or value is None:
        return zlib.crc32(repr(value).encode())
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (str, bytes)):
        return zlib.crc32(value.encode() if isinstance(value, str) else value)
    if isinstance(value, Mapping):
        return {str(key): told(part) for key, part in value.items()}
    if isinstance(value, Sequence):
        return {str(index): told(part) for index, part in enumerate(value)}
    return told(vars(value)) if hasattr(value, "__dict__") else None


def words(text: str) -> object:
    """A text as comparisons see it: what it says, and the numbers in it, which may be rounded."""
    numbers = [float(number) for number in _NUMBER.findall(text)]
    return {"words": told(_NUMBER.sub("#", text)), "numbers": torch.tensor(numbers, dtype=torch.float64).float()}


def raised(function: Callable[[], object]) -> object:
    """What a call gives, or the kind of exception that it raises."""
    try:
        return told(function())
    except Exception as error:
        return told(type(error).__name__)


def _in_folder(run: Callable[[Any, Batch, Path], object]) -> Callable[[Any, Batch], object]:
    """Run in a new folder, with what is printed kept, but for the folder's name."""

    def call(subject: Any, given: Batch) -> object:
        with tempfile.TemporaryDirectory(prefix="files-") as name, chdir(name), redirect_stdout(StringIO()) as printed:
            found = run(subject, given, Path(name))
            return {"found": found, "printed": told(printed.getvalue().replace(name, ""))}

    return call


# -- process_ckpt.py ----------------------------------------------------------------------------------------------


def _load_exported(load: Any, given: Batch, folder: Path) -> object:
    file = BytesIO()
    torch.save(dict(given), file)
    found = {}
    for head in ("PK", "05", "00"):
        path = folder / f"{head}.pth"
        path.write_bytes(head.encode() + file.getvalue()[2:])
        found[head] = raised(lambda path=path: load(str(path)))  # type: ignore[misc]
    found["absent"] = raised(lambda: load(str(folder / "absent")))
    return found


def _tell_version(tell: Any, given: Batch, folder: Path) -> object:
    path = folder / "weights.pth"
    found = {}
    for head in (*_HEADS, "07"):
        path.write_bytes(head.encode() + given["weight"].numpy().tobytes())
        found[head] = raised(lambda: tell(str(path)))
    for size in _SIZES:
        path.write_bytes(b"PK")
        os.truncate(path, size)  # a file with a hole takes no room
        found[str(size)] = raised(lambda: tell(str(path)))
    known: Any = inspect.getmodule(tell)
    found["known"] = told(known.hash_pretrained_dict)
    path.write_bytes(given["weight"].numpy().tobytes() * 300)
    found["hash"] = told(known.get_hash_from_file(str(path)))
    return found


def _export(savee: Any, given: Batch, folder: Path) -> object:
    weights = {**given, "enc_q.weight": given["weight"], "dec.enc_q": given["bias"]}
    found: dict[str, object] = {}
    for version, rank in ((None, None), ("v2Pro", None), ("v2ProPlus", None), ("v3", 4), ("v4", 8), ("v3", None)):
        place = folder / f"{version}-{rank}"
        place.mkdir()
        hps = SimpleNamespace(save_weight_dir=str(place), config=_CONFIG)
        offered = {"model_version": version, "lora_rank": rank}
        taken = {k: v for k, v in offered.items() if k in inspect.signature(savee).parameters}
        found[place.name] = {"said": told(savee(weights, "name", 2, 30, hps, **taken)), "files": _read_all(place)}
    broken = SimpleNamespace(save_weight_dir=str(folder / "absent" / "further"))
    found["refused"] = told(savee(weights, "name", 2, 30, broken) == "Success.")
    return found


def _read_all(folder: Path) -> object:
    found = {}
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        loaded = torch.load(BytesIO(b"PK" + raw[2:]), weights_only=False)
        loaded["config"] = {k: v for k, v in vars(loaded["config"]).items() if k != "save_weight_dir"}
        found[path.name] = {"head": told(raw[:2]), "told": told(loaded)}
    return found


# -- utils.py -----------------------------------------------------------------------------------------------------


class _Wrapped(nn.Module):
    """What a trainer saves: a model in a wrapper."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def _trained(given: Batch) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight.copy_(given["weight"])
        model.bias.copy_(given["bias"])
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    with torch.enable_grad():  # type: ignore[no-untyped-call]
        model(torch.ones(2, 4)).square().sum().backward()
    optimizer.step()
    return model, optimizer


def _save_checkpoint(save: Any, given: Batch, folder: Path) -> object:
    model, optimizer = _trained(given)
    save(model, optimizer, 0.1, 7, str(folder / "G_1.pth"))
    save(_Wrapped(model), optimizer, 0.2, 8, str(folder / "G_2.pth"))
    return {path.name: told(torch.load(path, weights_only=False)) for path in sorted(folder.iterdir())}


def _load_checkpoint(load: Any, given: Batch, folder: Path) -> object:
    model, optimizer = _trained(given)
    path = folder / "G_1.pth"
    saved = {"iteration": 7, "learning_rate": 0.3, "optimizer": optimizer.state_dict(), "model": model.state_dict()}
    found: dict[str, object] = {}
    for name, change in _CHECKPOINTS.items():
        torch.save({**saved, **change(saved)}, path)
        for wrapped in (False, True):
            for skip in (False, True):
                fresh = nn.Linear(4, 3)
                with torch.no_grad():
                    fresh.weight.fill_(1.0)
                    fresh.bias.fill_(2.0)
                other = torch.optim.AdamW(fresh.parameters(), 0.5)
                target = _Wrapped(fresh) if wrapped else fresh
                result = raised(lambda target=target, other=other, skip=skip: load(str(path), target, other, skip)[2:])  # type: ignore[misc]
                state = {"model": told(fresh.state_dict()), "optimizer": told(other.state_dict()), "result": result}
                found[f"{name} {wrapped} {skip}"] = state
    found["without"] = raised(lambda: load(str(path), nn.Linear(4, 3))[1:])
    found["absent"] = raised(lambda: load(str(folder / "absent"), model))
    return found


_CHECKPOINTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "whole": lambda saved: {},
    "without optimizer": lambda saved: {"optimizer": None},
    "lacking": lambda saved: {"model": {"weight": saved["model"]["weight"]}},
    "of another shape": lambda saved: {"model": {**saved["model"], "bias": torch.zeros(5)}},
}


def _latest(latest: Any, given: Batch, folder: Path) -> object:
    for name in ("G_9.pth", "G_10.pth", "G_2.pth", "D_100.pth", "G_233.txt"):
        (folder / name).touch()
    asked = {"default": (), "D": ("D_*.pth",), "none": ("E_*.pth",)}
    return {
        name: raised(lambda more=more: Path(latest(str(folder), *more)).name)  # type: ignore[misc]
        for name, more in asked.items()
    }


def _clean(clean: Any, given: Batch, folder: Path) -> object:
    found = {}
    for by_time in (True, False):
        for keep in (1, 2):
            place = folder / f"{by_time}-{keep}"
            place.mkdir()
            for age, number in enumerate((0, 30, 4, 100)):
                for network in "GD":
                    path = place / f"{network}_{number}.pth"
                    path.touch()
                    os.utime(path, (1000 + age, 1000 + age))
            said = raised(lambda place=place, keep=keep, by_time=by_time: clean(str(place), keep, by_time))  # type: ignore[misc]
            found[place.name] = {"said": said, "left": told(" ".join(sorted(os.listdir(place))))}  # noqa: PTH208
    return found


def _configured(read: Any, given: Batch, folder: Path) -> object:
    path = folder / "config.json"
    path.write_text(json.dumps(_CONFIG), encoding="utf-8")
    hps = read(str(path))
    hps["further"] = 3
    return {
        "whole": told(hps),
        "keys": told(list(hps.keys())),
        "items": told(len(hps.items())),
        "values": told(len(hps.values())),
        "length": len(hps),
        "inside": told("train" in hps) if "absent" not in hps else 0,
        "shown": told(repr(hps)),
        "kept": told(pickle.dumps(told(hps["train"]))),
    }


def _asked(read: Any, given: Batch, folder: Path) -> object:
    path = folder / "asked.json"
    found: dict[str, object] = {}
    for stage in (1, 2):
        place = folder / f"place {stage}"
        config = {**_CONFIG, "s1_ckpt_dir": str(folder / "place 1"), "s2_ckpt_dir": str(folder / "place 2")}
        path.write_text(json.dumps(config), encoding="utf-8")
        before, sys.argv = sys.argv, ["trainer", "-c", str(path), "-p", "start", "-rs", "12"]
        try:
            hps = read(stage=stage)
        finally:
            sys.argv = before
        found[str(stage)] = {
            "told": told({key: value for key, value in vars(hps).items() if not key.endswith("_dir")}),
            "copied": told((place / "config.json").read_text(encoding="utf-8").replace(str(folder), "")),
        }
    return found


def _logger(get: Any, given: Batch, folder: Path) -> object:
    logger = get(str(folder / "experiment"))
    try:
        logger.info("said %s", 1)
        logger.debug("unsaid")
        lines = (folder / "experiment" / "train.log").read_text(encoding="utf-8").splitlines()
        return {"lines": [told(line.split("\t")[1:]) for line in lines], "name": told(logger.name)}
    finally:
        logging.getLogger("experiment").handlers.clear()


class _Writer:
    """What stands for TensorBoard's writer: it keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*args: object, **kwargs: object) -> None:
            self.calls.append(told([name, *args, kwargs]))

        return note


def _summarize(summarize: Any, given: Batch, folder: Path) -> object:
    writer = _Writer()
    kinds = {"scalars": 2.0, "histograms": given["bias"], "images": given["weight"], "audios": given["bias"]}
    summarize(writer, 5, **{kind: {"name": value} for kind, value in kinds.items()})
    summarize(writer, 6, audios={"name": given["bias"]}, audio_sampling_rate=32000)
    summarize(writer=writer, global_step=7)
    return dict(enumerate(writer.calls))


class _Canvas:
    """What stands for matplotlib, its figures and their canvas: it keeps the calls, and draws nothing."""

    def __init__(self, calls: list[object], name: str = "") -> None:
        self._calls, self._name = calls, name

    def __getattr__(self, name: str) -> _Canvas:
        return _Canvas(self._calls, f"{self._name}.{name}" if self._name else name)

    def __call__(self, *args: object, **named: object) -> object:
        self._calls.append(told([self._name, args, named]))
        return self._results().get(self._name.rpartition(".")[2], _Canvas(self._calls, f"{self._name}()"))

    def _results(self) -> dict[str, object]:
        return {
            "subplots": (_Canvas(self._calls, "figure"), _Canvas(self._calls, "axes")),
            "tostring_rgb": bytes(range(2 * 3 * 3)),
            "get_width_height": (2, 3),
        }


def _plot(plot: Any, given: Batch, folder: Path) -> object:
    """A plot drawn twice, and once with what else it takes: the calls of matplotlib, and the image."""
    module: Any = inspect.getmodule(plot)
    calls: list[object] = []
    pylab = _Canvas(calls, "pylab")
    matplotlib: Any = _Canvas(calls, "matplotlib")
    matplotlib.pylab = pylab
    given_more = {"info": "told"} if "info" in inspect.signature(plot).parameters else {}
    before = logging.getLogger("matplotlib").level
    with (
        patch.dict(sys.modules, {"matplotlib": matplotlib, "matplotlib.pylab": pylab}),
        patch.object(module, "MATPLOTLIB_FLAG", False, create=True),
        patch.object(module.np, "fromstring", lambda raw, dtype, sep: np.frombuffer(raw, dtype)),
    ):
        images = [plot(given["weight"].numpy(), **more) for more in ({}, {}, given_more)]
    level = logging.getLogger("matplotlib").level
    logging.getLogger("matplotlib").setLevel(before)
    return {"calls": calls, "images": [told(torch.from_numpy(image.copy())) for image in images], "level": level}


def _listed(read: Any, given: Batch, folder: Path) -> object:
    path = folder / "list.txt"
    path.write_text("a.wav|one\nb.wav|two|three \n", encoding="utf-8")
    return [told(read(str(path))), told(read(str(path), " "))]


def _part(module: str, name: str, run: Callable[[Any, Batch, Path], object]) -> Part:
    return Part(f"{TRAINERS}.{module}", name, _weights, call=_in_folder(run))


CASES = (
    host_case(
        "files.exported",
        _part("process_ckpt", "load_sovits_new", _load_exported),
        _part("process_ckpt", "get_sovits_version_from_path_fast", _tell_version),
        _part("process_ckpt", "savee", _export),
    ),
    host_case(
        "files.checkpoints",
        _part("utils", "save_checkpoint", _save_checkpoint),
        _part("utils", "load_checkpoint", _load_checkpoint),
        _part("utils", "latest_checkpoint_path", _latest),
        _part("utils", "clean_checkpoints", _clean),
    ),
    host_case(
        "files.configuration",
        _part("utils", "get_hparams_from_file", _configured),
        _part("utils", "get_hparams", _asked),
        _part("utils", "get_logger", _logger),
        _part("utils", "summarize", _summarize),
        _part("utils", "plot_spectrogram_to_numpy", _plot),
        _part("utils", "plot_alignment_to_numpy", _plot),
        _part("utils", "load_filepaths_and_text", _listed),
    ),
)
