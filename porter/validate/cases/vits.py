"""The synthesizers of VITS and its relatives in training, told apart by what their signatures ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from porter.validate.cases.base import Batch, Case, Part, Unavailable, accepted, complete, lengths, within
from porter.validate.settings import Settings

SYMBOLS = 100  # of texts
TONES, LANGUAGES = 5, 3
FEATURES = 1024  # of a language model, for each phoneme
PITCHES = 256  # steps of a quantized fundamental frequency
_LAYERS = 3  # the third is where some of them take in the speaker
_LEAST = 0.5  # the shortest sample of a batch, as a part of the longest
_LOWEST, _HIGHEST = 80.0, 400.0  # Hz
_ORDINALS = ("first", "second", "third", "fourth")

# What options of constructors are called in the family, beside those that all of it has.
_OPTIONS: dict[str, Any] = {
    "is_half": False,
    "vocoder_name": "nsf-hifigan",
    "gen_istft_n_fft": 16,
    "gen_istft_hop_size": 4,
    "istft_vits": True,
    "subbands": 4,
    "use_spk_conditioned_encoder": True,
    "use_transformer_flows": True,
    "transformer_flow_type": "pre_conv",
    "use_noise_scaled_mas": True,
    "mas_noise_scale": 0.01,
    "mas_noise_scale_decay": 2e-6,
    "mas_noise_scale_initial": 0.01,
    "noise_scale_delta": 2e-6,
    "n_flows": 2,
    "speaker_cond_layer": 1,
}


def arguments(constructor: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    """Constructor arguments of a synthesizer of the family. Unavailable where it asks for one that is not known."""
    channels = settings.model["inter_channels"]
    offered = {
        **_OPTIONS,
        **settings.model,
        "hidden_channels": channels,  # what all of the family has alike
        "n_layers": max(_LAYERS, settings.model["n_layers"]),
        "n_vocab": SYMBOLS,
        "spec_channels": settings.spec_channels,
        "segment_size": settings.segment,
        "n_speakers": settings.n_speakers,
        "spk_embed_dim": settings.n_speakers,
        "sr": settings.sampling_rate,
        "sampling_rate": settings.sampling_rate,
        "ssl_dim": channels,
        "text_enc_hidden_dim": channels,
    }
    return complete(constructor, accepted(constructor, offered))


def batch(model: nn.Module, settings: Settings, generator: torch.Generator) -> Batch:
    """What trainers of the family hand to `forward`. Unavailable where it asks for what is not known."""
    # Trainers leave out samples that are shorter than a segment, and no phoneme is shorter than a frame.
    count, frames = settings.batch, max(settings.frames, settings.segment)
    phonemes = min(settings.phonemes, int(frames * _LEAST))
    y_lengths = lengths(count, max(settings.segment, int(frames * _LEAST)), frames, generator)
    x_lengths = lengths(count, max(1, int(phonemes * _LEAST)), phonemes, generator)

    def integers(most: int, *shape: int) -> Tensor:
        return torch.randint(most, (count, *shape), generator=generator)

    def floats(*shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator)

    offered: dict[str, Callable[[], Tensor]] = {
        "x": lambda: within(integers(SYMBOLS, phonemes), x_lengths),
        "x_lengths": lambda: x_lengths,
        "tone": lambda: within(integers(TONES, phonemes), x_lengths),
        "language": lambda: within(integers(LANGUAGES, phonemes), x_lengths),
        **dict.fromkeys(("bert", "ja_bert", "en_bert"), lambda: floats(FEATURES, phonemes) - 0.5),
        **dict.fromkeys(("y", "spec"), lambda: within(floats(settings.spec_channels, frames), y_lengths)),
        **dict.fromkeys(("y_lengths", "spec_lengths", "c_lengths", "phone_lengths"), lambda: y_lengths),
        **dict.fromkeys(("sid", "ds"), lambda: integers(settings.n_speakers)),
        "g": lambda: integers(settings.n_speakers, 1),
        "c": lambda: within(floats(settings.model["inter_channels"], frames) - 0.5, y_lengths),
        "phone": lambda: floats(frames, _widest(model)) - 0.5,
        "pitch": lambda: within(integers(PITCHES, frames), y_lengths),
        **dict.fromkeys(("pitchf", "f0"), lambda: within(_LOWEST + floats(frames) * (_HIGHEST - _LOWEST), y_lengths)),
        "uv": lambda: integers(2, frames).float(),
    }
    result = {}
    for name, parameter in inspect.signature(model.forward).parameters.items():
        if name in offered:
            result[name] = offered[name]()
        elif parameter.default is parameter.empty:
            raise Unavailable(f"{type(model).__name__}.forward of this upstream asks for {name}, which no case knows")
    return result


def _widest(model: nn.Module) -> int:
    """How many features the widest linear layer takes: that of a phoneme. Unavailable where there is none."""
    found = [module.in_features for module in model.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise Unavailable(f"{type(model).__name__} of this upstream takes no features")
    return max(found)


CASES = tuple(
    Case(
        f"vits.{ordinal}",
        (
            Part(
                "models",
                f"Synthesizer*[{number}]",
                batch,
                arguments,
                label="synthesizer",
                constant=("y", "spec", "c", "phone", "pitchf", "f0", "uv", "bert", "ja_bert", "en_bert"),
                audio="0",  # the decoded segment
            ),
        ),
    )
    for number, ordinal in enumerate(_ORDINALS)
)
