"""What docs/training.md says is refused is refused, in the words that stand there."""

from __future__ import annotations

import json
import re
import shutil
import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch (the extra xla)")

import torch

from porter.runtime import training
from porter.runtime.training import dataset, sounds
from porter.runtime.training.dataset import FEATURES, SOUNDS, TEXTS

PAGE = Path(__file__).parent.parent / "docs/training.md"
RATE, HOP = 32000, 640
NAMES = ("a.wav", "b.wav")


@dataclass
class Place:
    """A dataset of two clips of a second, and a configuration, both whole."""

    folder: Path
    config: Path
    values: dict[str, Any]
    second_rate: int | None = None  # that the loader reads each sound at, too

    @property
    def sound(self) -> Path:
        return self.folder / SOUNDS / "a.wav"

    @property
    def feature(self) -> Path:
        return self.folder / FEATURES / "a.wav.pt"

    @property
    def texts(self) -> Path:
        return self.folder / TEXTS

    def write(self) -> None:
        self.config.write_text(json.dumps(self.values))


class Loader:
    """As upstream's: knows the lengths of its clips from the sizes of their files, and reads sounds by a function."""

    def __init__(self, place: Place) -> None:
        self.path2 = str(place.texts)
        self.hop_length, self.sampling_rate = HOP, RATE
        clips = dataset.read_clips(place.folder, HOP, RATE).clips[::-1] * 2
        self.audiopaths_sid_text = [[clip.name, [1]] for clip in clips]
        self.lengths = [clip.frames for clip in clips]
        self.rates = [rate for rate in (RATE, place.second_rate) if rate]

    def get_audio(self, path: str) -> tuple[torch.Tensor, ...]:
        found = [torch.frombuffer(bytearray(sounds.decoded(path, rate)[0]), dtype=torch.float32) for rate in self.rates]
        return torch.zeros(1025, len(found[0]) // HOP), *found


class Net(torch.nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.part = torch.nn.Linear(2, width)


def write_sound(path: Path, rate: int = RATE, channels: int = 1, seconds: float = 1.0) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(bytes(int(rate * seconds) * 2 * channels))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    folder = tmp_path / "voice"
    for part in (FEATURES, SOUNDS):
        (folder / part).mkdir(parents=True)
    for name in NAMES:
        write_sound(folder / SOUNDS / name)
        torch.save(torch.zeros(1, 768, 50), folder / FEATURES / f"{name}.pt")
    (folder / TEXTS).write_text("".join(f"{name}\tHH AH0\t[2]\ttext\n" for name in NAMES))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["s2_train.py", "-c", "my-s2.json"])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))  # no ffmpeg
    symbols = ModuleType("some.text")
    vars(symbols)["cleaned_text_to_sequence"] = lambda phones, version: [["HH", "AH0"].index(p) for p in phones]
    monkeypatch.setitem(sys.modules, "some.text", symbols)
    values = {"train": {"batch_size": 8, "epochs": 1, "pretrained_s2G": ""}, "data": {"exp_dir": str(folder)}}
    made = Place(folder, Path("my-s2.json"), values)
    made.write()
    return made


