"""A child process of a case: `python -P -m porter.validate.worker JOB.json`."""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import json
import random
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from porter.validate.cases import load_case
from porter.validate.cases.base import Batch, Case, Library, Unavailable
from porter.validate.exchange import (
    load_batches,
    load_draws,
    load_masks,
    load_tensors,
    save_batches,
    save_draws,
    save_groups,
    save_masks,
    save_tensors,
)
from porter.validate.job import Job, Told
from porter.validate.kinks import RecordKinks, ReplayKinks
from porter.validate.noise import NoiseFinding, RecordNoise, ReplayNoise
from porter.validate.settings import make_settings
from porter.validate.step import StepTensors, loss_scales, materialized, run_step
from porter.validate.trace import Trace
from porter.validate.weights import prepare

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def main(arguments: list[str]) -> int:
    """Run one job; whatever goes wrong is written to its report."""
    _die_with_parent()
    job = Job.load(Path(arguments[0]))
    warnings.simplefilter("ignore")  # upstream's use of old APIs is not what is judged
    sys.path[:0] = job.search
    started = time.perf_counter()
    try:
        told = _ROLES[job.role](job)
    except Unavailable as reason:
        told = Told(unavailable=str(reason))
    except Exception as error:
        traceback.print_exc()
        told = Told(error=_one_line(error), where=_place(error, job.roots))
    replace(told, seconds=time.perf_counter() - started).save(job.path(f"{job.role}.json"))
    return 0


# -- roles
# -------------------------------------------------------------------------------------------------------


def _reference(job: Job) -> Told:
    """Upstream itself, eager on the CPU; also makes the weights and batches of the other roles."""
    case = load_case(job.case)
    settings = make_settings(job.config, "tiny" if job.preset == "tiny" else "full")
    library = Library(job.package)
    _seed(job.seed)
    entry = library.member(case.module, case.entry)
    arguments = case.arguments(entry, settings)
    model = case.build(library, arguments)
    prepare(model, job.seed)
    generator = torch.Generator().manual_seed(job.seed)
    batches = [case.batch(model, settings, generator) for _ in range(job.steps + 1)]
    job.path("arguments.json").write_text(json.dumps(arguments), encoding="utf-8")
    job.path("signatures.json").write_text(json.dumps(_signatures(entry)), encoding="utf-8")
    save_tensors(model.state_dict(), job.path("weights.safetensors"))
    save_batches(batches, job.path("batches.safetensors"))

    model.train()
    _seed(job.seed)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    scales = loss_scales(case, model, batches[0])
    for name, value in model.named_buffers():
        value.copy_(buffers[name])
    job.path("scales.json").write_text(json.dumps(scales), encoding="utf-8")
    _seed(job.seed)
    with RecordKinks() as kinks, RecordNoise([Path(root) for root in job.roots]) as noise:
        step, trace = _traced(job, case, model, batches[0], scales)
    save_draws(noise.draws, Path(job.folder))
    save_masks(kinks.masks, job.path("kinks.safetensors"))
    told = Told(noise=_noise(noise.findings), draws=len(noise.draws))
    return _save(job, told, step, trace)


def _port(job: Job) -> Told:
    """The port with upstream's weights, batch and noise."""
    case = load_case(job.case)
    device, backend = _device(job)
    findings: list[str] = []
    model = _load_model(job, case, findings)
    if model is None:
        return Told(findings=tuple(findings), backend=backend)
    model = model.to(device).train()
    batch = materialized(load_batches(job.path("batches.safetensors"))[0], device)
    _seed(job.seed)
    kinks, draws = load_masks(job.path("kinks.safetensors")), load_draws(Path(job.folder))
    with ReplayKinks(kinks), ReplayNoise(draws, [Path(root) for root in job.roots]) as noise:
        step, trace = _traced(job, case, model, batch, _scales(job))
    if job.device != "cpu":
        import torch_xla

        # One graph for everything that is kept; fetched one by one, each tensor would be compiled on its own.
        torch_xla.sync(wait=True)
    told = Told(
        findings=tuple(findings),
        noise=_noise(noise.findings()),
        draws=noise.replayed,
        backend=backend,
    )
    return _save(job, told, step, trace)


def _budget(job: Job) -> Told:
    """Steps of the port with the device's own noise, counted."""
    from porter.validate.counting import diagnose, measure

    case = load_case(job.case)
    device, backend = _device(job)
    model = _load_model(job, case, [])
    if model is None:
        return Told(error="the port cannot load upstream's weights", backend=backend)
    _seed(job.seed)
    batches, scales = load_batches(job.path("batches.safetensors")), _scales(job)
    budget = measure(case, model.train(), batches, device, scales)
    told = Told(budget=asdict(budget), backend=backend)
    if budget.overruns():
        told.save(job.path("budget.json"))  # in case the search for the lines takes too long
        told = replace(told, budget=asdict(diagnose(budget, case, model, batches, device, scales, job.roots)))
    return told


