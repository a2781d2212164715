"""Numbers of values: what computes the same has the same one."""

from typing import Any

from .moves import Move


class ValueNumbers:
    """Numbers of values, by what computes them."""

    def __init__(self) -> None:
        self.shapes: dict[int, tuple[int, ...]] = {}  # of values, where they are known
        self.moves: dict[int, Move] = {}  # of values that are others moved
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._keys: list[tuple[Any, ...]] = []
        self._channels: dict[int, int] = {}

    def of(self, *key: Any, channels: int | None = None) -> int:
        """The number of what a key names; `channels` is how long its second axis is, if that is known."""
        found = self._numbers.setdefault(key, len(self._numbers))
        if found == len(self._keys):
            self._keys.append(key)
        if channels is not None:
            self._channels[found] = channels
        return found

    def key(self, number: int) -> tuple[Any, ...]:
        """What computes a value."""
        return self._keys[number]

    def channels(self, number: Any) -> int | None:
        """How long the second axis of a value is, if that is known."""
        return self._channels.get(number)

    def slice(self, number: int, dim: int, start: int, end: int | None) -> int:
        """A part along an axis, in steps of one."""
        length = self.channels(number) if dim == 1 else None
        if length is not None:
            start, end, _ = slice(start, end).indices(length)
            if (start, end) == (0, length):
                return number
            return self.of("slice", number, dim, start, None if end == length else end, channels=max(end - start, 0))
        return self.of("slice", number, dim, start, end)
