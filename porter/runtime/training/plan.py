"""Buckets of a dataset, each with one shape: from a plan file in its folder, or by a trainer's own boundaries."""

import bisect
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from .dataset import SOUNDS, TEXTS, Clip, DatasetError, read_clips

PLAN = "buckets.json"
_SCHEMA = 1
_AGAIN = "make it again with `sovits-port buckets DATASET --write`, or delete it"
_STEP = 8  # lengths on the device are multiples of this


def padded_frames(boundary: int) -> int:
    """Frames that the clips of a bucket up to `boundary` are padded to: whatever upstream rounds up to 2 or 8 fits."""
    return _STEP * (boundary // _STEP + 1)


def padded_tokens(longest: int) -> int:
    """What texts are padded to, of which the longest has so many phones."""
    return _STEP * max(1, -(-longest // _STEP))


@dataclass(frozen=True)
class Plan:
    """Boundaries in frames, the lowest one exclusive, and what each bucket between them pads its texts to.

    It was made for the lengths of some clips (`lengths` is a hash of them) at a sampling rate and hop length, read for
    a version of the model.
    """

    boundaries: tuple[int, ...]
    tokens: tuple[int, ...]
    sampling_rate: int
    hop_length: int
    version: str | None
    clips: int
    lengths: str

    def to_bytes(self) -> bytes:
        """The plan file."""
        return (json.dumps({"schema": _SCHEMA, **asdict(self)}, indent=1) + "\n").encode()


def plan_for(
    clips: Sequence[Clip], boundaries: Sequence[int], sampling_rate: int, hop_length: int, version: str | None
) -> Plan:
    """The plan of these boundaries for the clips of a dataset; ValueError where a bucket is empty."""
    tokens = longest_texts(((clip.frames, clip.phones) for clip in clips), boundaries)
    if 0 in tokens:
        raise ValueError(f"there is no clip between {boundaries[tokens.index(0)]} and the next boundary")
    pads = tuple(padded_tokens(longest) for longest in tokens)
    return Plan(tuple(boundaries), pads, sampling_rate, hop_length, version, len(clips), lengths_hash(clips))


def longest_texts(lengths: Iterable[tuple[int, int]], boundaries: Sequence[int]) -> list[int]:
    """The most phones in each bucket, of pairs of frames and phones; 0 where a bucket is empty."""
    longest = [0] * (len(boundaries) - 1)
    for frames, phones in lengths:
        place = bisect.bisect_left(boundaries, frames) - 1
        if 0 <= place < len(longest):
            longest[place] = max(longest[place], phones)
    return longest


def lengths_hash(clips: Iterable[Clip]) -> str:
    """SHA-256 of the lengths of clips in frames, sorted."""
    return hashlib.sha256(",".join(map(str, sorted(clip.frames for clip in clips))).encode()).hexdigest()


def read_plan(path: Path) -> Plan:
    """Read a plan file; DatasetError where it is none."""
    try:
        told = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from None
    if not isinstance(told, dict) or told.pop("schema", None) != _SCHEMA:
        raise DatasetError(f"{path} is no plan of buckets that this version reads; {_AGAIN}")
    try:
        plan = Plan(**{**told, "boundaries": tuple(told["boundaries"]), "tokens": tuple(told["tokens"])})
    except (KeyError, TypeError):
        raise DatasetError(f"{path} lacks parts of a plan of buckets; {_AGAIN}") from None
    if not _is_possible(plan):
        raise DatasetError(f"the boundaries or text lengths in {path} are none; {_AGAIN}")
    return plan


def _is_possible(plan: Plan) -> bool:
    """Whether the numbers of a plan are whole and above zero, boundaries rise, and each bucket has a text length."""
    above_zero = (*plan.boundaries[1:], *plan.tokens, plan.sampling_rate, plan.hop_length)
    whole = all(type(n) is int for n in (*plan.boundaries, *above_zero)) and min(above_zero) > 0
    return whole and is_rising(plan.boundaries) and len(plan.tokens) == len(plan.boundaries) - 1


def is_rising(boundaries: Sequence[int]) -> bool:
    """Whether there is a bucket, and each boundary is above the one before."""
    return len(boundaries) > 1 and all(a < b for a, b in pairwise(boundaries))


def boundaries(dataset: Any, default: Sequence[int]) -> list[int]:
    """Boundaries for a bucket sampler of `dataset`, whose batches of a bucket have one shape from now on.

    They are those of the plan file in the folder of the dataset, else of `default` those whose bucket has clips. A
    plan that does not fit the dataset, and a clip longer than the last boundary, end the process with one sentence
    and exit status 2. A dataset without `lengths` and `hop_length` is left as it is, and `default` too.
    """
    if not (hasattr(dataset, "lengths") and hasattr(dataset, "hop_length")):
        told = "batches of a bucket may have several shapes: the dataset has no lengths or no hop_length"
        print(told, file=sys.stderr)
        return list(default)
    try:
        limits, tokens = _chosen(dataset, default)
    except DatasetError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    previous = getattr(dataset, "__getitems__", None)
    if isinstance(previous, BucketedItems):
        previous = previous.previous
    dataset.__getitems__ = BucketedItems(dataset, limits, tokens, previous)
    return list(limits)


class BucketedItems:
    """`dataset.__getitems__`: the samples of a batch, which the collate function then pads to their bucket's shape.

    torch's fetcher calls it with the indices of a batch, and the collate function right after, in the same thread.
    """

    def __init__(
        self,
        dataset: Any,
        boundaries: Sequence[int],
        tokens: Sequence[int | None],
        previous: Callable[[list[int]], list[Any]] | None,
    ) -> None:
        """For buckets between boundaries, with what each pads its texts to; `previous` reads the samples, if given."""
        self.dataset = dataset
        self.boundaries = tuple(boundaries)
        self.tokens = tuple(tokens)
        self.previous = previous

    def __call__(self, indices: list[int]) -> list[Any]:
        """The samples. ValueError where one is longer than the last boundary."""
        from ..ops import Pads, use_pads

        longest = max(self.dataset.lengths[index] for index in indices)
        place = max(1, bisect.bisect_left(self.boundaries, longest))
        if place == len(self.boundaries):
            raise ValueError(
                f"a clip of {longest} frames is longer than the last bucket boundary, {self.boundaries[-1]}"
            )
        frames = padded_frames(self.boundaries[place])
        use_pads(Pads(frames, self.dataset.hop_length, self.tokens[place - 1]))
        if self.previous is not None:
            return self.previous(indices)
        return [self.dataset[index] for index in indices]


class _Sample(NamedTuple):
    """What a dataset tells of one of its samples before it is read."""

    name: str
    frames: int
    tokens: int | None


def _samples(dataset: Any) -> list[_Sample]:
    """All samples. Upstream's datasets keep name and phones of each; of others, only lengths are known."""
    entries = getattr(dataset, "audiopaths_sid_text", None)
    if not isinstance(entries, list) or len(entries) != len(dataset.lengths):
        return [_Sample(f"clip {index}", frames, None) for index, frames in enumerate(dataset.lengths)]
    return [_Sample(str(e[0]), frames, _count(e)) for e, frames in zip(entries, dataset.lengths, strict=True)]


def _count(entry: Sequence[Any]) -> int | None:
    is_text = len(entry) == 2 and isinstance(entry[1], (list, tuple)) and all(isinstance(n, int) for n in entry[1])
    return len(entry[1]) if is_text else None


def folder_of(dataset: object) -> Path | None:
    """The folder of the dataset, which upstream keeps only as part of other paths."""
    paths = (Path(value) for value in getattr(dataset, "__dict__", {}).values() if isinstance(value, (str, Path)))
    return next((path.parent for path in paths if path.name == TEXTS), None)


def _chosen(dataset: Any, default: Sequence[int]) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    """Boundaries, and what each bucket pads its texts to (None: that is not known)."""
    samples = _samples(dataset)
    folder = folder_of(dataset)
    if folder is not None and (folder / PLAN).exists():
        plan = _fitting(folder / PLAN, dataset)
        _refuse_outside(folder, plan.boundaries, samples)
        _refuse_text(folder / PLAN, plan, samples)
        return plan.boundaries, plan.tokens
    _refuse_outside(folder, default, samples)
    return _pruned(default, samples)


def _fitting(path: Path, dataset: Any) -> Plan:
    """The plan of a file; DatasetError where it was made for another length list."""
    plan = read_plan(path)
    rate = getattr(dataset, "sampling_rate", plan.sampling_rate)
    if (plan.sampling_rate, plan.hop_length) != (rate, dataset.hop_length):
        made = f"{plan.sampling_rate} Hz with a hop of {plan.hop_length}"
        raise DatasetError(f"{path} was made for {made}, not {rate} Hz with a hop of {dataset.hop_length}; {_AGAIN}")
    clips = read_clips(path.parent, plan.hop_length, plan.sampling_rate, plan.version).clips
    if (len(clips), lengths_hash(clips)) != (plan.clips, plan.lengths):
        raise DatasetError(
            f"{path} was made for {plan.clips} clips of other lengths than the {len(clips)} here; {_AGAIN}"
        )
    return plan


def _pruned(default: Sequence[int], samples: Sequence[_Sample]) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
    """`default` without empty buckets, and what the others pad their texts to."""
    held = longest_texts(((sample.frames, 1) for sample in samples), default)
    kept = [boundary for boundary, some in zip(default[1:], held, strict=True) if some]
    limits = (default[0], *kept)
    if any(sample.tokens is None for sample in samples):
        return limits, (None,) * len(kept)
    longest = longest_texts(((sample.frames, sample.tokens or 0) for sample in samples), limits)
    return limits, tuple(padded_tokens(count) for count in longest)


def _refuse_outside(folder: Path | None, limits: Sequence[int], samples: Sequence[_Sample]) -> None:
    """DatasetError where a sample is beyond the last boundary, or none is above the first."""
    for name, frames, _ in samples:
        if frames > limits[-1]:
            told = f"{folder / SOUNDS / name if folder else name} has {frames} frames"
            advice = f"cut it, or plan its bucket with `sovits-port buckets {folder or 'DATASET'} --write`"
            raise DatasetError(f"{told}, more than the last bucket boundary, {limits[-1]}: {advice}")
    if all(sample.frames <= limits[0] for sample in samples):
        lowest = f"{limits[0]} frames, the lowest boundary"
        raise DatasetError(f"{folder or 'the dataset'} has no clip of more than {lowest}")


def _refuse_text(path: Path, plan: Plan, samples: Sequence[_Sample]) -> None:
    """DatasetError where the text of a sample is longer than its bucket's."""
    for name, frames, count in samples:
        place = bisect.bisect_left(plan.boundaries, frames) - 1
        if place >= 0 and count is not None and count > plan.tokens[place]:
            raise DatasetError(f"{path} has room for {plan.tokens[place]} phones where {name} has {count}; {_AGAIN}")
