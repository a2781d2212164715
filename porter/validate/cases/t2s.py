"""Text2SemanticDecoder, the GPT that turns text into codes: upstream's own loops against the static decoder."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from porter.validate.cases.base import Batch, Case, Part, Unavailable, host_case, lengths, method, require
from porter.validate.settings import Settings

MODULE = "AR.models.t2s_model"
_BERT = 1024  # features of a phoneme
_VOCABULARY = 1025
_RUBBISH = 1e4  # in slots that hold nothing
_TURNS = 16  # tokens of one graph, where several are one
_SHARP = 2.0  # factor of the last layer's weights: random ones hardly tell tokens apart


def arguments(entry: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    """Of its constructor. Unavailable where upstream's decoder is of another kind."""
    if not hasattr(sys.modules[entry.__module__], "T2STransformer"):
        raise Unavailable("the decoder of this upstream keeps its caches in another way")
    require(method(entry, "infer_panel"), "repetition_penalty")
    return {
        "config": {
            "model": {
                "hidden_dim": settings.sized(512, 64),
                "embedding_dim": settings.sized(512, 64),
                "head": settings.sized(16, 4),
                "n_layer": settings.sized(24, 2),
                "vocab_size": _VOCABULARY,
                "phoneme_vocab_size": 512,
                "dropout": 0.0,
                "EOS": _VOCABULARY - 1,
            }
        }
    }


def _sharpen(model: Any) -> None:
    with torch.no_grad():
        model.ar_predict_layer.weight.mul_(_SHARP)


def _send_tables(model: Any) -> None:
    """Put the tables of positions where the weights are; they are no buffers, and stay behind."""
    for places in (model.ar_text_position, model.ar_audio_position):
        places.pe = places.pe.to(places.alpha.device)


def _steps(settings: Settings) -> int:
    return settings.sized(16, 24)


def _row(settings: Settings, generator: torch.Generator, count: int) -> dict[str, Tensor]:
    """One sentence: phonemes (count), bert (1024, count), prompt (P), and noise (steps, V) for what it becomes."""
    return {
        "phonemes": torch.randint(1, 512, (count,), generator=generator),
        "bert": torch.randn(_BERT, count, generator=generator),
        "prompt": torch.randint(_VOCABULARY - 1, (settings.phonemes,), generator=generator),
        "noise": torch.empty(_steps(settings), _VOCABULARY).exponential_(generator=generator),
    }


