"""Speaking from the command line, with an upstream of the tests' own around the port's networks."""

import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from porter.runtime import speak, tts, utils

from .speaker import Speaker

UPSTREAM = """
import numpy as np
import soundfile
import torch
from tests.runtime.speaker import Speaker, a_row


class SynthesizerTrn(torch.nn.Module):
    def __init__(self, symbols):
        raise AssertionError("upstream's own network is built")


class TTS_Config:
    languages = ["en", "zh"]

    def __init__(self, configs):
        self.custom = configs["custom"]
        self.device, self.is_half = torch.device(self.custom["device"]), self.custom["is_half"]


class Gpt:
    def __init__(self, model):
        self.model = model


class Talking(Speaker):
    def infer_panel_batch_infer(self, *given, **named):
        for idx in range(20):
            assert idx < 11, "upstream's own loop runs"


class TTS:
    def __init__(self, configs):
        self.configs, self.prompt_cache = configs, {}
        self.init_t2s_weights(configs.custom["t2s_weights_path"])
        self.init_vits_weights(configs.custom["vits_weights_path"])

    def init_t2s_weights(self, path):
        torch.manual_seed(5)  # its table of positions is random, and in no checkpoint
        model = Talking()
        model.load_state_dict(torch.load(path)["weight"])
        self.t2s_model = Gpt(model)

    def init_vits_weights(self, path):
        weights = torch.load(path)["weight"]
        self.vits_model = SynthesizerTrn(len(weights["enc_p.text_embedding.weight"]))
        self.vits_model.load_state_dict(weights)

    def set_ref_audio(self, path):
        if "odd" in path:
            raise OSError("the reference is odd")
        self.prompt_cache["raw_audio"] = torch.from_numpy(soundfile.read(path)[0])[None]

    def run(self, inputs):
        print("upstream tells a lot")
        inputs["prompt_text"] and inputs["prompt_text"].strip("\\n")[-1]
        if "words" in inputs["text"]:
            raise LookupError("\\n  Resource 'words' not found.\\n")
        row = a_row(len(inputs["text"]), 6, 4)
        given = ([row.phonemes], torch.tensor([6]), row.prompt[None], [row.bert])
        codes, steps = self.t2s_model.model.infer_panel_batch_infer(*given, top_k=5, top_p=1, early_stop_num=30)
        sound = self.vits_model.decode(codes[0][None, None, -steps[0]:], row.phonemes, [row.prompt])
        yield 100, (sound.numpy() * 32767).astype(np.int16)
        yield 100, np.zeros(30, np.int16)
"""


class Synthesizer(torch.nn.Module):
    """The port's, in the place of the one in models.py."""

    def __init__(self, symbols: int = 25) -> None:
        super().__init__()
        self.enc_p = torch.nn.ModuleDict({"text_embedding": torch.nn.Embedding(symbols, 1)})
        self.scale = torch.nn.Parameter(torch.tensor(0.05))

    def decode(self, codes: torch.Tensor, text: torch.Tensor, refer: list[torch.Tensor]) -> torch.Tensor:
        assert {part.device for part in (codes, text, *refer)} == {self.scale.device}
        return torch.sin(codes[0, 0].repeat_interleave(4) * self.scale)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "TTS_infer_pack").mkdir()
    (tmp_path / "TTS_infer_pack/TTS.py").write_text(UPSTREAM, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    models: Any = ModuleType("porter.runtime.models")
    models.SynthesizerTrn = Synthesizer
    monkeypatch.setitem(sys.modules, "porter.runtime.models", models)
    torch.manual_seed(1)
    torch.save({"weight": Speaker().state_dict()}, tmp_path / "a.ckpt")
    torch.save({"weight": Synthesizer().state_dict()}, tmp_path / "b.pth")
    torch.save({"weight": Synthesizer(732).state_dict()}, tmp_path / "v2.pth")
    torch.save({"weight": {"model.ar_predict_layer.weight": torch.zeros(1)}}, tmp_path / "s1.ckpt")
    torch.save({"weight": {"enc_p.text_embedding.weight": torch.zeros(1)}}, tmp_path / "s2.pth")
    (tmp_path / "s2.pth").write_bytes(b"05" + (tmp_path / "s2.pth").read_bytes()[2:])  # as that of v2Pro begins
    torch.save({"weight": {}}, tmp_path / "empty.ckpt")
    torch.save({"model": {}, "optimizer": {}, "iteration": 8}, tmp_path / "G_8.pth")
    for name, loud, seconds in (
        ("ref.wav", 9000, 3),
        ("silent.wav", 0, 4),
        ("short.wav", 9000, 2),
        ("odd.wav", 9000, 10),
    ):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes((np.sin(np.arange(16000 * seconds)) * loud).astype("<i2").tobytes())
    soundfile.write(tmp_path / "silent.flac", np.zeros(4 * 16000), 16000)
    (tmp_path / "words.mp3").write_text("no sound at all", "utf-8")
    yield tmp_path
    utils.use_device(None)
    tts._tts_class.cache_clear()
    for name in [name for name in sys.modules if name.startswith("TTS_infer_pack")]:
        del sys.modules[name]


def spoken(files: Path, *more: str, **other: str) -> int:
    given = {"gpt": "a.ckpt", "sovits": "b.pth", "ref": "ref.wav", "out": "x.wav"} | other
    texts = {"text": "Hello there.", "lang": "en", "seed": "3"}
    texts |= {name: given.pop(name) for name in texts if name in given}
    words = [word for name, value in given.items() for word in (f"--{name}", str(files / value))]
    words += [word for name, value in texts.items() for word in (f"--{name}", value)]
    return speak.main([*words, "--device", "cpu", *more])


def heard(path: Path) -> tuple[int, bytes]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), file.readframes(file.getnframes())


