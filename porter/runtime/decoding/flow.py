"""Sound by flow matching, as v3 and v4 speak: conditions from codes, padded to buckets, and a spectrum step by step."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .. import utils
from .sentence import Sentence, lengths, sent, takes_lengths

_MULTIPLE = 8  # of places: so many become a whole number at the rate of the condition, which is 15/8 in v3


@torch.no_grad()
def decode_encp(network: nn.Module, *given: Any, **named: Any) -> tuple[Tensor, Tensor]:
    """What `network.decode_encp` gives, on the host, from host tensors: (1, channels, frames) and the style.

    Codes, text and reference are padded to buckets, unless the network's text encoder takes no lengths.
    """
    method: Any = network.decode_encp
    bound = inspect.signature(method).bind(*given, **named)
    bound.apply_defaults()
    asked = dict(bound.arguments)
    like = next(network.parameters())
    if not takes_lengths(network, "quantizer") or not all(lengths(asked)):
        condition, style = method(**sent(asked, like.device))
        utils.run_pending()
        return condition.cpu(), style.cpu()
    sentence = Sentence(network, asked, like, _MULTIPLE)
    codes = utils.constant(sentence.padded_codes(), like.device)
    # The method counts the codes that it is given; those that it decodes are padded.
    given_to_it = {**sentence.padded(), "codes": asked["codes"]}
    with sentence.told(), _replaced(network.quantizer, "decode", lambda decode: lambda unpadded: decode(codes)):
        condition, style = method(**sent(given_to_it, like.device))
    utils.run_pending()
    return condition.cpu()[..., : sentence.frames.count], style.cpu()


@torch.no_grad()
def inference(matching: nn.Module, *given: Any, **named: Any) -> Tensor:
    """What `matching.inference` gives, on the host, from host tensors; its noise is drawn on the host.

    Each step is a graph, the same for all but the first, which computes what is kept for the others.
    """
    method: Any = matching.inference
    bound = inspect.signature(method).bind(*given, **named)
    estimator: Any = matching.estimator
    device = next(matching.parameters()).device
    ended = estimator.register_forward_hook(lambda *told: utils.run_pending())
    try:
        with _DrawnOnHost():
            found: Tensor = method(**sent(dict(bound.arguments), device))
    finally:
        ended.remove()
    utils.run_pending()
    return found.cpu()


@contextlib.contextmanager
def _replaced(owner: Any, name: str, other: Callable[[Any], Any]) -> Iterator[None]:
    """A method of one object is another, made of it, inside."""
    setattr(owner, name, other(getattr(owner, name)))
    try:
        yield
    finally:
        delattr(owner, name)


class _DrawnOnHost(TorchFunctionMode):
    """What `torch.randn` draws for a device comes from the host's generator."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        if func is not torch.randn or named.get("device") is None:
            return func(*args, **named)
        device = torch.device(named.pop("device"))
        return utils.constant(torch.randn(*args, **named), device)
