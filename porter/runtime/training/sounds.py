"""Sound files: what the header of a WAV file says, and samples, by ffmpeg only where it takes ffmpeg."""

import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

NEEDED = "install ffmpeg, so that the command `ffmpeg` is found on PATH"

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_RIFF, _FMT = struct.Struct("<4sI4s"), struct.Struct("<HHIIHH")
_CHUNK = struct.Struct("<4sI")
_MOST = 64  # chunks of a file that are looked at

_Layout = tuple[int, int, int, int]  # format, channels, rate and bits


class Wave(NamedTuple):
    """A WAV file: its format (1 for integers, 3 for floating point), where its samples begin, and their bytes.

    `plain` says that nothing else is in it than samples that stand there whole.
    """

    format: int
    channels: int
    rate: int
    bits: int
    start: int
    bytes: int
    plain: bool

    @property
    def samples(self) -> int:
        """How many of one channel."""
        return self.bytes // max(1, self.channels * self.bits // 8)

    @property
    def is_linear(self) -> bool:
        """Whether the samples stand there as they are, so that their bytes tell their number."""
        return self.format in (_PCM, _FLOAT) and self.rate > 0

    @property
    def is_floating(self) -> bool:
        """Whether its samples are floating-point numbers."""
        return self.format == _FLOAT

    def told(self) -> str:
        """Its format, in words."""
        kind = "floating point" if self.format == _FLOAT else "PCM" if self.format == _PCM else "compressed"
        channels = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        return f"{self.rate} Hz, {channels}, {self.bits} bits, {kind}"


def read_header(path: str | os.PathLike[str]) -> Wave | None:
    """What the header of a WAV file says; None for another kind of file, and for one that ends in its header.

    OSError where it cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123  # once a clip and step
        size = os.fstat(file.fileno()).st_size
        head = file.read(_RIFF.size)
        if head[:4] + head[8:] not in (b"RIFFWAVE", b"RF64WAVE"):
            return None
        layout: _Layout | None = None
        plain = head[:4] == b"RIFF"
        for name, told, body in _chunks(file):
            if name == b"data" and layout is not None:
                start = file.tell()
                there = max(0, min(told, size - start))
                ends = start + told in (size, size - told % 2)
                return Wave(*layout, start, there, plain and ends and told > 0)
            if len(body) >= _FMT.size:
                plain &= layout is None
                layout, known = _layout(body, told)
                plain &= known
            else:
                plain &= name == b"fact"
        return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, bytes]]:
    """The first chunks of a WAV file: name, size and, of one that tells the format, what is in it.

    At any other, the file is where its content begins.
    """
    for _ in range(_MOST):
        head = file.read(_CHUNK.size)
        if len(head) < _CHUNK.size:
            return
        name, size = _CHUNK.unpack(head)
        padded = size + size % 2
        if name == b"fmt " and _FMT.size <= size <= 1024:
            yield name, size, file.read(padded)
        else:
            yield name, size, b""
            file.seek(padded, os.SEEK_CUR)


def _layout(body: bytes, size: int) -> tuple[_Layout, bool]:
    """What a chunk of this size says of the format, and whether that needs nothing else to be understood."""
    kind, channels, rate, _, together, bits = _FMT.unpack_from(body)
    known = kind in (_PCM, _FLOAT) and together == channels * bits // 8
    if kind == _EXTENSIBLE and min(size, len(body)) >= 26:  # the format is the first word of its GUID
        kind = struct.unpack_from("<H", body, 24)[0]
    return (kind, channels, rate, bits), known


def is_direct(wave: Wave | None, rate: int) -> bool:
    """Whether `decoded` reads such a file without ffmpeg, at that many samples per second."""
    return (
        wave is not None
        and wave.plain
        and (wave.channels, wave.rate) == (1, rate)
        and (wave.format, wave.bits) in ((_PCM, 16), (_FLOAT, 32))
        and wave.bytes % (wave.bits // 8) == 0
    )


def decoded(path: str | os.PathLike[str], rate: int) -> tuple[bytes, bytes]:
    """What ffmpeg makes of a sound file, one channel of little-endian float32 at `rate`, and what it says.

    A WAV file of one channel at that rate, of 16-bit integers or float32, is read here and has the same samples, to
    the bit; the command `ffmpeg` is run for all others. RuntimeError where it is not there, or fails.
    """
    try:
        wave = read_header(path)
        if wave is not None and is_direct(wave, rate):
            with Path(path).open("rb") as file:
                file.seek(wave.start)
                return _as_float(file.read(wave.bytes), wave), b""
    except OSError:
        pass  # ffmpeg will say what is wrong with it
    command = ["ffmpeg", "-nostdin", "-threads", "0", "-i", os.fspath(path), "-f", "f32le", "-ac", "1"]
    command += ["-acodec", "pcm_f32le", "-ar", str(rate), "-"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise RuntimeError(f"{path} takes ffmpeg to be read at {rate} Hz: {NEEDED}") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RuntimeError(f"ffmpeg cannot read {path}: {lines[-1] if lines else f'status {done.returncode}'}")
    return done.stdout, done.stderr


def _as_float(data: bytes, wave: Wave) -> bytes:
    if wave.format == _FLOAT:
        return data
    import numpy as np

    return (np.frombuffer(data, "<i2").astype("<f4") / np.float32(32768)).tobytes()
