"""The two graphs of decoding: one for the prompt, one for a token, or for several tokens in a row."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import loops, utils
from ..ops import forms
from .network import Layer, Network, Place
from .prompt import Prompt
from .sampling import Drawing, sample
from .slots import State, visible


@torch.no_grad()
def prefill(network: Network, prompt: Prompt, slots: int) -> State:
    """Read the prompt, all of it at once, into caches of `slots` slots, and compute the first logits."""
    batch, filled = prompt.phonemes.shape
    place = torch.arange(filled, device=prompt.phonemes.device)
    valid = place >= prompt.start  # (B, S)
    coded = place >= prompt.first
    text = network.text[prompt.phonemes] + network.bert(prompt.bert)
    codes = network.audio[prompt.codes]
    hidden = torch.where(
        coded[..., None],
        _placed(codes, network.audio_place, prompt.position),
        _placed(text, network.text_place, prompt.position),
    )
    # Phonemes see phonemes; codes see phonemes and the codes up to themselves; an empty slot sees itself, for it must
    # not become NaN, which no mask would keep out.
    after = place[:, None] >= place
    sees = valid[:, None] & (~coded[:, None] | (coded[..., None] & after))
    sees = sees | (place[:, None] == place)
    bias = visible(sees, hidden.dtype)[:, None]
    keys, values = [], []
    for layer in network.layers:
        query, key, value = _heads(layer, hidden, network.heads)
        hidden = _rest(layer, hidden, _attend(query, key, value, bias))
        keys.append(F.pad(key.transpose(-1, -2).flatten(0, 1), (0, slots - filled)))
        values.append(F.pad(value.transpose(-1, -2).flatten(0, 1), (0, slots - filled)))
    vocabulary = torch.arange(network.audio.shape[0], device=place.device)
    return State(
        keys=keys,
        values=values,
        valid=F.pad(valid, (0, slots - filled)),
        tokens=torch.zeros(batch, slots, dtype=torch.int64, device=place.device),
        seen=((prompt.codes[..., None] == vocabulary) & coded[..., None]).any(1),
        logits=network.predict(hidden[:, -1]),
        ended=torch.full((batch,), -1, device=place.device),
        position=filled - prompt.first[:, 0],
        slot=torch.full((1,), filled, device=place.device),
        step=torch.zeros(1, dtype=torch.int64, device=place.device),
        over=torch.zeros((), dtype=torch.bool, device=place.device),
    )


@torch.no_grad()
def step(network: Network, state: State, noise: Tensor, drawing: Drawing) -> None:
    """Draw one token a row from the last logits, and compute the next ones. `noise` (B, V) is exponential."""
    token, likeliest = sample(state.logits, state.seen, noise, state.step >= drawing.forced, drawing)
    advance(network, state, token, (token == network.end) | (likeliest == network.end))


@torch.no_grad()
def several(network: Network, state: State, noise: Tensor, count: Tensor, drawing: Drawing) -> None:
    """Do `count` steps, of no dimension, in one graph: as many as `noise` (N, B, V) is for at most.

    It stops where all rows have ended. The device has to be one that `loops.fits`.
    """
    parts, over = loops.repeat(_once, state.parts, [noise], (network, drawing), count, state.over)
    state.become(parts, over)


def _once(
    parts: Sequence[Tensor], noise: Sequence[Tensor], fixed: tuple[Network, Drawing]
) -> tuple[list[Tensor], Tensor]:
    network, drawing = fixed
    state = State.of(parts)
    step(network, state, noise[0], drawing)
    return state.parts, state.over


@torch.no_grad()
def advance(network: Network, state: State, token: Tensor, ends: Tensor) -> None:
    """Put `token` (B) into the next slot, note which rows end with it, and compute the logits behind it."""
    vocabulary = torch.arange(network.audio.shape[0], device=token.device)
    apart = not forms.wants_tpu_form(token)
    state.ended.copy_(torch.where((state.ended < 0) & ends, state.step, state.ended))
    state.over = (state.ended >= 0).all()
    state.seen.logical_or_(vocabulary == token[:, None])
    utils.write_at([state.tokens], [token[:, None]], 1, state.slot, apart=apart)
    state.valid.logical_or_(torch.arange(state.slots, device=token.device) == state.slot)
    hidden = _placed(network.audio[token[:, None]], network.audio_place, state.position[:, None])
    bias = visible(state.valid, hidden.dtype)[:, None]
    for layer, keys, values in zip(network.layers, state.keys, state.values, strict=True):
        query, key, value = (part.reshape(*keys.shape[:2], 1) for part in _heads(layer, hidden, network.heads))
        utils.write_at([keys, values], [key, value], 2, state.slot, apart=apart)
        hidden = _rest(layer, hidden, _look_back(query, keys, values, bias))
    state.logits.copy_(network.predict(hidden[:, 0]))
    state.position.add_(1)
    state.slot.add_(1)
    state.step.add_(1)


def _placed(hidden: Tensor, place: Place, position: Tensor) -> Tensor:
    return hidden * place.scale + place.alpha * place.table[position]


def _heads(layer: Layer, hidden: Tensor, heads: int) -> list[Tensor]:
    """Queries, keys and values of `hidden` (B, Q, C), each (B, H, Q, D)."""
    batch, length, _ = hidden.shape
    parts = layer.qkv(hidden).chunk(3, -1)
    return [part.view(batch, length, heads, -1).transpose(1, 2) for part in parts]


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention (B, Q, C) of queries (B, H, Q, D) to keys and values (B, H, K, D); `bias` broadcasts over heads."""
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + bias
    attended: Tensor = weights.softmax(-1) @ value
    return attended.transpose(1, 2).flatten(2)


def _look_back(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Attention (B, 1, C) of a query (B * H, D, 1) to caches (B * H, D, T), with a `bias` (B, 1, T).

    Both products take the caches as they lie, so that nobody copies them.
    """
    scaled = (query * query.shape[1] ** -0.5).transpose(1, 2)
    weights = torch.bmm(scaled, keys).view(bias.shape[0], -1, keys.shape[2]) + bias
    attended = torch.bmm(values, weights.softmax(-1).view(-1, keys.shape[2], 1))
    return attended.view(bias.shape[0], 1, -1)


def _rest(layer: Layer, hidden: Tensor, attended: Tensor) -> Tensor:
    """What a block does behind its attention."""
    hidden = _normal(hidden + layer.out(attended), *layer.norm1)
    widened = F.relu(layer.widen(hidden))
    return _normal(hidden + layer.narrow(widened), *layer.norm2)


def _normal(hidden: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm. On XLA one operation after the other: its own lowering has parallel branches, and costs more."""
    if hidden.device.type != "xla":
        return F.layer_norm(hidden, weight.shape, weight, bias, eps)
    centred = hidden - hidden.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps) * weight + bias
