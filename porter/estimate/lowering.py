"""The process that traces the port's graphs on XLA, lazily: nothing is run, and each graph is written as StableHLO.

The loss is the sum of the mean squares of all floating-point results that have a gradient; a result of one number
counts as it is. A graph's outputs are the loss and every gradient, or in inference the results, and in both the buffers
that were written. A submodule is traced alone, with new inputs of the shapes with which the case calls it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from porter.estimate.calls import Call, Calls
from porter.estimate.exchange import Asked, Traced, save_traced
from porter.estimate.names import means
from porter.validate.cases import load_case
from porter.validate.cases.base import Batch, Case, Library, Subjects
from porter.validate.job import Job, Told
from porter.validate.settings import make_settings
from porter.validate.step import flatten, materialized
from porter.validate.weights import prepare


def lowered(job: Job) -> Told:
    """Write the graphs that `asked.json` names, each as soon as it is traced."""
    case, asked = load_case(job.case), Asked.load(job.path("."))
    if case.on_host:
        return Told(error="it runs on the host, so it has no graph")
    settings = make_settings(job.config, "tiny" if job.preset == "tiny" else "full")
    settings = replace(settings, batch=asked.sizes.batch, frames=asked.sizes.frames, phonemes=asked.sizes.phonemes)
    os.environ["SOVITS_PORT_FORMS"] = f"tpu:{asked.chip}" if asked.chip else "auto"
    library = Library(job.package)
    torch.manual_seed(job.seed)
    told = case.describe(library, settings)
    model = case.build(library, told)
    prepare(model, job.seed)
    batch = case.batch(model, told, settings, torch.Generator().manual_seed(job.seed))
    case.finish(model)
    _Tracer(job, case, model.train(case.training), batch, asked).run()
    return Told()


class _Tracer:
    """One case on the device."""

    def __init__(self, job: Job, case: Case, model: Subjects, batch: Batch, asked: Asked) -> None:
        import torch_xla

        self._device: torch.device = torch_xla.device()
        self._job, self._case, self._asked = job, case, asked
        self._held = {name: value.clone() for name, value in model.named_buffers()}
        self._model = model.to(self._device)
        case.settle(self._model)
        self._batch = materialized(batch, self._device)
        self._graphs: list[Traced] = []

    def run(self) -> None:
        """Trace the case, which tells how it calls its parts, and then these."""
        patterns = self._asked.parts
        with Calls(_submodules(self._model), lambda name: any(means(p, name) for p in patterns)) as calls:
            self._graph("", self._model, self._whole, write=self._asked.whole)
        for pattern in patterns:
            if not any(means(pattern, name) for name in calls.calls):
                there = ", ".join(name for name in calls.known if "." not in name)
                self._add(Traced(pattern, "", error=f"no such submodule is called; at the top there are {there}"))
        for name, found in calls.calls.items():
            module = calls.module(name)
            self._graph(name, module, lambda module=module, found=found: self._part(module, found))  # type: ignore[misc]

    def _graph(self, part: str, module: nn.Module, trace: Callable[[], list[Tensor]], *, write: bool = True) -> None:
        self._fresh()
        before = _executions()
        versions = {name: value._version for name, value in module.named_buffers()}
        outputs = trace()
        outputs += [value for name, value in module.named_buffers() if value._version != versions[name]]
        outputs = [value for value in outputs if value.device.type == "xla"]
        if write:
            problem = _why_no_graph(_executions() - before, outputs)
            self._add(Traced(part, "", error=problem) if problem else self._written(part, module, outputs))

    def _written(self, part: str, module: nn.Module, outputs: list[Tensor]) -> Traced:
        """The graph that computes some outputs of a module, in a file of its own."""
        file = f"graph-{len(self._graphs)}.bc"
        self._job.path(file).write_bytes(_bytecode(outputs))
        trained = sum(p.numel() * p.element_size() for p in module.parameters() if p.grad is not None)
        return Traced(part, file, trained, fusions=self._fusions(module))

    def _fusions(self, module: nn.Module) -> tuple[tuple[str, str, str], ...]:
        """What became of the modules that a kernel may stand for; a package of an older tool tells nothing."""
        told = getattr(sys.modules.get(f"{self._job.package}.ops"), "fusions", None)
        found = told(module) if told is not None else []
        return tuple((one.path, one.kernel, one.reason) for one in found)

    def _add(self, graph: Traced) -> None:
        # A package that never asks for a kernel, or was made by an older tool, tells nothing.
        told = getattr(sys.modules.get(f"{self._job.package}.ops.on_chip"), "told", list)
        self._graphs.append(replace(graph, notes=tuple(told())))
        save_traced(self._graphs, self._job.path("."))

    def _whole(self) -> list[Tensor]:
        if not self._case.gradients:
            with torch.no_grad(), self._precision():
                return [value for _, value in flatten(self._case.run(self._model, self._batch))]
        wanted = [name for name, value in self._batch.items() if self._case.differentiates(name, value)]
        given = {k: v.detach().clone().requires_grad_() if k in wanted else v for k, v in self._batch.items()}
        with self._precision():
            results = [value for _, value in flatten(self._case.run(self._model, given))]
        return _differentiated(results, self._model, [given[name] for name in wanted])

    def _part(self, module: nn.Module, calls: Iterable[Call]) -> list[Tensor]:
        results: list[Tensor] = []
        inputs: list[Tensor] = []
        for call in calls:
            result, differentiable = call.repeat(module, self._device)
            results += [value for _, value in flatten(result)]
            inputs += differentiable
        if not any(value.requires_grad for value in results):
            return results
        return _differentiated(results, module, inputs)

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast("xla", dtype=torch.bfloat16) if self._asked.bf16 else nullcontext()

    def _fresh(self) -> None:
        """Leave nothing of an earlier trace in what the next one reads."""
        import torch_xla

        torch_xla.manual_seed(self._job.seed)  # type: ignore[no-untyped-call]
        self._model.zero_grad(set_to_none=True)
        for name, value in self._held.items():
            owner, _, last = name.rpartition(".")
            self._model.get_submodule(owner)._buffers[last] = value.to(self._device)


def _differentiated(results: list[Tensor], module: nn.Module, inputs: list[Tensor]) -> list[Tensor]:
    """The loss, and the gradients of the module's parameters and of `inputs`, as far as there are any."""
    parts = [_reduced(value) for value in results if value.is_floating_point() and _counts(value)]
    loss = torch.stack(parts).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = (tensor.grad for tensor in (*module.parameters(), *inputs))
    return [loss, *(gradient for gradient in gradients if gradient is not None)]


