"""The weights of upstream's Text2SemanticDecoder as the static decoder reads them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .. import utils


class Layer(NamedTuple):
    """One block: weights and biases, those of a product as `hidden @ weight + bias` takes them.

    XLA's CPU multiplies by a weight in this order as it is; one in the order of `F.linear` it would turn round in every
    step of a loop.
    """

    qkv: tuple[Tensor, Tensor]  # (C, 3C), (3C)
    out: tuple[Tensor, Tensor]  # (C, C), (C)
    norm1: tuple[Tensor, Tensor, float]  # (C), (C), eps
    widen: tuple[Tensor, Tensor]  # (C, 4C), (4C)
    narrow: tuple[Tensor, Tensor]  # (4C, C), (C)
    norm2: tuple[Tensor, Tensor, float]  # (C), (C), eps


class Place(NamedTuple):
    """How a kind of token gets its position: `x * scale + alpha * table[position]`."""

    alpha: Tensor  # (1)
    scale: float
    table: Tensor  # (positions, C)


class Network(NamedTuple):
    """Every weight that decoding reads, on one device. C channels, V tokens of which the last one is the end."""

    text: Tensor  # (phonemes, C)
    text_place: Place
    bert: tuple[Tensor, Tensor]  # (1024, C), (C)
    audio: Tensor  # (V, C)
    audio_place: Place
    layers: tuple[Layer, ...]
    predict: Tensor  # (C, V)
    heads: int
    end: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.predict.device

    def to(self, device: torch.device | str) -> "Network":
        """The weights on a device: a copy of what they are now, unless they are there."""
        sent: Network = _mapped(self, lambda tensor: utils.constant(tensor, device))
        return sent

    @classmethod
    def of(cls, model: Any) -> "Network":
        """The weights of a Text2SemanticDecoder, upstream's or the port's, where they are."""
        return cls(
            text=model.ar_text_embedding.word_embeddings.weight,
            text_place=_place(model.ar_text_position),
            bert=_product(model.bert_proj),
            audio=model.ar_audio_embedding.word_embeddings.weight,
            audio_place=_place(model.ar_audio_position),
            layers=tuple(_layer(layer) for layer in model.h.layers),
            predict=model.ar_predict_layer.weight.t(),
            heads=model.num_head,
            end=model.EOS,
        )


def _layer(layer: Any) -> Layer:
    attention = layer.self_attn
    return Layer(
        qkv=(attention.in_proj_weight.t(), attention.in_proj_bias),
        out=_product(attention.out_proj),
        norm1=(layer.norm1.weight, layer.norm1.bias, layer.norm1.eps),
        widen=_product(layer.linear1),
        narrow=_product(layer.linear2),
        norm2=(layer.norm2.weight, layer.norm2.bias, layer.norm2.eps),
    )


def _product(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.t(), layer.bias


def _place(embedding: Any) -> Place:
    # Upstream's table is no buffer, so it stays behind on the host when the model goes to a device.
    alpha = embedding.alpha
    return Place(alpha, embedding.x_scale, utils.constant(embedding.pe[0], alpha.device, alpha.dtype))


def _mapped(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Tuples of tensors and numbers with each tensor replaced."""
    if isinstance(value, Tensor):
        return function(value)
    if not isinstance(value, tuple):
        return value
    parts = [_mapped(part, function) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
