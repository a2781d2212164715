"""The judge: runs an emitted package against its upstream, and counts what its graphs cost."""

from __future__ import annotations

from porter.validate.outcome import CaseOutcome, Outcome, to_json
from porter.validate.runner import Request, validate

__all__ = ["CaseOutcome", "Outcome", "Request", "to_json", "validate"]
