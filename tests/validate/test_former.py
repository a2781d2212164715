"""Calls that packages no longer have do what they did, and are told."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from porter.validate.former import CALLED, former_calls


@pytest.fixture(autouse=True)
def nothing_called() -> Iterator[None]:
    CALLED.clear()
    yield
    CALLED.clear()


def module(name: str, monkeypatch: pytest.MonkeyPatch, **members: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(members)
    monkeypatch.setitem(sys.modules, name, made)
    return made


def test_a_transform_gives_real_and_imaginary_parts_unless_it_is_asked_for_complex_numbers() -> None:
    sound, window = torch.randn(2, 64), torch.hann_window(16)
    wanted = torch.stft(sound, 16, 4, 16, window, return_complex=True)
    with former_calls(of_port=False):
        assert torch.equal(torch.stft(sound, 16, 4, 16, window, return_complex=True), wanted)
        assert torch.stft(wanted[:, 0], 8, return_complex=None).is_complex() and not CALLED
        assert torch.equal(torch.stft(sound, 16, 4, 16, window), torch.view_as_real(wanted))
        assert torch.equal(sound.stft(16, 4, 16, window), torch.view_as_real(wanted))
    assert {"torch.stft without return_complex"} == CALLED
    with former_calls(of_port=True), pytest.raises(RuntimeError, match="return_complex"):
        torch.stft(sound, 16, 4, 16, window)


def test_filters_take_their_arguments_by_position(monkeypatch: pytest.MonkeyPatch) -> None:
    def mel(*, sr: int, n_fft: int, n_mels: int = 128) -> tuple[int, int, int]:
        return sr, n_fft, n_mels

    filters = module("librosa.filters", monkeypatch, mel=mel)
    with former_calls(of_port=True):
        assert filters.mel(sr=8000, n_fft=16) == (8000, 16, 128) and not CALLED
        assert filters.mel(8000, 16, n_mels=4) == (8000, 16, 4)
    assert filters.mel is mel and {"librosa.filters.mel with arguments by position"} == CALLED


def test_windows_are_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = module("scipy.signal.windows", monkeypatch, kaiser=len, __all__=["kaiser"])
    signal = module("scipy.signal", monkeypatch, windows=windows)
    with former_calls(of_port=True):
        assert signal.kaiser is len
        with pytest.raises(AttributeError, match="no attribute 'no_window'"):
            _ = signal.no_window
    assert {"scipy.signal.kaiser"} == CALLED and not hasattr(signal, "kaiser")
