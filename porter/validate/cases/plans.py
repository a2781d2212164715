"""Buckets of a dataset as a port's trainers plan them: boundaries, what batches are padded to, and what is refused."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import wave
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from porter.validate.cases.base import host_case
from porter.validate.cases.known import Call, calling_known

_RATE, _HOP = 32000, 640
_LENGTHS = {"a.wav": 36, "b.wav": 40, "c.wav": 41, "d.wav": 90}  # frames
_PHONES = {"a.wav": 3, "b.wav": 8, "c.wav": 9, "d.wav": 17}
_DEFAULT = (30, 40, 60, 90, 200)
_AGAIN = "make it again with `sovits-port buckets DATASET --write`, or delete it"
_PLAN = "HERE/buckets.json"


def _hash(lengths: Iterable[int]) -> str:
    return hashlib.sha256(",".join(map(str, sorted(lengths))).encode()).hexdigest()


_WRITTEN: Mapping[str, Any] = {
    "schema": 1,
    "boundaries": [35, 40, 90],
    "tokens": [16, 24],
    "sampling_rate": _RATE,
    "hop_length": _HOP,
    "version": None,
    "clips": len(_LENGTHS),
    "lengths": _hash(_LENGTHS.values()),
}


def _lay_out(folder: Path, plan: object) -> None:
    """The files that tell a dataset's lengths, and a plan: a dictionary, other bytes, or None."""
    for name in ("4-cnhubert", "5-wav32k"):
        (folder / name).mkdir()
    for name, frames in _LENGTHS.items():
        with wave.open(str(folder / "5-wav32k" / name), "wb") as file:
            file.setparams((1, 2, _RATE, 0, "NONE", ""))
            file.writeframes(bytes(2 * frames * _HOP))
        (folder / "4-cnhubert" / f"{name}.pt").touch()
    lines = [f"{name}\t{' '.join('A' * count)}\t[]\ttext\n" for name, count in _PHONES.items()]
    (folder / "2-name2text.txt").write_text("".join(lines), encoding="utf-8")
    if isinstance(plan, bytes):
        (folder / "buckets.json").write_bytes(plan)
    elif plan is not None:
        (folder / "buckets.json").write_text(json.dumps(plan), encoding="utf-8")


class _Data:
    """What a trainer's dataset tells; a sample is its index."""

    def __init__(self, folder: Path, **others: Any) -> None:
        self.path = str(folder / "2-name2text.txt")
        self.audiopaths_sid_text = [[name, [1] * count] for name, count in _PHONES.items()]
        self.lengths = list(_LENGTHS.values())
        self.hop_length, self.sampling_rate = _HOP, _RATE
        for name, value in others.items():
            setattr(self, name, value)

    def __getitem__(self, index: int) -> int:
        return index


class _LengthsAlone(_Data):
    """One of a person's own, that keeps nothing beside."""

    def __init__(self, folder: Path, **others: Any) -> None:
        super().__init__(folder, **others)
        del self.audiopaths_sid_text


def _planned(
    plan: object = None,
    default: Sequence[int] = _DEFAULT,
    batches: Sequence[Sequence[int]] = (),
    kind: type[_Data] = _Data,
    **others: Any,
) -> Callable[[Any, Path], object]:
    """Boundaries for a dataset; and of these batches the samples and what they are padded to."""

    def run(plans: Any, folder: Path) -> object:
        _lay_out(folder, plan)
        data: Any = kind(folder, **others)
        return _asked(plans, data, plans.boundaries(data, default), batches)

    return run


def _asked(plans: Any, data: Any, limits: Sequence[int], batches: Sequence[Sequence[int]]) -> object:
    """What a plan gave, and what it makes of batches."""
    ops = _operations(plans)
    found = []
    try:
        for batch in batches:
            samples = data.__getitems__(list(batch))
            found.append([samples, ops.bucket(9), ops.bucket(20 * _HOP), ops.bucket(2, tokens=True)])
    finally:
        ops.use_pads(None)
    return {"limits": list(limits), "batches": found}


def _operations(plans: Any) -> Any:
    """The operations of the runtime that a module of it belongs to."""
    return importlib.import_module(f"{plans.__name__.rsplit('.', 2)[0]}.ops.buckets")


def _with(**others: Any) -> dict[str, Any]:
    return {**_WRITTEN, **others}


