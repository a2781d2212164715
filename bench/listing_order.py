"""Folders that list themselves in another order: what a file system is free to do."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any


class Scan:
    """What os.scandir returns, of entries in an order of our own."""

    def __init__(self, entries: Iterable[Any]) -> None:
        """`entries` are all read already."""
        self._entries = iter(list(entries))

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> Scan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""


def shuffle_listings(seed: int, patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Let every way to list a folder answer in an order that `seed` chooses; 0 turns each list round.

    `patch` sets an attribute, as setattr does: a test's own takes it back.
    """
    chance = random.Random(seed)

    def mixed(found: Iterable[Any]) -> list[Any]:
        listed = sorted(found, key=str, reverse=True)
        if seed:
            chance.shuffle(listed)
        return listed

    scandir, listdir = os.scandir, os.listdir

    def scan(*arguments: Any) -> Scan:
        with scandir(*arguments) as entries:
            return Scan(mixed(entries))

    patch(os, "scandir", scan)
    patch(os, "listdir", lambda *arguments: mixed(listdir(*arguments)))
    for name in ("glob", "rglob", "iterdir"):
        patch(Path, name, _mixing(getattr(Path, name), mixed))


def _mixing(old: Callable[..., Any], mixed: Callable[[Iterable[Any]], list[Any]]) -> Callable[..., Iterator[Any]]:
    return lambda *arguments, **named: iter(mixed(old(*arguments, **named)))
