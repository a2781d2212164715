"""`sovits-port buckets`: boundaries for a dataset, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import PortError
from .forms import Form, output_options, quiet_option
from .output import note, print_json, report

if TYPE_CHECKING:
    from ..buckets.survey import BucketSurvey
    from ..runtime.training.dataset import Unknown


def _positive(_: click.Context, option: click.Parameter, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise PortError(f"{option.opts[0]} is 1 or more, not {value}")
    return value


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--batch-size", type=int, callback=_positive, metavar="N",
    help="Clips in a batch of one replica.  [default: the config's, or 32]",
)  # fmt: skip
@click.option("--replicas", type=int, callback=_positive, default=1, show_default=True, metavar="N")
@click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path),
    help="The training config: sampling rate, hop length, version, batch size.  [default: as configs/s2.json]",
)  # fmt: skip
@click.option(
    "--graphs", type=int, callback=_positive, metavar="N",
    help="Shapes to compile at most.  [default: as many as upstream's boundaries need]",
)  # fmt: skip
@click.option(
    "--upstream", metavar="UPSTREAM",
    help="Where upstream's table of phones is.  [default: this folder, if it is a checkout]",
)  # fmt: skip
@click.option("--boundaries", metavar="A,B,...", help="These boundaries instead; the lowest one is exclusive.")
@click.option("--write", is_flag=True, help="Write the plan to DATASET/buckets.json, where the trainer finds it.")
@quiet_option("Keep notes and progress off stderr.")
@output_options("json")
def buckets(
    dataset: Path,
    batch_size: int | None,
    replicas: int,
    config: Path | None,
    graphs: int | None,
    upstream: str | None,
    boundaries: str | None,
    write: bool,
    form: Form,
) -> None:
    """Plan buckets for DATASET, a folder with upstream's 2-name2text.txt, 4-cnhubert and 5-wav32k.

    Each bucket is one shape to compile. The boundaries are those with which an epoch computes the fewest frames,
    padding and filled batches included. Only the list of texts is read, and names and sizes of the other files.
    """
    from ..buckets.model import read_model
    from ..buckets.survey import as_json as told
    from ..buckets.survey import parse_boundaries, survey
    from ..runtime.training.dataset import DatasetError, read_clips
    from ..runtime.training.plan import PLAN

    if graphs is not None and boundaries is not None:
        raise PortError("--graphs and --boundaries both say where buckets end; give one of them")
    limits = parse_boundaries(boundaries) if boundaries is not None else None
    model = read_model(config)
    if batch_size is not None:
        model = replace(model, batch_size=batch_size)
    try:
        unknown, blind = _unknown_phones(upstream, model.version)
        reading = read_clips(dataset, model.hop_length, model.sampling_rate, model.version, unknown)
        reading.refuse_missing()
    except DatasetError as error:
        raise PortError(str(error)) from None
    found = survey(reading, model, replicas=replicas, graphs=graphs, boundaries=limits)
    _note_left_out(found, blind)
    if write:
        from ..package.store import write_file

        write_file(dataset / PLAN, found.plan.to_bytes())
        report(f"wrote {dataset / PLAN}")
    if form == "json":
        print_json("buckets", told(found))
    else:
        from ..views.buckets import print_survey

        print_survey(found)


def _unknown_phones(upstream: str | None, version: str | None) -> tuple[Unknown | None, str]:
    """What tells phones that upstream's loader does not know; None, and why, where no upstream is named or at hand."""
    from ..buckets.symbols import read_symbols, unknown_in
    from ..inputs.upstream import open_upstream

    try:
        return unknown_in(read_symbols(open_upstream(upstream or "."), version)), ""
    except PortError as error:
        if upstream is not None:
            raise
        return None, f"phones are not looked at, --upstream names where their table is: {error}"


def _note_left_out(found: BucketSurvey, blind: str) -> None:
    """Say which clips are not in the plan, and why others may be that upstream leaves out."""
    if blind:
        note(blind)
    for reason, names in found.reading.left_out.items():
        clips = f"{len(names)} clips, {names[0]} the first," if len(names) > 1 else names[0]
        note(f"upstream leaves out {clips} {reason}")
    if found.too_short:
        note(f"the sampler leaves out {found.too_short} not above the lowest boundary")
