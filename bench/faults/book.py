"""All seeded faults, in one order."""

from __future__ import annotations

from bench.faults import costs, decoding, runtime, values
from bench.faults.record import Fault

FAULTS: tuple[Fault, ...] = (*values.FAULTS, *runtime.FAULTS, *decoding.FAULTS, *costs.FAULTS)
