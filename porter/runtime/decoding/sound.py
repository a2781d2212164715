"""Codes to sound with lengths padded to buckets: upstream's `decode`, its samples, and a graph a bucket.

Upstream's own method runs, on padded codes, text and references. Hooks tell its encoders the lengths, as data, and put
zeros before each convolution of the decoder and of the reference's encoder where upstream has its zero padding: biases
make something of silence, and what stands behind the end would be seen from before it.
"""

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


@torch.no_grad()
def decode(network: nn.Module, codes: Tensor, text: Tensor, refer: Any, *given: Any, **named: Any) -> Tensor:
    """What `network.decode` gives for one sentence, (1, 1, samples), on the host, from host tensors.

    codes (1, 1, n), text (1, phonemes), refer (1, channels, frames) or a list of them; the other arguments are those of
    the method. Its noise is drawn on the host: a seed means what it means upstream on a CPU. A network whose text
    encoder takes no lengths runs unpadded.
    """
    sound: Tensor = _called(network, "decode", (codes, text, refer, *given), named)[0]
    return sound


@torch.no_grad()
def decode_streaming(
    network: nn.Module, codes: Tensor, text: Tensor, refer: Any, *given: Any, **named: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """What `network.decode_streaming` gives, on the host: sound, and latents and their mask for the next chunk.

    Flow and decoder run on the frames of the result alone, so that chunks of one length share a graph.
    """
    sound, latents, mask = _called(network, "decode_streaming", (codes, text, refer, *given), named)
    return sound, latents, mask


@torch.no_grad()
def extract_latent(network: Any, features: Tensor) -> Tensor:
    """What `network.extract_latent` gives for features (1, channels, T) of a reference, on the host."""
    device = next(network.parameters()).device
    length, layer = features.shape[-1], getattr(network, "ssl_proj", None)
    kept = None
    # Without padding of its own, none of the results that are kept sees beyond the end.
    if isinstance(layer, nn.Conv1d) and layer.padding == (0,) and length >= layer.kernel_size[0]:
        kept = (length - layer.dilation[0] * (layer.kernel_size[0] - 1) - 1) // layer.stride[0] + 1
        features = padded_to(features, ops.bucket(length))
    codes: Tensor = network.extract_latent(utils.constant(features, device))
    utils.run_pending()
    return codes.cpu()[..., :kept]


def _called(network: Any, name: str, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Tensor, ...]:
    """Results of a method of the network, each on the host and without what was padded."""
    method = getattr(network, name)
    bound = inspect.signature(method).bind(*given, **named)
    bound.apply_defaults()
    asked = dict(bound.arguments)
    like = next(network.parameters())
    if not _takes_lengths(network) or asked.get("padding_length") or not all(_lengths(asked)):
        found = method(**_sent(asked, like.device))
        utils.run_pending()
        return tuple(part.cpu() for part in (found if isinstance(found, tuple) else (found,)))
    sentence = _Sentence(network, asked, like)
    with sentence.told():
        found = method(**_sent(sentence.padded(), like.device))
    utils.run_pending()
    sound, *latents = (part.cpu() for part in (found if isinstance(found, tuple) else (found,)))
    frames = sentence.frames
    return sound[..., : sound.shape[-1] // frames.padded * frames.count], *(
        part[..., : sentence.kept] for part in latents
    )


def _lengths(asked: dict[str, Any]) -> list[int]:
    refer = asked["refer"]
    references = refer if isinstance(refer, list) else [refer]
    return [part.shape[-1] for part in (asked["codes"], asked["text"], *references)]


def _takes_lengths(network: Any) -> bool:
    encoder = getattr(network, "enc_p", None)
    if not isinstance(encoder, nn.Module) or not all(hasattr(network, name) for name in ("dec", "ref_enc")):
        return False
    return {"y", "y_lengths", "text_lengths"} <= set(inspect.signature(encoder.forward).parameters)


def _sent(value: Any, device: torch.device) -> Any:
    """Dicts, lists and tensors with each tensor on the device."""
    if isinstance(value, Tensor):
        return utils.constant(value, device)
    if isinstance(value, dict):
        return {name: _sent(part, device) for name, part in value.items()}
    return [_sent(part, device) for part in value] if isinstance(value, list) else value


class _Sentence:
    """One call of a network: its lengths, and the hooks that tell them."""

    def __init__(self, network: Any, asked: dict[str, Any], like: Tensor) -> None:
        self._network, self._asked, self._like = network, asked, like
        codes, text, *self._references = _lengths(asked)
        self._codes, self._text = Padded.bucketed(codes, like), Padded.bucketed(text, like)
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
            "codes": padded_to(self._asked["codes"], self._codes.padded),
            "text": padded_to(self._asked["text"], self._text.padded),
            "refer": [bucketed(part) for part in refer] if isinstance(refer, list) else bucketed(refer),
        }

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
            held.enter_context(silence_behind(network.dec, lambda: self.frames))
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
        self._pass(count, ops.bucket(count))
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
        self._pass(count, ops.bucket(count))
        left, right, weight, rest = (
            utils.constant(padded_to(torch.from_numpy(part), self.frames.padded), hidden.device) for part in parts
        )
        wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        mixed = wide.index_select(2, left) * rest + wide.index_select(2, right) * weight
        return mixed.to(hidden.dtype)

    def _pass(self, count: int, padded: int) -> None:
        self.frames = Padded(count, padded, self._like)


class _HostNoise(TorchFunctionMode):
    """The noise of a sentence's latents comes from the host's generator."""

    def __init__(self, sentence: _Sentence) -> None:
        super().__init__()
        self._sentence = sentence

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.randn_like:
            return self._sentence.noise(args[0])
        return func(*args, **(kwargs or {}))
