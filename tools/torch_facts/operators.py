"""What callables lack on XLA, from the measured samples and, for what has no sample, from the kernels themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
import torch_xla  # noqa: F401  # it registers its kernels

from porter.torch_facts.signatures import Signature

from .callables import functions
from .conditions import condition, parsed
from .signatures import schemas

_COMPOSITES = tuple(f"Composite{k}" for k in ("ImplicitAutograd", "ExplicitAutograd", "ExplicitAutogradNonFunctional"))
Lacks = dict[str, Any]  # "forward" and "backward": a condition by operator; "raises": a pass; "ends": the process


def collect(measured: Iterable[dict[str, Any]], texts: dict[str, dict[str, list[str]]]) -> dict[str, Lacks]:
    """By full name, what calling it lacks."""
    samples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    leaders: dict[str, list[str]] = defaultdict(list)
    for subject in measured:
        for name in subject["names"]:
            samples[name] += subject["samples"]
            leaders[name] += [n for n in (name, *subject["names"]) if n not in leaders[name]]
    found: dict[str, Lacks] = {}
    for name, drawn in samples.items():
        usual = [s for s in drawn if not _odd(s)] or drawn
        told = _lacks(usual, _signatures(leaders[name], texts))
        if told:
            found[name] = told
    for name, value in functions():
        if not samples.get(name) and (missing := sorted(without_kernel(name, value))):
            found[name] = {"forward": {operator: {"may": True} for operator in missing}}
    return dict(sorted(found.items()))


def _odd(sample: dict[str, Any]) -> bool:
    """Whether a sample has a tensor without dimensions or without elements, which behave like nothing else."""
    given = [*sample["args"], *sample["kwargs"].values()]
    return any(g in ("tensor0", "tensor of nothing") for g in given)


def _signatures(names: list[str], texts: dict[str, dict[str, list[str]]]) -> list[Signature]:
    """The signatures of the first function among the names: samples are written as calls of it."""
    found: list[Signature] = []
    for name in sorted(names, key=lambda n: n.startswith("torch.Tensor.")):
        for kind in ("native", "python"):
            found += parsed(texts[kind].get(name, []), kind == "native")
    return found


def _lacks(samples: list[dict[str, Any]], signatures: list[Signature]) -> Lacks:
    told: Lacks = {}
    if any("ended" in s for s in samples):
        told["ends"] = True
    samples = [s for s in samples if "ended" not in s]
    if not samples:
        return told
    for stage in ("forward", "backward"):
        told |= _lacks_of_stage(stage, samples, signatures)
        if all(s.get("raised") == stage for s in samples):
            told["raises"] = stage
    if "compiling" in {s.get("raised") for s in samples[:1]}:
        told["raises"] = "compiling"
    return told


def _lacks_of_stage(stage: str, samples: list[dict[str, Any]], signatures: list[Signature]) -> Lacks:
    """Operators without a kernel in one pass, each with its condition; families of which one is always there."""
    operators = sorted({o for s in samples for o in s[stage]})
    if not operators:
        return {}
    found: Lacks = {stage: {o: condition(samples, [o in s[stage] for s in samples], signatures) for o in operators}}
    always = {f for f in set(map(family, operators)) if all(f in map(family, s[stage]) for s in samples)}
    if always and any(found[stage].values()):
        found[f"always {stage}"] = sorted(always)
    return found


def without_kernel(name: str, value: Any) -> set[str]:
    """The operators of a native function's own name, if neither XLA nor a decomposition implements any of them."""
    found, implemented = set(), False
    for schema in schemas(name, value):
        operator = f"{schema.name}.{schema.overload_name}" if schema.overload_name else schema.name
        keys = ("XLA", *_COMPOSITES)
        if not torch._C._dispatch_has_kernel(operator):
            continue  # implemented in Python alone
        if any(torch._C._dispatch_has_kernel_for_dispatch_key(operator, key) for key in keys):
            implemented = True
        else:
            found.add(operator)
    return set() if implemented else found


@cache
def family(operator: str) -> str:
    """The family of hazards of an operator that runs on the host: SHP where the shape of its result follows the data,
    SYN where it gives a Python value, else LOW.
    """
    name, _, overload = operator.removeprefix("aten::").partition(".")
    packet = getattr(torch.ops.aten, name, None)
    tags = getattr(packet, overload or "default").tags if packet is not None else []
    if torch.Tag.dynamic_output_shape in tags:
        return "SHP"
    return "SYN" if torch.Tag.data_dependent_output in tags else "LOW"


def families(lacks: dict[str, Lacks]) -> dict[str, str]:
    """The operators of other families than LOW."""
    operators = {o for told in lacks.values() for stage in ("forward", "backward") for o in told.get(stage, {})}
    return {operator: family(operator) for operator in sorted(operators) if family(operator) != "LOW"}


def kernels() -> dict[str, str]:
    """The operators with an XLA kernel, and what a pair without it has in its place: `nothing`, `parts`, which may have
    kernels or not, or `autograd`: a decomposition that runs before any kernel is looked for.
    """
    found: dict[str, str] = {}
    for operator in sorted(torch._C._dispatch_get_registrations_for_dispatch_key("XLA")):
        implicit, explicit = (torch._C._dispatch_has_kernel_for_dispatch_key(operator, key) for key in _COMPOSITES[:2])
        found[operator] = "autograd" if implicit else "parts" if explicit else "nothing"
    return found


def results(measured: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Kinds of results as they were seen, by name; `mask` for what always gives truth values."""
    seen: dict[str, set[str]] = defaultdict(set)
    for subject in measured:
        for name in subject["names"]:
            if name.startswith("torch.nn.") and not name.startswith("torch.nn.functional."):
                continue  # layers were made and called
            seen[name] |= {s["result"] for s in subject["samples"] if "result" in s and not s["unknown"]}
    return {name: "|".join(sorted(kinds)) for name, kinds in sorted(seen.items()) if kinds and "other" not in kinds}
