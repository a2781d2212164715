"""What the compiler said, for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from porter.estimate.chips import CHIPS
from porter.estimate.outcome import EstimateOutcome, Fit, GraphOutcome, Said
from porter.estimate.roofline import Roofline
from porter.views.plain import plain

if TYPE_CHECKING:
    from porter.answers import EstimateAnswer
    from porter.answers.runs import FitRecord, GraphRecord, RooflineRecord, SaidRecord


def to_json(outcome: EstimateOutcome) -> dict[str, Any]:
    """One object for machines. Sizes are in bytes, times in seconds; what is not known is null."""
    sizes = outcome.sizes
    told: EstimateAnswer = {
        "upstream": {"spec": outcome.upstream, "revision": outcome.revision},
        "port": outcome.port,
        "preset": outcome.preset,
        "batch": sizes.batch,
        "frames": sizes.frames,
        "phonemes": sizes.phonemes,
        "bf16": outcome.bf16,
        "timeout": outcome.timeout,
        "versions": outcome.versions,
        "compiler": {"words": outcome.compiler, "named_by_torch_xla": outcome.usual},
        "chips": [CHIPS[name] for name in outcome.chips],
        "passed": outcome.passed,
        "graphs": [_graph_json(graph) for graph in outcome.graphs],
        "fit": [_fit_json(fit) for fit in outcome.fits],
    }
    answer: dict[str, Any] = plain(told)
    return answer


def _fit_json(fit: Fit) -> FitRecord:
    found = fit.found
    return {
        "graph": fit.graph,
        "chip": fit.chip,
        "what": fit.what,
        "at": fit.at,
        "largest": found.largest,
        "needs": found.needs,
        "exceeded": found.exceeded,
        "unaffected": found.unaffected,
        "probes": list(found.probes),
        "problem": found.problem,
    }


def _graph_json(graph: GraphOutcome) -> GraphRecord:
    return {
        "name": graph.name,
        "unavailable": graph.unavailable,
        "problem": graph.problem,
        "bytecode": graph.size or None,
        "moments": graph.moments,
        "notes": [{"chip": chip, "note": note} for chip, note in graph.notes],
        "fusions": {chip: list(known) for chip, known in graph.fusions},
        "chips": {chip: _said_json(said, graph.roof(chip)) for chip, said in graph.said},
    }


def _said_json(said: Said, roof: Roofline | None) -> SaidRecord:
    return {
        "verdict": said.verdict,
        "error": said.error,
        "cached": said.cached,
        "needs": said.needs or None,
        "compiled": said.compiled,
        "roofline": None if roof is None else _roof_json(roof),
    }


def _roof_json(roof: Roofline) -> RooflineRecord:
    return {
        "compute": roof.compute,
        "memory": roof.memory,
        "intensity": roof.intensity,
        "seconds": roof.seconds,
        "bound": roof.bound,
        "reach": roof.reach,
    }
