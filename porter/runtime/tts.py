"""Upstream's TTS with its GPT and its synthesizer on the device: `TTS(TTS_Config({...}))`.

Text front end, BERT, HuBERT and the speaker's embedding stay upstream's own, on the host; the vocoder of v3 stays
upstream's own, on the device. Upstream's folder, with `TTS_infer_pack`, has to be on sys.path; it is imported when
`TTS` is first asked for.
"""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import nn

from . import ops, utils
from .decoding import attach, flow, sound

_UPSTREAM = "TTS_infer_pack.TTS"
_NETWORKS = ("SynthesizerTrn", "SynthesizerTrnV3", "Generator")  # built from the port in upstream's loading code


class OnDevice:
    """A network on a device that takes host tensors and answers with host tensors, whatever of it is called."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        """`network` is on `device`."""
        self._network, self._device = network, device

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The network's result."""
        return self._answer(self._network, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._network, name)
        if isinstance(found, nn.Module):
            return OnDevice(found, self._device)
        if not callable(found):
            return found
        return lambda *args, **kwargs: self._answer(found, args, kwargs)

    def to(self, *args: Any, **kwargs: Any) -> "OnDevice":
        """Itself: it stays where it is, in the precision that it has."""
        return self

    eval = half = float = to

    def _answer(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = _moved((args, kwargs), lambda tensor: utils.constant(tensor, self._device))
        with torch.no_grad():
            found = function(*given[0], **given[1])
        utils.run_pending()
        return _moved(found, lambda tensor: tensor.detach().cpu())


class SynthesizerOnDevice(OnDevice):
    """A synthesizer whose sentences are padded to buckets, so that few lengths compile."""

    def decode(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The network's `decode`."""
        return sound.decode(self._network, *args, **kwargs)

    def decode_streaming(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        """The network's `decode_streaming`."""
        return sound.decode_streaming(self._network, *args, **kwargs)

    def extract_latent(self, features: torch.Tensor) -> torch.Tensor:
        """The network's `extract_latent`."""
        return sound.extract_latent(self._network, features)

    def decode_encp(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The network's `decode_encp`."""
        return flow.decode_encp(self._network, *args, **kwargs)

    @property
    def cfm(self) -> "MatchingOnDevice":
        """The network's flow matching."""
        network: Any = self._network
        return MatchingOnDevice(network.cfm, self._device)


class MatchingOnDevice(OnDevice):
    """Flow matching, step by step."""

    def inference(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The network's `inference`."""
        return flow.inference(self._network, *args, **kwargs)


class VocoderOnDevice(OnDevice):
    """A vocoder whose spectra are padded to buckets."""

    def __call__(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Sound of a spectrum."""
        return sound.vocode(self._network, spectrum)


def _moved(value: Any, move: Any) -> Any:
    """Lists, tuples and dicts with each tensor moved."""
    if isinstance(value, torch.Tensor):
        return move(value)
    if isinstance(value, dict):
        return {key: _moved(item, move) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(item, move) for item in value)
    return value


@functools.cache
def _tts_class() -> type:
    upstream = importlib.import_module(_UPSTREAM)

    class TTS(upstream.TTS):  # type: ignore[misc, name-defined]  # upstream's, known when it is there
        """Upstream's TTS; `device` of its configuration is the host's, that of the port is `get_xla_device()`."""

        vits_model: Any
        vocoder: Any

        def __init__(self, configs: Any, progress: Callable[[int], object] | None = None) -> None:
            """`progress` hears now and then how many codes of a sentence, or of sentences at a time, are there."""
            self._progress = progress
            if not isinstance(configs, upstream.TTS_Config):
                configs = upstream.TTS_Config(configs)
            configs.device, configs.is_half = torch.device("cpu"), False
            self._place = utils.get_xla_device()
            super().__init__(configs)

        def init_t2s_weights(self, weights_path: str) -> None:
            """Load the GPT as upstream does; its codes are drawn on the device."""
            super().init_t2s_weights(weights_path)
            attach(self.t2s_model.model, self._place, self._progress)

        def init_vits_weights(self, weights_path: str) -> None:
            """Load the synthesizer as upstream does, into the port's class, on the device."""
            with _ported(upstream):
                super().init_vits_weights(weights_path)
            network = self.vits_model.to(self._place).eval()
            ops.fold_weight_norms(network)
            self.vits_model = SynthesizerOnDevice(network, self._place)

        def init_vocoder(self, version: str) -> None:
            """Load the vocoder as upstream does, into the port's class where there is one, and onto the device."""
            if isinstance(self.vocoder, VocoderOnDevice):
                self.vocoder = None  # upstream asks for the class of the one that it has
            with _ported(upstream):
                super().init_vocoder(version)
            if isinstance(self.vocoder, nn.Module):
                network = self.vocoder.to(self._place).eval()
                ops.fold_weight_norms(network)
                self.vocoder = VocoderOnDevice(network, self._place)

    return TTS


@contextlib.contextmanager
def _ported(upstream: ModuleType) -> Iterator[None]:
    """Upstream's loading code builds the port's networks."""
    models = importlib.import_module(".models", __package__)
    kept = {name: getattr(upstream, name) for name in _NETWORKS if hasattr(upstream, name) and hasattr(models, name)}
    for name in kept:
        setattr(upstream, name, getattr(models, name))
    try:
        yield
    finally:
        for name, network in kept.items():
            setattr(upstream, name, network)


def __getattr__(name: str) -> Any:
    if name == "TTS":
        return _tts_class()
    if name == "TTS_Config":
        return importlib.import_module(_UPSTREAM).TTS_Config
    raise AttributeError(f"module {__name__} has no {name}")
