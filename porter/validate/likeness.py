"""Whether two sides look alike from outside: parameters of their functions, names and shapes of their weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_SAMPLE = 1 << 12  # elements of each initial tensor that are compared
_CLOSE = 1e-6


def signatures(entry: Any) -> dict[str, list[str]]:
    """Parameter names and defaults: of a class's constructor and public methods, or of one function (as "")."""
    if not inspect.isclass(entry):
        return {"": _parameters(entry)}
    return {
        name: _parameters(member)
        for name, member in inspect.getmembers(entry, inspect.isfunction)
        if member.__qualname__.startswith(f"{entry.__name__}.") and (name == "__init__" or not name.startswith("_"))
    }


def signature_findings(name: str, told: Mapping[str, list[str]], entry: Any) -> list[str]:
    """How the port's `entry` differs from what `signatures` told of upstream's."""
    own = signatures(entry)
    return [
        f"{name}{'.' if method else ''}{method} of the port "
        + ("is missing" if method not in own else "takes other parameters than upstream's")
        for method, parameters in told.items()
        if own.get(method) != parameters
    ]


def initial(model: nn.Module) -> dict[str, Tensor]:
    """A sample of each tensor that a new model holds, the same places for the same shape."""
    found = {}
    for name, value in model.state_dict().items():
        flat = value.detach().reshape(-1)
        found[name] = flat[:: max(1, -(-flat.numel() // _SAMPLE))].clone()
    return found


def initial_findings(told: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Tensors of a new model that are not upstream's, where both began with the same seed."""
    differing = []
    for name, value in told.items():
        other = own.get(name)
        if other is not None and other.shape == value.shape and other.dtype == value.dtype:
            same = torch.equal(value, other)
            if not same and value.is_floating_point():
                same = torch.allclose(value, other, rtol=_CLOSE, atol=_CLOSE, equal_nan=True)
            if not same:
                differing.append(name)
    return [f"the port begins with other values than upstream in {_some(differing)}"] if differing else []


def key_findings(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """How the port's state_dict differs from upstream's in names, shapes and types."""
    missing, added = sorted(weights.keys() - own.keys()), sorted(own.keys() - weights.keys())
    result = []
    if missing:
        result.append(f"state_dict of the port lacks {_some(missing)}")
    if added:
        result.append(f"state_dict of the port has {_some(added)}, which upstream's has not")
    for name in sorted(weights.keys() & own.keys()):
        old, new = weights[name], own[name]
        if old.shape != new.shape or old.dtype != new.dtype:
            result.append(
                f"state_dict entry {name} is {new.dtype} {list(new.shape)} in the port "
                f"and {old.dtype} {list(old.shape)} upstream"
            )
    return result


def describe_state(state: Mapping[str, Tensor]) -> dict[str, tuple[str, list[int]]]:
    """Type and shape of each tensor of a state_dict, as JSON can hold them."""
    return {name: (str(value.dtype).removeprefix("torch."), list(value.shape)) for name, value in state.items()}


def described_state(told: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors without values, of the types and shapes that `describe_state` told."""
    return {
        name: torch.empty(shape, dtype=getattr(torch, dtype), device="meta") for name, (dtype, shape) in told.items()
    }


def _parameters(function: Callable[..., Any]) -> list[str]:
    if isinstance(function, torch.jit.ScriptFunction):
        schema: Any = function.schema  # a property, which torch's own types take for a method
        return [
            f"POSITIONAL_OR_KEYWORD {a.name} {repr(a.default_value) if a.has_default_value() else ''}"
            for a in schema.arguments
        ]
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # one written in C may not tell
        return []
    return [f"{p.kind.name} {p.name} {'' if p.default is p.empty else repr(p.default)}" for p in parameters]


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
