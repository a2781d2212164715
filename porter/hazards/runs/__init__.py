"""What a run of upstream with the port in it reaches, ported or not, and the hazards there."""

from __future__ import annotations

from .account import Asked, Checked, check_ported, check_run

__all__ = ["Asked", "Checked", "check_ported", "check_run"]
