"""What each process of a case does: upstream's run, the port's run, its budget and checkpoint; a side of `bench`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from porter.validate.cases import load_case
from porter.validate.cases.base import Batch, Case, Library, Subjects, Unavailable
from porter.validate.cases.standins import StandIns, standing
from porter.validate.character import methods, traits, watched_seeds
from porter.validate.coverage import Coverage, call_findings, form_findings, kernel_findings, since
from porter.validate.cuda import exact_cuda
from porter.validate.exchange import (
    load_batches,
    load_draws,
    load_masks,
    load_state,
    load_tensors,
    save_batches,
    save_draws,
    save_groups,
    save_masks,
    save_state,
    save_tensors,
)
from porter.validate.job import CHECKPOINT, HOST, Job, Told, Varied
from porter.validate.kinks import RecordKinks, ReplayKinks
from porter.validate.likeness import (
    describe_state,
    described_state,
    initial,
    initial_findings,
    key_findings,
    signature_findings,
    signatures,
)
from porter.validate.noise import RecordNoise, ReplayNoise, noise_told
from porter.validate.request import without_kernels
from porter.validate.seeding import seed_all
from porter.validate.settings import make_settings
from porter.validate.step import NoGradientError, StepTensors, loss_scales, materialized, run_step
from porter.validate.trace import Trace
from porter.validate.varied import exact_variations, guard_file, record_variations, replay_variations
from porter.validate.weights import prepare
from porter.validate.wide import WideOperators, wide_findings, wide_nodes

_SYNTHESIZER = "SynthesizerTrn"  # what the classes that a checkpoint belongs to are called, or begin with
_WORDS = 300  # characters of an error
_XLA = "torch_xla"


def reference(job: Job) -> Told:
    """Upstream itself, eager on the CPU or on CUDA; also makes the weights and batches of the other roles."""
    case = load_case(job.case)
    settings = make_settings(job.config, "tiny" if job.preset == "tiny" else "full")
    library = Library(job.package, roots=job.roots)
    seed_all(job.seed)
    with _process_group() if case.process_group else nullcontext():
        told = case.describe(library, settings)
        seed_all(job.seed)
        model = _built(job, case, library, told)
        save_tensors(initial(model), job.path("initial.safetensors"))
        prepare(model, job.seed)
        fitted = _fit(job, case, model)
        generator = torch.Generator().manual_seed(job.seed)
        batches = [case.batch(model, told, settings, generator) for _ in range(job.steps + 1)]
        _write(job, "arguments.json", told)
        _write(job, "standins.json", {"names": standing()})
        _write(job, "signatures.json", {part: signatures(_entry(case, library, part)) for part in told})
        save_tensors(model.state_dict(), job.path("weights.safetensors"))
        save_batches(batches, job.path("batches.safetensors"))
        case.finish(model)
        device, backend = _device(job, case)
        model = model.to(device).train(case.training)
        batch = materialized(batches[0], device)
        _scale(job, case, model, batch)
        seed_all(job.seed)
        with ExitStack() as watching:
            seeds = watching.enter_context(watched_seeds())
            wide = watching.enter_context(WideOperators())
            kinks = watching.enter_context(RecordKinks()) if case.gradients else RecordKinks()
            noise = watching.enter_context(RecordNoise([Path(root) for root in job.roots]))
            try:
                step, trace = _traced(job, case, model, batch, device)
            except NoGradientError:
                raise Unavailable("what this upstream has of it gives no result with a gradient") from None
        _write(job, "state.json", describe_state(model.state_dict()))
        save_draws(noise.draws, Path(job.folder))
        save_masks(kinks.masks, job.path("kinks.safetensors"))
        _write(job, "wide.json", dict(wide.counts))
        base = _base(step, seeds)
        saved = _save(job, Told(base=vars(base), **_looks(model)), step, trace)
        varied = {}
        if job.variations:
            varied = record_variations(job, case, model, told, settings, batches[0], step, device)
    return replace(
        saved,
        varied={name: vars(one) for name, one in varied.items()},
        noise=noise_told(noise.findings),
        draws=len(noise.draws),
        kinks=len(kinks.masks),
        audio=case.audio(told, settings.sampling_rate),
        backend=backend,
        fitted=fitted,
    )


def exact(job: Job) -> Told:
    """Upstream in float64, with the weights, batch, noise and kinks of its own run."""
    case, library = load_case(job.case), Library(job.package, roots=job.roots)
    seed_all(job.seed)
    with _process_group() if case.process_group else nullcontext():
        model = case.build(library, _read(job, "arguments.json"))
        model.load_state_dict(load_tensors(job.path("weights.safetensors")), strict=True)
        case.finish(model)
        return _in_float64(job, case, model.train(case.training))


def port(job: Job) -> Told:
    """The port with upstream's weights, batch and noise; with the graph budget at once where that changes nothing."""
    case = load_case(job.case)
    device, backend = _device(job, case)
    findings: list[str] = []
    had_xla = _XLA in sys.modules
    of_tpu = os.environ.get("SOVITS_PORT_FORMS", "auto") != "auto" or os.environ.get("PJRT_DEVICE") == "TPU"
    with Coverage(job.roots, counting=of_tpu) if job.cover else nullcontext() as coverage:
        model = _load_model(job, case, findings)
        if model is None:
            return Told(findings=tuple(findings), backend=backend)
        model = model.to(device)
        case.settle(model)
        batches = load_batches(job.path("batches.safetensors"))
        told = Told(findings=tuple(findings), backend=backend)
        seed_all(job.seed)
        if job.measure:
            told = _measured(job, case, model, batches, device, told)
        else:
            told = _replayed(job, case, model, materialized(batches[0], device), device, told)
        if coverage is not None and not job.measure:
            told = replace(told, findings=(*told.findings, *_untaken(case, coverage)))
        state = save_state(model, job.path(CHECKPOINT))
        told = replace(told, **_looks(model), fusions=_fusions(job, model))
        if job.variations and told.dtypes is not None:
            varied = replay_variations(job, case, model, batches[0], device, _known(job), coverage)
            told = replace(told, varied={name: vars(one) for name, one in varied.items()})
        if coverage is not None and device.type == "cpu" and os.environ.get("SOVITS_PORT_FORMS", "auto") != "auto":
            told = replace(told, findings=(*told.findings, *_ways(job, case, model, batches[0], coverage)))
    changed = tuple(
        f"after a step, {finding}" for finding in key_findings(described_state(_read(job, "state.json")), state)
    )
    told = replace(told, findings=(*told.findings, *changed))
    if device.type == "cpu" and not of_tpu and _XLA in sys.modules and not had_xla:
        told = replace(told, findings=(*told.findings, f"it imports {_XLA}, though nothing of it is on XLA's device"))
    if coverage is None:
        return told
    kernels = not without_kernels()
    took, missed = (coverage.forms(taken=taken, kernels=kernels) for taken in (True, False))
    return replace(told, ran=coverage.names(), took=took, missed=missed)


