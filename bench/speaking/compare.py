"""Upstream's TTS and the port's, with the same weights: `python compare.py FOLDER VERSION TEXT LANGUAGE`.

Greedy, so both give the same codes; the noise of each sentence's latents is that of one seed on both sides.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch


def main(folder: Path, version: str, text: str, language: str) -> dict[str, Any]:
    """How the two compare, and what XLA was asked for, for two sentences."""
    upstream = import_module("TTS_infer_pack.TTS")
    ported = import_module("module.tpu.tts")
    utils = import_module("module.tpu.utils")
    told = {
        "device": "cpu",
        "is_half": False,
        "version": version,
        "t2s_weights_path": str(folder / "s1.ckpt"),
        "vits_weights_path": str(folder / "s2.pth"),
        "bert_base_path": str(folder / "bert"),
        "cnhuhbert_base_path": str(folder / "hubert"),
    }
    inputs = {
        "text": text,
        "text_lang": language,
        "ref_audio_path": str(folder / "ref.wav"),
        "prompt_text": text,
        "prompt_lang": language,
        "top_k": 1,
    }
    found = {}
    for name, module in (("upstream", upstream), ("port", ported)):
        speaker = module.TTS(module.TTS_Config({"custom": told}))
        said: list[torch.Tensor] = []
        _watch(speaker, said)
        found[name] = [_spoken(speaker, {**inputs, "text": words}, said, utils) for words in (text, text[::-1])]
    result = []
    for (codes, sound, _), (other_codes, other_sound, compiles) in zip(*found.values(), strict=True):
        same = codes.shape == other_codes.shape and bool((codes == other_codes).all())
        distance = _decibels(sound, other_sound) if sound.shape == other_sound.shape else None
        result.append(
            {"codes": codes.shape[-1], "equal": same, "samples": len(sound), "dB": distance, "compiles": compiles}
        )
    return {"sentences": result}


def _watch(speaker: Any, said: list[torch.Tensor]) -> None:
    name = "decode_encp" if speaker.configs.use_vocoder else "decode"
    plain = getattr(speaker.vits_model, name)

    def decode(codes: torch.Tensor, *given: Any, **named: Any) -> Any:
        said.append(codes.cpu())
        torch.manual_seed(7)
        return plain(codes, *given, **named)

    setattr(speaker.vits_model, name, decode)


def _spoken(
    speaker: Any, inputs: dict[str, Any], said: list[torch.Tensor], utils: Any
) -> tuple[torch.Tensor, Any, int]:
    said.clear()
    before = utils.compiles()
    sound = np.concatenate([samples for _, samples in speaker.run(inputs)]).astype(np.float64)
    return torch.cat(said, -1), sound, utils.compiles() - before


def _decibels(wanted: Any, found: Any) -> float:
    return float(10 * np.log10((wanted**2).sum() / max(((wanted - found) ** 2).sum(), 1e-30)))


if __name__ == "__main__":
    os.environ.setdefault("version", sys.argv[2])
    print(json.dumps(main(Path(sys.argv[1]), *sys.argv[2:5])))
