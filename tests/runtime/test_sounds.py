"""Sounds are read as ffmpeg reads them: beside the command where it is here, and by the rule where it is not."""

from __future__ import annotations

import shutil
import struct
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from porter.runtime.training import import_later
from porter.runtime.training.sounds import Wave, decoded, is_direct, read_header

RATE = 32000
CHANCE = np.random.default_rng(0)
EVERY = np.arange(-32768, 32768).astype("<i2")


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def layout(kind: int, channels: int, rate: int, bits: int, more: bytes = b"") -> bytes:
    together = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", kind, channels, rate, rate * together, together, bits) + more)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


NOISE = CHANCE.integers(-32768, 32768, 4001).astype("<i2")
FLOATS = CHANCE.standard_normal(999).astype("<f4")
DIRECT = {
    "every value": riff(layout(1, 1, RATE, 16), chunk(b"data", EVERY.tobytes())),
    "an odd number": riff(layout(1, 1, RATE, 16), chunk(b"data", NOISE.tobytes())),
    "a longer header": riff(layout(1, 1, RATE, 16, b"\0\0"), chunk(b"fact", bytes(4)), chunk(b"data", NOISE.tobytes())),
    "float32": riff(layout(3, 1, RATE, 32), chunk(b"data", FLOATS.tobytes())),
}
OTHERS = {
    "another rate": riff(layout(1, 1, 44100, 16), chunk(b"data", NOISE.tobytes())),
    "two channels": riff(layout(1, 2, RATE, 16), chunk(b"data", NOISE.tobytes()[:8000])),
    "24 bits": riff(layout(1, 1, RATE, 24), chunk(b"data", bytes(3000))),
    "a compressed one": riff(layout(2, 1, RATE, 16), chunk(b"data", bytes(3000))),
    "tags before": riff(layout(1, 1, RATE, 16), chunk(b"LIST", b"INFOabcd"), chunk(b"data", NOISE.tobytes())),
    "tags behind": riff(layout(1, 1, RATE, 16), chunk(b"data", NOISE.tobytes()), chunk(b"LIST", b"INFOabcd")),
    "a torn one": DIRECT["an odd number"][:-100],
    "one torn in its format": riff(layout(0xFFFE, 1, RATE, 16, bytes(24)))[:-20],
    "an empty one": riff(layout(1, 1, RATE, 16), chunk(b"data", b"")),
    "no WAV file": b"ID3" + bytes(1000),
    "nothing": b"",
}


def values(data: bytes) -> np.ndarray:
    start = data.index(b"data") + 8
    if struct.unpack_from("<H", data, 20)[0] == 3:
        return np.frombuffer(data[start:], "<f4")
    return np.frombuffer(data[start:], "<i2").astype("<f4") / np.float32(32768)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No command of any name is found."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.mark.parametrize("name", DIRECT)
def test_what_needs_no_ffmpeg_is_read_without(tmp_path: Path, without: None, name: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(DIRECT[name])
    assert is_direct(read_header(path), RATE) and not is_direct(read_header(path), 24000)
    out, said = decoded(path, RATE)
    assert np.array_equal(np.frombuffer(out, np.float32), values(DIRECT[name])) and said == b""


@pytest.mark.parametrize("name", OTHERS)
def test_for_others_ffmpeg_is_asked_for(tmp_path: Path, without: None, name: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(OTHERS[name])
    assert not is_direct(read_header(path), RATE)
    with pytest.raises(RuntimeError, match=r"a\.wav takes ffmpeg to be read at 32000 Hz: install ffmpeg"):
        decoded(path, RATE)


@pytest.mark.parametrize("name", [*DIRECT, *OTHERS])
def test_the_samples_are_those_of_ffmpeg(tmp_path: Path, name: str) -> None:
    command = shutil.which("ffmpeg")
    if command is None:
        pytest.skip("ffmpeg is not installed")
    path = tmp_path / "a.wav"
    path.write_bytes({**DIRECT, **OTHERS}[name])
    options = ["-f", "f32le", "-ac", "1", "-acodec", "pcm_f32le", "-ar", str(RATE), "-"]
    done = subprocess.run([command, "-nostdin", "-i", str(path), *options], capture_output=True, check=False)
    if done.returncode:
        with pytest.raises(RuntimeError, match="ffmpeg cannot read"):
            decoded(path, RATE)
    else:
        assert decoded(path, RATE)[0] == done.stdout


def test_a_command_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\necho one >&2\necho 'Invalid data' >&2\nexit 3\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(RuntimeError, match=r"ffmpeg cannot read gone\.wav: Invalid data"):
        decoded("gone.wav", RATE)


def test_what_a_header_says(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 44100, 0, "NONE", ""))
        file.writeframes(bytes(4000))
    found = read_header(path)
    assert found == Wave(1, 2, 44100, 16, 44, 4000, True)
    assert (found.samples, found.told()) == (1000, "44100 Hz, stereo, 16 bits, PCM")


def test_a_package_is_imported_when_it_is_first_asked_for() -> None:
    assert import_later("json.decoder").JSONDecodeError.__module__ == "json.decoder"
    absent = import_later("no_such_package")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        absent.something  # noqa: B018