def port_exact(job: Job) -> Told:
    """The port in float64, with what upstream's run in float64 had."""
    case = load_case(job.case)
    model = _load_model(job, case, [])
    return Told(error="the port cannot load upstream's weights") if model is None else _in_float64(job, case, model)


def budget(job: Job) -> Told:
    """Steps of the port with the device's own noise, counted."""
    case = load_case(job.case)
    device, backend = _device(job, case)
    model = _load_model(job, case, [])
    if model is None:
        return Told(error="the port cannot load upstream's weights", backend=backend)
    model = model.to(device)
    case.settle(model)
    seed_all(job.seed)
    batches = load_batches(job.path("batches.safetensors"))
    return _measured(job, case, model, batches, device, Told(backend=backend))


def checkpoint(job: Job) -> Told:
    """Upstream's model takes the checkpoint that the port wrote after its step."""
    case, library = load_case(job.case), Library(job.package, roots=job.roots)
    seed_all(job.seed)
    with _process_group() if case.process_group else nullcontext():
        model = case.build(library, _read(job, "arguments.json"))
        case.finish(model)
    try:
        model.load_state_dict(load_state(job.path(CHECKPOINT)), strict=True)
    except RuntimeError as error:
        words = " ".join(str(error).partition("\n")[2].split()) or str(error)
        return Told(findings=(f"upstream cannot load the port's checkpoint: {words[:_WORDS]}",))
    return Told()


