"""Planned buckets as a table, upstream's own beside them, and what fewer or more would cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ..buckets.cost import filling, wasted
from .console import NARROW, plain_table, stdout_console

if TYPE_CHECKING:
    from rich.table import Column

    from ..buckets.cost import Bucket
    from ..buckets.survey import BucketSurvey

_ESTIMATED = (
    "Memory (GB) is an estimate for one replica's activations in float32, from what a TPU compiler gave forward and "
    "backward of upstream's full-size networks: 741 MB a clip for its segment and 0.175 MB a clip and frame, and its "
    "input. Weights and optimizer state come on top; under bf16 autocast it is about half."
)
_NO_ESTIMATE = "Memory was measured for no network of this version."


def print_survey(found: BucketSurvey) -> None:
    """Print it on stdout."""
    console = stdout_console()
    clips = f"{len(found.reading.clips)} clips"
    clips += f", each {found.reading.repeats} times an epoch" if found.reading.repeats > 1 else ""
    many = f" on each of {found.replicas} replicas" if found.replicas > 1 else ""
    head = f"{found.reading.folder}: {clips}, batches of {found.model.batch_size}{many}"
    console.print(Text(head, style="bold"), soft_wrap=True)
    console.print()
    _print_buckets(console, "planned", found.planned)
    console.print()
    _print_buckets(console, "upstream's boundaries", found.upstream)
    if found.too_long:
        last = found.model.boundaries[-1]
        words = f"Clips of more than {last} frames: {found.too_long}. The trainer refuses them without a plan."
        console.print(Text(words, style="yellow"), soft_wrap=True)
    console.print()
    table = plain_table("Shapes", "Batches", "Frames an epoch", "Padding", "Filling")
    _right(table.columns)
    for buckets in found.trade_off:
        table.add_row(*_totals(buckets))
    console.print(Text("Other numbers of shapes, each with its best boundaries:"))
    console.print(table)
    console.print()
    estimated = any(bucket.memory is not None for bucket in found.planned)
    console.print(Text(_ESTIMATED if estimated else _NO_ESTIMATE))


def _print_buckets(console: Console, title: str, buckets: Sequence[Bucket]) -> None:
    limits = ",".join(str(limit) for limit in [*(b.above for b in buckets[:1]), *(b.upto for b in buckets)])
    console.print(Text(f"{title}: {limits or 'no clip is between them'}"), soft_wrap=True)
    if not buckets:
        return
    narrow = console.width < NARROW
    headings = ["Clips of frames", "Padded to", "Text", "Clips", "Batches", "Padding", "Input MB", "Memory GB"]
    if narrow:
        headings = ["Frames", "Padded", "Text", "Clips", "Batches", "Padding", "GB"]
    table = plain_table(*headings)
    _right(table.columns)
    for bucket in buckets:
        cells = [
            f"{bucket.above + 1}-{bucket.upto}",
            str(bucket.frames),
            str(bucket.tokens),
            str(bucket.clips),
            str(bucket.batches),
            f"{bucket.wasted:.1%}",
            f"{bucket.input_bytes / 1e6:.1f}",
            "" if bucket.memory is None else f"{bucket.memory / 1e9:.1f}",
        ]
        table.add_row(*(cells[:6] + cells[7:] if narrow else cells))
    console.print(table)
    graphs, batches, frames, padding, filled = _totals(buckets)
    words = (
        f"{graphs} shapes to compile; an epoch has {batches} batches and computes {frames} frames, {padding} of them "
    )
    console.print(Text(f"{words}padding, {filled} of them for clips that come once more to fill a batch"))


def _totals(buckets: Sequence[Bucket]) -> tuple[str, str, str, str, str]:
    batches, frames = (sum(getattr(b, name) for b in buckets) for name in ("batches", "computed"))
    return str(len(buckets)), str(batches), str(frames), f"{wasted(buckets):.1%}", f"{filling(buckets):.1%}"


def _right(columns: Sequence[Column]) -> None:
    for column in columns:
        column.justify = "right"
        column.overflow = "fold"
