"""Reading the data."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def table(name: str) -> dict[str, Any]:
    """One file of the data: `signatures`, `results` or `operators`."""
    text = files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def canonical(target: str) -> str:
    """The public name of what torch offers under several: `torch.functional.stft` is `torch.stft`."""
    aliases: dict[str, str] = table("signatures")["aliases"]
    return aliases.get(target, target)
