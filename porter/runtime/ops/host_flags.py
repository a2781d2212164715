"""Truth of one-element buffers without reading them back from the device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .. import utils


class HostFlags(nn.Module):
    """Mixin for modules that branch on a buffer of one element, such as "has the codebook been initialised".

    The value is noted while the buffer is on the CPU: before it moves to a device, and when a checkpoint is
    loaded. A note counts only while it says True and the buffer has not been written since; otherwise the
    device is read (a host sync) and the answer noted. So a flag may only ever go from False to True behind
    this class's back, as by `.data`. The state dict is as without it.
    """

    def host_flag(self, name: str) -> bool:
        """Whether the buffer `name`, of one element, is true."""
        buffer: torch.Tensor = getattr(self, name)
        if utils.on_host(buffer):
            return bool(buffer)
        note = self._notes().get(name)
        if note is not None and note[0] is buffer and note[1] == buffer._version:
            return True
        value = bool(utils.to_host(buffer))
        self._note(name, value)
        return value

    def _notes(self) -> dict[str, tuple[torch.Tensor, int]]:
        """The buffers known to be true, as objects, with their version when that was seen."""
        # Holding the tensor itself makes a note follow its buffer through deepcopy, and miss a replaced one.
        notes: dict[str, tuple[torch.Tensor, int]] = self.__dict__.setdefault("_host_flags", {})
        return notes

    def _note(self, name: str, value: bool) -> None:
        buffer = self._buffers.get(name)
        if value and buffer is not None:
            self._notes()[name] = (buffer, buffer._version)
        else:
            self._notes().pop(name, None)

    def _one_element_buffers(self) -> dict[str, torch.Tensor]:
        buffers = self._buffers.items()
        return {name: buffer for name, buffer in buffers if buffer is not None and buffer.numel() == 1}

    def _known(self, name: str, buffer: torch.Tensor) -> bool:
        note = self._notes().get(name)
        if utils.on_host(buffer):
            return bool(buffer)
        return note is not None and note[0] is buffer and note[1] == buffer._version

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "HostFlags":
        values = {name: self._known(name, buffer) for name, buffer in self._one_element_buffers().items()}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in values.items():
            self._note(name, value)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        for name in self._one_element_buffers():
            loaded = state_dict.get(prefix + name)
            if isinstance(loaded, torch.Tensor) and loaded.numel() == 1:
                self._note(name, utils.on_host(loaded) and bool(loaded))
