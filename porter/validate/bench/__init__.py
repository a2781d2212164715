"""Unported upstream, the port, and if asked another port, on the same work on XLA: what each costs."""

from __future__ import annotations

from porter.validate.bench.outcome import BenchOutcome, CaseFigures, SideFigures
from porter.validate.bench.runner import BenchRequest, bench

__all__ = ["BenchOutcome", "BenchRequest", "CaseFigures", "SideFigures", "bench"]
