"""Upstream's own calls of its GPT, `infer_panel` and its kin, beside the static decoder that answers them in a port."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Case, Part, Unavailable, method
from porter.validate.cases.t2s import MODULE, arguments, decoding_of
from porter.validate.noise import unwatched
from porter.validate.settings import Settings

_ROWS = 3
_SHARP, _ENDING = 4.0, 2.5  # factors of the last layer's weights, and of those of the end, which then ends some rows
_LIMITS = (13, 40)  # codes after which a loop is stopped: beside what it draws before the end may be one
_GIVEN = {"top_k": 1, "top_p": 1.0, "temperature": 1.0, "repetition_penalty": 1.2}  # the likeliest codes need no noise
_CHUNK = 4  # codes of a piece
_LONG_TEXT, _LONG_PROMPT, _LONG = 209, 41, 300  # the static caches, which begin with 512 slots, become too small


def _inputs(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Texts and features of several rows, their prompts, and how much like silence each code is."""
    found: Batch = {}
    for index in range(_ROWS):
        count = max(1, settings.phonemes * (index + 1) // _ROWS)
        found[f"text{index}"] = torch.randint(1, 512, (count,), generator=generator)
        found[f"bert{index}"] = torch.randn(1024, count, generator=generator)
    vocabulary = int(model.vocab_size)
    found["prompt"] = torch.randint(vocabulary - 1, (_ROWS, settings.phonemes), generator=generator)
    found["silence"] = torch.rand(vocabulary, generator=generator)
    return found


def _sharpen(model: Any) -> None:
    """So that the likeliest code is far from the next, and the end is one of them now and then."""
    with torch.no_grad():
        weight = model.ar_predict_layer.weight
        weight.mul_(_SHARP)
        weight[model.EOS] = weight[0] * _ENDING


def _needed(entry: Any, settings: Settings) -> dict[str, Any]:
    for name in ("infer_panel_naive_batched", "infer_panel_batch_infer"):
        method(entry, name)
    if "streaming_mode" not in method(entry, "infer_panel_naive").__code__.co_varnames:
        raise Unavailable("the decoder of this upstream gives no pieces")
    return arguments(entry, settings)


@contextmanager
def _quietly(model: Any) -> Iterator[None]:
    module = sys.modules[type(model).__module__]
    silent = patch.object(module, "print", lambda *told: None, create=True)
    with silent, patch.object(module, "tqdm", lambda steps: steps), unwatched():
        yield


def _panel(model: Any, given: Batch) -> object:
    """Codes and last steps of all calls."""
    decoding = decoding_of(model)
    if decoding is not None:
        importlib.import_module(f"{decoding.__name__}.panel").attach(model)
    texts, berts = ([given[f"{name}{index}"] for index in range(_ROWS)] for name in ("text", "bert"))
    lengths, prompt = torch.tensor([len(text) for text in texts]), given["prompt"]
    several, one = (texts, lengths), (texts[-1][None], lengths[-1:])
    found: dict[str, object] = {}
    with _quietly(model):
        for limit in _LIMITS:
            named = {**_GIVEN, "early_stop_num": limit}
            found[f"one {limit}"] = model.infer_panel(*one, prompt[:1], berts[-1][None], **named)
            found[f"each {limit}"] = model.infer_panel_naive_batched(*several, prompt, berts, **named)
            together = model.infer_panel_batch_infer(*several, prompt, berts, max_len=max(lengths).item(), **named)
            found[f"together {limit}"] = together
            for label, mute in (("pieces", None), ("quiet pieces", given["silence"])):
                streaming = {"streaming_mode": True, "chunk_length": _CHUNK, "mute_emb_sim_matrix": mute}
                pieces = model.infer_panel_naive(*one, prompt[:1], berts[-1][None], **named, **streaming)
                found[f"{label} {limit}"] = list(map(_alone, pieces))
        named = {**_GIVEN, "early_stop_num": _LIMITS[0]}
        found["no prompt"] = model.infer_panel(*one, None, berts[-1][None], **named)
        found["no prompts"] = model.infer_panel_naive_batched(*several, None, berts, **named)
        found["none together"] = model.infer_panel_batch_infer(*several, None, berts, **named)
    return {name: _alone(value) for name, value in found.items()}


def _long_inputs(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    vocabulary = int(model.vocab_size)
    return {
        "text": torch.randint(1, 512, (1, _LONG_TEXT), generator=generator),
        "bert": torch.randn(1, 1024, _LONG_TEXT, generator=generator),
        "prompt": torch.randint(vocabulary - 1, (1, _LONG_PROMPT), generator=generator),
    }


def _never_end(model: Any) -> None:
    """So that only the limit ends the loop."""
    _sharpen(model)
    with torch.no_grad():
        model.ar_predict_layer.weight[model.EOS] = 0


def _long(model: Any, given: Batch) -> object:
    """The codes of a text that takes more slots than there are at first."""
    decoding = decoding_of(model)
    if decoding is not None:
        importlib.import_module(f"{decoding.__name__}.panel").attach(model)
    lengths = torch.tensor([given["text"].shape[1]])
    with _quietly(model):
        found = model.infer_panel(
            given["text"], lengths, given["prompt"], given["bert"], **_GIVEN, early_stop_num=_LONG
        )
    return _alone(found)


def _alone(value: Any) -> Any:
    """The same, but for whose memory it is: nobody writes to codes."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(_alone, value))
    return value.clone() if isinstance(value, Tensor) else value


CASES = (
    Case(
        "t2s.panel",
        (
            Part(MODULE, "Text2SemanticDecoder", _inputs, _needed, _panel, finish=_sharpen),
            Part(MODULE, "Text2SemanticDecoder", _long_inputs, _needed, _long, finish=_never_end, label="long"),
        ),
        training=False,
        gradients=False,
        on_host=True,
        varies=False,
    ),
)