def with_ffmpeg(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    """A command of that name that reads nothing: what is tried is what is said when it fails."""
    folder = place.folder.parent / "bin"
    folder.mkdir()
    (folder / "ffmpeg").write_text("#!/bin/sh\necho 'Invalid data found' >&2\nexit 1\n")
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setattr(shutil, "which", lambda name: str(folder / name))


def start(place: Place) -> None:
    """What a ported trainer does before it compiles anything."""

    def read() -> SimpleNamespace:
        told = json.loads(place.config.read_text())
        return SimpleNamespace(**{key: SimpleNamespace(**value) for key, value in told.items()})

    keys = ("data.exp_dir", "train.batch_size", "train.epochs", "train.pretrained_s2G")
    hps = training.read_config(read, keys, ("train.batch_size", "train.epochs"))
    data = SimpleNamespace(exp_dir=hps.data.exp_dir, hop_length=HOP, sampling_rate=RATE)
    training.check_dataset(data, version="v2")
    loader = Loader(place)
    training.check_sample(loader, loader.get_audio)
    training.boundaries(loader, [32, *range(300, 2000, 100)])
    logs = str(place.folder / "logs")
    training.paired(logs, ("D_*.pth", "G_*.pth"))
    for network in "DG":
        for path in Path(logs).glob(f"{network}_*.pth"):
            training.checked(path, Net())
    if training.exists(hps.train.pretrained_s2G, "train.pretrained_s2G"):
        training.weights(Net(), hps.train.pretrained_s2G, "weight")


def _rows() -> Iterator[tuple[str, str]]:
    page = PAGE.read_text("utf-8").partition("## What is refused")[2].partition("\n## ")[0]
    for line in page.splitlines():
        cells = re.fullmatch(r"\| (.+?) \| `(.+)` \|", line)
        if cells is not None:
            yield cells[1], cells[2].replace("\\`", "`")


def checkpoint(place: Place, name: str) -> Path:
    path = place.folder / "logs" / f"{name}.pth"
    path.parent.mkdir(exist_ok=True)
    torch.save({"model": Net().state_dict()}, path)
    return path


SAID = dict(_rows())
Defect = Callable[[Place, pytest.MonkeyPatch], None]
DEFECTS: dict[str, Defect] = {}


def defect(name: str) -> Callable[[Defect], Defect]:
    """What makes that row of the page true of a whole dataset."""

    def add(make: Defect) -> Defect:
        DEFECTS[name] = make
        return make

    return add


@defect("a sound at another rate or with two channels, without ffmpeg")
def _defect_0(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sound(place.sound, 44100)


@defect("a sound with more frames than its size tells upstream")
def _defect_1(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with_ffmpeg(monkeypatch, place)
    write_sound(place.sound, 16000, seconds=3)


@defect("a sound that is nothing but a header")
def _defect_2(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    head = place.sound.read_bytes()[:12]
    place.sound.write_bytes(head + b"JUNK" + (70000).to_bytes(4, "little") + bytes(70000))


@defect("a sound that the loader's own function cannot read")
def _defect_3(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with_ffmpeg(monkeypatch, place)
    place.sound.write_bytes(b"ID3" + bytes(64000))


@defect("a sound that is read at a second rate, without ffmpeg")
def _defect_4(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.second_rate = 24000


@defect("NaN in a sound or in features")
def _defect_5(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torch.full((1, 768, 50), float("nan")), place.feature)


@defect("features of another length")
def _defect_6(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torch.zeros(1, 768, 20), place.feature)


@defect("features of another rank or width")
def _defect_7(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(torch.zeros(768, 50), place.feature)


@defect("features that are torn")
def _defect_8(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.feature.write_bytes(place.feature.read_bytes()[:500])


@defect("a feature file that is missing")
def _defect_9(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.feature.unlink()


@defect("a list of texts with a byte order mark")
def _defect_10(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.texts.write_bytes(b"\xef\xbb\xbf" + place.texts.read_bytes())


@defect("a list of texts in another encoding")
def _defect_11(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.texts.write_bytes(place.texts.read_bytes() + b"c\xe9\t")


@defect("a list of texts of three columns")
def _defect_12(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.texts.write_text("".join(f"{name}\tHH AH0\t[2]\n" for name in NAMES))


@defect("no phone that upstream knows")
def _defect_13(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.texts.write_text(place.texts.read_text().replace("HH", "QQ"))


@defect("sounds that are all too short")
def _defect_14(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        write_sound(place.sound.with_name(name), seconds=0.3)


@defect("a clip longer than the last bucket")
def _defect_15(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sound(place.sound, seconds=40)
    torch.save(torch.zeros(1, 768, 2000), place.feature)


@defect("a path of weights to begin with that is wrong")
def _defect_16(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.values["train"]["pretrained_s2G"] = "/nowhere/s2G.pth"
    place.write()


@defect("weights of another version")
def _defect_17(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"weight": Net(3).state_dict()}, "other.pth")
    place.values["train"]["pretrained_s2G"] = "other.pth"
    place.write()


@defect("a checkpoint of one network without the other's")
def _defect_18(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(place, "G_100")


@defect("a torn checkpoint")
def _defect_19(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(place, "D_100")
    checkpoint(place, "G_100").write_bytes(b"torn")


@defect("a number in quotes")
def _defect_20(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.values["train"]["batch_size"] = "8"
    place.write()


@defect("a missing key")
def _defect_21(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    del place.values["train"]["epochs"]
    place.write()


def test_the_page_and_these_tests_have_the_same_rows() -> None:
    assert SAID.keys() == DEFECTS.keys()


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_told_as_the_page_says(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    DEFECTS[name](place, monkeypatch)
    with pytest.raises(SystemExit) as stopped:
        start(place)
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    pattern = ".+".join(map(re.escape, SAID[name].split("…")))
    assert re.fullmatch(f"(note: .*\n)*{pattern}\n", said), said


def test_a_whole_dataset_starts_in_silence(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    start(place)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (32000, 2), (48000, 2)])
def test_sounds_that_ffmpeg_makes_smaller_are_a_note(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rate: int, channels: int
) -> None:
    with_ffmpeg(monkeypatch, place)
    write_sound(place.sound, rate, channels)
    training.check_dataset(SimpleNamespace(exp_dir=str(place.folder), hop_length=HOP, sampling_rate=RATE))
    assert f"note: {place.sound} has fewer frames than upstream counts by its size" in capsys.readouterr().err


def test_two_channels_are_told_without_ffmpeg(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    write_sound(place.sound, channels=2)
    with pytest.raises(SystemExit):
        start(place)
    assert "is a WAV file of 32000 Hz, stereo, 16 bits, PCM: install ffmpeg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("c.wav\tHH\t[1]\n", "with 3 columns in 2-name2text.txt, not 4"),
        ("c.wav\tHH QQ\t[2]\ttext\n", "with the phone 'QQ', which upstream's table of symbols lacks"),
        ("", "in 5-wav32k but not in 2-name2text.txt"),
    ],
)
def test_what_upstream_leaves_out_is_a_note(
    place: Place, capsys: pytest.CaptureFixture[str], line: str, reason: str
) -> None:
    shutil.copyfile(place.sound, place.sound.with_name("c.wav"))
    shutil.copyfile(place.feature, place.feature.with_name("c.wav.pt"))
    place.texts.write_text(place.texts.read_text() + line)
    start(place)
    assert capsys.readouterr().err == f"note: upstream leaves out c.wav {reason}\n"


def test_the_newest_of_each_network_count(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("D_100", "G_100", "G_90", "D_90"):
        checkpoint(place, name)
    start(place)
    checkpoint(place, "D_1000")
    with pytest.raises(SystemExit):
        start(place)
    assert "D_1000.pth has no G_1000.pth beside it: put that there, or move it away to train from the pair before" in (
        capsys.readouterr().err
    )
