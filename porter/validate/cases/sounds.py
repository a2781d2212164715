"""Sound files as a port reads them without ffmpeg: headers and samples, beside what the judge wrote.

Upstream has ffmpeg read all files. What its side gives here is what the judge put into them.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Part, host_case
from porter.validate.cases.files import told
from porter.validate.cases.operations import TORCHS, runtime_module
from porter.validate.settings import Settings

_RATE = 32000
_PCM, _FLOAT, _LAW, _EXTENSIBLE = 1, 3, 7, 0xFFFE


@dataclass(frozen=True)
class _File:
    """A WAV file to write, and what is known of it."""

    words: str  # its format
    format: int = _PCM
    channels: int = 1
    rate: int = _RATE
    bits: int = 16
    direct: bool = False  # whether it can be read without ffmpeg
    lead: bytes = b""  # chunks before the samples
    leads: int = 1
    more: bytes = b""  # after them
    cut: int = 0  # bytes that are missing at the end
    magic: bytes = b"RIFF"
    inner: int = 0  # the format inside an extensible header
    wrong: int = 0  # added to the bytes of all channels together that the header tells
    linear: bool = True


_FILES = {
    "integers": _File("32000 Hz, mono, 16 bits, PCM", direct=True),
    "floats": _File("32000 Hz, mono, 32 bits, floating point", _FLOAT, bits=32, direct=True),
    "stereo": _File("32000 Hz, stereo, 16 bits, PCM", channels=2),
    "surround": _File("32000 Hz, 6 channels, 16 bits, PCM", channels=6),
    "another rate": _File("44100 Hz, mono, 16 bits, PCM", rate=44100),
    "no rate": _File("0 Hz, mono, 16 bits, PCM", rate=0, linear=False),
    "wide integers": _File("32000 Hz, mono, 32 bits, PCM", bits=32),
    "narrow integers": _File("32000 Hz, mono, 8 bits, PCM", bits=8),
    "wide floats": _File("32000 Hz, mono, 64 bits, floating point", _FLOAT, bits=64),
    "compressed": _File("32000 Hz, mono, 8 bits, compressed", _LAW, bits=8, linear=False),
    "extensible": _File("32000 Hz, mono, 16 bits, PCM", _EXTENSIBLE, inner=_PCM),
    "extensible floats": _File("32000 Hz, mono, 32 bits, floating point", _EXTENSIBLE, bits=32, inner=_FLOAT),
    "fact": _File("32000 Hz, mono, 32 bits, floating point", _FLOAT, bits=32, direct=True, lead=b"fact"),
    "listed": _File("32000 Hz, mono, 16 bits, PCM", lead=b"LIST"),
    "much listed": _File("32000 Hz, mono, 16 bits, PCM", lead=b"LIST", leads=62),  # 64 chunks are looked at
    "tagged": _File("32000 Hz, mono, 16 bits, PCM", more=b"tags"),
    "cut": _File("32000 Hz, mono, 16 bits, PCM", cut=6),
    "large": _File("32000 Hz, mono, 16 bits, PCM", magic=b"RF64"),
    "at odds": _File("32000 Hz, mono, 16 bits, PCM", wrong=1),
}
_NO_SOUND = {
    "empty": b"",
    "short": b"RIFF\x04\0\0\0",
    "another kind": b"OggS" + bytes(64),
    "no wave": b"RIFF\x40\0\0\0AVI " + bytes(64),
    **{
        label: magic
        + b"\x2c\0\0\0"
        + form
        + b"fmt \x10\0\0\0"
        + struct.pack("<HHIIHH", 1, 1, _RATE, 2 * _RATE, 2, 16)
        + b"data\x04\0\0\0"
        + bytes(4)
        for label, magic, form in (("another order", b"RIFX", b"WAVE"), ("another form", b"RIFF", b"AVI "))
    },
    "no samples": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 1, _RATE, 2 * _RATE, 2, 16),
    "no format": b"RIFF\x0c\0\0\0WAVEdata\x04\0\0\0" + bytes(4),
    "chunks without end": b"RIFF\x04\0\0\0WAVE"
    + b"LIST\0\0\0\0" * 63
    + b"fmt \x10\0\0\0"
    + struct.pack("<HHIIHH", 1, 1, _RATE, 2 * _RATE, 2, 16)
    + b"data\x04\0\0\0"
    + bytes(4),
    "cut in its format": b"RIFF\x24\0\0\0WAVEfmt \x28\0\0\0"
    + struct.pack("<HHIIHH", _EXTENSIBLE, 1, _RATE, 2 * _RATE, 2, 16)
    + bytes(4),
    "short format": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + bytes(8),
}


def _written(file: _File, data: bytes) -> bytes:
    """The file with these samples."""
    together = file.channels * file.bits // 8
    layout = struct.pack(
        "<HHIIHH", file.format, file.channels, file.rate, file.rate * together, together + file.wrong, file.bits
    )
    if file.format == _EXTENSIBLE:
        layout += struct.pack("<HHIH", 22, file.bits, 0, file.inner) + bytes(14)
    body = b"WAVE" + _chunk(b"fmt ", layout)
    if file.lead:
        body += _chunk(file.lead, bytes(5)) * file.leads  # of an odd length, and so with a byte behind it
    body += _chunk(b"data", data) + (_chunk(file.more, bytes(8)) if file.more else b"")
    whole = file.magic + struct.pack("<I", len(body)) + body
    return whole[: len(whole) - file.cut]


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _data(file: _File, numbers: Tensor) -> bytes:
    """Samples of a file."""
    if file.format == _FLOAT and file.bits == 32:
        return numbers.float().numpy().tobytes()
    return bytes((numbers.abs() * 100).to(torch.uint8).tolist())[: len(numbers) // 16 * 16] * (file.bits // 8)


def _inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"samples": torch.randn(settings.frames + 32, generator=generator)}


def _reading(ops: Any) -> Callable[[Path, _File, bytes], object]:
    """What is read of a file: by the port, or as the judge knows it."""
    if ops is TORCHS:
        return _known
    sounds = runtime_module(ops, "training.sounds")

    def read(path: Path, file: _File, data: bytes) -> object:
        wave = sounds.read_header(path)
        return {
            "words": wave.told(),
            "layout": list(wave[:4]),
            "start": wave.start,
            "bytes": wave.bytes,
            "samples": wave.samples,
            "linear": wave.is_linear,
            "floating": wave.is_floating,
            "direct": [sounds.is_direct(wave, rate) for rate in (_RATE, 2 * _RATE)],
            "decoded": _decoded(sounds, path),
        }

    return read


def _decoded(sounds: Any, path: Path) -> object:
    """Samples; where it takes ffmpeg, which is not there, the error."""
    with patch.dict(os.environ, {"PATH": ""}):
        found = _ending(sounds, path)
    return found if isinstance(found, str) else [torch.frombuffer(bytearray(found[0]), dtype=torch.float32), found[1]]


def _ending(sounds: Any, path: Path, rate: int = _RATE) -> str | list[bytes]:
    """What it takes from a file and what it says, or why it cannot."""
    try:
        return list(sounds.decoded(path, rate))
    except RuntimeError as error:
        return str(error).replace(str(path), "FILE")


def _stand_in(folder: Path, program: str) -> Any:
    """A command `ffmpeg` of these lines of the shell, alone on the path."""
    command = folder / "ffmpeg"
    command.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    command.chmod(0o755)
    return patch.dict(os.environ, {"PATH": str(folder)})


def _asking(ops: Any) -> Callable[[Path], object]:
    """What ffmpeg is asked for, and what becomes of what it says and of its failures."""
    if ops is TORCHS:
        options = "-nostdin -threads 0 -i FILE -f f32le -ac 1 -acodec pcm_f32le -ar 16000 -"
        return lambda path: {
            "gives": [f"{options}\n".encode(), b"a warning"],
            "fails": "ffmpeg cannot read FILE: why not",
            "fails in silence": "ffmpeg cannot read FILE: status 3",
            "is asked without a file": [b"", b""],
        }
    sounds = runtime_module(ops, "training.sounds")

    def ask(path: Path) -> object:
        found: dict[str, object] = {}
        for label, program in _PROGRAMS.items():
            with _stand_in(path.parent, program):
                ending = _ending(sounds, path, _RATE // 2)
            if isinstance(ending, str):
                found[label] = ending
            else:
                found[label] = [part.replace(os.fsencode(path), b"FILE") for part in ending]
        path.unlink()
        with _stand_in(path.parent, "exit 0"):
            found["is asked without a file"] = _ending(sounds, path)
        return found

    return ask


_PROGRAMS = {
    "gives": 'echo "$@"; printf "a warning" >&2',
    "fails": 'printf "a line\nwhy not\n" >&2; exit 1',
    "fails in silence": "exit 3",
}


def _ask_all(ask: Any, given: Batch) -> object:
    with tempfile.TemporaryDirectory(prefix="sounds-") as name:
        path = Path(name).resolve() / "clip.wav"
        path.write_bytes(_NO_SOUND["another kind"])
        return told(ask(path))


def _known(path: Path, file: _File, data: bytes) -> object:
    kind = file.inner or file.format
    found: object = (
        f"FILE takes ffmpeg to be read at {_RATE} Hz: install ffmpeg, so that the command `ffmpeg` is found on PATH"
    )
    if file.direct:
        whole = bytearray(data)
        is_float = kind == _FLOAT
        read = torch.frombuffer(whole, dtype=torch.float32 if is_float else torch.int16)
        found = [read if is_float else read.float() / 32768, b""]
    there = len(data) - file.cut
    return {
        "words": file.words,
        "layout": [kind, file.channels, file.rate, file.bits],
        "start": path.read_bytes().index(b"data") + 8,
        "bytes": there,
        "samples": there // (file.channels * file.bits // 8),
        "linear": file.linear,
        "floating": kind == _FLOAT,
        "direct": [file.direct, False],
        "decoded": found,
    }


def _read_all(read: Any, given: Batch) -> object:
    with tempfile.TemporaryDirectory(prefix="sounds-") as name:
        path = Path(name, "clip.wav")
        found = {}
        for label, file in _FILES.items():
            data = _data(file, given["samples"])
            path.write_bytes(_written(file, data))
            found[label] = told(read(path, file, data))
        return found


def _refusing(ops: Any) -> Callable[[Path], bool]:
    """Whether a file is told to be no WAV file with samples."""
    if ops is TORCHS:
        return lambda path: True
    sounds = runtime_module(ops, "training.sounds")
    return lambda path: sounds.read_header(path) is None


def _refuse_all(refuses: Any, given: Batch) -> object:
    with tempfile.TemporaryDirectory(prefix="sounds-") as name:
        path = Path(name, "clip.wav")
        found = {}
        for label, content in _NO_SOUND.items():
            path.write_bytes(content)
            found[label] = told(refuses(path))
        return found


CASES = (
    host_case(
        "files.sounds",
        Part("ops", "read_header", _inputs, call=_read_all, network=_reading, label="read"),
        Part("ops", "refused", lambda *_: {}, call=_refuse_all, network=_refusing, label="refused"),
        Part("ops", "asked", lambda *_: {}, call=_ask_all, network=_asking, label="asked"),
    ),
)