_ROLES = {"reference": _reference, "port": _port, "budget": _budget}


# -- parts
# -------------------------------------------------------------------------------------------------------


def _traced(
    job: Job, case: Case, model: nn.Module, batch: Batch, scales: Mapping[str, float]
) -> tuple[StepTensors, Trace]:
    trace = Trace(model)
    if not job.trace:
        return run_step(case, model, batch, scales), trace
    with trace:
        return run_step(case, model, batch, scales), trace


def _scales(job: Job) -> dict[str, float]:
    told = json.loads(job.path("scales.json").read_text(encoding="utf-8"))
    return {str(name): float(value) for name, value in told.items()}


def _load_model(job: Job, case: Case, findings: list[str]) -> nn.Module | None:
    """The port's model with upstream's weights; None, and findings, where its parameters are others."""
    arguments = json.loads(job.path("arguments.json").read_text(encoding="utf-8"))
    library = Library(job.package)
    try:
        entry = library.member(case.module, case.entry)
    except Unavailable:
        findings.append(f"{case.module}.py of the port has no {case.entry}, which upstream has")
        return None
    findings += _signature_findings(job, case, entry)
    model = case.build(library, arguments)
    weights = load_tensors(job.path("weights.safetensors"))
    own = model.state_dict()
    findings += _key_findings(weights, own)
    if findings and (weights.keys() != own.keys() or any(weights[k].shape != own[k].shape for k in own)):
        return None
    model.load_state_dict(weights, strict=True)
    return model


def _key_findings(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    missing, added = sorted(weights.keys() - own.keys()), sorted(own.keys() - weights.keys())
    result = []
    if missing:
        result.append(f"state_dict of the port lacks {_some(missing)}")
    if added:
        result.append(f"state_dict of the port has {_some(added)}, which upstream's has not")
    for name in weights.keys() & own.keys():
        old, new = weights[name], own[name]
        if old.shape != new.shape or old.dtype != new.dtype:
            result.append(
                f"state_dict entry {name} is {new.dtype} {list(new.shape)} in the port "
                f"and {old.dtype} {list(old.shape)} upstream"
            )
    return result


def _signatures(entry: Any) -> dict[str, list[str]]:
    """Parameter names and defaults of the constructor and all public methods."""
    result = {}
    for name, member in inspect.getmembers(entry, inspect.isfunction):
        inside = member.__qualname__.startswith(f"{entry.__name__}.")
        if inside and (name == "__init__" or not name.startswith("_")):
            result[name] = [
                f"{p.kind.name} {p.name} {'' if p.default is p.empty else repr(p.default)}"
                for p in inspect.signature(member).parameters.values()
            ]
    return result


def _signature_findings(job: Job, case: Case, entry: Any) -> list[str]:
    told = json.loads(job.path("signatures.json").read_text(encoding="utf-8"))
    own = _signatures(entry)
    return [
        f"{case.entry}.{name} of the port "
        + ("is missing" if name not in own else "takes other parameters than upstream's")
        for name, parameters in told.items()
        if own.get(name) != parameters
    ]


def _device(job: Job) -> tuple[torch.device, str]:
    """The device, and what it is called in a report."""
    if job.device == "cpu":
        return torch.device("cpu"), "CPU, eager"
    import torch_xla
    import torch_xla.backends
    from torch_xla import runtime

    device: torch.device = torch_xla.device()  # before any backward pass: autograd counts its devices then
    backend = str(runtime.device_type())
    if backend == "TPU":
        # Float32 products are bfloat16 passes on a TPU, unless asked otherwise.
        torch_xla.backends.set_mat_mul_precision("highest")
    return device, backend


def _save(job: Job, told: Told, step: StepTensors, trace: Trace) -> Told:
    groups: dict[str, dict[str, Tensor]] = {**step.groups()}
    if job.trace:
        groups["trace"] = trace.samples
    dtypes = save_groups(groups, job.path(f"{job.role}.safetensors"))
    places = [trace.place(key, job.roots) for key in trace.samples]
    return replace(told, dtypes=dtypes, without_gradient=step.without_gradient, trace=tuple(places))


def _noise(findings: list[NoiseFinding]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "problem": f.problem,
            "family": f.family,
            "shape": list(f.shape),
            "where": f.where,
            "count": f.count,
        }
        for f in findings
    )


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies: nobody would read the report."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _seed(seed: int) -> None:
    """Seed every generator; what is not recorded then still starts alike on both sides."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if "torch_xla" in sys.modules:
        import torch_xla

        torch_xla.manual_seed(seed)  # type: ignore[no-untyped-call]


def _place(error: BaseException, roots: tuple[str, ...]) -> str:
    """file:line of the innermost frame below `roots`."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for root in roots:
            if frame.filename.startswith(f"{root}/"):
                return f"{frame.filename.removeprefix(f'{root}/')}:{frame.lineno}"
    return ""


def _one_line(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