def _counts(value: Tensor) -> bool:
    return value.device.type == "xla" and (value.requires_grad or value.numel() == 1)


def _reduced(value: Tensor) -> Tensor:
    wide = value.float()
    return wide.sum() if wide.numel() == 1 else wide.square().mean()


def _submodules(model: Subjects) -> Mapping[str, nn.Module]:
    """All modules inside the networks; with several networks, the label comes first."""
    networks = dict(model.named_children())
    if len(networks) == 1:
        (network,) = networks.values()
        return {name: module for name, module in network.named_modules() if name}
    return {name: module for name, module in model.named_modules() if name}


def _bytecode(outputs: list[Tensor]) -> bytes:
    from torch_xla.core import xla_model

    found = xla_model.get_stablehlo_bytecode(outputs)  # type: ignore[arg-type]  # its hint is for one tensor
    assert isinstance(found, bytes)
    return found


def _why_no_graph(ran: int, outputs: Sequence[Tensor]) -> str:
    """What is wrong where tracing ran so many times on the device, or left no outputs there; "" where nothing is."""
    if ran:
        return f"it is no single graph: the device ran {'once' if ran == 1 else f'{ran} times'} while it was traced"
    return "" if outputs else "it computes nothing on the device"


def _executions() -> int:
    import torch_xla.debug.metrics as metrics

    return int(metrics.counter_value("ExecuteComputation") or 0)  # type: ignore[no-untyped-call]
