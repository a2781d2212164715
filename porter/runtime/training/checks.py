"""What a trainer is given, looked at before anything compiles: config, dataset, checkpoints.

Each check says what is wrong in one sentence on stderr that names the file, and ends the process with status 2.
"""

import argparse
import inspect
import itertools
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeVar

import torch

from .dataset import FEATURES, SOUNDS, SPEAKERS, WITH_SPEAKERS, Clip, DatasetError, Reading, read_clips
from .files import settle
from .plan import folder_of
from .sounds import NEEDED, Wave, is_direct, read_header

T = TypeVar("T")

_READ_AT_MOST = 4 << 30  # bytes of feature files that are looked through for NaN; what is beyond is not
_SHOWN = 3  # names in a sentence
_CHANNELS, _SPEAKER = 768, 20480  # of features, and of those of a speaker
_APART = range(-3, 2)  # frames that features may have more than their sound: what upstream pads, and lets pass
_TRIED = 32  # clips that are read to see whether they can be
_SLACK = 1  # frames that a file's header is counted as


def _stop(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


# --- the config file ------------------------------------------------------------------------------


def read_config(read: Callable[[], T], keys: Sequence[str], numbers: Sequence[str] = ()) -> T:
    """What `read()` makes of the config file, with all of `keys` ("train.seed") in it.

    Stops where the file cannot be read, is no JSON, lacks a key, or has a text where one of `numbers` should be.
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
    check_config(config, keys, numbers)
    return config


def check_config(hps: object, keys: Sequence[str], numbers: Sequence[str] = ()) -> None:
    """Stop where `hps` lacks one of `keys`, each a chain of attributes such as "train.seed".

    And where one of `numbers` is a text, or a list with a text in it; they need not be there.
    """
    missing = [key for key in keys if _value(hps, key) is _NOTHING]
    if missing:
        more = f" (and {len(missing) - _SHOWN} more)" if len(missing) > _SHOWN else ""
        listed = ", ".join(map(repr, missing[:_SHOWN]))
        _stop(f"{_config_name()} lacks the key{'s' if len(missing) > 1 else ''} {listed}{more}")

    for key in numbers:
        text = _text_in(_value(hps, key))
        if text is not None:
            advice = ": write it without quotes" if _is_number(text) else ""
            _stop(f"{_config_name()} has the text {text!r} for {key}, where a number is meant{advice}")


_NOTHING = object()


def _value(value: object, key: str) -> object:
    """What a chain of attributes or keys leads to; `_NOTHING` where it does not."""
    for name in key.split("."):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif hasattr(value, name):
            value = getattr(value, name)
        else:
            return _NOTHING
    return value


def _text_in(value: object) -> str | None:
    """A value that is a text, or the first text of a list."""
    found = value if isinstance(value, (list, tuple)) else (value,)
    return next((item for item in found if isinstance(item, str)), None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
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

    That is: a file or folder is missing, no clip is left, a clip has some of its files but not all, a sound has no
    samples or more than its size tells, or cannot be read without ffmpeg, which is not there, a feature file cannot be
    loaded or is not as long as its sound, or one of them holds NaN or infinity (of sounds only WAV files of
    floating-point samples can). Clips that upstream leaves out on purpose are told in a line for each reason.
    Feature files are loaded once each, 4 GiB of them at most.
    """
    reading = _whole(data, version)
    folder = reading.folder
    sounds = {clip.name: _check_sound(folder / SOUNDS / clip.name, clip, data) for clip in reading.clips}
    shorter = [c.name for c in reading.clips if (frames := sounds[c.name]) is not None and frames < c.frames - _SLACK]
    left = _check_features(folder, sounds, with_speakers=version in WITH_SPEAKERS)
    for reason, names in reading.left_out.items():
        _note(f"upstream leaves out {names[0]}{_more(names)} {reason}")
    if shorter:
        _note(
            f"{folder / SOUNDS / shorter[0]}{_more(shorter)} has fewer frames than upstream counts by its size: "
            "its batches are padded more than they need be"
        )
    if left < 0:
        _note(f"{folder} has more than {_READ_AT_MOST >> 30} GiB of features: the rest was not looked at")


def _whole(data: Any, version: str | None) -> Reading:
    """The dataset, no clip of which has some of its files but not all."""
    try:
        reading = read_clips(data.exp_dir, data.hop_length, data.sampling_rate, version, _unknown(version))
        reading.refuse_missing()
    except DatasetError as error:
        _stop(str(error))
    for name in reading.soundless:
        if (reading.folder / FEATURES / f"{name}.pt").exists():
            _stop(f"{reading.folder / SOUNDS / name} is missing, though {FEATURES}/{name}.pt is there")
    return reading


def _check_features(folder: Path, sounds: Mapping[str, int | None], *, with_speakers: bool) -> int:
    """Load the features of clips, by name with their sounds' frames; how many bytes more could be, below 0 if some
    were not.
    """
    left = _READ_AT_MOST
    for name, frames in sounds.items():
        for part in [FEATURES, SPEAKERS] if with_speakers else [FEATURES]:
            path = folder / part / f"{name}.pt"
            left -= path.stat().st_size
            if left >= 0:
                value = _feature(path)
                if part == SPEAKERS:
                    _check_speaker(path, value)
                else:
                    _check_frames(path, value, frames)
    return left


def check_sample(dataset: Any, read: Callable[[str], Any]) -> None:
    """Stop where a clip of a loader cannot be read by its own function, or has more frames than it counts.

    `read` takes the path of a sound and gives its spectrogram, [bins, frames], first. It is tried on the first clip,
    and on some of those that are no WAV files.
    """
    folder = folder_of(dataset)
    entries = getattr(dataset, "audiopaths_sid_text", None)
    if folder is None or not isinstance(entries, list) or not entries:
        return
    counted = {str(entry[0]): frames for entry, frames in zip(entries, dataset.lengths, strict=True)}
    first, *rest = ((folder / SOUNDS / name, frames) for name, frames in counted.items())
    others = (clip for clip in rest if read_header(clip[0]) is None)
    for path, frames in (first, *itertools.islice(others, _TRIED)):
        _try_clip(path, frames, dataset.sampling_rate, read)


def _try_clip(path: Path, counted: int, rate: int, read: Callable[[str], Any]) -> None:
    try:
        found = read(str(path))
    except Exception as error:  # whatever the loader makes of a file, or of a command that is missing
        told = _first_line(error)
        _stop(told if str(path) in told else f"{path} cannot be read: {told}")
    frames = found[0].shape[-1]
    if frames > counted + _SLACK:
        _stop(_longer(path, frames, counted, rate))


def _unknown(version: str | None) -> Callable[[Sequence[str]], str | None] | None:
    """What tells phones that upstream's own table lacks, where its module of texts is loaded."""
    loaded = (module for name, module in sorted(sys.modules.items()) if name.rpartition(".")[2] == "text")
    convert = next((found for module in loaded if (found := getattr(module, "cleaned_text_to_sequence", None))), None)
    if convert is None:
        return None
    given = (version,) if len(inspect.signature(convert).parameters) > 1 else ()
    known: dict[str, bool] = {}

    def is_known(phone: str) -> bool:
        try:
            convert([phone], *given)
        except Exception:  # upstream's loader goes on without the clip, whatever it is
            return False
        return True

    def unknown(phones: Sequence[str]) -> str | None:
        for phone in phones:
            if phone not in known:
                known[phone] = is_known(phone)
            if not known[phone]:
                return phone
        return None

    return unknown


def _note(sentence: str) -> None:
    print(f"note: {sentence}", file=sys.stderr)


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _feature(path: Path) -> torch.Tensor:
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a torn file raises whatever the bytes that are left lead to
        _stop(f"{path} cannot be loaded: {_first_line(error)}")
    if not isinstance(value, torch.Tensor) or value.numel() == 0:
        _stop(f"{path} holds no tensor of features")
    if not bool(torch.isfinite(value).all()):
        _stop(f"{path} holds NaN or infinity")
    return value


def _check_frames(path: Path, value: torch.Tensor, frames: int | None) -> None:
    """Stop where features are not those of a sound of so many frames."""
    if value.dim() != 3 or tuple(value.shape[:2]) != (1, _CHANNELS):
        _stop(f"{path} has the shape {list(value.shape)}, where features are [1, {_CHANNELS}, frames]")
    if frames is not None and value.shape[-1] - frames not in _APART:
        _stop(f"{path} has {value.shape[-1]} frames and its sound has {frames}: they are not of the same clip")


def _check_speaker(path: Path, value: torch.Tensor) -> None:
    if value.numel() != _SPEAKER:
        _stop(f"{path} has the shape {list(value.shape)}, where features of a speaker are [1, {_SPEAKER}]")


def _check_sound(path: Path, clip: Clip, data: Any) -> int | None:
    """The frames of a sound; None where its header does not tell."""
    rate = data.sampling_rate
    wave = _sounding(path)
    if not is_direct(wave, rate) and shutil.which("ffmpeg") is None:
        kind = f"a WAV file of {wave.told()}" if wave is not None else "no WAV file"
        _stop(f"{path} is {kind}: {NEEDED}, or write it as {rate} Hz, mono, 16 bits, as upstream's tools do")
    if wave is None or not wave.is_linear:
        return None
    frames = int(wave.samples * rate / wave.rate // data.hop_length)
    if frames > clip.frames + _SLACK:
        _stop(_longer(path, frames, clip.frames, rate))
    return frames


def _sounding(path: Path) -> Wave | None:
    """The header of a sound, None for no WAV file; stops where it is seen to hold no samples, or some that are none."""
    try:
        wave = read_header(path)
        if not wave.samples if wave is not None else _is_riff(path):
            _stop(f"{path} holds no sound: there is nothing behind its header")
        if wave is not None and _holds_nan(path, wave):
            _stop(f"{path} holds NaN or infinity")
    except OSError as error:
        _stop(f"{path} cannot be read: {error.strerror or error}")
    return wave


def _is_riff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"RIFF", b"RF64")


def _longer(path: Path, frames: int, counted: int, rate: int) -> str:
    return (
        f"{path} has {frames} frames, and upstream counts {counted} by its size: "
        f"write it as {rate} Hz, mono, 16 bits, as upstream's tools do"
    )


def _holds_nan(path: Path, wave: Wave) -> bool:
    """Whether a file of floating-point samples has one that is not finite."""
    kinds = {32: torch.float32, 64: torch.float64}
    if not wave.is_floating or wave.bits not in kinds:
        return False
    with path.open("rb") as file:
        file.seek(wave.start)
        samples = bytearray(file.read(wave.bytes // (wave.bits // 8) * (wave.bits // 8)))
    return not bool(torch.isfinite(torch.frombuffer(samples, dtype=kinds[wave.bits])).all())


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
    _refuse_parts(_parts(saved), _parts(wanted), path)
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


def exists(path: Any, key: str) -> bool:
    """Whether there is a file of weights to begin with: False for none named ("" or None) by `key` of the config.

    Stops where one is named and is not there.
    """
    if path in ("", None):
        return False
    if not Path(path).exists():
        _stop(f"{_config_name()} names {path} for {key}, and there is no such file: leave it empty to begin without")
    return True


def paired(folder: str, patterns: Sequence[str]) -> None:
    """Stop where the newest checkpoints of several networks in a folder, by a pattern such as `G_*.pth` for each, are
    not of one step: to resume from them would mix two states of a training.
    """
    settle(folder)
    newest = {pattern: _newest(Path(folder), pattern) for pattern in patterns}
    last = max(newest.values(), default=_NONE)
    lacking = [pattern for pattern, step in newest.items() if step != last]
    if lacking:
        there = next(pattern for pattern, step in newest.items() if step == last)
        alone, other = (Path(folder, pattern.replace("*", str(last))) for pattern in (there, lacking[0]))
        before = "the pair before it" if newest[lacking[0]] != _NONE else "the beginning"
        _stop(f"{alone} has no {other.name} beside it: put that there, or move it away to train from {before}")


_NONE = -1  # below the step of any checkpoint


def _newest(folder: Path, pattern: str) -> int:
    """The highest number that files have in the place of the star of a pattern."""
    first, _, last = pattern.partition("*")
    names = (path.name.removeprefix(first).removesuffix(last) for path in folder.glob(pattern))
    return max((int(name) for name in names if name.isdecimal()), default=_NONE)


def _refuse_shapes(saved: Mapping[str, Any], wanted: Mapping[str, torch.Tensor], path: Any) -> None:
    for name, tensor in wanted.items():
        if name in saved and getattr(saved[name], "shape", None) != tensor.shape:
            there = tuple(getattr(saved[name], "shape", ()))
            _stop(
                f"{path} is a checkpoint of another version: "
                f"{name} has the shape {there} there and {tuple(tensor.shape)} in the network"
            )


def _refuse_parts(saved: Set[str], wanted: Set[str], path: Any) -> None:
    extra, lacking = saved - wanted, wanted - saved
    if (extra and lacking) or not saved & wanted:
        _stop(
            f"{path} is a checkpoint of another version: "
            f"it has {_listed(extra) or 'nothing else'}, and lacks {_listed(lacking) or 'nothing'}"
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
