"""A dataset's buckets, planned and as upstream's trainer has them, and what fewer or more of them would cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import PortError
from ..runtime.training.dataset import Clip, Reading
from ..runtime.training.plan import Plan, is_rising, plan_for
from .cost import Bucket, buckets_of, filling, frames_of, wasted
from .model import Model
from .partition import partitions

if TYPE_CHECKING:
    from ..answers import BucketsAnswer
    from ..answers.runs import BucketPlan, BucketRecord, BucketTotals

_TRADE_OFF = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class BucketSurvey:
    """What `survey` found. `trade_off` has buckets for other numbers of them; `too_long` are clips that upstream's own
    boundaries leave out.
    """

    reading: Reading
    model: Model
    replicas: int
    planned: tuple[Bucket, ...]
    upstream: tuple[Bucket, ...]
    trade_off: tuple[tuple[Bucket, ...], ...]
    too_short: int
    too_long: int

    @property
    def plan(self) -> Plan:
        """The plan file's content."""
        model = self.model
        limits = (self.planned[0].above, *(bucket.upto for bucket in self.planned))
        return plan_for(self.reading.clips, limits, model.sampling_rate, model.hop_length, model.version)


def survey(
    reading: Reading,
    model: Model,
    *,
    replicas: int = 1,
    graphs: int | None = None,
    boundaries: Sequence[int] | None = None,
) -> BucketSurvey:
    """Plan buckets for the clips of a dataset: those of `boundaries`, or at most `graphs` (as many as upstream's need).

    PortError where a clip is beyond `boundaries`, or no clip is in a bucket.
    """
    lowest = boundaries[0] if boundaries else model.boundaries[0]
    clips = _longer(reading.clips, lowest)
    if not clips:
        raise PortError(f"{reading.folder} has no clip of more than {lowest} frames, the lowest boundary")

    def within(limits: Sequence[int]) -> tuple[Bucket, ...]:
        return tuple(buckets_of(clips, limits, model, repeats=reading.repeats, replicas=replicas))

    upstream = within(model.boundaries)
    lengths = [clip.frames for clip in clips] * reading.repeats
    most = graphs or max(1, len(upstream))
    every = partitions(lengths, model.batch_size * replicas, max(most, *_TRADE_OFF))
    if boundaries is None:
        planned = min((within((lowest, *limits)) for limits in every[:most]), key=frames_of)
    else:
        _refuse_longer(clips, boundaries)
        planned = within(boundaries)
    return BucketSurvey(
        reading,
        model,
        replicas,
        planned,
        upstream,
        tuple(within((lowest, *every[size - 1])) for size in _TRADE_OFF if size <= len(every)),
        len(reading.clips) - len(clips),
        len(_longer(clips, model.boundaries[-1])),
    )


def _longer(clips: Iterable[Clip], frames: int) -> list[Clip]:
    return [clip for clip in clips if clip.frames > frames]


def _refuse_longer(clips: Sequence[Clip], boundaries: Sequence[int]) -> None:
    longest = max(clips, key=lambda clip: clip.frames)
    if longest.frames > boundaries[-1]:
        raise PortError(f"{longest.name} has {longest.frames} frames, more than the last boundary, {boundaries[-1]}")


def parse_boundaries(text: str) -> tuple[int, ...]:
    """Boundaries from "32,400,800"; PortError where they are none."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not is_rising(found) or found[0] < 0:
        raise PortError(
            f"boundaries are rising numbers of frames, as in 32,400,800 (the first exclusive), not {text!r}"
        )
    return found


def as_json(found: BucketSurvey) -> BucketsAnswer:
    """All of it, for machines."""
    return {
        "dataset": str(found.reading.folder),
        "clips": len(found.reading.clips),
        "repeats": found.reading.repeats,
        "left_out": {reason: list(names) for reason, names in found.reading.left_out.items()},
        "batch_size": found.model.batch_size,
        "replicas": found.replicas,
        "planned": _told(found.planned),
        "upstream": {**_told(found.upstream), "too_short": found.too_short, "too_long": found.too_long},
        "trade_off": [_totals(buckets) for buckets in found.trade_off],
    }


def _totals(buckets: Sequence[Bucket]) -> BucketTotals:
    return {
        "graphs": len(buckets),
        "batches": sum(bucket.batches for bucket in buckets),
        "frames": frames_of(buckets),
        "wasted": round(wasted(buckets), 6),
        "filling": round(filling(buckets), 6),
    }


def _told(buckets: Sequence[Bucket]) -> BucketPlan:
    limits = [buckets[0].above, *(bucket.upto for bucket in buckets)] if buckets else []
    rows: list[BucketRecord] = [
        {
            "above": bucket.above,
            "upto": bucket.upto,
            "frames": bucket.frames,
            "tokens": bucket.tokens,
            "clips": bucket.clips,
            "batches": bucket.batches,
            "wasted": round(bucket.wasted, 6),
            "input_bytes": bucket.input_bytes,
            "memory_bytes": None if bucket.memory is None else round(bucket.memory),
        }
        for bucket in buckets
    ]
    return {"boundaries": limits, **_totals(buckets), "buckets": rows}
