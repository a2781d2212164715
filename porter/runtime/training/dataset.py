"""The clips of a dataset that upstream's tools prepared, read from names and sizes of files alone."""

import codecs
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TEXTS = "2-name2text.txt"
FEATURES = "4-cnhubert"
SOUNDS = "5-wav32k"
SPEAKERS = "7-sv_cn"

WITH_SPEAKERS = ("v2Pro", "v2ProPlus")  # versions whose networks take embeddings of speakers
_SHORTEST, _LONGEST = 0.6, 54.0  # seconds, both exclusive: upstream leaves other clips out
_FEW = 100  # upstream repeats the clips of a smaller dataset
_BYTES = 2  # a sample
_COLUMNS = 4  # name, phones, phones of each word, text

Unknown = Callable[[Sequence[str]], str | None]  # the first of some phones that upstream's table of symbols lacks


class DatasetError(Exception):
    """A dataset that cannot be trained on; its text is one clear sentence that names the file."""


class Clip(NamedTuple):
    """One clip: its name, the size of its sound file, its spectrogram's frames, its phones."""

    name: str
    bytes: int
    frames: int
    phones: int


@dataclass(frozen=True)
class Reading:
    """What a dataset folder holds.

    `clips` are those that upstream trains on, by name; `repeats` is how often an epoch has each. `missing` are feature
    files that are not there for clips with text and sound. `left_out` are names of other clips that upstream leaves
    out, by the reason. `soundless` are names in the list of texts that have no sound.
    """

    folder: Path
    clips: tuple[Clip, ...]
    repeats: int
    missing: tuple[Path, ...]
    left_out: Mapping[str, tuple[str, ...]]
    soundless: tuple[str, ...]

    def refuse_missing(self) -> None:
        """DatasetError where a feature file is missing: the first, and how many more."""
        if self.missing:
            more = f" (and {len(self.missing) - 1} more)" if len(self.missing) > 1 else ""
            raise DatasetError(f"{self.missing[0]} is missing{more}: upstream would leave its clip out without a word")


def read_clips(
    folder: str | Path, hop_length: int, sampling_rate: int, version: str | None = None, unknown: Unknown | None = None
) -> Reading:
    """Read a dataset folder by the rules of upstream's loader, for a model of this version.

    Sound files are 16-bit and mono, as upstream's tools write them. Without `unknown` every phone counts as known.
    DatasetError where there is no such folder or file, where the texts are not UTF-8 or begin with a byte order mark,
    and where no clip is left.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"there is no dataset folder {folder}")
    phones, broken = _phones(folder / TEXTS)
    sounds = _names(folder / SOUNDS)
    features = [FEATURES, SPEAKERS] if version in WITH_SPEAKERS else [FEATURES]
    sounding = sorted(phones.keys() & sounds)
    missing = _missing(folder, features, sounding)
    incomplete = {path.stem for path in missing}
    whole = [name for name in sounding if name not in incomplete]
    left_out = _without_the_other(phones.keys(), sounds, broken)
    clips: list[Clip] = []
    for name in whole:
        size = _size(folder / SOUNDS / name)
        seconds = size / sampling_rate / _BYTES
        reason = _reason(phones[name], seconds, unknown)
        if reason is not None:
            left_out.setdefault(reason, []).append(name)
        else:
            clips.append(Clip(name, size, size // (_BYTES * hop_length), len(phones[name])))
    reading = Reading(
        folder,
        tuple(clips),
        _repeats(len(whole)),
        tuple(missing),
        {reason: tuple(names) for reason, names in left_out.items()},
        tuple(sorted(phones.keys() - sounds)),
    )
    if not clips:
        reading.refuse_missing()
        raise DatasetError(f"{folder} has no clip to train on{_because(left_out)}")
    return reading


def _missing(folder: Path, features: Sequence[str], names: Sequence[str]) -> list[Path]:
    """Feature files that are not there for these clips; `features` are the folders that should have one for each."""
    there = {part: _names(folder / part) for part in features}
    return [folder / part / f"{name}.pt" for name in names for part in features if f"{name}.pt" not in there[part]]


def _repeats(clips: int) -> int:
    """How often an epoch has each of so many clips."""
    return 1 if clips >= _FEW else max(2, _FEW // max(1, clips))


def _without_the_other(phones: Set[str], sounds: Set[str], broken: Mapping[int, list[str]]) -> dict[str, list[str]]:
    """Names that have a text or a sound only, by why they are left out; `broken`: those of lines, by their columns."""
    left_out: dict[str, list[str]] = {}
    if soundless := sorted(phones - sounds):
        left_out[f"in {TEXTS} but not in {SOUNDS}"] = soundless
    for columns, names in broken.items():
        left_out[f"with {columns} column{'s' if columns > 1 else ''} in {TEXTS}, not {_COLUMNS}"] = names
    if textless := sorted(sounds - phones - {name for names in broken.values() for name in names}):
        left_out[f"in {SOUNDS} but not in {TEXTS}"] = textless
    return left_out


def _phones(path: Path) -> tuple[dict[str, list[str]], dict[int, list[str]]]:
    """The phones of each clip that the list of texts names, and the names in lines with other numbers of columns."""
    rows = [line.split("\t") for line in _text(path).strip("\n").split("\n")]
    broken: dict[int, list[str]] = {}
    for row in rows:
        if len(row) != _COLUMNS and row != [""]:
            broken.setdefault(len(row), []).append(row[0])
    return {row[0]: row[1].split(" ") for row in rows if len(row) == _COLUMNS}, broken


def _text(path: Path) -> str:
    """What a file of UTF-8 without a byte order mark holds, with plain ends of lines."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8: byte {error.start} cannot be decoded") from None
    except FileNotFoundError:
        raise DatasetError(f"there is no {path}") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from None
    if content.startswith(codecs.BOM_UTF8):
        raise DatasetError(
            f"{path} begins with a byte order mark, which upstream takes for a part of the first clip's name: "
            "save it as UTF-8 without one"
        )
    return text


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        raise DatasetError(f"there is no folder {folder}") from None
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read: {error.strerror or error}") from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from None


def _reason(phones: Sequence[str], seconds: float, unknown: Unknown | None) -> str | None:
    """Why upstream leaves a clip out, if it does."""
    if "" in phones:  # no version has such a symbol
        return "without a phone where one should be"
    lacking = unknown(phones) if unknown is not None else None
    if lacking is not None:
        return f"with the phone {lacking!r}, which upstream's table of symbols lacks"
    if seconds <= _SHORTEST:
        return f"of {_SHORTEST} s or less"
    return f"of {_LONGEST:g} s or more" if seconds >= _LONGEST else None


def _because(left_out: Mapping[str, list[str]]) -> str:
    told = ", ".join(f"{len(names)} {reason}" for reason, names in left_out.items())
    return f": {told}" if told else f": {TEXTS} and {SOUNDS} have no name in common"
