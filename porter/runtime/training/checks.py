"""What a trainer is given, looked at before anything compiles: config, dataset, checkpoints.

Each check says what is wrong in one sentence on stderr that names the file, and ends the process with status 2.
"""

import argparse
import json
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeVar

import torch

from .dataset import FEATURES, SOUNDS, SPEAKERS, WITH_SPEAKERS, DatasetError, read_clips

T = TypeVar("T")

_READ_AT_MOST = 4 << 30  # bytes of feature files that are looked through for NaN; what is beyond is not
_SHOWN = 3  # names in a sentence


def _stop(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


# --- the config file ------------------------------------------------------------------------------


def read_config(read: Callable[[], T], keys: Sequence[str]) -> T:
    """What `read()` makes of the config file, with all of `keys` ("train.seed") in it.

    Stops where the file cannot be read, is no JSON, or lacks a key.
    """
    try:
        config = read()
    except OSError as error:
        _stop(f"{error.filename or _config_name()} cannot be read: {error.strerror or error}")
    except json.JSONDecodeError as error:
        _stop(f"{_config_name()} is not valid JSON: {error}")
    except UnicodeDecodeError as error:
        _stop(f"{_config_name()} is not UTF-8: byte {error.start} cannot be decoded")
    except AttributeError as error:
        if isinstance(error.obj, (ModuleType, type)) or error.name is None:
            raise
        _stop(f"{_config_name()} lacks the key {error.name!r}")
    except KeyError as error:
        _stop(f"{_config_name()} lacks the key {error}")
    check_config(config, keys)
    return config


def check_config(hps: object, keys: Sequence[str]) -> None:
    """Stop where `hps` lacks one of `keys`, each a chain of attributes such as "train.seed"."""
    missing = [key for key in keys if not _has(hps, key.split("."))]
    if missing:
        more = f" (and {len(missing) - _SHOWN} more)" if len(missing) > _SHOWN else ""
        listed = ", ".join(map(repr, missing[:_SHOWN]))
        _stop(f"{_config_name()} lacks the key{'s' if len(missing) > 1 else ''} {listed}{more}")


def _has(value: object, names: Sequence[str]) -> bool:
    for name in names:
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif hasattr(value, name):
            value = getattr(value, name)
        else:
            return False
    return True


def _config_name() -> str:
    """The config file on the command line, or what there is to call it."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("-c", "--config")
    try:
        named: str | None = parser.parse_known_args()[0].config
    except (argparse.ArgumentError, SystemExit):
        named = None
    return named or "the config file"


# --- the dataset ----------------------------------------------------------------------------------


def check_dataset(data: Any, version: str | None = None) -> None:
    """Stop where the folder `data.exp_dir` cannot be trained on as its tools wrote it.

    That is: a file or folder is missing, no clip is left, a clip has some of its files but not all, a feature file
    cannot be loaded or holds NaN or infinity, or audio does (only WAV files of floating-point samples can). Clips that
    have no file at all but are in the list of texts were left out when the dataset was prepared, and that is fine.
    Feature files are loaded once each, 4 GiB of them at most.
    """
    try:
        reading = read_clips(data.exp_dir, data.hop_length, data.sampling_rate, version)
        reading.refuse_missing()
    except DatasetError as error:
        _stop(str(error))
    folder = Path(data.exp_dir)
    for name in reading.soundless:
        if (folder / FEATURES / f"{name}.pt").exists():
            _stop(f"{folder / SOUNDS / name} is missing, though {FEATURES}/{name}.pt is there")
    parts = [FEATURES, SPEAKERS] if version in WITH_SPEAKERS else [FEATURES]
    left = _READ_AT_MOST
    for clip in reading.clips:
        _check_sound(folder / SOUNDS / clip.name)
        for part in parts:
            path = folder / part / f"{clip.name}.pt"
            left -= path.stat().st_size
            if left >= 0:
                _check_feature(path)
    if left < 0:
        print(f"{folder} has more than {_READ_AT_MOST >> 30} GiB of features: the rest was not checked for NaN")


def _check_feature(path: Path) -> None:
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a torn file raises whatever the bytes that are left lead to
        _stop(f"{path} cannot be loaded: {_first_line(error)}")
    if not isinstance(value, torch.Tensor) or value.numel() == 0:
        _stop(f"{path} holds no tensor of features")
    if not bool(torch.isfinite(value).all()):
        _stop(f"{path} holds NaN or infinity")


def _check_sound(path: Path) -> None:
    """Look for NaN and infinity in a WAV file of floating-point samples; others cannot hold any."""
    try:
        with path.open("rb") as file:
            if file.read(4) not in (b"RIFF", b"RF64") or not file.read(8).endswith(b"WAVE"):
                return
            kind = bits = 0
            while len(head := file.read(8)) == 8:
                name, size = struct.unpack("<4sI", head)
                if name == b"fmt ":
                    layout = file.read(size)
                    kind, bits = struct.unpack_from("<H", layout)[0], struct.unpack_from("<H", layout, 14)[0]
                    if kind == 0xFFFE and size >= 26:  # extensible: the format is the first word of its GUID
                        kind = struct.unpack_from("<H", layout, 24)[0]
                elif name == b"data":
                    if kind != 3 or bits not in (32, 64):
                        return
                    samples = file.read(size)
                    whole = bytearray(samples[: len(samples) // (bits // 8) * (bits // 8)])
                    if not whole:
                        return
                    kinds = {32: torch.float32, 64: torch.float64}
                    if not bool(torch.isfinite(torch.frombuffer(whole, dtype=kinds[bits])).all()):
                        _stop(f"{path} holds NaN or infinity")
                    return
                else:
                    file.seek(size + size % 2, 1)
    except (OSError, struct.error) as error:
        _stop(f"{path} cannot be read: {error}")


# --- checkpoints ----------------------------------------------------------------------------------


def weights(network: torch.nn.Module, path: Any, key: str | None = None, *args: Any, **options: Any) -> Any:
    """The weights for `network` in the checkpoint at `path`, under `key`; the rest is given to `torch.load`.

    Stops where the file cannot be read as a checkpoint, and as `fitting` does.
    """
    return fitting(_load(path, *args, **options), network, path, key)


def _load(path: Any, *args: Any, **options: Any) -> Any:
    try:
        return torch.load(path, *args, **options)
    except Exception as error:  # a torn file raises whatever the bytes that are left lead to
        _stop(f"{path} cannot be read as a checkpoint: {_first_line(error)}")


def fitting(saved: Any, network: torch.nn.Module, path: Any, key: str | None = None) -> Any:
    """The weights that the checkpoint at `path` holds for `network`: `saved[key]`, or `saved` itself.

    Stops where there are none, where a tensor has another shape than the network's, and where both the file and the
    network have whole parts that the other lacks: that is a checkpoint of another version. Single parts may be missing
    on one side, as upstream allows.
    """
    if key is not None:
        if not isinstance(saved, Mapping) or key not in saved:
            _stop(f"{path} is no checkpoint of this kind: it has no {key!r}")
        saved = saved[key]
    if not isinstance(network, torch.nn.Module):
        return saved
    if not isinstance(saved, Mapping):
        _stop(f"{path} is no checkpoint of this kind: its weights are no dictionary")
    wanted = network.state_dict()
    _refuse_shapes(saved, wanted, path)
    extra = _parts(saved) - _parts(wanted)
    lacking = _parts(wanted) - _parts(saved)
    if not saved or (extra and lacking) or not _parts(wanted) & _parts(saved):
        _stop(
            f"{path} is a checkpoint of another version: "
            f"it has {_listed(extra) or 'nothing else'}, and lacks {_listed(lacking) or 'nothing'}"
        )
    return saved


def checked(path: T, network: torch.nn.Module, key: str = "model") -> T:
    """`path`, if the checkpoint there can be read and its weights, under `key`, are those of `network` in name and
    shape; stops otherwise.
    """
    saved = _load(path, map_location="cpu", weights_only=False)
    if not isinstance(saved, Mapping) or not isinstance(saved.get(key), Mapping):
        _stop(f"{path} is no checkpoint of this kind: it has no {key!r}")
    given = saved[key]
    inner = getattr(network, "module", None)  # of a network that is wrapped for its replicas
    wanted = (inner if isinstance(inner, torch.nn.Module) else network).state_dict()
    _refuse_shapes(given, wanted, path)
    for names, told in ((wanted.keys() - given.keys(), "lacks"), (given.keys() - wanted.keys(), "also has")):
        if names:
            _stop(f"{path} is a checkpoint of another version: it {told} {_listed(names)}")
    return path


def _refuse_shapes(saved: Mapping[str, Any], wanted: Mapping[str, torch.Tensor], path: Any) -> None:
    for name, tensor in wanted.items():
        if name in saved and getattr(saved[name], "shape", None) != tensor.shape:
            there = tuple(getattr(saved[name], "shape", ()))
            _stop(
                f"{path} is a checkpoint of another version: "
                f"{name} has the shape {there} there and {tuple(tensor.shape)} in the network"
            )


def _parts(names: Mapping[str, Any]) -> set[str]:
    """The top parts of a network that its tensors' names tell."""
    return {name.split(".")[0] for name in names}


def _listed(names: Any) -> str:
    ordered = sorted(names)
    more = f" (and {len(ordered) - _SHOWN} more)" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
