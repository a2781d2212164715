"""The cases by name, written ones and those by inspection; each is imported when it is run, since that takes torch."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from porter.errors import PortError

if TYPE_CHECKING:
    from porter.validate.cases.base import Case

# A module of this package → its cases, and what each runs.
FAMILIES: dict[str, dict[str, str]] = {
    "synthesizer": {
        "synthesizer.v1.forward": "SynthesizerTrn of v1 in training, dropout active",
        "synthesizer.v2.forward": "SynthesizerTrn of v2 in training, dropout active",
        "synthesizer.v2Pro.forward": "SynthesizerTrn of v2Pro in training",
        "synthesizer.v2ProPlus.forward": "SynthesizerTrn of v2ProPlus in training",
    },
    "vits": {
        f"vits.{name}{ordinal}": f"the {ordinal} synthesizer of VITS or one of its relatives, {title}"
        for name, title in {"": "in training", "infer.": "from a text or features to audio"}.items()
        for ordinal in ("first", "second", "third", "fourth")
    },
    "inference": {
        f"synthesizer.{version}.{method}": f"SynthesizerTrn of {version}: {title}"
        for version in ("v1", "v2", "v2Pro", "v2ProPlus")
        for method, title in {
            "infer": "from features and text to audio",
            "decode": "from codes, text and several references to audio",
            "decode_folded": "the same with weight norms folded, slower",
            "decode_streaming": "one chunk of audio, at another speed",
            "extract_latent": "from features to codes",
        }.items()
    },
    "synthesizer_v3": {
        **{
            f"{name}.{method}": f"{model}: {title}"
            for name, model in {
                "synthesizer_v3.v3": "SynthesizerTrnV3 of v3",
                "synthesizer_v3.v4": "SynthesizerTrnV3 of v4",
                "synthesizer_v3b": "SynthesizerTrnV3b",
            }.items()
            for method, title in {
                "forward": "in training, dropout active",
                "decode_encp": "from codes and text to the condition of the flow",
                "extract_latent": "from features to codes",
            }.items()
        },
        "cfm.forward": "CFM in training",
        "cfm.bootstrap": "CFM in training on its own predictions",
        "cfm.checkpoint": "CFM in training, activations computed again",
        "cfm.inference": "CFM: from noise to a mel spectrogram",
        "cfm.guided": "CFM: the same with guidance",
        "set_no_grad": "freezing parameters",
    },
    "duration": {
        "duration.stochastic": "StochasticDurationPredictor, likelihood of durations",
        "duration.stochastic.reverse": "StochasticDurationPredictor, drawing durations",
        "duration.plain": "DurationPredictor",
    },
    "text_encoder": {
        "text_encoder.plain": "TextEncoder in training",
        "text_encoder.speed": "TextEncoder at other speeds",
        "text_encoder.streaming": "TextEncoder for one chunk of a stream",
        "text_encoder.without_text": "TextEncoder with the text and the style left out",
    },
    "encoders": {
        "coupling.forward": "ResidualCouplingBlock, from latents",
        "coupling.reverse": "ResidualCouplingBlock, to latents",
        "posterior": "PosteriorEncoder",
        "encoders": "Encoder and WNEncoder",
    },
    "generator": {
        "generator.plain": "Generator",
        "generator.without_weight_norm": "Generator after remove_weight_norm",
    },
    "t2s": {
        "t2s.layers": "Text2SemanticDecoder: upstream's own layers on prompts and one more token, on the host",
        "t2s.prefill": "Text2SemanticDecoder: first logits behind text and reference",
        "t2s.teacher": "Text2SemanticDecoder: logits of each step behind upstream's tokens",
        "t2s.step": "Text2SemanticDecoder: one step, from caches with rubbish in empty slots",
        "t2s.loop": "Text2SemanticDecoder: 16 steps from such caches, in one graph where that can be",
        "t2s.greedy": "Text2SemanticDecoder: the likeliest tokens",
        "t2s.sampled": "Text2SemanticDecoder: drawn tokens, noise replayed",
        "t2s.rows": "Text2SemanticDecoder: several rows, each to its own end",
    },
    "panel": {"t2s.panel": "Text2SemanticDecoder: upstream's own calls, in batches and in pieces, on the host"},
    "speak": {
        "speak.v1.decode": "sound of v1 from codes, lengths padded to buckets",
        "speak.v1.slow": "the same, slower",
        "speak.v1.stream": "a chunk of a stream of v1, lengths padded to buckets",
        "speak.v2.decode": "sound of v2 from codes, lengths padded to buckets",
        "speak.v2.slow": "the same, slower",
        "speak.v2.stream": "a chunk of a stream of v2, lengths padded to buckets",
        "speak.v2Pro.decode": "sound of v2Pro from codes, lengths padded to buckets",
        "speak.v2Pro.slow": "the same, slower",
        "speak.v2Pro.stream": "a chunk of a stream of v2Pro, lengths padded to buckets",
        "speak.v2ProPlus.decode": "sound of v2ProPlus from codes, lengths padded to buckets",
        "speak.v2ProPlus.slow": "the same, slower",
        "speak.v2ProPlus.stream": "a chunk of a stream of v2ProPlus, lengths padded to buckets",
        "speak.v3.condition": "the condition of v3's flow from codes, lengths padded to buckets",
        "speak.v4.condition": "the condition of v4's flow from codes, lengths padded to buckets",
        "speak.v4.slow": "the same, slower",
        "speak.v4.vocoder": "sound of v4 from a mel spectrogram, its length padded to a bucket",
    },
    "padded_durations": {"speak.durations": "sound of texts whose durations are predicted, lengths padded to buckets"},
    "losses": {"losses": "the losses of training, generator's and discriminator's"},
    "discriminator": {
        "discriminator.v2": "MultiPeriodDiscriminator on real and generated audio",
        "discriminator.v2Pro": "MultiPeriodDiscriminator of the v2Pro family",
        "discriminator.other_norm": "DiscriminatorS and DiscriminatorP with the other norm of weights",
    },
    "codes": {
        "reference_encoder": "ReferenceEncoder",
        "grouped_quantizer": "Quantizer and Quantizer_module",
        "code_predictor.training": "CodePredictor in training",
        "code_predictor.infer": "CodePredictor, predictions and accuracy",
        "code_predictor.printed": "what CodePredictor prints, on the host",
    },
    "attentions": {
        "attentions.encoder": "Encoder, plain and conditioned",
        "attentions.decoder": "Decoder and FFT",
        "attentions.attention": "MultiHeadAttention: relative, local, proximal, across",
        "attentions.blocks": "FFN and the separable convolutions, weight-normed or not",
    },
    "blocks": {
        "modules.convolutions": "norms and convolutions of modules.py, spectral norm too",
        "modules.residual": "WN, ResBlock1 and ResBlock2, also after remove_weight_norm",
        "modules.attention": "MultiHeadAttention of modules.py",
    },
    "flows": {
        "flows.forward": "all flows, with their log-determinants",
        "flows.reverse": "all flows backwards",
        "splines": "rational quadratic splines, with and without tails, both ways",
    },
    "quantizer": {
        "quantizer.training": "the quantizer in training: moving averages of the codes",
        "quantizer.expiry": "the quantizer in training, where codes expire",
        "quantizer.evaluation": "the quantizer in evaluation, encode and decode",
        "quantizer.initialisation": "k-means on the first batch, on the host",
    },
    "style": {
        "style": "MelStyleEncoder and MelStyleEncoderVAE in training",
        "style.sampling": "MelStyleEncoderVAE in inference",
        "mrte": "MRTE with and without timbre, and its tests",
        "mrte.encoders": "the other encoders of mrte_model.py",
    },
    "mel": {
        "mel": "spectrograms and what is made of them",
        "mel.geometry": "spectrograms as upstream's own configurations size them",
        "mel.pairs": "spectrograms of calls that differ in one argument",
    },
    "commons": {
        "commons.masks": "masks, paths and squeezing",
        "commons.segments": "segments at given and at random places",
        "commons.signals": "timing signals, divergence, gates and Gumbel noise",
        "commons.gradients": "clipping of gradients",
        "commons.host": "a mask as long as its longest sample, on the host",
    },
    "dit": {
        "dit": "DiT in training, also checkpointed",
        "dit.inference": "DiT in inference, with and without caches",
        "dit.blocks": "DiTBlock and its parts",
        "dit.embeddings": "the embeddings of DiT",
    },
    "collate": {"collate": "collate functions and the sampler, on the host"},
    "loaders": {"collate.loaders": "the data sets, on the host"},
    "files": {
        "files.exported": "weights that trainers export, on the host",
        "files.checkpoints": "checkpoints of trainers, on the host",
        "files.configuration": "configurations and logs of trainers, on the host",
    },
    "sounds": {"files.sounds": "sound files that a port reads without ffmpeg, on the host"},
    "audio_tools": {"files.tools": "tools/my_utils.py: sound files, paths and folders that people give, on the host"},
    "datasets": {"files.datasets": "folders of data that a port's trainers refuse, or say something of, on the host"},
    "plans": {"files.plans": "buckets of data as a port's trainers plan them, on the host"},
    "loops": {"files.loops": "a port's loop over batches: what it says, and what it loads ahead, on the host"},
    "saving": {"files.saving": "files that a port's trainers save together, or find half saved, on the host"},
    "refusals": {"files.refusals": "configurations and checkpoints that a port's trainers refuse, on the host"},
    "trainers": {
        "trainers.s2": "s2_train.py: steps, checkpoints, and resumed, of v2Pro where there is one, on the host",
        "trainers.s2_v3": "s2_train_v3.py: the same",
        "trainers.s2_v3_lora": "s2_train_v3_lora.py: the same, of v4",
    },
    "interface": {"interface": "what upstream's files offer: plain values, and what functions and classes take"},
    "wrong": {"wrong": "what constructors and functions raise for wrong arguments, on the host"},
    "distributed": {
        "distributed": "what processes share, with one process",
        "distributed.group": "gathering in a group of one process, on the host",
    },
}
TITLES: dict[str, str] = {name: title for cases in FAMILIES.values() for name, title in cases.items()}
# Cases by inspection, `found.FILE.NAME`: whatever of an upstream none of TITLES runs.
_FOUND = "found"
FOUND_TITLE = "each class and function that no case above runs, by what its parameters are called"


def found_name(inventoried: str) -> str:
    """The case by inspection of a class or function, `FILE:NAME` as an inventory has it."""
    file, _, entry = inventoried.partition(":")
    return f"{_FOUND}.{file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}.{entry}"


def is_found(name: str) -> bool:
    """Whether this is the name of a case by inspection, or a pattern of such names."""
    return name.partition(".")[0] == _FOUND


# Of networks that are the judge's own, for what only a TPU's forms run: without kernels, and with them.
FORMS: dict[str, str] = {
    "forms.layers": "convolutions in a TPU's own layouts: of columns, in groups, upsampling",
    "forms.products": "weights that are not normalised, activations and dropouts that are computed again",
    "forms.recurrent": "LSTM, both ways and one, with states and without",
    "forms.norms": "norms of weights and of spectra, in both of torch's ways",
    "functions.distances": "cdist in all its kinds, and what it turns down",
    "functions.axes": "cumsum, glu, sinc, amax, amin and bincount, likewise",
    "functions.lengths": "interpolate and upsample, likewise",
    "functions.spectra": "stft, istft and parts of complex numbers, likewise",
    "functions.writes": "writing under masks and into ranges, losses of ranges, segments, likewise",
    "functions.matrices": "logdet and inverse, likewise",
    "functions.paths": "maximum_path, beside the search on the host",
}
KERNELS: dict[str, str] = {
    "kernels.attention": "attention in a kernel: relative, across, with masks anywhere",
    "kernels.feed_forward": "two convolutions in a kernel: masked, causal, padded by themselves",
    "kernels.features": "convolutions with all their results in kernels: of columns, in groups, plain",
    "kernels.gated": "gated layers in a kernel, conditioned and wide",
    "kernels.residual": "residual layers in a kernel, in pairs and wide",
    "kernels.changing": "a residual layer that is told another slope between two calls",
    "kernels.none": "layers of which one is of no kind that a kernel takes: they run one by one",
}


def load_case(name: str) -> Case:
    """The case called `name`, one of TITLES, FORMS or KERNELS, or of those by inspection."""
    module = importlib.import_module(f"{__name__}.{family(name)}")
    if is_found(name):
        place, _, entry = name.partition(".")[2].rpartition(".")
        made: Case = module.found_case(place, entry)
        return made
    found: Case = next(case for case in module.CASES if case.name == name)
    return found


def family(name: str) -> str:
    """The module of this package that has the case called `name`."""
    return next((family for family, cases in FAMILIES.items() if name in cases), name.partition(".")[0])


def chosen(asked: tuple[str, ...], *, forms: bool = False, kernels: bool = False) -> tuple[str, ...]:
    """Names of the written cases asked for: a name, its leading parts (`synthesizer.v2`) or a pattern; all for none.

    `forms`, `kernels`: whether those of a TPU's forms, and of kernels, are among them. PortError for one that means no
    case.
    """
    known = (*TITLES, *(FORMS if forms else ()), *(KERNELS if kernels else ()))
    for pattern in asked:
        if not any(_means(pattern, name) for name in known):
            if any(_means(pattern, name) for name in (*FORMS, *KERNELS)):
                raise PortError(f"{pattern} runs with --device cpu --forms tpu alone, and kernels only where jax is")
            raise PortError(f"there is no case {pattern}; `sovits-port validate --list` shows them")
    return tuple(name for name in known if not asked or any(_means(pattern, name) for pattern in asked))


def chosen_found(asked: tuple[str, ...], inventoried: Iterable[str]) -> tuple[str, ...]:
    """Names of the cases by inspection of `FILE:NAME`s: those asked for, all for none."""
    names = map(found_name, inventoried)
    return tuple(name for name in names if not asked or any(_means(pattern, name) for pattern in asked))


def _means(pattern: str, name: str) -> bool:
    return name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)