def test_a_text_becomes_a_wave_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spoken(files) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "x.wav: " in told.err and " s of sound in " in told.err
    rate, sound = heard(files / "x.wav")
    assert rate == 100 and len(sound) > 100 and any(sound)
    assert sound.endswith(bytes(60))  # what upstream puts behind a sentence
    assert spoken(files, out="y.wav") == 0
    assert heard(files / "y.wav") == (rate, sound)  # the same seed
    assert spoken(files, "--seed", "4", out="z.wav") == 0
    assert heard(files / "z.wav") != (rate, sound)


def test_a_blank_text_of_the_reference_is_none(files: Path) -> None:
    assert spoken(files, "--ref-text", "\n") == 0


def test_a_terminal_sees_how_many_codes_there_are(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert spoken(files) == 0
    assert "\rspeak: # 16 codes " in capsys.readouterr().err


def test_warming_and_streaming_tell_what_they_took(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spoken(files, "--warm", "--stream") == 0
    told = capsys.readouterr().err
    assert "compiled 0 graphs in " in told and " s, 0 graphs compiled\n" in told
    assert "the first chunk is there after " in told


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gpt": "none.ckpt"}, "--gpt: there is no file"),
        ({"sovits": "none.pth"}, "--sovits: there is no file"),
        ({"gpt": "empty.ckpt"}, "the weights cannot be loaded"),
        ({"gpt": "ref.wav"}, "ref.wav holds no checkpoint; weights of the GPT (s1) are needed"),
        ({"gpt": "s2.pth"}, "s2.pth holds weights of the synthesizer (s2); weights of the GPT (s1) are needed"),
        ({"sovits": "s1.ckpt"}, "s1.ckpt holds weights of the GPT (s1); weights of the synthesizer (s2) are needed"),
        ({"sovits": "G_8.pth"}, "G_8.pth holds a network with its optimizer, to go on training with; weights of the"),
        ({"ref": "silent.wav"}, "silent.wav is silent"),
        ({"ref": "short.wav"}, "short.wav lasts 2.0 s; a clip of 3 to 10 seconds is needed"),
        ({"ref": "odd.wav"}, "odd.wav: the reference is odd"),
        ({"ref": "silent.flac"}, "silent.flac is silent"),
        ({"ref": "words.mp3"}, "words.mp3 cannot be read as sound: LibsndfileError: Error opening "),
        ({"sovits": "v2.pth"}, "v2.pth knows 732: they are of different versions"),
        ({"text": "words"}, "upstream's TTS cannot speak this: LookupError: Resource 'words' not found."),
        ({"text": " … "}, "--text holds nothing to say"),
        ({"seed": "-2"}, "--seed: -2 is none of 0 to 4294967295, nor -1"),
        ({"seed": "4294967296"}, "--seed: 4294967296 is none of 0 to 4294967295, nor -1"),
        ({"lang": "tlh"}, "--lang: tlh is none of en, zh"),
        ({"out": "no/x.wav"}, "is no place for a file"),
    ],
)
def test_bad_input_is_one_sentence(
    files: Path, capsys: pytest.CaptureFixture[str], given: dict[str, str], words: str
) -> None:
    assert spoken(files, **given) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("speak: ")]
    assert len(lines) == 1 and words in lines[0]
    assert not (files / "x.wav").exists()


def test_without_upstream_it_says_what_is_missing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "TTS_infer_pack/TTS.py").write_text("import sip_not_installed\n", "utf-8")
    assert spoken(files) == 2
    assert "TTS_infer_pack cannot be imported (No module named 'sip_not_installed')" in capsys.readouterr().err
