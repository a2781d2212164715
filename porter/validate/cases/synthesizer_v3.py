"""SynthesizerTrnV3, SynthesizerTrnV3b and CFM, the models of v3 and v4 that generate by flow matching."""

from __future__ import annotations

import inspect
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any
from unittest import mock

import torch

from porter.validate.budget import Allowance
from porter.validate.cases.base import (
    Batch,
    Case,
    Part,
    Subjects,
    accepted,
    lengths,
    method,
    require,
    within,
)
from porter.validate.cases.inference import codes_batch
from porter.validate.cases.synthesizer import LEAST, SSL_CHANNELS, symbols
from porter.validate.settings import Settings

_MELS = 100  # these, and the widths here, are fixed by upstream's code
_CONDITION = 512
_SCALES = {"v3": 1.875, "v4": 2.0}  # frames of the mel spectrogram for each of the spectrogram
_TRANSFORMER = {"dim": 1024, "depth": 22, "heads": 16, "ff_mult": 2, "text_dim": _CONDITION, "conv_layers": 4}
_SMALL = {"dim": 64, "depth": 2, "heads": 2, "conv_layers": 1}
_STEPS = 2
_GUIDANCE = 0.5
_SPEEDS = (1.25, 0.8)
_KIN = 2  # v3 and v4 share their variations; v3b takes those of v3

# CFM.forward asks Python's generator which of two graphs to take: for which seed its first number is low, or high.
_LOW = next(seed for seed in itertools.count() if random.Random(seed).random() < 0.01)
_HIGH = next(seed for seed in itertools.count() if random.Random(seed).random() > 0.99)

_Arguments = Callable[[Callable[..., Any], Settings], dict[str, Any]]


