"""Running the variations of a case: upstream's side, which records, and the port's, which replays.

Upstream's side leaves for each variation that it ran, in files named after it (`step-2`):

    NAME.batch.safetensors, NAME.noise.*, NAME.kinks.safetensors

and each side its tensors in `ROLE.varied.safetensors`, `VARIATION/GROUP/TENSOR`.
"""

from __future__ import annotations

import dis
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from porter.validate.cases.base import Batch, Case, Subjects, Told
from porter.validate.character import watched_seeds
from porter.validate.coverage import Coverage, form_findings, kernel_findings, since
from porter.validate.exchange import (
    load_draws,
    load_masks,
    load_tensors,
    save_draws,
    save_groups,
    save_masks,
    save_tensors,
)
from porter.validate.job import Job, Varied
from porter.validate.kinks import RecordKinks, ReplayKinks
from porter.validate.noise import RecordNoise, ReplayNoise, noise_told
from porter.validate.seeding import seed_all
from porter.validate.settings import Settings
from porter.validate.step import StepTensors, materialized, run_forward, run_step
from porter.validate.variations import Session, Variation, varied

_MOST = 1 << 14  # elements kept of each gradient and buffer: the base case compares them whole
_TAKING = ("size", "state")  # axes of variations that take the same forms as the base case; another precision may not
Groups = dict[str, dict[str, Tensor]]


def record_variations(
    job: Job,
    case: Case,
    model: Subjects,
    told: Told,
    settings: Settings,
    base: Batch,
    step: StepTensors,
    device: torch.device,
) -> dict[str, Varied]:
    """Run upstream's variations, and leave what the port's need; `base` is on the CPU."""
    session = Session(step.gradients)
    runs = _Runs(job, case, model, session, device)
    for variation in varied(case, base, job.variations):
        batch = variation.batch(case, model, told, settings, base, job.seed)
        if batch is not None:
            runs.record(variation, batch)
    return runs.done()


def replay_variations(
    job: Job,
    case: Case,
    model: Subjects,
    base: Batch,
    device: torch.device,
    upstream: Mapping[str, Varied],
    coverage: Coverage | None = None,
) -> dict[str, Varied]:
    """Run the port's, as far as they are for its device; what upstream refuses is tried where operators run at once."""
    given = load_tensors(job.path("reference.safetensors"))
    gradients = {k.removeprefix("gradients/"): v for k, v in given.items() if k.startswith("gradients/")}
    runs = _Runs(job, case, model, Session(gradients), device)
    for variation in varied(case, base, job.variations):
        told = upstream.get(variation.name)
        if told is not None and (not told.raised or device.type != "xla"):
            before = (coverage.kernels(), coverage.calls()) if coverage is not None else ({}, {})
            runs.replay(variation)
            if coverage is not None and not told.raised:
                runs.count(variation, since(before[0], coverage.kernels()), since(before[1], coverage.calls()))
    return runs.done()


def exact_variations(
    job: Job, case: Case, model: Subjects, base: Batch, device: torch.device, upstream: Mapping[str, Varied]
) -> dict[str, Varied]:
    """Either side's in float64, with what upstream's own runs had; `model` and the default type are float64.

    Left out are those that upstream refuses, and those whose precision is what they are about.
    """
    given = load_tensors(job.path("reference.safetensors"))
    gradients = {k.removeprefix("gradients/"): v for k, v in given.items() if k.startswith("gradients/")}
    runs = _Runs(job, case, model, Session(gradients), device, exact=True)
    for variation in varied(case, base, job.variations):
        told = upstream.get(variation.name)
        if told is not None and not told.raised and variation.dtype is None and not variation.precision:
            runs.replay(variation)
    return runs.done()


