"""Sound from codes as speaking asks for it: upstream's `decode` against the port's, with lengths padded to buckets."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from porter.validate.budget import Allowance
from porter.validate.cases.base import Batch, Case, Part, Subjects
from porter.validate.cases.inference import chunk, codes_batch, decoded, references, told
from porter.validate.cases.synthesizer import TURNS, VERSIONS
from porter.validate.settings import Settings

_SLOW = 0.87  # so that the lengths of the small preset, which share a bucket, share one when they are stretched too
_RESULT = 5  # codes of a chunk's result
# Numbers that say how long things are, where the result is cut, and how it is resampled; noise too.
_SENT = 24


def _inside(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """The beginning of a tensor, as long as something that shares its bucket."""
    length = tensor.shape[-1]
    return tensor[..., : length - int(torch.randint(max(1, length // 8) + 1, (1,), generator=generator))]


def _sentence(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """What `decode` takes for one sentence, with lengths of their own in every step."""
    return {name: _inside(value, generator) for name, value in codes_batch(model, settings, generator).items()}


def _sound(model: Any) -> Any:
    """The module that pads, of the package that a model is of; None for upstream's."""
    try:
        return importlib.import_module(f"{type(model).__module__.rpartition('.')[0]}.decoding.sound")
    except ModuleNotFoundError:
        return None


class _Padding:
    """A network whose method pads what it is given, as host tensors."""

    def __init__(self, model: Any, sound: Any) -> None:
        self._model, self._sound = model, sound

    def __getattr__(self, name: str) -> Any:
        method, padding = getattr(self._model, name), getattr(self._sound, name)

        def call(**given: Any) -> Any:
            host = {key: _on_host(value) for key, value in given.items()}
            return padding(self._model, **host)

        call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
        return call


def _on_host(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    return [_on_host(part) for part in value] if isinstance(value, list) else value


def _speaker(model: Any) -> Any:
    return model if (sound := _sound(model)) is None else _Padding(model, sound)


def _speak(model: Any, given: Batch) -> object:
    return decoded(_speaker(model), given)


def _speak_slowly(model: Any, given: Batch) -> object:
    return decoded(_speaker(model), given, speed=_SLOW)


def _stream(model: Any, given: Batch) -> object:
    return _speaker(model).decode_streaming(**given, speed=_SLOW, result_length=_RESULT, padding_length=0)


def _allowance(model: Subjects) -> Allowance:
    # The judge has tensors on the device that speaking has on the host.
    return Allowance(fetched=9, sent=_SENT)


def _case(version: str, name: str, part: Part) -> Case:
    turn = VERSIONS.index(version) % TURNS
    return Case(
        f"speak.{version}.{name}",
        (part,),
        training=False,
        gradients=False,
        allowance=_allowance,
        turn=turn,
        turns=TURNS,
    )


def _cases(version: str) -> tuple[Case, ...]:
    def part(inputs: Callable[..., Batch], call: Callable[..., object], audio: str, *asked: str) -> Part:
        return Part("models", "SynthesizerTrn", inputs, told(version, *asked), call, audio=audio)

    whole, piece = partial(references, sentence=_sentence), partial(chunk, sentence=_sentence)
    return (
        _case(version, "decode", part(whole, _speak, "", "decode")),
        _case(version, "slow", part(whole, _speak_slowly, "", "decode", "speed")),
        _case(
            version,
            "stream",
            part(piece, _stream, "0", "decode_streaming", "speed", "result_length"),
        ),
    )


CASES = tuple(case for version in VERSIONS for case in _cases(version))
