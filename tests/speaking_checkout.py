"""What a checkout of upstream lacks to speak in tests: packages, the front end's data, and weights.

Packages that upstream's TTS imports, and that no test environment has, are modules of a few lines, with as much in them
as speaking calls. English words become phones by their letters. The GPT is a small random one. All that the port
replaces, and the code around it (`TTS_infer_pack`, `AR`, `feature_extractor`, `module`), is upstream's own.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

_PACKAGES = {
    "ffmpeg": """
import librosa


class _Sound:
    def __init__(self, path):
        self.path = path

    def output(self, *given, ar, **told):
        self.rate = ar
        return self

    def run(self, **told):
        return librosa.load(self.path, sr=self.rate)[0].tobytes(), b""


def input(path, **told):
    return _Sound(path)
""",
    "gradio": "",
    "pandas": "",
    "matplotlib/__init__": "class colors:\n    Colormap = object\n",
    "matplotlib/axes": "Axes = object\n",
    "matplotlib/pyplot": """
Axes = Figure = object


class style:
    @staticmethod
    def context(name):
        return lambda function: function
""",
    "huggingface_hub": """
hf_hub_download = None


class PyTorchModelHubMixin:
    def __init_subclass__(cls, **told):
        pass
""",
    "peft": "LoraConfig = get_peft_model = None\n",
    "pytorch_lightning": "from torch.nn import Module as LightningModule\n",
    "torchaudio/__init__": """
import wave
from types import SimpleNamespace

import librosa
import torch


class Resample(torch.nn.Module):
    def __init__(self, given, wanted):
        super().__init__()
        self.rates = {"orig_sr": given, "target_sr": wanted}

    def forward(self, sound):
        return torch.from_numpy(librosa.resample(sound.numpy(), **self.rates))


def load(path):
    with wave.open(path) as file:
        samples = torch.frombuffer(bytearray(file.readframes(file.getnframes())), dtype=torch.int16)
        return samples[None] / 32768, file.getframerate()


transforms = SimpleNamespace(Resample=Resample)
""",
    "torchaudio/functional": "",
    "transformers": """
from types import SimpleNamespace

import torch

logging = SimpleNamespace(set_verbosity_error=lambda: None)


class _Loaded(torch.nn.Module):
    @classmethod
    def from_pretrained(cls, path, **told):
        return cls()


class AutoTokenizer(_Loaded):
    pass


class AutoModelForMaskedLM(_Loaded):
    pass


class Wav2Vec2FeatureExtractor(_Loaded):
    pass


class HubertModel(_Loaded):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv1d(1, 768, 400, 320)

    def forward(self, sound):
        return {"last_hidden_state": self.layer(sound[:, None]).transpose(1, 2)}
""",
}

# What takes data that is no code (dictionaries, models), beside upstream's `text`.
_FRONT_END = {
    "chinese.py": "",
    "LangSegmenter/__init__.py": "LangSegmenter = None\n",
    "english.py": "def g2p(text):\n    return [letter for letter in text.upper() if letter in 'BDFGKLMNPRSTVWZ,.!?']\n",
}

# In the checkout, with the packages above.
_GPT = """
import sys
import torch
from AR.models.t2s_lightning_module import Text2SemanticLightningModule

torch.manual_seed(0)
model = dict(vocab_size=1025, phoneme_vocab_size=732, embedding_dim=64, hidden_dim=64, head=4, linear_units=256, n_layer=2)
config = {"data": {"max_sec": 1}, "model": {**model, "dropout": 0, "EOS": 1024, "random_bert": 0}, "inference": {}}
weights = Text2SemanticLightningModule(config, "", is_train=False).state_dict()
torch.save({"weight": weights, "config": config, "info": "random"}, sys.argv[1])
"""


def write_packages(folder: Path) -> None:
    """Write what is imported and not installed; `folder` is for PYTHONPATH."""
    for name, text in _PACKAGES.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def write_front_end(checkout: Path) -> None:
    """Replace the languages of a checkout by one without dictionaries, and give it folders in the place of models."""
    for name, text in _FRONT_END.items():
        path = checkout / "GPT_SoVITS/text" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    for name in ("chinese-roberta-wwm-ext-large", "chinese-hubert-base"):
        (checkout / "GPT_SoVITS/pretrained_models" / name).mkdir(parents=True)


def gpt_writer(path: str) -> list[str]:
    """The command that writes a small random GPT to `path`, with the checkout's GPT_SoVITS on PYTHONPATH."""
    return ["python", "-c", _GPT, path]


def write_clip(path: Path, seconds: float = 3.2) -> None:
    """A tone with overtones, long enough for a reference."""
    time = np.arange(round(32000 * seconds)) / 32000
    sound = sum((np.sin(2 * np.pi * 140 * n * time) / n for n in range(1, 9)), np.zeros_like(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 32000, 0, "NONE", ""))
        file.writeframes((sound / np.abs(sound).max() * 9000).astype("<i2").tobytes())