def _one(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return _row(settings, generator, settings.phonemes)


def _forced(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """The same with the tokens that upstream draws, (steps)."""
    given = _one(model, settings, generator)
    with torch.no_grad():
        tokens, _, _ = upstream_tokens(model, given, top_k=5)
    return {**given, "tokens": tokens.clamp(min=0)}


def _rows(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Four rows with lengths of their own; noise makes all but the first one end, each in a step of its own."""
    rows = [_row(settings, generator, max(1, settings.phonemes * (index + 1) // 4)) for index in range(4)]
    found: Batch = {}
    for index, row in enumerate(rows):
        row["noise"][:, -1] = 1e9
        row["noise"][10 + index :, -1] = 1e-9 if index else 1e9  # one of them as soon as it may
        found |= {f"{name}{index}": value for name, value in row.items()}
    return found


class _Watch:
    """Upstream's loop draws with `noise`, or is given `tokens`; what each step saw and drew."""

    def __init__(self, model: Any, noise: Tensor, tokens: Tensor | None) -> None:
        self.logits: list[Tensor] = []  # of each step, as they were
        self.drawn: list[Tensor] = []  # one token each
        self.ended = torch.zeros((), dtype=torch.bool, device=noise.device)  # whether the last step drew the end
        self._noise, self._tokens, self._end = noise, tokens, model.EOS
        self._module = sys.modules[type(model).__module__]
        self._sample = self._module.sample

    @contextmanager
    def watching(self) -> Iterator[None]:
        """For one call of upstream's loop."""
        silent = patch.object(self._module, "print", lambda *told: None, create=True)
        quick = patch.object(self._module, "tqdm", lambda steps: steps)
        helpers = sys.modules[self._sample.__module__]
        drawing = patch.object(helpers, "multinomial_sample_one_no_sync", self._draw)
        with silent, quick, drawing, patch.object(self._module, "sample", self._watched):
            yield

    def _draw(self, chances: Tensor) -> Tensor:
        noise = self._noise[len(self.logits) - 1, : chances.shape[-1]]
        return torch.argmax(chances / noise, dim=-1, keepdim=True).to(torch.int)

    def _watched(self, logits: Tensor, previous: Tensor, **options: Any) -> tuple[Tensor, Any]:
        self.logits.append(logits.detach().clone()[0])
        if self._tokens is None:
            found: tuple[Tensor, Any] = self._sample(logits, previous, **options)
        else:
            found = self._tokens[len(self.logits) - 1].view(1, 1).to(torch.int), None
        self.drawn.append(found[0][0, 0].long())
        self.ended = (self.drawn[-1] == self._end) | (logits[0].argmax() == self._end)  # `sample` penalised them
        return found


def upstream_tokens(
    model: Any, given: Batch, tokens: Tensor | None = None, **options: Any
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Upstream's tokens (steps) with -1 behind the end, the step of the end or -1, and each step's logits."""
    noise = given["noise"]
    watch = _Watch(model, noise, tokens)
    with watch.watching():
        text = given["phonemes"][None]
        found = model.infer_panel(
            text,
            torch.tensor([text.shape[1]], device=text.device),
            given["prompt"][None],
            given["bert"][None],
            early_stop_num=len(noise) - 1,
            **{"top_p": 1.0, "temperature": 1.0, **options},
        )
        if inspect.isgenerator(found):
            next(found)
    drawn = torch.stack(watch.drawn)
    result = nn.functional.pad(drawn, (0, len(noise) - len(drawn)), value=-1)
    result[len(drawn) - 1] = torch.where(watch.ended, -1, result[len(drawn) - 1])
    return result, torch.where(watch.ended, len(drawn) - 1, -1), watch.logits


def decoding_of(model: Any) -> Any:
    """The static decoder of the package that a model is of; None for upstream's."""
    package = type(model).__module__.partition(".AR.")[0]
    try:
        return importlib.import_module(f"{package}.decoding")
    except ModuleNotFoundError:
        return None


def _part_of(decoding: Any, name: str) -> Any:
    return importlib.import_module(f"{decoding.__name__}.{name}")


def _begun(model: Any, decoding: Any, rows: list[Batch], steps: int) -> tuple[Any, Any]:
    """Weights, and the state behind the prompt, with rubbish in every slot that holds nothing."""
    given = [decoding.Row(row["phonemes"], row["bert"], row["prompt"]) for row in rows]
    filled = max(row["phonemes"].shape[0] + row["prompt"].shape[0] for row in rows) + 3  # and some slots left empty
    network = decoding.Network.of(model)
    prompt = _part_of(decoding, "prompt").lay_out(given, filled)
    state = _part_of(decoding, "steps").prefill(network, prompt, filled + steps + 2)
    empty = ~state.valid.repeat_interleave(network.heads, 0)[:, None]
    for cache in (*state.keys, *state.values):
        cache.masked_fill_(empty, _RUBBISH)
    return network, state


def _static(model: Any, rows: list[Batch], options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The port's tokens (B, steps) with -1 behind the end, and the step of the end or -1, (B)."""
    decoding = decoding_of(model)
    steps, sampling = _part_of(decoding, "steps"), _part_of(decoding, "sampling")
    noise = torch.stack([row["noise"] for row in rows], 1)
    network, state = _begun(model, decoding, rows, len(noise))
    chosen = decoding.Options(**options, forced=_forced_steps(model)).checked(_VOCABULARY)
    drawing = sampling.Drawing.of(chosen, lambda tensor: tensor.to(noise.device))
    first = state.slots - len(noise) - 2
    for now in noise:
        steps.step(network, state, now, drawing)
    tokens = state.tokens[:, first : first + len(noise)]
    inside = (state.ended[:, None] < 0) | (torch.arange(len(noise), device=noise.device) < state.ended[:, None])
    return torch.where(inside, tokens, -1), state.ended


def _forced_steps(model: Any) -> int:
    """How many tokens upstream's loop draws before the end may be one."""
    source = inspect.getsource(getattr(type(model), "infer_panel_naive", type(model).infer_panel))
    found = re.search(r"idx < (\d+)", source)
    return int(found[1]) if found else 1


def _prefill(model: Any, given: Batch) -> object:
    if (decoding := decoding_of(model)) is not None:
        return _without_end(_begun(model, decoding, [given], 1)[1].logits[0])
    return _whole(upstream_tokens(model, {**given, "noise": given["noise"][:1]}, top_k=1)[2][0])


def _without_end(logits: Tensor) -> Tensor:
    """Logits whose last one, which upstream cuts off in the first steps, is zero."""
    return torch.cat([logits[:-1], torch.zeros_like(logits[-1:])])


def _whole(logits: Tensor) -> Tensor:
    """The same of upstream's."""
    if logits.shape[-1] == _VOCABULARY:
        return logits
    return nn.functional.pad(logits, (0, 1))


def _teacher(model: Any, given: Batch) -> object:
    tokens = given["tokens"]
    forced = _forced_steps(model)
    if (decoding := decoding_of(model)) is None:
        seen = upstream_tokens(model, given, tokens, top_k=1)[2]
        return torch.stack([_whole(logits) for logits in seen])
    network, state = _begun(model, decoding, [given], len(tokens))
    found = []
    never = torch.zeros(1, dtype=torch.bool, device=tokens.device)
    for index, token in enumerate(tokens):
        logits = state.logits[0].clone()
        found.append(_without_end(logits) if index < forced else logits)
        _part_of(decoding, "steps").advance(network, state, token.view(1), never)
    return torch.stack(found)


def _caches(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """What one step reads: a token, its position and slot, and caches (1, H, D, T) with rubbish from that slot on."""
    slots, filled = settings.sized(512, 16 + _TURNS), settings.sized(440, 11)
    width = model.model_dim // model.num_head
    shape = 1, model.num_head, width, slots
    found = {
        "token": torch.randint(_VOCABULARY - 1, (1,), generator=generator),
        "position": torch.full((1,), filled // 2),
        "slot": torch.full((1,), filled),
    }
    for layer in range(model.num_layers):
        for name in ("key", "value"):
            cache = torch.randn(shape, generator=generator)
            cache[..., filled:] = _RUBBISH
            found[f"{name}{layer}"] = cache
    return found


def _kept(model: Any, given: Batch) -> tuple[list[Tensor], list[Tensor]]:
    """Keys and values of each layer as they are given."""
    keys, values = ([given[f"{name}{n}"] for n in range(model.num_layers)] for name in ("key", "value"))
    return keys, values


class _Upstream:
    """Upstream's blocks behind given caches."""

    def __init__(self, model: Any, given: Batch) -> None:
        filled = int(given["slot"])
        self._model, self._position = model, given["position"]
        self._keys, self._values = (
            [cache[..., :filled].flatten(1, 2).mT for cache in caches] for caches in _kept(model, given)
        )

    def logits(self, token: Tensor) -> Tensor:
        """(1, V) behind one more token, (1)."""
        model, places = self._model, self._model.ar_audio_position
        placed = places.alpha * places.pe[:, self._position]
        hidden = model.ar_audio_embedding(token[None]) * places.x_scale + placed
        hidden, self._keys, self._values = model.t2s_transformer.decode_next_token(hidden, self._keys, self._values)
        self._position = self._position + 1
        found: Tensor = model.ar_predict_layer(hidden[:, -1])
        return found


def _state(model: Any, decoding: Any, given: Batch) -> Any:
    """The static decoder's, with given caches."""
    keys, values = _kept(model, given)
    slots, device = keys[0].shape[-1], keys[0].device
    return _part_of(decoding, "slots").State(
        keys=[cache.flatten(0, 1).clone() for cache in keys],
        values=[cache.flatten(0, 1).clone() for cache in values],
        valid=torch.arange(slots, device=device)[None] < given["slot"],
        tokens=torch.zeros(1, slots, dtype=torch.int64, device=device),
        seen=torch.zeros(1, _VOCABULARY, dtype=torch.bool, device=device),
        logits=torch.zeros(1, _VOCABULARY, dtype=keys[0].dtype, device=device),
        ended=torch.full((1,), -1, device=device),
        position=given["position"].clone(),
        slot=given["slot"].clone(),
        step=torch.zeros(1, dtype=torch.int64, device=device),
        over=torch.zeros((), dtype=torch.bool, device=device),
    )


def _masked(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """States of prompts (B, P, C) and of a token behind each (B, 1, C), what they may not see, and where they end."""
    count, width = settings.batch, settings.phonemes
    ends = lengths(count, max(1, width // 2), width, generator)
    beyond = torch.arange(width) >= ends[:, None]  # (B, P)
    hidden = beyond[:, None, None] | torch.ones(width, width).triu(1).bool()  # (B, 1, P, P)
    return {
        "x": torch.randn(count, width, model.model_dim, generator=generator),
        "token": torch.randn(count, 1, model.model_dim, generator=generator),
        "hidden": hidden.repeat(1, model.num_head, 1, 1),
        "hidden from token": nn.functional.pad(beyond, (0, 1))[:, None, None].repeat(1, model.num_head, 1, 1),
        "beyond": beyond[..., None],
    }


def _blur(model: Any) -> None:
    """Norms with an epsilon of their own, and one that matters."""
    for block in model.t2s_transformer.blocks:
        block.norm_eps1, block.norm_eps2 = 0.1, 0.3


@torch.no_grad()
def _layers(model: Any, given: Batch) -> object:
    """Upstream's own layers, which its static caches leave alone: prompts, and one token behind each."""
    found = {}
    layers = model.t2s_transformer
    for own_attention in (False, True):
        for beyond in (None, given["beyond"], (~given["beyond"]).float()):
            prompt = layers.process_prompt(given["x"], given["hidden"], beyond, not own_attention)
            kind = f"{own_attention}, {None if beyond is None else beyond.dtype}"
            found[kind] = [prompt[0], [*prompt[1]], [*prompt[2]]]
            for hidden in (None, given["hidden from token"]):
                caches = list(prompt[1]), list(prompt[2])
                found[f"{kind}, {hidden is None}"] = layers.decode_next_token(
                    given["token"], *caches, hidden, not own_attention
                )
    return found


@torch.no_grad()
def _step(model: Any, given: Batch) -> object:
    """Logits behind one token."""
    if (decoding := decoding_of(model)) is None:
        return _Upstream(model, given).logits(given["token"])
    state = _state(model, decoding, given)
    never = torch.zeros(1, dtype=torch.bool, device=given["token"].device)
    _part_of(decoding, "steps").advance(decoding.Network.of(model), state, given["token"], never)
    return state.logits


def _drawing_caches(model: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """The same in the place of a token: logits of the next one, and noise (steps, 1, V) to draw several with."""
    given = _caches(model, settings, generator)
    del given["token"]
    given["logits"] = torch.randn(1, _VOCABULARY, generator=generator)
    given["noise"] = torch.empty(_TURNS, 1, _VOCABULARY).exponential_(generator=generator)
    return given


@torch.no_grad()
def _loop(model: Any, given: Batch) -> object:
    """Tokens drawn one after the other, and the logits behind the last; none of them is the end."""
    logits, noise, options = given["logits"].clone(), given["noise"], {**_SAMPLED, "top_p": 1.0}
    if (decoding := decoding_of(model)) is None:
        blocks, helpers = _Upstream(model, given), sys.modules[sys.modules[type(model).__module__].sample.__module__]
        tokens = torch.zeros(1, 0, dtype=torch.int64, device=noise.device)
        for now in noise:
            drawing = patch.object(
                helpers,
                "multinomial_sample_one_no_sync",
                lambda chances, now=now: (chances / now[:, :-1]).argmax(-1, True),
            )
            with drawing:
                token = helpers.sample(logits[:, :-1], tokens, **options)[0]
            tokens = torch.cat([tokens, token.long()], 1)
            logits = blocks.logits(tokens[:, -1])
        return {"tokens": tokens, "logits": logits}
    steps, loops = _part_of(decoding, "steps"), importlib.import_module(f"{decoding.__name__.rpartition('.')[0]}.loops")
    network, state = decoding.Network.of(model), _state(model, decoding, given)
    state.logits = logits
    chosen = decoding.Options(**options, forced=len(noise) + 1).checked(_VOCABULARY)
    drawing = _part_of(decoding, "sampling").Drawing.of(chosen, lambda tensor: tensor.to(noise.device))
    if loops.fits(noise.device):
        steps.several(network, state, noise, torch.tensor(len(noise)).to(noise.device), drawing)
    else:
        for now in noise:
            steps.step(network, state, now, drawing)
    places = given["slot"] + torch.arange(len(noise), device=noise.device)
    return {"tokens": state.tokens.index_select(1, places), "logits": state.logits}


def _speaking(**options: Any) -> Callable[[Any, Batch], object]:
    """Tokens of one row, and when it ended."""

    def call(model: Any, given: Batch) -> object:
        if decoding_of(model) is None:
            tokens, end, _ = upstream_tokens(model, given, **options)
            return {"tokens": tokens, "end": end}
        tokens, ends = _static(model, [given], options)
        return {"tokens": tokens[0], "end": ends[0]}

    return call


def _together(**options: Any) -> Callable[[Any, Batch], object]:
    """Tokens of several rows, each alone upstream."""

    def call(model: Any, given: Batch) -> object:
        rows = [{name[:-1]: value for name, value in given.items() if name[-1] == str(index)} for index in range(4)]
        if decoding_of(model) is not None:
            tokens, ends = _static(model, rows, options)
            return {"tokens": tokens, "end": ends}
        found = [upstream_tokens(model, row, **options) for row in rows]
        return {"tokens": torch.stack([f[0] for f in found]), "end": torch.stack([f[1] for f in found])}

    return call


_SAMPLED = {"top_k": 50, "top_p": 0.03, "temperature": 0.8, "repetition_penalty": 1.35}  # random logits are flat


# Flat logits in bfloat16 are often equal, or differ by its rounding: which is the greatest means nothing.
_CLOSE = ("bfloat16",)
# Of noise that is zero or no number a draw is a quotient of zeros: which token comes out of that means nothing.
_NO_NOISE = ("zeros", "not finite", *_CLOSE)


def _case(
    name: str,
    inputs: Callable[..., Batch],
    call: Callable[[Any, Batch], object],
    left_out: tuple[str, ...] = (),
) -> Case:
    part = Part(MODULE, "Text2SemanticDecoder", inputs, arguments, call, finish=_sharpen, settle=_send_tables)
    return Case(f"t2s.{name}", (part,), training=False, gradients=False, left_out=left_out)


CASES = (
    # On the host, where upstream's calls of them stay: the static decoder does without.
    host_case("t2s.layers", Part(MODULE, "Text2SemanticDecoder", _masked, arguments, _layers, finish=_blur)),
    _case("prefill", _one, _prefill),
    _case("teacher", _forced, _teacher),
    _case("step", _caches, _step, ("bfloat16",)),  # autocast makes keys of another dtype than the caches given here
    _case("loop", _drawing_caches, _loop, _NO_NOISE),
    _case("greedy", _one, _speaking(top_k=1), _CLOSE),
    _case("sampled", _one, _speaking(**_SAMPLED), _NO_NOISE),
    _case("rows", _rows, _together(**{**_SAMPLED, "top_k": _VOCABULARY, "top_p": 1.0}), _NO_NOISE),
)
