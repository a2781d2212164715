"""data_utils.py: its data sets, on files that are made up for the step.

Upstream decodes audio with a program; here files hold samples as they are, and reading them takes the program's place.
"""

from __future__ import annotations

import inspect
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Part, accepted, host_case
from porter.validate.cases.files import raised
from porter.validate.cases.files import told as as_told
from porter.validate.cases.shapes import normal
from porter.validate.settings import Settings

_RATE, _HOP, _WINDOW = 32000, 640, 2048
_FRAMES = (36, 41)  # more than the 0.6 s that upstream asks for
_PHONEMES = ("AA1", "B", "!", "SP")
_NEEDED = ("2-name2text.txt", "4-cnhubert", "5-wav32k", "7-sv_cn")
_FEATURES, _SPEAKER = 768, 20480
_CUTS = 6  # random ones, at either end


def _recordings(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    """Audio, features and speakers of each recording, `KIND:INDEX`."""
    batch: Batch = {}
    for index, frames in enumerate(_FRAMES):
        batch[f"audio:{index}"] = torch.randint(-9000, 9000, (frames * _HOP,), generator=generator).short()
        batch[f"ssl:{index}"] = normal(generator, 1, _FEATURES, frames - index)  # one is a frame short
        batch[f"speaker:{index}"] = normal(generator, 1, _SPEAKER)
    return batch


def _write(folder: Path, given: Batch) -> None:
    """An experiment's folder as upstream's preparation leaves it."""
    for name in ("4-cnhubert", "5-wav32k", "7-sv_cn"):
        (folder / name).mkdir()
    lines = []
    for index in range(len(_FRAMES)):
        name = f"{index}.wav"
        given[f"audio:{index}"].numpy().tofile(folder / "5-wav32k" / name)
        torch.save(given[f"ssl:{index}"], folder / "4-cnhubert" / f"{name}.pt")
        torch.save(given[f"speaker:{index}"], folder / "7-sv_cn" / f"{name}.pt")
        lines.append("\t".join((name, " ".join(_PHONEMES[: 3 + index]), "[]", "text é")))
    others = {
        "empty.wav": (0, _FEATURES * [[0.0]]),
        "brief.wav": (_RATE // 2, _FEATURES * [[0.0]]),
        "lengthy.wav": (55 * _RATE, _FEATURES * [[0.0]]),
        "two spaces.wav": (_RATE, _FEATURES * [[0.0]]),
        "damaged.wav": (_RATE, None),  # its features cannot be read
    }
    for name, (samples, features) in others.items():
        with (folder / "5-wav32k" / name).open("wb") as file:
            file.truncate(2 * samples)
        features_file = folder / "4-cnhubert" / f"{name}.pt"
        if features is None:
            features_file.write_bytes(b"no tensor")
        else:
            torch.save(torch.tensor([features]), features_file)
        torch.save(given["speaker:0"], folder / "7-sv_cn" / f"{name}.pt")
        lines.append(f"{name}\tAA1{'  ' if name.startswith('two') else ' '}B\t[]\ttext")
    lines.append("0.wav\tB\t[]")  # a column less, which is no line; and a recording that is not there
    lines.append("absent.wav\tAA1 B\t[]\ttext")
    (folder / "2-name2text.txt").write_text("\n".join(lines), encoding="utf-8")


def _read(file: str, rate: int) -> npt.NDArray[np.float32]:
    """Samples between -1 and 1; at another rate, fewer of them."""
    samples = np.fromfile(file, np.int16).astype(np.float32) / np.float32(32768)
    return samples[: len(samples) * rate // _RATE]


def _load(loader: Any, given: Batch, symbols: str, **offered: Any) -> object:
    """`symbols`: whose phonemes, where the environment says so; "" where it says nothing."""
    told = SimpleNamespace(
        max_wav_value=32768.0, sampling_rate=_RATE, filter_length=_WINDOW, hop_length=_HOP, win_length=_WINDOW
    )
    module: Any = inspect.getmodule(loader)
    replaced: dict[str, Any] = {"load_audio": _read}
    if symbols and hasattr(module, "version"):  # some upstreams know one set of symbols
        replaced["version"] = symbols
    with (
        patch.multiple(module, **replaced),
        tempfile.TemporaryDirectory() as place,
        redirect_stdout(StringIO()) as printed,
        redirect_stderr(StringIO()),
    ):
        _write(Path(place), given)
        asked = SimpleNamespace(**vars(told), exp_dir=place)
        found = _contents(loader(asked, **accepted(loader, offered)))
        for name in _NEEDED:  # one after the other is taken away
            (Path(place) / name).rename(Path(place) / "away")
            found[f"without {name}"] = raised(lambda: len(loader(asked, **accepted(loader, offered))))
            (Path(place) / "away").rename(Path(place) / name)
        lines = (Path(place) / _NEEDED[0]).read_text(encoding="utf-8").splitlines()
        brief = "\n".join(line for line in lines if line.startswith("brief.wav"))
        (Path(place) / _NEEDED[0]).write_text(brief, encoding="utf-8")
        found["of one that is skipped"] = raised(lambda: len(loader(asked, **accepted(loader, offered))))
        # In which order recordings are looked at follows the hashes of strings.
        found["printed"] = as_told("\n".join(sorted(printed.getvalue().replace(place, "").splitlines())))
        return found


def _contents(data: Any) -> dict[str, object]:
    """Every recording by name (upstream's order follows the hashes of strings), lengths, and a random cut."""
    order = [path for path, _ in data.audiopaths_sid_text]
    names = sorted({*order} - {"lengthy.wav"})  # which is kept for evaluation only, and costs most
    samples = {path.removesuffix(".wav"): data[order.index(path)] for path in names}
    found: dict[str, object] = {"samples": samples, "count": len(data), "lengths": sorted(data.lengths)}
    found["attributes"] = {
        name: as_told(value)
        for name, value in vars(data).items()
        if isinstance(value, (int, float, str, type(None))) and not name.startswith("path")
    }
    found["speaker"] = data.get_sid("7")
    if hasattr(data, "random_slice"):
        ssl, *others = _whole(samples["0"])
        found["cuts"] = [data.random_slice(ssl, *others) for _ in range(_CUTS)]
        shorter = {f"{count} fewer": ssl[..., : ssl.shape[-1] - count] for count in range(1, 5)}
        found["cuts apart"] = {n: raised(lambda own=own: data.random_slice(own, *others)) for n, own in shorter.items()}  # type: ignore[misc]
    return found


def _whole(sample: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    ssl, spec, wav = sample[:3]
    return ssl, wav, spec


def _part(name: str, label: str = "", symbols: str = "", **offered: Any) -> Part:
    def call(loader: Any, given: Batch) -> object:
        return _load(loader, given, symbols, **offered)

    return Part("data_utils", name, _recordings, call=call, label=label)


CASES = (
    host_case(
        "collate.loaders",
        _part("TextAudioSpeakerLoader"),
        _part("TextAudioSpeakerLoader", "v1", version="v1"),
        _part("TextAudioSpeakerLoader", "v2Pro", version="v2Pro", val=True),
        *(_part(f"TextAudioSpeakerLoader{version}") for version in ("V3", "V3b", "V4")),
        *(_part(f"TextAudioSpeakerLoader{version}", f"{version} v1", symbols="v1") for version in ("V3", "V3b", "V4")),
    ),
)
