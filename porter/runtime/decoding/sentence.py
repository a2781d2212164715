"""One sentence for a network, padded to buckets: hooks tell its lengths, as data, wherever upstream has them."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .. import ops, utils
from ..ops.interpolate import linear_positions
from .padding import Padded, padded_to, silence_behind


def lengths(asked: dict[str, Any]) -> list[int]:
    """Of codes, text and references."""
    refer = asked["refer"]
    references = refer if isinstance(refer, list) else [refer]
    return [part.shape[-1] for part in (asked["codes"], asked["text"], *references)]


def takes_lengths(network: Any, *parts: str) -> bool:
    """Whether a network has `parts`, and an encoder that is told how long codes and text are."""
    encoder = getattr(network, "enc_p", None)
    if not isinstance(encoder, nn.Module) or not all(hasattr(network, name) for name in (*parts, "ref_enc")):
        return False
    return {"y", "y_lengths", "text_lengths"} <= set(inspect.signature(encoder.forward).parameters)


def sent(value: Any, device: torch.device) -> Any:
    """Dicts, lists and tensors with each tensor on the device."""
    if isinstance(value, Tensor):
        return utils.constant(value, device)
    if isinstance(value, dict):
        return {name: sent(part, device) for name, part in value.items()}
    return [sent(part, device) for part in value] if isinstance(value, list) else value


class Sentence:
    """One call of a network: its lengths, and the hooks that tell them."""

    def __init__(self, network: Any, asked: dict[str, Any], like: Tensor, multiple: int = 1) -> None:
        """`asked` are arguments of its method; `like` is a weight; codes and frames get a `multiple` of places."""
        self._network, self._asked, self._like, self._multiple = network, asked, like, multiple
        codes, text, *self._references = lengths(asked)
        self._codes, self._text = Padded(codes, self._room(codes), like), Padded.bucketed(text, like)
        self.frames = self._codes  # of what passes the network now: more to a code as soon as the encoder has them
        self.kept = 0  # latents that `decode_streaming` hands on

    def padded(self) -> dict[str, Any]:
        """The arguments, padded; what is done at the end of a signal is left to `_behind_encoder`."""

        def bucketed(reference: Tensor) -> Tensor:
            return padded_to(reference, ops.bucket(reference.shape[-1]))

        refer = self._asked["refer"]
        none: dict[str, Any] = {name: None for name in ("result_length", "overlap_frames") if name in self._asked}
        return {
            **self._asked,
            **none,
            "codes": self.padded_codes(),
            "text": padded_to(self._asked["text"], self._text.padded),
            "refer": [bucketed(part) for part in refer] if isinstance(refer, list) else bucketed(refer),
        }

    def padded_codes(self) -> Tensor:
        """(1, 1, places), on the host."""
        return padded_to(self._asked["codes"], self._codes.padded)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """The network knows the lengths, and draws its noise on the host."""
        network, current = self._network, [self._codes]
        references = iter(self._references)

        def before_reference(module: Any, args: Any, kwargs: Any) -> Any:
            arguments = inspect.signature(module.forward).bind(*args, **kwargs).arguments
            current[0] = Padded(next(references), arguments["x"].shape[-1], self._like)
            mask = current[0].mask()
            return (), {**arguments, "x": arguments["x"] * mask, "mask": mask}

        with contextlib.ExitStack() as held:
            for hook in (
                network.ref_enc.register_forward_pre_hook(before_reference, with_kwargs=True),
                network.enc_p.register_forward_pre_hook(self._before_encoder, with_kwargs=True),
                network.enc_p.register_forward_hook(self._behind_encoder),
            ):
                held.callback(hook.remove)
            held.enter_context(silence_behind(network.ref_enc, lambda: current[0]))
            if hasattr(network, "dec"):
                held.enter_context(silence_behind(network.dec, lambda: self.frames))
            for child in network.children():
                if child is not network.enc_p and "x_lengths" in inspect.signature(child.forward).parameters:
                    held.callback(child.register_forward_pre_hook(self._before_layers, with_kwargs=True).remove)
            held.enter_context(_HostNoise(self))
            yield

    def noise(self, like: Tensor) -> Tensor:
        """For `like` (1, C, padded frames): drawn for the frames that are there, and zeros."""
        drawn = torch.randn(*like.shape[:-1], self.frames.count, dtype=like.dtype)
        return utils.constant(padded_to(drawn, self.frames.padded), like.device)

    def _before_encoder(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        padded = bound.arguments["y"].shape[-1]
        self._pass(self._codes.count * padded // self._codes.padded, padded)
        bound.arguments |= {"y_lengths": self.frames.length, "text_lengths": self._text.length}
        if "speed" in bound.arguments:
            bound.arguments["speed"] = 1
        return bound.args, bound.kwargs

    def _before_layers(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        """What follows the encoder, at a rate of its own, is told a length that upstream computes of the codes."""
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        padded = bound.arguments["x"].shape[-1]
        self._pass(self.frames.count * padded // self.frames.padded, padded)
        bound.arguments["x_lengths"] = torch.minimum(bound.arguments["x_lengths"], self.frames.length)
        return bound.args, bound.kwargs

    def _behind_encoder(self, module: Any, args: Any, result: Any) -> Any:
        """Cut, mix and resample as the encoder does, at the end that is told and not at that of the padding."""
        hidden, mean, logs, mask, *others = result
        first = hidden
        last, overlap = self._asked.get("result_length"), self._asked.get("overlap_frames")
        if last is not None:
            per_code = self.frames.padded // self._codes.padded
            hidden = self._cut(hidden, min(last * per_code, self.frames.count))
        if overlap is not None:
            hidden = self._mixed(hidden, overlap)
        latents = (hidden, self.frames.mask())
        self.kept = self.frames.count
        if self._asked.get("speed", 1) != 1:
            hidden = self._resampled(hidden, int(self.frames.count / self._asked["speed"]) + 1)
        if hidden is not first:
            mask = self.frames.mask()
            mean, logs = torch.split(module.proj(hidden) * mask, module.out_channels, dim=1)
        return hidden, mean, logs, mask, *latents[: len(others)]

    def _cut(self, hidden: Tensor, count: int) -> Tensor:
        """The last `count` frames."""
        first, last = self.frames.count - count, self.frames.padded - 1
        self._pass(count, self._room(count))
        places = torch.clamp(torch.arange(self.frames.padded) + first, max=last)
        return hidden.index_select(2, utils.constant(places, hidden.device))

    def _mixed(self, hidden: Tensor, overlap: Tensor) -> Tensor:
        """The last frames of the chunk before fade out, while the first of these fade in."""
        count = overlap.shape[-1]
        window = torch.sin(torch.arange(count * 2) * torch.pi / (count * 2))
        rise = F.pad(window[:count], (0, self.frames.padded - count), value=1.0)
        before = padded_to(window[count:] * overlap.cpu(), self.frames.padded)
        rise, before = (utils.constant(part, hidden.device, hidden.dtype) for part in (rise, before))
        return hidden * rise + before

    def _resampled(self, hidden: Tensor, count: int) -> Tensor:
        """`count` frames by linear interpolation."""
        parts = linear_positions(self.frames.count, count, None, False, np.dtype(np.float32))
        self._pass(count, self._room(count))
        left, right, weight, rest = (
            utils.constant(padded_to(torch.from_numpy(part), self.frames.padded), hidden.device) for part in parts
        )
        wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        mixed = wide.index_select(2, left) * rest + wide.index_select(2, right) * weight
        return mixed.to(hidden.dtype)

    def _room(self, count: int) -> int:
        return -(-ops.bucket(count) // self._multiple) * self._multiple

    def _pass(self, count: int, padded: int) -> None:
        self.frames = Padded(count, padded, self._like)


class _HostNoise(TorchFunctionMode):
    """The noise of a sentence's latents comes from the host's generator."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__()
        self._sentence = sentence

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.randn_like:
            return self._sentence.noise(args[0])
        return func(*args, **(kwargs or {}))
