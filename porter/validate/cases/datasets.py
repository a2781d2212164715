"""What a port's trainers say of the folder that they are to train on: what upstream leaves out, and what stops them."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from porter.validate.cases.base import host_case
from porter.validate.cases.known import Call, calling_known

_RATE, _HOP, _FRAMES = 32000, 640, 36
_SAMPLES = _FRAMES * _HOP
_PCM, _FLOAT = 1, 3
_CHANNELS, _SPEAKER = 768, 20480
_CLIPS = ("a.wav", "b.wav", "c.wav")
_LIST, _FEATURES, _SOUNDS, _SPEAKERS = "2-name2text.txt", "4-cnhubert", "5-wav32k", "7-sv_cn"
_HEADER = 44  # bytes before the samples
Change = Callable[[Path], object]

_NEEDED = "install ffmpeg, so that the command `ffmpeg` is found on PATH"
_ADVICE = "write it as 32000 Hz, mono, 16 bits, as upstream's tools do"
_SOUND = f"HERE/{_SOUNDS}/b.wav"
_FEATURE = f"HERE/{_FEATURES}/b.wav.pt"


def _wav(
    samples: bytes, kind: int = _PCM, channels: int = 1, rate: int = _RATE, bits: int = 16, more: int = 0
) -> bytes:
    """A WAV file; `more`: bytes of a chunk after the samples, a multiple of 2, 0 for none."""
    together = channels * bits // 8
    layout = struct.pack("<HHIIHH", kind, channels, rate, rate * together, together, bits)
    chunks = [(b"fmt ", layout), (b"data", samples), *([(b"tags", bytes(more - 8))] if more else [])]
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(data)) + data for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _lay_out(folder: Path) -> None:
    """A folder of three clips as upstream's tools leave it."""
    for name in (_FEATURES, _SOUNDS, _SPEAKERS):
        (folder / name).mkdir()
    for name in _CLIPS:
        (folder / _SOUNDS / name).write_bytes(_wav(bytes(2 * _SAMPLES)))
        torch.save(torch.zeros(1, _CHANNELS, _FRAMES), folder / _FEATURES / f"{name}.pt")
        torch.save(torch.zeros(1, _SPEAKER), folder / _SPEAKERS / f"{name}.pt")
    (folder / _LIST).write_text("".join(_line(name) for name in _CLIPS), encoding="utf-8")


def _line(name: str, phones: str = "AA B") -> str:
    return f"{name}\t{phones}\t[2]\ttext\n"


def _checked(
    *changes: Change, version: str | None = "v2", ffmpeg: bool = False, phones: Callable[..., object] | None = None
) -> Callable[[Any, Path], object]:
    """Look at a folder that was changed so, where there is ffmpeg or not, beside a table of phones or none."""

    def run(checks: Any, folder: Path) -> object:
        _lay_out(folder)
        for change in changes:
            change(folder)
        commands = folder / "commands"
        commands.mkdir()
        if ffmpeg:
            (commands / "ffmpeg").touch(0o755)
        data = SimpleNamespace(exp_dir=str(folder), hop_length=_HOP, sampling_rate=_RATE)
        with ExitStack() as stack:
            stack.enter_context(patch.dict(os.environ, {"PATH": str(commands)}))
            known = {"A.text": SimpleNamespace(cleaned_text_to_sequence=phones)}  # which comes before any other
            stack.enter_context(patch.dict(sys.modules, known))
            return checks.check_dataset(data, version)

    return run


def _lines(*lines: str) -> Change:
    return lambda folder: (folder / _LIST).write_text("".join(lines), encoding="utf-8")