def _gives(limits: Sequence[int], *batches: tuple[list[int], int, int]) -> object:
    """Samples of each batch, the frames and the phones that it is padded to."""
    made = [[samples, frames, frames * _HOP, phones] for samples, frames, phones in batches]
    return {"limits": list(limits), "batches": made}


def _again(plans: Any, folder: Path) -> object:
    """Two plans for one dataset, that reads several samples at once: the second takes the place of the first."""
    _lay_out(folder, None)
    data: Any = _Data(folder)
    data.__getitems__ = lambda indices: [index + 100 for index in indices]
    plans.boundaries(data, _DEFAULT)
    return _asked(plans, data, plans.boundaries(data, (35, 90)), [[0, 3]])


def _too_long(plans: Any, folder: Path) -> object:
    """A sample beyond the last boundary, which came later."""
    data: Any = _Data(folder)
    plans.boundaries(data, _DEFAULT)
    data.lengths[0] = 201
    return data.__getitems__([0])


def _made(plans: Any, folder: Path) -> object:
    """A plan for the clips of a folder, written and read again."""
    _lay_out(folder, None)
    clips = plans.read_clips(folder, _HOP, _RATE).clips
    plan = plans.plan_for(clips, (30, 40, 90), _RATE, _HOP, "v2")
    (folder / "again.json").write_bytes(plan.to_bytes())
    return {**json.loads(plan.to_bytes()), "same": plans.read_plan(folder / "again.json") == plan}


def _no_bucket(plans: Any, folder: Path) -> object:
    _lay_out(folder, None)
    return plans.plan_for(plans.read_clips(folder, _HOP, _RATE).clips, (30, 41, 80, 90), _RATE, _HOP, "v2")


_NO_PLAN = f"{_PLAN} is no plan of buckets that this version reads; {_AGAIN}"
_LACKING = f"{_PLAN} lacks parts of a plan of buckets; {_AGAIN}"
_NO_BOUNDARIES = f"the boundaries or text lengths in {_PLAN} are none; {_AGAIN}"

