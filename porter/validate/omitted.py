"""What a run of the judge leaves out, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from porter.validate.request import Request

_SHOWN = 5  # names in a sentence, before the rest is only counted


def not_judged(
    request: Request,
    every: Sequence[str],
    asked: Sequence[str],
    left: Sequence[str],
    stopped: str,
    unreached: Sequence[str] = (),
    untaken: Sequence[str] = (),
) -> tuple[str, ...]:
    """What this run did not look at: cases (`every` there is, those `asked` for, those `left`), devices, sizes.

    `unreached` is code of the package that nobody runs, `FILE:NAME`; `untaken` are those that ask for a TPU's form and
    never had it, though such forms were asked for.
    """
    found = []
    if left:
        found.append(f"{len(left)} cases that had not ended at {stopped or 'the end'}: {_some(left)}")
    if len(asked) < len(every):
        found.append(f"{len(every) - len(asked)} of {len(every)} cases, which were not asked for, or not recorded")
    if unreached:
        found.append(
            f"{len(unreached)} classes and functions that neither upstream's networks nor its trainers reach: "
            f"{_some(unreached)}"
        )
    if untaken:
        found.append(f"a TPU's forms in {len(untaken)} functions, which no case took: {_some(untaken)}")
    if request.device == "cpu":
        found.append("XLA: lowering and rounding there, and the graph budget; --device xla does")
    else:
        found.append("variations of size, values and results, which run eagerly; --device cpu does")
    if request.device != "tpu":
        found.append("a TPU's own compiler and arithmetic; --device tpu does, and estimate compiles without one")
    if request.forms != "tpu" and request.device != "tpu":
        found.append("a TPU's own forms of operations; --forms tpu does")
    if request.preset == "tiny":
        found.append("models of full size; --preset full does")
    return tuple(found)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
