"""A tensor that is computed when somebody looks at it."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch.utils import _pytree as pytree

Known = Callable[..., Any]

_LOOKS = frozenset({"dim", "ndimension", "size", "numel", "is_floating_point", "is_complex", "element_size", "__len__"})


class Deferred(torch.Tensor):
    """A tensor without numbers of its own, which is computed when a function of torch is given it.

    `known` functions may go on without computing it; one returns None where it does not know what it was given, and
    may lack arguments of torch's own. It is computed as it would have been where it was made: with or without gradients
    and autocast. What it is made of must not be written to before: that is a RuntimeError.
    """

    known: ClassVar[Mapping[Any, Known]] = {}

    @classmethod
    def like(cls, shape: Sequence[int], dtype: torch.dtype, device: torch.device, *given: Any) -> Self:
        """One of a shape, made with `given`."""
        made: Self = torch.Tensor._make_wrapper_subclass(cls, tuple(shape), dtype=dtype, device=device)
        made.__init__(*given)  # type: ignore[misc]
        return made

    def __init__(self, *sources: torch.Tensor | None) -> None:
        """`sources` are the tensors that it is computed from."""
        self._sources = [(source, version(source)) for source in sources if source is not None]
        with torch._C.DisableTorchFunctionSubclass():  # type: ignore[no-untyped-call]
            self._type = self.device.type
        self._mode = _mode(self._type)
        self._value: torch.Tensor | None = None
        self._read_version: int | None = 0

    def _compute(self) -> torch.Tensor:
        """The tensor."""
        raise NotImplementedError

    def read(self) -> torch.Tensor:
        """The tensor, computed once."""
        if self._value is None:
            if any(version(source) != known for source, known in self._sources):
                raise RuntimeError("a tensor that was to be computed later depends on one that was written to since")
            grad, enabled, dtype = self._mode
            with torch.set_grad_enabled(grad), torch.autocast(self._type, dtype=dtype, enabled=enabled):
                self._value = self._compute()
            self._read_version = version(self._value)
        return self._value

    @property
    def current(self) -> bool:
        """Whether what it is made of may be used in its place.

        Not so once the tensor, or one of those, was written to; where gradients or autocast are not what they were; and
        where somebody waits for the tensor's own gradient.
        """
        value = self._value
        if value is not None and (version(value) != self._read_version or value._backward_hooks or value.retains_grad):
            return False
        if _mode(self._type) != self._mode:
            return False
        return all(version(source) == known for source, known in self._sources)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _LOOKS or (name == "__get__" and func in _PROPERTIES):  # no numbers are asked for
            with torch._C.DisableTorchFunctionSubclass():  # type: ignore[no-untyped-call]
                return func(*args, **kwargs)
        known = cls.known.get(func)
        if known is not None and _takes(known, args, kwargs):
            found = known(*args, **kwargs)
            if found is not None:
                return found
        args, kwargs = read_all((args, kwargs))
        return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = read_all((args, kwargs or {}))
        return func(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        return self.read().detach().clone()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _same, (self.read().detach(),)


_PROPERTIES = frozenset(
    getattr(torch.Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "layout", "is_meta", "is_xla")
)


def version(tensor: torch.Tensor) -> int | None:
    """How often a tensor was written to; None where nobody counts."""
    return None if tensor.is_inference() else tensor._version


def read_all(given: Any) -> Any:
    """A structure of values, with the tensors that wait computed."""
    return pytree.tree_map(lambda value: value.read() if isinstance(value, Deferred) else value, given)


def _mode(device: str) -> tuple[bool, bool, torch.dtype]:
    """Whether gradients are wanted, and autocast."""
    return torch.is_grad_enabled(), torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)


def _same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _takes(known: Known, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a function can be called so."""
    try:
        _signature(known).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


@functools.cache
def _signature(known: Known) -> inspect.Signature:
    return inspect.signature(known)