def _raw(name: str, content: bytes, size: int = 0) -> Change:
    """A file with this content, made as long as `size` by a hole, which takes no room."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)
        if size:
            os.truncate(folder / name, size)

    return change


def _sound(content: bytes, name: str = "b.wav", size: int = 0) -> Change:
    return _raw(f"{_SOUNDS}/{name}", content, size)


def _gone(*names: str) -> Change:
    """Files, or folders, that are not there."""

    def change(folder: Path) -> None:
        for name in names:
            (folder / name).rename(folder / f"gone {name.replace('/', ' ')}")

    return change


def _tensor(value: object, name: str = f"{_FEATURES}/b.wav.pt") -> Change:
    return lambda folder: torch.save(value, folder / name)


def _frames(count: int, name: str = "b.wav") -> Change:
    return _tensor(torch.zeros(1, _CHANNELS, count), f"{_FEATURES}/{name}.pt")


def _with_nan(*shape: int) -> Tensor:
    value = torch.zeros(*shape)
    value.view(-1)[-1] = torch.nan
    return value


def _floats(kind: torch.dtype, last: float = 0.0, cut: int = 0) -> bytes:
    """A file of floating-point samples with this one at the end, and then some bytes less."""
    samples = torch.zeros(_SAMPLES, dtype=kind)
    samples[-1] = last
    raw = samples.numpy().tobytes()
    return _wav(raw[: len(raw) - cut], _FLOAT, bits=samples.element_size() * 8)


def _as_folder(name: str) -> Change:
    return lambda folder: (folder / name).mkdir()


def _as_file(name: str) -> Change:
    return lambda folder: (folder / name).touch()


def _symbols(phones: Sequence[str], version: str) -> list[int]:
    """A table of two versions, of which one lacks a phone."""
    return [{"AA": 1, **({"B": 2} if version == "v2" else {})}[phone] for phone in phones]


def _one_table(phones: Sequence[str]) -> list[int]:
    return [{"AA": 1}[phone] for phone in phones]


def _note(what: str) -> str:
    return f"note: upstream leaves out {what}"


def _bytes_of(seconds: float) -> int:
    return int(seconds * _RATE * 2)


_BRIEF = _wav(bytes(_bytes_of(0.6) - _HEADER))
_READ_AT_MOST = 4 << 30

_FOLDERS = {
    "whole": Call(_checked()),
    "whole, of any version": Call(_checked(version=None)),
    "whole, with speakers": Call(_checked(version="v2Pro")),
    "whole, with wide speakers": Call(_checked(version="v2ProPlus")),
    "no speakers where none are asked for": Call(_checked(_gone(_SPEAKERS))),
    "known phones": Call(_checked(phones=_symbols)),
    "no folder": Call(
        lambda checks, folder: checks.check_dataset(
            SimpleNamespace(exp_dir=str(folder / "absent"), hop_length=_HOP, sampling_rate=_RATE)
        ),
        "there is no dataset folder HERE/absent",
    ),
    "no list": Call(_checked(_gone(_LIST)), f"there is no HERE/{_LIST}"),
    "no file of a list": Call(
        _checked(_gone(_LIST), _as_folder(_LIST)), f"HERE/{_LIST} cannot be read: Is a directory"
    ),
    "no UTF-8": Call(_checked(_raw(_LIST, b"a.wav\xff")), f"HERE/{_LIST} is not UTF-8: byte 5 cannot be decoded"),
    "byte order mark": Call(
        _checked(_lines("\ufeff", *map(_line, _CLIPS))),
        f"HERE/{_LIST} begins with a byte order mark, which upstream takes for a part of the first clip's name: "
        "save it as UTF-8 without one",
    ),
    "other line breaks": Call(
        _checked(_raw(_LIST, f"{_line('a.wav')}{_line('b.wav')}{_line('c.wav')}".replace("\n", "\r\n").encode()))
    ),
    "no folder of sounds": Call(_checked(_gone(_SOUNDS)), f"there is no folder HERE/{_SOUNDS}"),
    "a file of sounds": Call(
        _checked(_gone(_SOUNDS), _as_file(_SOUNDS)), f"HERE/{_SOUNDS} cannot be read: Not a directory"
    ),
    "no folder of features": Call(_checked(_gone(_FEATURES)), f"there is no folder HERE/{_FEATURES}"),
    "no folder of speakers": Call(_checked(_gone(_SPEAKERS), version="v2Pro"), f"there is no folder HERE/{_SPEAKERS}"),
    "a loop": Call(
        _checked(_gone(f"{_SOUNDS}/b.wav"), lambda folder: (folder / _SOUNDS / "b.wav").symlink_to("b.wav")),
        f"{_SOUND} cannot be read: Too many levels of symbolic links",
    ),
}

_LEFT_OUT = {
    "no feature": Call(
        _checked(_gone(f"{_FEATURES}/b.wav.pt")),
        f"{_FEATURE} is missing: upstream would leave its clip out without a word",
    ),
    "no features": Call(
        _checked(*(_gone(f"{_FEATURES}/{name}.pt") for name in _CLIPS)),
        f"HERE/{_FEATURES}/a.wav.pt is missing (and 2 more): upstream would leave its clip out without a word",
    ),
    "no speaker": Call(
        _checked(_gone(f"{_SPEAKERS}/c.wav.pt"), version="v2ProPlus"),
        f"HERE/{_SPEAKERS}/c.wav.pt is missing: upstream would leave its clip out without a word",
    ),
    "features of no sound": Call(
        _checked(_gone(f"{_SOUNDS}/b.wav")), f"{_SOUND} is missing, though {_FEATURES}/b.wav.pt is there"
    ),
    "no sound": Call(
        _checked(_gone(f"{_SOUNDS}/b.wav", f"{_FEATURES}/b.wav.pt")),
        _note(f"b.wav in {_LIST} but not in {_SOUNDS}"),
        goes_on=True,
    ),
    "no text": Call(
        _checked(_lines(_line("a.wav"))), _note(f"b.wav (and 1 more) in {_SOUNDS} but not in {_LIST}"), goes_on=True
    ),
    "columns": Call(
        _checked(_lines(_line("a.wav"), "b.wav\tAA\t[1]\n", "c.wav\n", "\n")),
        f"{_note(f'b.wav with 3 columns in {_LIST}, not 4')}\n{_note(f'c.wav with 1 column in {_LIST}, not 4')}\n"
        f"{_note(f' with 1 column in {_LIST}, not 4')}".rpartition("\n")[0],
        goes_on=True,
    ),
    "a phone less": Call(
        _checked(_lines(_line("a.wav"), _line("b.wav", "AA  B"), _line("c.wav"))),
        _note("b.wav without a phone where one should be"),
        goes_on=True,
    ),
    "unknown phones": Call(
        _checked(_lines(_line("a.wav"), _line("b.wav", "AA X Y"), _line("c.wav", "X")), phones=_symbols),
        _note("b.wav (and 1 more) with the phone 'X', which upstream's table of symbols lacks"),
        goes_on=True,
    ),
    "unknown of a version": Call(
        _checked(_lines(_line("a.wav", "AA"), _line("b.wav"), _line("c.wav", "AA")), phones=_symbols, version="v1"),
        _note("b.wav with the phone 'B', which upstream's table of symbols lacks"),
        goes_on=True,
    ),
    "unknown of the only table": Call(
        _checked(_lines(_line("a.wav", "AA"), _line("b.wav"), _line("c.wav", "AA")), phones=_one_table),
        _note("b.wav with the phone 'B', which upstream's table of symbols lacks"),
        goes_on=True,
    ),
    "brief": Call(_checked(_sound(_BRIEF)), _note("b.wav of 0.6 s or less"), goes_on=True),
    "hardly long enough": Call(_checked(_sound(_BRIEF + bytes(2)), _frames(29), ffmpeg=True)),
    "lengthy": Call(_checked(_sound(b"", size=_bytes_of(54.0))), _note("b.wav of 54 s or more"), goes_on=True),
    "none": Call(
        _checked(*(_sound(_BRIEF, name) for name in _CLIPS)), "HERE has no clip to train on: 3 of 0.6 s or less"
    ),
    "none for several reasons": Call(
        _checked(_lines("b.wav\n"), _sound(_BRIEF, "c.wav")),
        f"HERE has no clip to train on: 1 with 1 column in {_LIST}, not 4, 2 in {_SOUNDS} but not in {_LIST}",
    ),
    "none at all": Call(
        _checked(_lines(), *(_gone(f"{_SOUNDS}/{name}") for name in _CLIPS)),
        f"HERE has no clip to train on: {_LIST} and {_SOUNDS} have no name in common",
    ),
}

_OF_SOUNDS = {
    "no sound behind a header": Call(
        _checked(_sound(b"RIFF" + bytes(2 * _SAMPLES))), f"{_SOUND} holds no sound: there is nothing behind its header"
    ),
    "nor behind a large one": Call(
        _checked(_sound(b"RF64" + bytes(2 * _SAMPLES))), f"{_SOUND} holds no sound: there is nothing behind its header"
    ),
    "no samples": Call(
        _checked(_sound(_wav(b"") + bytes(2 * _SAMPLES))),
        f"{_SOUND} holds no sound: there is nothing behind its header",
    ),
    "another kind": Call(
        _checked(_sound(b"OggS" + bytes(2 * _SAMPLES))), f"{_SOUND} is no WAV file: {_NEEDED}, or {_ADVICE}"
    ),
    "another kind, with ffmpeg": Call(_checked(_sound(b"OggS" + bytes(2 * _SAMPLES)), ffmpeg=True)),
    "stereo": Call(
        _checked(_sound(_wav(bytes(2 * _SAMPLES), channels=2))),
        f"{_SOUND} is a WAV file of 32000 Hz, stereo, 16 bits, PCM: {_NEEDED}, or {_ADVICE}",
    ),
    "half the rate": Call(
        _checked(_sound(_wav(bytes(2 * _SAMPLES), rate=_RATE // 2)), ffmpeg=True),
        f"{_SOUND} has 72 frames, and upstream counts 36 by its size: {_ADVICE}",
    ),
    "a frame longer": Call(_checked(_sound(_wav(bytes(2 * _SAMPLES), rate=31100)), ffmpeg=True)),
    "two frames longer": Call(
        _checked(_sound(_wav(bytes(2 * _SAMPLES), rate=30300)), ffmpeg=True),
        f"{_SOUND} has 38 frames, and upstream counts 36 by its size: {_ADVICE}",
    ),
    "a frame shorter": Call(_checked(_sound(_wav(bytes(2 * _SAMPLES), more=2 * _HOP)), ffmpeg=True)),
    "two frames shorter": Call(
        _checked(_sound(_wav(bytes(2 * _SAMPLES), more=4 * _HOP)), ffmpeg=True),
        f"note: {_SOUND} has fewer frames than upstream counts by its size: its batches are padded more than they need"
        " be",
        goes_on=True,
    ),
    "floats": Call(
        _checked(_sound(_floats(torch.float32)), _sound(_floats(torch.float32), "c.wav")),
        f"note: {_SOUND} (and 1 more) has fewer frames than upstream counts by its size: its batches are padded more "
        "than they need be",
        goes_on=True,
    ),
    **{
        f"{kind} {last}": Call(_checked(_sound(_floats(kind, last))), f"{_SOUND} holds NaN or infinity")
        for kind in (torch.float32, torch.float64)
        for last in (torch.nan, torch.inf)
    },
    "half of the last": Call(
        _checked(_sound(_floats(torch.float32, torch.nan, cut=2)), ffmpeg=True),
        f"note: {_SOUND} has fewer frames than upstream counts by its size: its batches are padded more than they need"
        " be",
        goes_on=True,
    ),
    "large integers": Call(_checked(_sound(_wav(b"\0\0\xc0\x7f" * (_SAMPLES // 2))))),
}

_OF_FEATURES = {
    "a torn file": Call(_checked(_raw(f"{_FEATURES}/b.wav.pt", b"torn")), f"{_FEATURE} cannot be loaded: …"),
    "no tensor": Call(_checked(_tensor([1.0])), f"{_FEATURE} holds no tensor of features"),
    "an empty tensor": Call(_checked(_tensor(torch.zeros(1, _CHANNELS, 0))), f"{_FEATURE} holds no tensor of features"),
    "NaN": Call(_checked(_tensor(_with_nan(1, _CHANNELS, _FRAMES))), f"{_FEATURE} holds NaN or infinity"),
    "NaN of a speaker": Call(
        _checked(_tensor(_with_nan(1, _SPEAKER), f"{_SPEAKERS}/b.wav.pt"), version="v2Pro"),
        f"HERE/{_SPEAKERS}/b.wav.pt holds NaN or infinity",
    ),
    **{
        f"a shape {list(shape)}": Call(
            _checked(_tensor(torch.zeros(shape))),
            f"{_FEATURE} has the shape {list(shape)}, where features are [1, 768, frames]",
        )
        for shape in ((_CHANNELS, _FRAMES), (1, _CHANNELS - 1, _FRAMES), (2, _CHANNELS, _FRAMES))
    },
    "few frames": Call(_checked(_frames(33))),
    "too few frames": Call(
        _checked(_frames(32)), f"{_FEATURE} has 32 frames and its sound has 36: they are not of the same clip"
    ),
    "many frames": Call(_checked(_frames(37))),
    "too many frames": Call(
        _checked(_frames(38)), f"{_FEATURE} has 38 frames and its sound has 36: they are not of the same clip"
    ),
    "a narrow speaker": Call(
        _checked(_tensor(torch.zeros(1, 192), f"{_SPEAKERS}/b.wav.pt"), version="v2Pro"),
        f"HERE/{_SPEAKERS}/b.wav.pt has the shape [1, 192], where features of a speaker are [1, 20480]",
    ),
    "a flat speaker": Call(
        _checked(_tensor(torch.zeros(_SPEAKER), f"{_SPEAKERS}/b.wav.pt"), version="v2Pro"),
    ),
    "too many to look at": Call(
        _checked(_raw(f"{_FEATURES}/b.wav.pt", b"", _READ_AT_MOST)),
        "note: HERE has more than 4 GiB of features: the rest was not looked at",
        goes_on=True,
    ),
}


def _sampled(
    read: Callable[[str], Any], lengths: Sequence[int] = (36, 36, 36), **attributes: Any
) -> Callable[[Any, Path], object]:
    """Let a loader of such lengths read its clips, of which two are no WAV files."""

    def run(checks: Any, folder: Path) -> object:
        _lay_out(folder)
        for name in ("b.wav", "c.wav"):
            (folder / _SOUNDS / name).write_bytes(b"OggS")
        names = [[name, [1, 2]] for name in _CLIPS]
        told = {"path": str(folder / _LIST), "audiopaths_sid_text": names, "lengths": list(lengths), **attributes}
        asked: list[str] = []

        def noting(path: str) -> Any:
            asked.append(Path(path).relative_to(folder).as_posix())
            return read(path)

        checks.check_sample(SimpleNamespace(sampling_rate=_RATE, **told), noting)
        return asked

    return run


def _spectrum(frames: int, of: str = "wav") -> Callable[[str], Any]:
    return lambda path: (torch.zeros(5, frames if path.endswith(of) else 36), None)


def _failing(error: Callable[[str], Exception]) -> Callable[[str], Any]:
    def read(path: str) -> Any:
        raise error(path)

    return read


_READ = [f"{_SOUNDS}/{name}" for name in _CLIPS]
_SAMPLED = {
    "read": Call(_sampled(_spectrum(36)), gives=_READ),
    "a frame more": Call(_sampled(_spectrum(37)), gives=_READ),
    "two frames more": Call(
        _sampled(_spectrum(38)),
        f"HERE/{_SOUNDS}/a.wav has 38 frames, and upstream counts 36 by its size: {_ADVICE}",
    ),
    "frames of another": Call(
        _sampled(_spectrum(38, "c.wav")),
        f"HERE/{_SOUNDS}/c.wav has 38 frames, and upstream counts 36 by its size: {_ADVICE}",
    ),
    "an error": Call(
        _sampled(_failing(lambda path: ValueError("no sound\nat all"))),
        f"HERE/{_SOUNDS}/a.wav cannot be read: no sound",
    ),
    "an error that names the file": Call(
        _sampled(_failing(lambda path: ValueError(f"{path} is odd"))), f"HERE/{_SOUNDS}/a.wav is odd"
    ),
    "an error without words": Call(
        _sampled(_failing(lambda path: OSError())), f"HERE/{_SOUNDS}/a.wav cannot be read: OSError"
    ),
    "no clips": Call(_sampled(_spectrum(99), audiopaths_sid_text=[], lengths=[]), gives=[]),
    "other clips": Call(_sampled(_spectrum(99), audiopaths_sid_text=None), gives=[]),
    "no folder": Call(_sampled(_spectrum(99), path="elsewhere"), gives=[]),
}

CASES = (
    host_case(
        "files.datasets",
        calling_known("training.checks", {**_FOLDERS, **_LEFT_OUT, **_OF_SOUNDS, **_OF_FEATURES, **_SAMPLED}),
    ),
)