def unported(job: Job) -> Told:
    """Upstream itself on the device, counted and timed."""
    with _process_group() if load_case(job.case).process_group else nullcontext():
        return ported(job)


def ported(job: Job) -> Told:
    """Steps of a package on the device, counted and timed; each is written down at once: the next may abort.

    Weights that are not upstream's, in name or shape, stay as the package made them, and are findings.
    """
    from porter.validate.bench.steps import measure_each

    case = load_case(job.case)
    device, backend = _device(job, case)
    model = case.build(Library(job.package, roots=job.roots), _read(job, "arguments.json"))
    weights, own = load_tensors(job.path("weights.safetensors")), model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    model.load_state_dict(fitting, strict=False)
    case.finish(model)
    model = model.train(case.training).to(device)
    case.settle(model)
    seed_all(job.seed)
    batches = load_batches(job.path("batches.safetensors"))
    measure_each(case, model, batches, device, _scales(job, device), job.path("steps.json"))
    return Told(findings=tuple(key_findings(weights, own)), backend=backend)


def _replayed(job: Job, case: Case, model: Subjects, batch: Batch, device: torch.device, told: Told) -> Told:
    kinks, draws = load_masks(job.path("kinks.safetensors")), load_draws(Path(job.folder))
    with watched_seeds() as seeds, ReplayKinks(kinks), ReplayNoise(draws, [Path(root) for root in job.roots]) as noise:
        step, trace = _traced(job, case, model, batch, device)
    told = replace(told, findings=(*told.findings, *_wide(job, step, device)))
    _settle(device)
    told = replace(told, base=vars(_base(step, seeds)))
    return _save(job, replace(told, noise=noise_told(noise.findings()), draws=noise.replayed), step, trace)


def _in_float64(job: Job, case: Case, model: Subjects) -> Told:
    device, backend = _device(job, case)
    batch = {
        name: value.double() if value.is_floating_point() else value
        for name, value in load_batches(job.path("batches.safetensors"))[0].items()
    }
    model = model.double().to(device)
    case.settle(model)
    seed_all(job.seed)
    torch.set_default_dtype(torch.float64)
    told = _replayed(job, case, model, materialized(batch, device), device, Told(backend=backend))
    if not job.variations:
        return told
    varied = exact_variations(job, case, model, batch, device, _known(job))
    return replace(told, varied={name: vars(one) for name, one in varied.items()})


def _known(job: Job) -> dict[str, Varied]:
    """What upstream's variations found."""
    upstream = Told.load(job.path("reference.json")).varied
    return {name: Varied.of(one) for name, one in upstream.items()}


