"""What the page shows of a sound: both to listen to, their spectrograms, and that of the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from porter.validate.compare import snr_db
from porter.validate.html.media import data_uri, png, wav
from porter.validate.html.spectrogram import SILENCE, Levels, palette, shades, spectrogram
from porter.validate.sound import Sound, Wave
from porter.validate.wording import decibels

_LOUD = 0.9  # of full scale, the loudest sample
_RANGE = 80.0  # dB that a spectrogram shows
_FAINT = 160.0  # dB that the difference's shows: float32 carries 144


@dataclass(frozen=True)
class Picture:
    """One spectrogram; `uri` is empty where there is nothing to show, and `note` says why."""

    title: str
    note: str
    uri: str = ""
    scale: str = ""  # magma or viridis


@dataclass(frozen=True)
class Player:
    """One sound."""

    title: str
    uri: str


@dataclass(frozen=True)
class Listening:
    """One result that is sound."""

    name: str
    about: str
    seconds: str
    kilohertz: str  # half the sampling rate
    pictures: tuple[Picture, ...]
    players: tuple[Player, ...]


def listening(sound: Sound) -> Listening:
    """Everything about one sound. Both sides get the same gain."""
    gain = _gain(sound)
    old = sound.upstream * gain
    new = None if sound.port is None else sound.port * gain
    ratio = "" if new is None or sound.difference is None else f", {decibels(snr_db(old, new))}"
    louder = f", {20 * math.log10(gain):+.0f} dB of gain" if gain != 1 else ""
    levels = spectrogram(old)
    loudest = float(levels.max())
    pictures = [_picture("upstream", levels, loudest)]
    players = [Player("upstream", _uri(old, sound.rate))]
    if new is None:
        pictures.append(Picture("the port", "the port has no such result"))
    else:
        pictures.append(_picture("the port", spectrogram(new), loudest))
        players.append(Player("the port", _uri(new, sound.rate)))
    pictures.append(_difference(sound.difference, gain, loudest))
    return Listening(
        name=sound.name,
        about=f"sample {sound.sample + 1} of {sound.batch}, {sound.rate} samples per second{louder}{ratio}",
        seconds=f"{sound.upstream.size / sound.rate:.3g} s",
        kilohertz=f"{sound.rate / 2000:g} kHz",
        pictures=tuple(pictures),
        players=tuple(players),
    )


def _gain(sound: Sound) -> float:
    """What makes the loudest sample of both sides nearly full scale: a fresh decoder can hardly be heard."""
    peaks = [float(np.abs(side).max(initial=0.0)) for side in (sound.upstream, sound.port) if side is not None]
    return _LOUD / max(peaks) if max(peaks) > 0 else 1.0


def _picture(title: str, levels: Levels, loudest: float) -> Picture:
    low = loudest - _RANGE
    note = f"0 to −{_RANGE:.0f} dB" if loudest > SILENCE else "silence"
    return Picture(title, note, _png(levels, low, loudest, "magma"), "magma")


def _difference(difference: Wave | None, gain: float, loudest: float) -> Picture:
    title = "difference"
    if difference is None:
        return Picture(title, "none: the lengths differ, or one side has no sound")
    if not difference.any():
        return Picture(title, "none: both are equal, bit by bit")
    levels = spectrogram(difference * gain)
    most = f"{levels.max() - loudest:.0f} dB".replace("-", "−")
    note = f"0 to −{_FAINT:.0f} dB, at most {most}"
    return Picture(title, note, _png(levels, loudest - _FAINT, loudest, "viridis"), "viridis")


def _png(levels: Levels, low: float, high: float, scale: str) -> str:
    return data_uri("image/png", png(shades(levels, low, high), palette(scale)))


def _uri(samples: Wave, rate: int) -> str:
    return data_uri("audio/wav", wav(samples, rate))
