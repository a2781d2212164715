"""Text to sound with predicted durations, as VITS and its relatives infer: one length is read, and a graph a bucket.

Upstream's own method runs, on padded texts. Where it reads how many frames the durations make, it is told their bucket;
masks leave out what is behind, and the decoder's convolutions see zeros there.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from .. import utils
from ..ops.lengths import rounded
from .padding import Padded, padded_to, silence_behind


@torch.no_grad()
def infer(network: nn.Module, x: Tensor, x_lengths: Tensor, *given: Any, **named: Any) -> Any:
    """What `network.infer` gives for texts x (B, T) of x_lengths (B), on the host, from host tensors.

    The other arguments are those of the method. Its noise is drawn on the host: a seed means what it means upstream on
    a CPU. A decoder that makes spectra gets lengths of the data, and each makes a graph: an inverse transform divides
    its last samples by the windows of what follows.
    """
    method: Any = network.infer
    bound = inspect.signature(method).bind(x, x_lengths, *given, **named)
    like = next(network.parameters())
    limit = bound.arguments.get("max_len")
    if not _pads(network) or not (limit is None or (isinstance(limit, int) and limit > 0)):
        found = method(**_sent(bound.arguments, like))
        utils.run_pending()
        return pytree.tree_map_only(Tensor, Tensor.cpu, found)
    text = _Text(network, Padded.bucketed(x.shape[-1], like), limit)
    padded = pytree.tree_map_only(Tensor, text.padded, dict(bound.arguments))
    with text.told():
        found = method(**_sent(padded, like))
    utils.run_pending()
    return pytree.tree_map_only(Tensor, text.cut, found)


def _pads(network: nn.Module) -> bool:
    """Whether a network decodes its latents by convolutions alone, so that what is behind the end can be kept out."""
    decoder = getattr(network, "dec", None)
    return isinstance(decoder, nn.Module) and not any("istft" in name.lower() for name in vars(decoder))


def _sent(given: dict[str, Any], like: Tensor) -> dict[str, Any]:
    return {
        name: pytree.tree_map_only(Tensor, lambda part: utils.constant(part, like.device), value)
        for name, value in given.items()
    }


class _Text:
    """The texts of one call: how long they are, and how many frames they become."""

    def __init__(self, network: nn.Module, symbols: Padded, limit: int | None) -> None:
        """`limit` is the number of frames that are decoded at most, None for all."""
        self.symbols = symbols
        self.frames: Padded | None = None  # as soon as the durations are predicted
        self._decoded: Padded | None = None  # those of them that become sound
        self._sounds: list[Any] = []  # what the decoder gave
        self._network, self._limit = network, limit

    def padded(self, tensor: Tensor) -> Tensor:
        """What has a place for each symbol, padded."""
        long = tensor.dim() > 1 and tensor.shape[-1] == self.symbols.count
        return padded_to(tensor, self.symbols.padded) if long else tensor

    def cut(self, result: Tensor) -> Tensor:
        """A result on the host: sound, latents and masks (B, C, frames or samples), alignments (B, 1, frames, T)."""
        found = result.cpu()
        if self.frames is None:
            return found
        if any(result is sound for sound in self._sounds):
            there = self._of_decoder()
            return found[..., : found.shape[-1] // there.padded * there.count]
        if found.dim() == 4:
            return found[:, :, : self.frames.count, : self.symbols.count]
        return found[..., : found.shape[-1] // self.frames.padded * self.frames.count]

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """The network is told padded lengths, and draws its noise on the host."""
        with contextlib.ExitStack() as held:
            held.enter_context(rounded(self._rounded))
            decoder = self._network.get_submodule("dec")
            held.callback(decoder.register_forward_hook(self._keep).remove)
            held.enter_context(silence_behind(decoder, self._of_decoder))
            held.enter_context(_HostNoise(self))
            yield

    def _rounded(self, largest: int) -> int:
        if self.frames is None:
            self.frames = Padded.bucketed(largest, next(self._network.parameters()))
        return self.frames.padded if largest == self.frames.count else largest

    def _of_decoder(self) -> Padded:
        there = self.symbols if self.frames is None else self.frames
        if self._limit is None:
            return there
        if self._decoded is None or self.frames is None:
            ends = min(there.count, self._limit), min(there.padded, self._limit)
            self._decoded = Padded(*ends, next(self._network.parameters()))
        return self._decoded

    def _keep(self, decoder: nn.Module, given: Any, result: Any) -> None:
        self._sounds += pytree.tree_leaves(result)

    def noise(self, size: torch.Size, dtype: torch.dtype, device: torch.device, swapped: tuple[int, int]) -> Any:
        """Of this padded size: drawn for what is there, and zeros behind; None for other sizes.

        torch draws in the order of memory, and a tensor with `swapped` axes has them swapped there.
        """
        there = self.symbols if self.frames is None else self.frames
        if not size or size[-1] != there.padded:
            return None
        like = torch.empty(*size[:-1], there.count, dtype=dtype).transpose(*swapped).contiguous().transpose(*swapped)
        return utils.constant(padded_to(torch.randn_like(like), there.padded), device)


class _HostNoise(TorchFunctionMode):
    """Normal noise comes from the host's generator."""

    def __init__(self, text: _Text) -> None:
        super().__init__()
        self._text = text
        self._swapped: Any = WeakTensorKeyDictionary()  # type: ignore[no-untyped-call]  # axes by what was transposed; XLA's tensors do not tell strides

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func in (torch.transpose, Tensor.transpose):
            swapped = func(*args, **given)
            self._swapped[swapped] = tuple(args[1:3]) if len(args) == 3 else (given["dim0"], given["dim1"])
            return swapped
        drawn = {torch.randn_like: self._randn_like, torch.randn: self._randn}.get(func)
        made = drawn(args, given) if drawn is not None else None
        return func(*args, **given) if made is None else made

    def _randn_like(self, args: Any, given: Any) -> Any:
        like, axes = args[0], self._swapped.get(args[0], (0, 0))
        return self._text.noise(like.shape, given.get("dtype") or like.dtype, like.device, axes)

    def _randn(self, args: Any, given: Any) -> Any:
        size = given.get("size", args)
        size = torch.Size(size if all(isinstance(one, int) for one in size) else size[0])
        device = torch.device(given.get("device") or self._text.symbols.length.device)
        return self._text.noise(size, given.get("dtype") or torch.get_default_dtype(), device, (0, 0))