_PLANS = {
    "default": Call(
        _planned(batches=([0, 1], [2], [0, 3])),
        gives=_gives((30, 40, 60, 90), ([0, 1], 48, 8), ([2], 64, 16), ([0, 3], 96, 24)),
    ),
    "without empty buckets": Call(_planned(default=(30, 35, 36, 39, 90)), gives=_gives((30, 36, 90))),
    "the first above the lowest": Call(
        _planned(default=(36, 90), batches=([0], [1])), gives=_gives((36, 90), ([0], 96, 24), ([1], 96, 24))
    ),
    "without phones": Call(
        _planned(audiopaths_sid_text=None, batches=([0],)),
        gives={"limits": [30, 40, 60, 90], "batches": [[[0], 48, 48 * _HOP, 2]]},
    ),
    "without entries": Call(
        _planned(kind=_LengthsAlone, batches=([0],)),
        gives={"limits": [30, 40, 60, 90], "batches": [[[0], 48, 48 * _HOP, 2]]},
    ),
    "other entries": Call(
        _planned(audiopaths_sid_text=[["a.wav"]] * 4, batches=([0],)),
        gives={"limits": [30, 40, 60, 90], "batches": [[[0], 48, 48 * _HOP, 2]]},
    ),
    "phones as text": Call(
        _planned(audiopaths_sid_text=[["a.wav", "1"]] * 4, batches=([0],)),
        gives={"limits": [30, 40, 60, 90], "batches": [[[0], 48, 48 * _HOP, 2]]},
    ),
    "no phones": Call(
        _planned(audiopaths_sid_text=[["a.wav", []]] * 4, batches=([0],)),
        gives=_gives((30, 40, 60, 90), ([0], 48, 8)),
    ),
    "no lengths": Call(
        lambda plans, folder: plans.boundaries(SimpleNamespace(hop_length=_HOP), _DEFAULT),
        "batches of a bucket may have several shapes: the dataset has no lengths or no hop_length",
        gives=list(_DEFAULT),
        goes_on=True,
    ),
    "no hop": Call(
        lambda plans, folder: plans.boundaries(SimpleNamespace(lengths=[1]), _DEFAULT),
        "batches of a bucket may have several shapes: the dataset has no lengths or no hop_length",
        gives=list(_DEFAULT),
        goes_on=True,
    ),
    "a long clip": Call(
        _planned(default=(30, 89)),
        "HERE/5-wav32k/d.wav has 90 frames, more than the last bucket boundary, 89: cut it, or plan its bucket with "
        "`sovits-port buckets HERE --write`",
    ),
    "a long clip of no folder": Call(
        _planned(default=(30, 89), path="x", audiopaths_sid_text=None),
        "clip 3 has 90 frames, more than the last bucket boundary, 89: cut it, or plan its bucket with "
        "`sovits-port buckets DATASET --write`",
    ),
    "none above the lowest": Call(
        _planned(default=(90, 100)), "HERE has no clip of more than 90 frames, the lowest boundary"
    ),
    "nor of no folder": Call(
        _planned(default=(90, 100), path="x"), "the dataset has no clip of more than 90 frames, the lowest boundary"
    ),
    "again": Call(_again, gives=_gives((35, 90), ([100, 103], 96, 24))),
    "a longer clip later": Call(
        _too_long, gives="ValueError: a clip of 201 frames is longer than the last bucket boundary, 90"
    ),
    "written": Call(
        _planned(_WRITTEN, batches=([0, 1], [2, 3])),
        gives=_gives((35, 40, 90), ([0, 1], 48, 16), ([2, 3], 96, 24)),
    ),
    "written with an empty bucket": Call(
        _planned(_with(boundaries=[35, 40, 90, 120], tokens=[16, 24, 32])), gives=_gives((35, 40, 90, 120))
    ),
    "of another rate": Call(
        _planned(_WRITTEN, sampling_rate=48000),
        f"{_PLAN} was made for 32000 Hz with a hop of 640, not 48000 Hz with a hop of 640; {_AGAIN}",
    ),
    "of another hop": Call(
        _planned(_WRITTEN, hop_length=320),
        f"{_PLAN} was made for 32000 Hz with a hop of 640, not 32000 Hz with a hop of 320; {_AGAIN}",
    ),
    "of other lengths": Call(
        _planned(_with(lengths=_hash([1]))),
        f"{_PLAN} was made for 4 clips of other lengths than the 4 here; {_AGAIN}",
    ),
    "of more clips": Call(
        _planned(_with(clips=5)), f"{_PLAN} was made for 5 clips of other lengths than the 4 here; {_AGAIN}"
    ),
    "of shorter texts": Call(
        _planned(_with(tokens=[16, 16])), f"{_PLAN} has room for 16 phones where d.wav has 17; {_AGAIN}"
    ),
    "of texts as long": Call(_planned(_with(tokens=[8, 17])), gives=_gives((35, 40, 90))),
    "of shorter clips": Call(
        _planned(_with(boundaries=[35, 40, 89])),
        "HERE/5-wav32k/d.wav has 90 frames, more than the last bucket boundary, 89: cut it, or plan its bucket with "
        "`sovits-port buckets HERE --write`",
    ),
    "no JSON": Call(_planned(b"{"), f"{_PLAN} is not JSON: …"),
    "no dictionary": Call(_planned(b"[]"), _NO_PLAN),
    "another schema": Call(_planned(_with(schema=2)), _NO_PLAN),
    "no schema": Call(_planned(b"{}"), _NO_PLAN),
    "a part less": Call(_planned({k: v for k, v in _WRITTEN.items() if k != "clips"}), _LACKING),
    "no boundaries": Call(_planned({k: v for k, v in _WRITTEN.items() if k != "boundaries"}), _LACKING),
    "a part more": Call(_planned(_with(further=1)), _LACKING),
    "a number for boundaries": Call(_planned(_with(boundaries=3)), _LACKING),
    **{
        f"{name} {value}": Call(_planned(_with(**{name: value})), _NO_BOUNDARIES)
        for name, value in (
            ("boundaries", [35, 90]),
            ("boundaries", [35, 90, 90]),
            ("boundaries", [90, 40, 35]),
            ("boundaries", [35, 40.0, 90]),
            ("boundaries", [35]),
            ("tokens", [16, 0]),
            ("tokens", [16, True]),
            ("tokens", [16]),
            ("hop_length", 0),
            ("sampling_rate", "32000"),
        )
    },
    "a folder for a plan": Call(
        lambda plans, folder: plans.read_plan(folder),
        gives="DatasetError: HERE cannot be read: Is a directory",
    ),
    "made": Call(
        _made,
        gives={
            **_WRITTEN,
            "boundaries": [30, 40, 90],
            "tokens": [8, 24],
            "version": "v2",
            "same": True,
        },
    ),
    "an empty bucket": Call(_no_bucket, gives="ValueError: there is no clip between 41 and the next boundary"),
}


