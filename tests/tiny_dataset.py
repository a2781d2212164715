"""A dataset folder as upstream's tools lay it out: texts, feature files without content, sound files of zeros."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from porter.runtime.training.dataset import FEATURES, SOUNDS, SPEAKERS, TEXTS

RATE, HOP = 32000, 640


def write_dataset(folder: Path, clips: Iterable[tuple[int, int]], *, speakers: bool = False) -> Path:
    """Clips of so many frames and phones, named 00.wav, 01.wav, …"""
    rows = []
    parts = [FEATURES, SOUNDS, *([SPEAKERS] if speakers else [])]
    for part in parts:
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, (frames, phones) in enumerate(clips):
        name = f"{number:02}.wav"
        write_sound(folder, name, frames)
        for part in parts:
            if part != SOUNDS:
                (folder / part / f"{name}.pt").write_bytes(b"")
        rows.append(f"{name}\t{' '.join(['a'] * phones)}\tNone\tso it goes")
    (folder / TEXTS).write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def write_sound(folder: Path, name: str, frames: int) -> None:
    """A sound file of this length, 44 bytes of header included."""
    with (folder / SOUNDS / name).open("wb") as sink:
        sink.truncate(2 * HOP * frames + 44)
