"""The encoders of a voice: MelStyleEncoder, MelStyleEncoderVAE, and those of mrte_model.py."""

from __future__ import annotations

from typing import Any

import torch

from porter.validate.cases.base import Batch, Case, Part
from porter.validate.cases.shapes import built, drawn, normal, varying_mask, width
from porter.validate.settings import Settings

_MELS = 20
_STYLE = {"n_mel_channels": _MELS, "style_hidden": 16, "style_vector_dim": 24, "style_kernel_size": 5, "style_head": 2}
_LATENT = {"spec_channels": _MELS, "z_latent_dim": 6, "emb_dim": 24}
_HIDDEN = 16
_MASKS = ("mask", "ssl_mask", "text_mask")


def _style(masked: bool = True) -> Any:
    return drawn("mask" if masked else "", x=(_MELS, "frames"))


def _references(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    given = _style()(subject, settings, generator)
    return {"inputs": given["x"], "mask": given["mask"]}


def _mixed(timbre: bool) -> Any:
    def inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
        batch = {
            "ssl_enc": normal(generator, settings.batch, width(settings), settings.frames),
            "ssl_mask": varying_mask(settings, generator),
            "text": normal(generator, settings.batch, width(settings), settings.phonemes),
            "text_mask": varying_mask(settings, generator, "phonemes"),
        }
        return {**batch, "ge": normal(generator, settings.batch, _HIDDEN, 1)} if timbre else batch

    return inputs


def _mrte(label: str, timbre: bool, **more: Any) -> Part:
    return Part(
        "mrte_model",
        "MRTE",
        _mixed(timbre),
        built(
            lambda s: {
                "content_enc_channels": width(s),
                "hidden_size": _HIDDEN,
                "out_channels": width(s) + 4,
                "kernel_size": 5,
                "n_heads": 4,
                "ge_layer": 2,
            }
        ),
        call=lambda model, given: model(**{"ge": None, **given, **more}),
        label=label,
        constant=_MASKS,
    )


def _encoder(name: str, label: str = "", **more: Any) -> Part:
    return Part(
        "mrte_model",
        name,
        drawn(x=("width", "frames")),
        built(
            lambda s: {
                "in_channels": width(s),
                "out_channels": 12,
                "hidden_channels": width(s),
                "kernel_size": 3,
                "dilation_rate": 2,
                "n_layers": 3,
            }
        ),
        label=label or name,
        **more,
    )


CASES = (
    Case(
        "style",
        (
            Part("modules", "MelStyleEncoder", _style(), built(lambda s: {**_STYLE, "dropout": 0.1}), constant=_MASKS),
            Part("modules", "MelStyleEncoder", _style(False), built(lambda s: _STYLE), label="unmasked"),
            Part("modules", "MelStyleEncoderVAE", _references, built(lambda s: _LATENT), constant=_MASKS),
        ),
    ),
    Case(
        "style.sampling",
        (
            Part(
                "modules",
                "MelStyleEncoderVAE",
                drawn(mu=(6,), logvar=(6,)),
                built(lambda s: _LATENT),
                label="reparameterize",
                call=lambda model, given: model.train().reparameterize(**given),
            ),
            Part(
                "modules",
                "MelStyleEncoderVAE",
                drawn(mu=(6,), logvar=(6,)),
                built(lambda s: _LATENT),
                label="reparameterize mean",
                call=lambda model, given: model.reparameterize(**given),
            ),
            Part(
                "modules",
                "MelStyleEncoderVAE",
                drawn(inputs=("frames", _MELS)),
                built(lambda s: {**_LATENT, "emb_dim": 1}),  # of more, upstream's inference can make nothing
                label="infer",
                call=lambda model, given: model.infer(given["inputs"]),
            ),
            Part(
                "modules",
                "MelStyleEncoderVAE",
                drawn(),
                built(lambda s: _LATENT),
                label="infer at random",
                call=lambda model, given: model.infer(random_sample=True),
            ),
            Part(
                "modules",
                "MelStyleEncoderVAE",
                drawn(manual_latent=(6,)),
                built(lambda s: _LATENT),
                label="infer by hand",
                call=lambda model, given: model.infer(**given),
            ),
        ),
        training=False,
    ),
    Case(
        "mrte",
        (
            _mrte("MRTE", True),
            _mrte("without timbre", False),
            *(_mrte(f"test {number}", True, test=number) for number in range(3)),
        ),
    ),
    Case(
        "mrte.encoders",
        (
            _encoder("MELEncoder"),
            _encoder("WN"),
            _encoder("WN", "WN plain", finish=lambda model: model.remove_weight_norm()),
            Part(
                "mrte_model",
                "SpeakerEncoder",
                drawn(mels=(_MELS, 8)),
                built(
                    lambda s: {
                        "mel_n_channels": _MELS,
                        "model_num_layers": 2,
                        "model_hidden_size": 8,
                        "model_embedding_size": 12,
                    }
                ),
            ),
        ),
    ),
)
