"""`python -m porter` is `sovits-port`."""

from __future__ import annotations

from .cli import main

main()
