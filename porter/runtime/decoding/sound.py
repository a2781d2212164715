"""Codes to sound with lengths padded to buckets: upstream's `decode`, its samples, and a graph a bucket.

Upstream's own method runs, on padded codes, text and references. Hooks tell its encoders the lengths, as data, and put
zeros before each convolution of the decoder and of the reference's encoder where upstream has its zero padding: biases
make something of silence, and what stands behind the end would be seen from before it.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from .. import ops, utils
from .padding import Padded, padded_to, silence_behind
from .sentence import Sentence, lengths, sent, takes_lengths


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


@torch.no_grad()
def vocode(vocoder: nn.Module, spectrum: Tensor) -> Tensor:
    """What a `vocoder` of convolutions makes of a spectrum (1, channels, T): (1, 1, samples), on the host."""
    like = next(vocoder.parameters())
    signal = Padded.bucketed(spectrum.shape[-1], like)
    with silence_behind(vocoder, lambda: signal):
        found = vocoder(utils.constant(padded_to(spectrum, signal.padded), like.device))
    utils.run_pending()
    sound: Tensor = found.cpu()
    return sound[..., : sound.shape[-1] // signal.padded * signal.count]


def _called(network: Any, name: str, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Tensor, ...]:
    """Results of a method of the network, each on the host and without what was padded."""
    method = getattr(network, name)
    bound = inspect.signature(method).bind(*given, **named)
    bound.apply_defaults()
    asked = dict(bound.arguments)
    like = next(network.parameters())
    if not takes_lengths(network, "dec") or asked.get("padding_length") or not all(lengths(asked)):
        found = method(**sent(asked, like.device))
        utils.run_pending()
        return tuple(part.cpu() for part in (found if isinstance(found, tuple) else (found,)))
    sentence = Sentence(network, asked, like)
    with sentence.told():
        found = method(**sent(sentence.padded(), like.device))
    utils.run_pending()
    sound, *latents = (part.cpu() for part in (found if isinstance(found, tuple) else (found,)))
    frames = sentence.frames
    return sound[..., : sound.shape[-1] // frames.padded * frames.count], *(
        part[..., : sentence.kept] for part in latents
    )