class _Runs:
    """The variations of one model, one after the other."""

    def __init__(
        self, job: Job, case: Case, model: Subjects, session: Session, device: torch.device, exact: bool = False
    ) -> None:
        self._exact = exact  # in float64, whatever they are about
        self._job, self._case, self._model, self._session, self._device = job, case, model, session, device
        scales = json.loads(job.path("scales.json").read_text(encoding="utf-8"))
        self._scales = {name: torch.tensor(value, device=device) for name, value in scales.items()}
        self._found: dict[str, Varied] = {}
        self._groups: Groups = {}

    def done(self) -> dict[str, Varied]:
        """What was found; the tensors are written."""
        dtypes = save_groups(self._groups, self._job.path(f"{self._job.role}.varied.safetensors"))
        for name, found in self._found.items():
            own = {k.removeprefix(f"{name}/"): v for k, v in dtypes.items() if k.startswith(f"{name}/")}
            self._found[name] = replace(found, dtypes=own)
        return self._found

    def record(self, variation: Variation, batch: Batch) -> None:
        """Upstream's run of one."""
        save_tensors(batch, self._path(variation, "batch.safetensors"))
        kinks = RecordKinks()
        noise = RecordNoise([Path(root) for root in self._job.roots])
        watching: list[AbstractContextManager[object]] = [noise]
        if self._backward(variation):
            watching.insert(0, kinks)
        self._run(variation, batch, watching)
        save_draws(noise.draws, Path(self._job.folder), f"{_file(variation)}.noise")
        save_masks(kinks.masks, self._path(variation, "kinks.safetensors"))

    def replay(self, variation: Variation) -> None:
        """The port's run of one."""
        batch = load_tensors(self._path(variation, "batch.safetensors"))
        draws = load_draws(Path(self._job.folder), f"{_file(variation)}.noise")
        noise = ReplayNoise(draws, [Path(root) for root in self._job.roots])
        kinks = ReplayKinks(load_masks(self._path(variation, "kinks.safetensors")))
        self._run(variation, batch, [kinks, noise])
        findings = noise_told(noise.findings())
        self._found[variation.name] = replace(self._found[variation.name], noise=findings)

    def count(self, variation: Variation, kernels: Mapping[str, int], ran: Mapping[str, int]) -> None:
        """Whether the kernels and other forms of the case ran in a variation."""
        backward = self._backward(variation)
        found = kernel_findings(self._case.kernels, kernels, backward=backward)
        if backward and variation.axis in _TAKING:
            found += form_findings(self._case.forms, ran)
        self._found[variation.name] = replace(self._found[variation.name], findings=tuple(found))

    def _run(self, variation: Variation, batch: Batch, watching: Sequence[AbstractContextManager[object]]) -> None:
        case, model, name = self._case, self._model, variation.name
        training = case.training if variation.training is None else variation.training
        try:
            if variation.prepare is not None:
                variation.prepare(self._session, model)
                _settle(self._device)  # or it would be a part of the step's graph, which is compiled already
            dtype = torch.float64 if self._exact else variation.dtype
            if dtype is not None:
                model.to(dtype)
                batch = _cast(batch, dtype)
            model.train(training)
            seed_all(self._job.seed)
            with watched_seeds() as seeds, ExitStack() as stack:
                for mode in watching:
                    stack.enter_context(mode)
                stack.enter_context(variation.around(self._device.type))
                step = self._step(variation, materialized(batch, self._device))
            self._keep(variation, step, seeds)
        except Exception as error:
            self._found[name] = Varied(type(error).__name__, _one_line(error), guarded=bool(guard_file(error)))
            model.zero_grad(set_to_none=True)
        finally:
            if variation.dtype is not None:
                model.to(torch.float32)
            if training != case.training:
                model.train(case.training)

    def _step(self, variation: Variation, batch: Batch) -> StepTensors:
        if self._backward(variation):
            return run_step(self._case, self._model, batch, self._scales)
        if variation.mode == "gradients":
            return run_forward(self._case, self._model, batch, torch.set_grad_enabled(True))
        mode = torch.inference_mode() if variation.mode == "inference" else torch.no_grad()
        return run_forward(self._case, self._model, batch, mode)

    def _backward(self, variation: Variation) -> bool:
        return variation.mode == "backward" and self._case.gradients

    def _keep(self, variation: Variation, step: StepTensors, seeds: Sequence[str]) -> None:
        name = variation.name
        self._found[name] = Varied(
            precision=variation.precision,
            without_gradient=step.without_gradient,
            written=step.written,
            kinds=step.kinds,
            modes=step.modes,
            seeds=tuple(seeds),
        )
        _settle(self._device)  # before anything else is asked of the tensors, or it would be in the step's graph
        own: dict[str, Tensor] = {}
        for group, tensors in step.groups().items():
            for key, value in tensors.items():
                kept = value.detach().cpu()
                own[f"{group}/{key}"] = (kept if group == "results" else _thinned(kept)).clone()
        self._groups[name] = own

    def _path(self, variation: Variation, name: str) -> Path:
        return self._job.path(f"{_file(variation)}.{name}")


def _cast(batch: Batch, dtype: torch.dtype) -> Batch:
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in batch.items()}


def _file(variation: Variation) -> str:
    return variation.name.replace(" ", "-")


def _settle(device: torch.device) -> None:
    """Compute what waits on XLA's device."""
    if device.type == "xla":
        import torch_xla

        torch_xla.sync(wait=True)


def _thinned(value: Tensor) -> Tensor:
    flat = value.reshape(-1)
    return flat[:: max(1, -(-flat.numel() // _MOST))]


def _one_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]


def guard_file(error: BaseException) -> str:
    """The file of the `raise` or `assert` that raised; "" where an operation failed in the middle of a call."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_code[trace.tb_lasti] != dis.opmap["RAISE_VARARGS"]:
        return ""
    return trace.tb_frame.f_code.co_filename
