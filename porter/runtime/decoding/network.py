"""The weights of upstream's Text2SemanticDecoder as the static decoder reads them."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import utils
from ..ops import forms


class Product(NamedTuple):
    """A linear layer.

    XLA's CPU multiplies by a weight that is turned as it is; one in the order of `F.linear` it would turn in every step
    of a loop. A TPU is the other way round.
    """

    weight: Tensor  # (outputs, inputs), or (inputs, outputs) where it is turned
    bias: Tensor | None  # (outputs)
    turned: bool = False

    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., outputs) of (..., inputs)."""
        return F.linear(hidden, self.weight.t() if self.turned else self.weight, self.bias)

    def sent(self, device: torch.device | str) -> "Product":
        """The same on a device, in the order that it wants."""
        turned = _kind(device) == "xla" and not forms.wants_tpu_form(torch.empty(0, device=device))
        weight = self.weight if turned == self.turned else self.weight.t()
        bias = None if self.bias is None else utils.constant(self.bias, device)
        return Product(utils.constant(weight, device), bias, turned)


class Layer(NamedTuple):
    """One block. C channels."""

    qkv: Product  # C to 3C
    out: Product  # C to C
    norm1: tuple[Tensor, Tensor, float]  # weight (C), bias (C), eps
    widen: Product  # C to 4C
    narrow: Product  # 4C to C
    norm2: tuple[Tensor, Tensor, float]


class Place(NamedTuple):
    """How a kind of token gets its position: `x * scale + alpha * table[position]`."""

    alpha: Tensor  # (1)
    scale: float
    table: Tensor  # (positions, C)


class Network(NamedTuple):
    """Every weight that decoding reads, on one device. C channels, V tokens of which the last one is the end."""

    text: Tensor  # (phonemes, C)
    text_place: Place
    bert: Product  # 1024 to C
    audio: Tensor  # (V, C)
    audio_place: Place
    layers: tuple[Layer, ...]
    predict: Product  # C to V
    heads: int
    end: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.audio.device

    def to(self, device: torch.device | str) -> "Network":
        """The weights on a device: a copy of what they are now, unless they are there."""
        sent: Network = _sent(self, device)
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
            predict=_product(model.ar_predict_layer),
            heads=model.num_head,
            end=model.EOS,
        )


def _kind(device: torch.device | str) -> str:
    return torch.device(device).type


def _layer(layer: Any) -> Layer:
    attention = layer.self_attn
    return Layer(
        qkv=Product(attention.in_proj_weight, attention.in_proj_bias),
        out=_product(attention.out_proj),
        norm1=(layer.norm1.weight, layer.norm1.bias, layer.norm1.eps),
        widen=_product(layer.linear1),
        narrow=_product(layer.linear2),
        norm2=(layer.norm2.weight, layer.norm2.bias, layer.norm2.eps),
    )


def _product(layer: nn.Linear) -> Product:
    return Product(layer.weight, layer.bias)


def _place(embedding: Any) -> Place:
    # Upstream's table is no buffer, so it stays behind on the host when the model goes to a device.
    alpha = embedding.alpha
    return Place(alpha, embedding.x_scale, utils.constant(embedding.pe[0], alpha.device, alpha.dtype))


def _sent(value: Any, device: torch.device | str) -> Any:
    """Tuples of tensors and numbers with each tensor on a device."""
    if isinstance(value, Product):
        return value.sent(device)
    if isinstance(value, Tensor):
        return utils.constant(value, device)
    if not isinstance(value, tuple):
        return value
    parts = [_sent(part, device) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