def _measured(job: Job, case: Case, model: Subjects, batches: list[Batch], device: torch.device, told: Told) -> Told:
    from porter.validate.counting import diagnose, measure

    scales = _scales(job, device)
    saved: list[Told] = []
    buffers: dict[str, torch.Tensor] = {}

    def keep(step: StepTensors) -> None:
        saved.append(_save(job, replace(told, base=vars(_base(step, ()))), step, Trace(model)))
        buffers.update({name: value.detach().cpu().clone() for name, value in model.named_buffers()})

    wide: list[str] = []

    def look(step: StepTensors) -> None:
        if not wide:
            wide.extend(_wide(job, step, device))

    found = measure(case, model, batches, device, scales, keep if job.measure else None, look)
    told = replace(saved[0] if saved else told, budget=asdict(found))
    told = replace(told, findings=(*told.findings, *wide))
    with torch.no_grad():
        for name, value in model.named_buffers():
            if name in buffers:  # as after the one step that upstream made
                value.copy_(buffers[name])
    if found.overruns():
        told.save(job.path(f"{job.role}.json"))  # in case the search for the lines takes too long
        told = replace(told, budget=asdict(diagnose(found, case, model, batches, device, scales, job.roots)))
    return told


# -- parts --------------------------------------------------------------------------------------------------------


def _built(job: Job, case: Case, library: Library, told: dict[str, Any]) -> Subjects:
    """Upstream's model. Unavailable where a check of its own constructor is against the case's arguments."""
    try:
        return case.build(library, told)
    except Exception as error:
        if not guard_file(error).startswith(tuple(f"{root}/" for root in job.roots)):
            raise
        raise Unavailable(f"it takes something else: {type(error).__name__}: {error}") from None


def _traced(job: Job, case: Case, model: Subjects, batch: Batch, device: torch.device) -> tuple[StepTensors, Trace]:
    trace = Trace(model)
    with trace if job.trace else nullcontext():
        return run_step(case, model, batch, _scales(job, device)), trace


def _fit(job: Job, case: Case, model: Subjects) -> int:
    """Put the tensors of a checkpoint into the synthesizers, where name and shape are the same; how many were."""
    if not job.weights:
        return 0
    given, fitted = load_tensors(Path(job.weights)), 0
    for label, subject in model.named_children():
        if case.part(label).entry.startswith(_SYNTHESIZER):
            for name, value in subject.state_dict().items():
                if name in given and given[name].shape == value.shape:
                    value.copy_(given[name])
                    fitted += 1
    return fitted


def _scale(job: Job, case: Case, model: Subjects, batch: Batch) -> None:
    """Write down the size of each result, from a run that leaves no trace in the model's buffers."""
    scales: dict[str, float] = {}
    if case.gradients:
        seed_all(job.seed)
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        scales = loss_scales(case, model, batch)
        for name, value in model.named_buffers():
            value.copy_(buffers[name])
    _write(job, "scales.json", scales)


def _scales(job: Job, device: torch.device) -> dict[str, torch.Tensor]:
    """The scales as tensors of the device: numbers would push the model's own out of what is kept there."""
    return {name: torch.tensor(value, device=device) for name, value in _read(job, "scales.json").items()}


def _load_model(job: Job, case: Case, findings: list[str]) -> Subjects | None:
    """The port's model with upstream's weights; None, and findings, where its parameters are others."""
    told = _read(job, "arguments.json")
    library = Library(job.package, StandIns(_read(job, "standins.json")["names"]), job.roots)
    for label in told:
        try:
            entry = _entry(case, library, label)
        except Unavailable:
            part = case.part(label)
            findings.append(f"{part.module}.py of the port has no {part.entry}, which upstream has")
            return None
        findings += signature_findings(case.part(label).entry, _read(job, "signatures.json")[label], entry)
    seed_all(job.seed)
    model = case.build(library, told)
    findings += initial_findings(load_tensors(job.path("initial.safetensors")), initial(model))
    weights, own = load_tensors(job.path("weights.safetensors")), model.state_dict()
    findings += key_findings(weights, own)
    if weights.keys() != own.keys() or any(weights[k].shape != own[k].shape for k in own):
        return None
    model.load_state_dict(weights, strict=True)
    case.finish(model)
    model.train(case.training)
    return model


def _entry(case: Case, library: Library, label: str) -> Any:
    return case.part(label).member(library)


