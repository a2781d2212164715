"""What the variations of a case, and what its results are besides values, speak against a port."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from numpy import isfinite
from safetensors.numpy import load_file

from porter.validate.compare import Array, TensorReport, compare_group
from porter.validate.job import HOST, Told, Varied
from porter.validate.outcome import GROUPS
from porter.validate.tolerances import VARIED

Tensors = Mapping[str, Array]

_SHARED = ", shares memory with "
_BEYOND = frozenset({"huge", "not finite"})  # variations with values that no data has
_KEPT = ("results",)  # groups whose tensors are all told; of the others those that fail, and the worst


def character_findings(reference: Told, port: Told) -> list[str]:
    """Of the base case: what results are, attributes, methods, and what is switched or seeded."""
    findings = _character(Varied.of(reference.base), Varied.of(port.base), port.backend == HOST)
    findings += _traits(reference.traits, port.traits)
    for name, wanted in reference.methods.items():
        missing = sorted(set(wanted) - set(port.methods.get(name, wanted)))
        if missing:
            findings.append(f"{name} of the port has no {', '.join(missing)}")
    return findings


def variation_findings(reference: Told, port: Told) -> dict[str, list[str]]:
    """By variation: exceptions, gradients, noise, and what results are."""
    found = {}
    for name, told in port.varied.items():
        old, new = Varied.of(reference.varied[name]), Varied.of(told)
        if old.raised != new.raised and not (name in _BEYOND and _gave_up(old, new)):
            findings = [_exceptions(old, new)]
        else:
            findings = _character(old, new, port.backend == HOST) + _gradients(old, new) + _noise(new)
            findings += new.findings
        if findings:
            found[name] = findings
    return found


def variation_tensors(reference: Told, port: Told, folder: Path, device: str) -> dict[str, list[TensorReport]]:
    """By variation, all results, and what is wrong among gradients and buffers."""
    if not port.varied:
        return {}
    old, new = load_file(folder / "reference.varied.safetensors"), load_file(folder / "port.varied.safetensors")
    found = {}
    for name in port.varied:
        told = Varied.of(reference.varied[name])
        reports: list[TensorReport] = []
        for group in GROUPS if not told.raised else ():
            if group == "gradients" and port.took and not _has_loss(old, name):
                continue  # a TPU's forms multiply what is not finite by zeros, or choose between it and zeros
            prefix = f"{name}/{group}/"
            reports += _group(told, group, part(old, prefix), part(new, prefix), device)
        found[name] = [replace(report, name=f"{name}: {report.name}", variation=name) for report in reports]
    return found


def _group(told: Varied, group: str, one: Tensors, other: Tensors, device: str) -> list[TensorReport]:
    """A group of a variation: upstream's tensors, of which `told` knows the dtypes, and the port's."""
    dtypes = {k.removeprefix(f"{group}/"): v for k, v in told.dtypes.items() if k.startswith(f"{group}/")}
    limits = dict.fromkeys(dtypes, told.precision) if told.precision else dtypes
    return _kept(group, compare_group(group, one, other, limits, device, 0.0 if told.precision else VARIED))


def _has_loss(tensors: Tensors, variation: str) -> bool:
    """Whether the loss of a variation, if it has one, is a number."""
    loss = tensors.get(f"{variation}/results/loss")
    return loss is None or bool(isfinite(loss).all())


def _kinds(told: Mapping[str, str], own: Mapping[str, str]) -> list[str]:
    """How the port's results differ from upstream's in what they are."""
    findings = []
    for name, kind in told.items():
        other = own.get(name)
        if other is None:
            findings.append(f"result {name} is {kind} upstream, and missing in the port")
        elif not _alike(kind, other):
            findings.append(f"result {name} is {other} in the port, and {kind} upstream")
    return findings + [f"result {name} is {kind} in the port, and none upstream" for name, kind in own.items()
                       if name not in told]  # fmt: skip


def _alike(kind: str, other: str) -> bool:
    """A number that upstream reads from a tensor may stay one in the port, which has no inference mode on XLA."""
    return other in (kind, kind.replace(", of inference mode", "")) or (
        kind in ("int", "float") and other.startswith(("int", "float", "bfloat"))
    )


def _traits(told: Mapping[str, Mapping[str, str]], own: Mapping[str, Mapping[str, str]]) -> list[str]:
    """How attributes of the port's submodules differ from upstream's; what only the port has is its own affair."""
    findings = []
    for name, attributes in told.items():
        if name not in own:
            findings.append(f"the port has no submodule {name}")
            continue
        for attribute, value in attributes.items():
            other = own[name].get(attribute)
            if other is None:
                findings.append(f"{name}.{attribute} is {value} upstream, and missing in the port")
            elif other != value:
                findings.append(f"{name}.{attribute} is {other} in the port, and {value} upstream")
    return findings


def part(tensors: Tensors, prefix: str) -> dict[str, Array]:
    """The tensors whose names begin so, by what follows: a group of one variation."""
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    own.pop("loss", None)  # of zeros it may be a sum that cancels, and it tells nothing that its parts do not
    return own


def _kept(group: str, reports: Iterable[TensorReport]) -> list[TensorReport]:
    found = list(reports)
    if group in _KEPT or not found:
        return found
    worst = min(found, key=lambda r: math.inf if r.snr_db is None else r.snr_db - (r.limit_db or 0))
    return [report for report in found if report is worst or not report.passed]


def _gave_up(old: Varied, new: Varied) -> bool:
    """Whether both sides raised, and upstream no exception of its own: an operation could not go on.

    Which one that is first depends on how the same is computed, where values are beyond what any data has.
    """
    return bool(old.raised and new.raised) and not old.guarded


def _exceptions(old: Varied, new: Varied) -> str:
    if not old.raised:
        return f"the port raises {new.raised} ({new.words}), and upstream nothing"
    if not new.raised:
        return f"upstream raises {old.raised} ({old.words}), and the port nothing"
    return f"the port raises {new.raised} ({new.words}), and upstream {old.raised} ({old.words})"


def _character(old: Varied, new: Varied, eager: bool) -> list[str]:
    """`eager`: whether the port's tensors have memory of which anyone can tell whose it is."""
    told = old.kinds if eager else {name: kind.partition(_SHARED)[0] for name, kind in old.kinds.items()}
    findings = _kinds(told, new.kinds)
    for name, value in old.modes.items():
        if new.modes.get(name, value) != value:
            findings.append(f"after the call {name} is {new.modes[name]} in the port, and {value} upstream")
    if old.seeds != new.seeds:
        findings.append(
            f"the port seeds {' and '.join(new.seeds) or 'nothing'}, upstream {' and '.join(old.seeds) or 'nothing'}"
        )
    return findings


def _gradients(old: Varied, new: Varied) -> list[str]:
    before, after = set(old.without_gradient), set(new.without_gradient)
    findings = [f"{name} gets no gradient in the port, and gets one upstream" for name in sorted(after - before)]
    findings += [f"{name} gets a gradient in the port, and none upstream" for name in sorted(before - after)]
    if old.written != new.written:
        findings.append(
            f"the port writes to {', '.join(new.written) or 'no input'}, upstream to {', '.join(old.written) or 'none'}"
        )
    return findings


def _noise(new: Varied) -> list[str]:
    return [f"{entry['problem']}: {entry['family']} draw of shape {entry['shape']}" for entry in new.noise]