def arguments(version: str, *checks: Callable[[Any], None]) -> _Arguments:
    """Constructor arguments, and sizes of the transformer inside; `checks` may find it Unavailable."""

    def told(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
        if version != "v3":
            require(constructor, "version")
        for check in checks:
            check(constructor)
        own = {"spec_channels": settings.spec_channels, "segment_size": settings.segment, "version": version}
        own["inter_channels"] = settings.model["hidden_channels"]  # one is the other in upstream's code
        found = accepted(constructor, {**settings.model, **own, "n_speakers": settings.n_speakers})
        return {"constructor": found, "transformer": _SMALL if settings.tiny else {}}

    return told


def make(entry: Any, told: dict[str, Any]) -> Any:
    """A model whose constructor gives its transformer the sizes told, in place of those that it names."""
    module: Any = sys.modules[entry.__module__]
    transformer = module.DiT
    module.DiT = lambda **sizes: transformer(**{**sizes, **told["transformer"]})
    try:
        return entry(**told["constructor"])
    finally:
        module.DiT = transformer


def _matching(*needed: str) -> _Arguments:
    """What CFM is made of. Unavailable where `inference` lacks one of the parameters `needed`."""

    def told(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
        require(method(constructor, "inference"), *needed)
        return {"in_channels": _MELS, "transformer": {**_TRANSFORMER, **(_SMALL if settings.tiny else {})}}

    return told


def _make_matching(entry: Any, told: dict[str, Any]) -> Any:
    module: Any = sys.modules[entry.__module__]
    return entry(told["in_channels"], module.DiT(**told["transformer"]))


def _training(version: str) -> Callable[[Any, Settings, torch.Generator], Batch]:
    def inputs(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
        count, frames, phonemes = settings.batch, settings.frames, settings.phonemes
        mels = int(frames * _SCALES[version])
        y_lengths = lengths(count, max(settings.segment, int(frames * LEAST)), frames, generator)
        mel_lengths = (y_lengths * _SCALES[version]).long()
        text_lengths = lengths(count, max(1, int(phonemes * LEAST)), phonemes, generator)
        ssl = torch.randn(count, SSL_CHANNELS, frames, generator=generator)
        spec = torch.rand(count, settings.spec_channels, frames, generator=generator)
        mel = torch.randn(count, _MELS, mels, generator=generator)
        ids = torch.randint(1, symbols(model), (count, phonemes), generator=generator)
        return {
            "ssl": within(ssl, y_lengths),
            "y": within(spec, y_lengths),
            "mel": within(mel, mel_lengths),
            "ssl_lengths": y_lengths,
            "y_lengths": y_lengths.clone(),
            "text": within(ids, text_lengths),
            "text_lengths": text_lengths,
            "mel_lengths": mel_lengths,
        }

    return inputs


def _forward(model: Any, given: Batch) -> object:
    random.seed(_HIGH)
    own = accepted(model.forward, {"use_grad_ckpt": False})
    with nullcontext() if own else _completed(model.cfm):
        return model(**given, **own)


@contextmanager
def _completed(cfm: Any) -> Iterator[None]:
    """CFM.forward with the argument that one of upstream's classes forgets, so that the rest of that is judged too."""
    own = {name: False for name in ("use_grad_ckpt",) if name in inspect.signature(cfm.forward).parameters}
    with mock.patch.object(cfm, "forward", partial(cfm.forward, **own)):
        yield


def _decode(model: Any, given: Batch) -> object:
    """At the reference's speed and, where upstream has others, at those."""
    others = [told for speed in _SPEEDS if (told := accepted(model.decode_encp, {"speed": speed}))]
    return [model.decode_encp(**given), *(model.decode_encp(**given, **told) for told in others)]


def _features(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"x": torch.randn(settings.batch, SSL_CHANNELS, settings.frames, generator=generator)}


def _extract(model: Any, given: Batch) -> object:
    return model.extract_latent(**given)


def _noised(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Mel spectrograms x1 (batch, mels, frames), the prompt's share of them, and the condition mu."""
    count, size = settings.batch, settings.frames
    x_lens = lengths(count, size // 2, size, generator)
    return {
        "x1": torch.randn(count, model.in_channels, size, generator=generator),
        "x_lens": x_lens,
        "prompt_lens": (x_lens * torch.rand(count, generator=generator) * 2 / 3).long(),
        "mu": torch.randn(count, _CONDITION, size, generator=generator),
    }


def _prompted(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """The condition mu (batch, frames, channels), lengths x_lens, and the prompt (batch, mels, its frames)."""
    count, size = settings.batch, settings.frames
    return {
        "mu": torch.randn(count, size, _CONDITION, generator=generator),
        "x_lens": lengths(count, size // 2, size, generator),
        "prompt": torch.randn(count, model.in_channels, size // 3, generator=generator),
    }


def _flow(seed: int, checkpoint: bool) -> Callable[[Any, Batch], object]:
    def call(model: Any, given: Batch) -> object:
        random.seed(seed)
        return model(**given, **accepted(model.forward, {"use_grad_ckpt": checkpoint}))

    return call


def _sample(guidance: float) -> Callable[[Any, Batch], object]:
    def call(model: Any, given: Batch) -> object:
        return model.inference(**given, n_timesteps=_STEPS, temperature=0.8, inference_cfg_rate=guidance)

    return call


def _cases(turn: int, name: str, entry: str, version: str, left_out: tuple[str, ...] = ()) -> tuple[Case, ...]:
    def part(inputs: Callable[..., Batch], call: Callable[[Any, Batch], object], *checks: Any) -> Part:
        told = arguments(version, *checks)
        return Part("models", entry, inputs, told, call, make, constant=("ssl", "y", "mel"))

    def inference(label: str, inputs: Callable[..., Batch], call: Callable[[Any, Batch], object]) -> Case:
        def there(constructor: Any) -> None:
            method(constructor, label)

        made = part(inputs, call, there)
        return Case(f"{name}.{label}", (made,), training=False, gradients=False, turn=turn, turns=_KIN)

    return (
        Case(f"{name}.forward", (part(_training(version), _forward),), turn=turn, turns=_KIN, left_out=left_out),
        inference("decode_encp", codes_batch, _decode),
        inference("extract_latent", _features, _extract),
    )


def _weights(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"x": torch.randn(settings.batch, _MELS, generator=generator)}


def _frozen(function: Any, given: Batch) -> object:
    """For each parameter of a small network whether it still takes a gradient."""
    width = given["x"].shape[1]
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(width), torch.nn.PReLU(width))
    function(net)
    return [int(parameter.requires_grad) for parameter in net.parameters()]


def _matching_case(name: str, seed: int, checkpoint: bool) -> Case:
    part = Part("models", "CFM", _noised, _matching(), _flow(seed, checkpoint), _make_matching)
    return Case(name, (part,), allowance=_restarts if checkpoint else lambda model: Allowance())


def _restarts(model: Subjects) -> Allowance:
    """One for each block of the transformer: its backward pass draws the same dropout again."""
    return Allowance(restarts=len(model.subject("CFM").estimator.transformer_blocks))


def _sampling_case(name: str, guidance: float, *needed: str) -> Case:
    part = Part("models", "CFM", _prompted, _matching(*needed), _sample(guidance), _make_matching)
    return Case(name, (part,), training=False, gradients=False)


CASES = (
    *_cases(0, "synthesizer_v3.v3", "SynthesizerTrnV3", "v3"),
    *_cases(1, "synthesizer_v3.v4", "SynthesizerTrnV3", "v4"),
    # of less than a segment upstream cuts one, or fails, as the draw has it
    *_cases(0, "synthesizer_v3b", "SynthesizerTrnV3b", "v3", left_out=("shortest",)),
    _matching_case("cfm.forward", _HIGH, checkpoint=False),
    _matching_case("cfm.bootstrap", _LOW, checkpoint=False),
    _matching_case("cfm.checkpoint", _HIGH, checkpoint=True),
    _sampling_case("cfm.inference", 0.0),
    _sampling_case("cfm.guided", _GUIDANCE, "inference_cfg_rate"),
    Case("set_no_grad", (Part("models", "set_no_grad", _weights, call=_frozen),), training=False, gradients=False),
)
