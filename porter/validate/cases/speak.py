"""Sound from codes as speaking asks for it: upstream's own calls against the port's, with lengths padded to buckets."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from porter.validate.budget import Allowance
from porter.validate.cases import synthesizer_v3
from porter.validate.cases.base import Batch, Case, Part, Subjects, method, require
from porter.validate.cases.inference import chunk, codes_batch, decoded, references, told
from porter.validate.cases.synthesizer import TURNS, VERSIONS
from porter.validate.settings import Settings

_SLOW = 0.87  # so that the lengths of the small preset, which share a bucket, share one when they are stretched too
_RESULT = 5  # codes of a chunk's result
# Numbers that say how long things are, where the result is cut, and how it is resampled; noise too.
_SENT = 24
_MELS = 100  # of the spectra that vocoders of v3 and v4 take


def _inside(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """The beginning of a tensor, as long as something that shares its bucket."""
    length = tensor.shape[-1]
    return tensor[..., : length - int(torch.randint(max(1, length // 8) + 1, (1,), generator=generator))]


def _sentence(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """What `decode` takes for one sentence, with lengths of their own in every step."""
    return {name: _inside(value, generator) for name, value in codes_batch(model, settings, generator).items()}


def _decoding(model: Any, part: str) -> Any:
    """A module that pads, of the package that a model is of; None for upstream's."""
    try:
        return importlib.import_module(f"{type(model).__module__.rpartition('.')[0]}.decoding.{part}")
    except ModuleNotFoundError:
        return None


class _Padding:
    """A network whose method pads what it is given, as host tensors."""

    def __init__(self, model: Any, module: Any) -> None:
        self._model, self._module = model, module

    def __getattr__(self, name: str) -> Any:
        method, padding = getattr(self._model, name), getattr(self._module, name)

        def call(**given: Any) -> Any:
            host = {key: _on_host(value) for key, value in given.items()}
            return padding(self._model, **host)

        call.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
        return call


def _on_host(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    return [_on_host(part) for part in value] if isinstance(value, list) else value


def _speaker(model: Any, part: str = "sound") -> Any:
    return model if (module := _decoding(model, part)) is None else _Padding(model, module)


def _speak(model: Any, given: Batch) -> object:
    return decoded(_speaker(model), given)


def _speak_slowly(model: Any, given: Batch) -> object:
    return decoded(_speaker(model), given, speed=_SLOW)


def _stream(model: Any, given: Batch) -> object:
    return _speaker(model).decode_streaming(**given, speed=_SLOW, result_length=_RESULT, padding_length=0)


def _condition(**more: Any) -> Callable[[Any, Batch], object]:
    """Of the flow of v3 and v4."""
    return lambda model, given: _speaker(model, "flow").decode_encp(**given, **more)


def _vocoder(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    """Arguments as upstream gives them for v4, narrower in the small preset."""
    require(constructor, "is_bias")
    method(constructor, "remove_weight_norm")
    return {
        "initial_channel": _MELS,
        "resblock": "1",
        "resblock_kernel_sizes": [3, 7, 11],
        "resblock_dilation_sizes": [[1, 3, 5]] * 3,
        "upsample_rates": [4, 2] if settings.tiny else [10, 6, 2, 2, 2],
        "upsample_initial_channel": settings.sized(512, 32),
        "upsample_kernel_sizes": [8, 4] if settings.tiny else [20, 12, 4, 4, 4],
        "gin_channels": 0,
        "is_bias": True,
    }


def _spectrum(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"x": _inside(torch.randn(1, _MELS, settings.frames, generator=generator), generator)}


@torch.no_grad()
def _vocode(model: Any, given: Batch) -> object:
    sound = _decoding(model, "sound")
    return model(given["x"]) if sound is None else sound.vocode(model, given["x"].cpu())


def _remove_norms(model: Any) -> None:
    model.remove_weight_norm()


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


def _flow_case(name: str, version: str, **more: Any) -> Case:
    def there(constructor: Any) -> None:
        require(method(constructor, "decode_encp"), *more)

    arguments = synthesizer_v3.arguments(version, there)
    part = Part("models", "SynthesizerTrnV3", _sentence, arguments, _condition(**more), synthesizer_v3.make)
    return Case(f"speak.{name}", (part,), training=False, gradients=False, allowance=_allowance)


_VOCODER = Part("models", "Generator", _spectrum, _vocoder, _vocode, finish=_remove_norms, audio="")

CASES = (
    *(case for version in VERSIONS for case in _cases(version)),
    _flow_case("v3.condition", "v3"),
    _flow_case("v4.condition", "v4"),
    _flow_case("v4.slow", "v4", speed=_SLOW),
    Case("speak.v4.vocoder", (_VOCODER,), training=False, gradients=False, allowance=_allowance),
)