def _rounded(lengths: Sequence[int], told: object = None, said: str | None = None) -> Callable[[Any, Path], object]:
    """What lengths are padded to under these boundaries, set or said in the environment."""

    def run(buckets: Any, folder: Path) -> object:
        with patch.dict(os.environ, {} if said is None else {"SOVITS_PORT_BUCKETS": said}):
            try:
                if told is not None:
                    buckets.set_buckets(told)
                limits = buckets.buckets()
                return {"limits": limits, "lengths": [buckets.bucket(length) for length in lengths]}
            finally:
                buckets.set_buckets(None)

    return run


def _padded(length: int, tokens: bool = False, room: int | None = 8) -> Callable[[Any, Path], object]:
    """What a length is padded to in a bucket of 20 frames of 10 samples."""

    def run(buckets: Any, folder: Path) -> object:
        buckets.use_pads(buckets.Pads(20, 10, room))
        try:
            return buckets.bucket(length, tokens=tokens)
        finally:
            buckets.use_pads(None)

    return run


def _none(lengths: Sequence[int]) -> object:
    return {"limits": None, "lengths": list(lengths)}


_BEYOND = "ValueError: a length of 401 is beyond the last bucket boundary, 400"
_BUCKETS = {
    "default": Call(
        _rounded((0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 15, 16, 17, 32, 33, 64, 65, 100, 1025), said=""),
        gives=_none((2, 2, 2, 4, 8, 10, 10, 12, 12, 14, 16, 16, 20, 32, 40, 64, 80, 112, 1280)),
    ),
    "off": Call(_rounded((0, 3, 7), said=" OFF "), gives={"limits": (), "lengths": (0, 3, 7)}),
    "said": Call(
        _rounded((0, 320, 321, 400), said="400, 320,320"), gives={"limits": (320, 400), "lengths": (320, 320, 400, 400)}
    ),
    "set": Call(_rounded((3, 4), told=[8, 3], said="400"), gives={"limits": (3, 8), "lengths": (3, 8)}),
    "set to none": Call(_rounded((3, 4), told=[], said="400"), gives={"limits": (), "lengths": (3, 4)}),
    "beyond": Call(_rounded((401,), told=[400]), gives=_BEYOND),
    "negative": Call(_rounded((-1,)), gives="ValueError: a length cannot be negative: -1"),
    "a boundary of zero": Call(_rounded((), told=[0, 5]), gives="ValueError: a bucket boundary is at least 1, not 0"),
    "one": Call(_rounded((1, 2), told=[1, 2]), gives={"limits": (1, 2), "lengths": (1, 2)}),
    "no number": Call(
        _rounded((), said="many"),
        gives="ValueError: SOVITS_PORT_BUCKETS='many' is not a list of lengths: "
        "invalid literal for int() with base 10: 'many'",
    ),
    "frames": Call(_padded(7), gives=20),
    "all frames": Call(_padded(20), gives=20),
    "more frames": Call(_padded(21), gives="ValueError: a length of 21 is beyond the frames of its bucket, 20"),
    "as many frames as few samples": Call(
        _padded(159), gives="ValueError: a length of 159 is beyond the frames of its bucket, 20"
    ),
    "samples": Call(_padded(160), gives=200),
    "all samples": Call(_padded(200), gives=200),
    "more samples": Call(_padded(201), gives="ValueError: a length of 201 is beyond the samples of its bucket, 200"),
    "a text": Call(_padded(8, tokens=True), gives=8),
    "a longer text": Call(
        _padded(9, tokens=True), gives="ValueError: a text of 9 tokens is beyond those of its bucket, 8"
    ),
    "a text without room": Call(_padded(9, tokens=True, room=None), gives=10),
}

CASES = (
    host_case(
        "files.plans",
        calling_known("training.plan", _PLANS),
        calling_known("ops.buckets", _BUCKETS),
    ),
)
