"""The judge: runs an emitted package against its upstream, and counts what its graphs cost."""

from __future__ import annotations

from porter.validate.outcome import CaseOutcome, Outcome, to_json
from porter.validate.record import Recorded, RecordRequest, record
from porter.validate.recording import read_header
from porter.validate.runner import Request, validate

__all__ = [
    "CaseOutcome",
    "Outcome",
    "RecordRequest",
    "Recorded",
    "Request",
    "read_header",
    "record",
    "to_json",
    "validate",
]