def _device(job: Job, case: Case) -> tuple[torch.device, str]:
    """The device, and what it is called in a report."""
    if job.device == "cpu" or case.on_host:
        return torch.device("cpu"), HOST
    if job.device == "cuda":
        return exact_cuda()
    import torch_xla
    import torch_xla.backends
    from torch_xla import runtime

    device: torch.device = torch_xla.device()  # before any backward pass: autograd counts its devices then
    backend = str(runtime.device_type())
    if backend == "TPU":
        # Float32 products are bfloat16 passes on a TPU, unless asked otherwise.
        torch_xla.backends.set_mat_mul_precision("highest")
    return device, backend


def _settle(device: torch.device) -> None:
    """One graph for everything that is kept; fetched one by one, each tensor would be compiled on its own."""
    if device.type == "xla":
        import torch_xla

        torch_xla.sync(wait=True)


def _process_group() -> AbstractContextManager[object]:
    """A process group of this process alone, for code that asks for its rank."""
    import torch.distributed as dist

    stack = ExitStack()
    store = torch._C._distributed_c10d.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    stack.callback(dist.destroy_process_group)
    return stack


def _save(job: Job, told: Told, step: StepTensors, trace: Trace) -> Told:
    groups = {**step.groups()}
    if job.trace:
        groups["trace"] = trace.samples
    dtypes = save_groups(groups, job.path(f"{job.role}.safetensors"))
    places = [trace.place(key, job.roots) for key in trace.samples]
    return replace(
        told, dtypes=dtypes, without_gradient=step.without_gradient, written=step.written, trace=tuple(places)
    )


def _ways(job: Job, case: Case, model: Subjects, batch: Batch, coverage: Coverage) -> list[str]:
    """Whether a step takes the same ways through the runtime when nothing is replayed. The model is not used again.

    The first run of either kind prepares kernels, which are kept; the second ones are counted.
    """
    draws, kinks = load_draws(Path(job.folder)), load_masks(job.path("kinks.safetensors"))
    counts = []
    for replayed in (True, False, True, False):
        before = coverage.calls()
        with ExitStack() as watching:
            if replayed:
                watching.enter_context(ReplayKinks(kinks))
                watching.enter_context(ReplayNoise(draws))
            run_step(case, model, {name: value.clone() for name, value in batch.items()}, {})
        counts.append(since(before, coverage.calls()))
    return call_findings(*counts[-2:])


def _untaken(case: Case, coverage: Coverage) -> list[str]:
    """Of the base case's step: kernels and other forms that did not run as they should."""
    kernels = kernel_findings(case.kernels, coverage.kernels(), backward=case.gradients)
    return kernels + form_findings(case.forms, coverage.calls())


def _wide(job: Job, step: StepTensors, device: torch.device) -> list[str]:
    if device.type != "xla" or job.role != "port":
        return []
    tensors = (value for group in step.groups().values() for value in group.values())
    return wide_findings(_read(job, "wide.json"), wide_nodes(tensors))


def _base(step: StepTensors, seeds: Sequence[str]) -> Varied:
    return Varied(kinds=step.kinds, modes=step.modes, seeds=tuple(seeds))


def _fusions(job: Job, model: Subjects) -> tuple[list[str], ...]:
    """What became of the modules that a kernel may stand for; nothing where none was asked for, or by an older tool."""
    told = getattr(sys.modules.get(f"{job.package}.ops"), "fusions", None)
    found = told(model) if told is not None else []
    return tuple([one.path, one.kernel, one.reason] for one in found)


def _looks(model: Subjects) -> dict[str, Any]:
    return {"traits": traits(model), "methods": methods(model)}


def _write(job: Job, name: str, told: object) -> None:
    job.path(name).write_text(json.dumps(told), encoding="utf-8")


def _read(job: Job, name: str) -> dict[str, Any]:
    told = json.loads(job.path(name).read_text(encoding="utf-8"))
    assert isinstance(told, dict)
    return told
