"""What a run of the judge leaves out, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from porter.validate.cases import FORMS, KERNELS
from porter.validate.request import Request, without_kernels

# Files of the runtime that no case runs: they need upstream's own programs around them.
PROGRAMS = ("speak.py", "tts.py")
_SHOWN = 5  # names in a sentence, before the rest is only counted


def not_judged(
    request: Request,
    every: Sequence[str],
    asked: Sequence[str],
    left: Sequence[str],
    stopped: str,
    unreached: Sequence[str] = (),
    unbuilt: Sequence[str] = (),
    former: Sequence[str] = (),
) -> tuple[str, ...]:
    """What this run did not look at: cases (`every` there is, those `asked` for, those `left`), devices, sizes.

    `unreached` is code of the package that nobody runs, `FILE:NAME`; `unbuilt` are Cython files of upstream,
    `former` calls of it that packages no longer have.
    """
    found = []
    if left:
        found.append(f"{len(left)} cases that had not ended at {stopped or 'the end'}: {_some(left)}")
    # What else it cannot run is said below.
    kernels = request.counts_forms and request.kernels
    every = [n for n in every if (n not in KERNELS or kernels) and (n not in FORMS or request.counts_forms)]
    if len(asked) < len(every):
        found.append(f"{len(every) - len(asked)} of {len(every)} cases, which were not asked for, or not recorded")
    if unreached:
        found.append(
            f"{len(unreached)} classes and functions that neither upstream's networks nor its trainers reach: "
            f"{_some(unreached)}"
        )
    if unbuilt:
        found.append(f"the extension modules of {_some(unbuilt)}, which are not built: their source ran as Python")
    if former:
        found.append(f"{_some(former)}, which upstream calls and the packages here no longer have: that ran as it did")
    found.append(
        f"{' and '.join(PROGRAMS)}, the programs that speak, which bench/speak.py and bench/speak_whole.py do, "
        "and what other files do as programs (`python FILE`)"
    )
    return (*found, *_other_settings(request))


def _other_settings(request: Request) -> list[str]:
    """What only other devices, forms and sizes would show."""
    found = []
    if request.device == "cpu":
        found.append("XLA: lowering and rounding there, and the graph budget; --device xla does")
    else:
        found.append("variations of size, values and results, which run eagerly; --device cpu does")
    if request.device != "tpu":
        found.append("a TPU's own compiler and arithmetic; --device tpu does, and estimate compiles without one")
    if not request.tpu_forms:
        found.append("a TPU's own forms of operations, kernels among them; --forms tpu does")
    elif not request.kernels:
        found.append(f"kernels: {without_kernels()}")
    if request.tpu_forms and not request.counts_forms:
        found.append("a TPU's forms one by one, in small networks of the judge's own; --device cpu --forms tpu does")
    if request.preset == "tiny":
        found.append("models of full size; --preset full does")
    return found


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
