"""What stands in for a function or class of torch is called as that is, and asked for as that is."""

from __future__ import annotations

import abc
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import get_testing_overrides

from porter.runtime import ops
from rules import keep_bits_for_the_backward_pass, keep_fused_attention_on_chip, recompute_activations
from rules import replace_unlowered_operators as unlowered

_RULES = [
    rule
    for file in (unlowered, keep_bits_for_the_backward_pass, keep_fused_attention_on_chip, recompute_activations)
    for rule in vars(file).values()
    if hasattr(rule, "targets")
]
TARGETS = {name: target for rule in _RULES for name, target in rule.targets.items()}
TARGETS |= {"torch.bincount": "ops.bincount", "torch.stft": "ops.stft"}
TARGETS |= unlowered.FactorSmallMatricesOnDevice._functions
CLASSES = {name: target for name, target in TARGETS.items() if name.rpartition(".")[2][0].isupper()}


def found(name: str) -> Any:
    """What torch has by a name; some of its functions hide the module that they are in."""
    place, _, last = name.rpartition(".")
    return getattr(importlib.import_module(place), last)


def signature(function: Callable[..., Any]) -> dict[str, tuple[bool, Any]]:
    """For each argument, whether it has a default, and which; without the notes of types, and without `self`."""
    try:
        shown = inspect.signature(function)
    except ValueError:  # compiled: torch knows by what it may be overridden
        shown = inspect.signature(get_testing_overrides()[function])
    return {p.name: (p.default is not p.empty, p.default) for p in shown.parameters.values()}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_arguments_have_the_names_order_and_defaults_of_torch(name: str) -> None:
    original, ours = found(name), getattr(ops, TARGETS[name].removeprefix("ops."))
    if name in CLASSES:
        original, ours = original.__init__, ours.__init__
    wanted, given = signature(original), signature(ours)
    wanted.pop("inplace" if name == "torch.relu" else "", None)  # which it does not take
    # Some are not in every version of torch, and what torch says of one of its functions is an older version's.
    newer = {"align_to_window", "enable_gqa", "scale", "is_causal", "inplace"} - set(wanted)
    unused = {"out"} - set(given)  # calls that have it are left alone
    assert [n for n in given if n not in newer] == [n for n in wanted if n not in unused]
    assert all(given[n] == wanted[n] for n in given if n not in newer)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_class_stands_for_the_one_it_derives_from(name: str) -> None:
    original, ours = found(name), getattr(ops, CLASSES[name].removeprefix("ops."))
    plain = original(2, 3) if original is nn.LSTM else original()
    own = ours(2, 3) if original is nn.LSTM else ours()
    assert isinstance(plain, ours) and isinstance(own, ours) and isinstance(own, original)
    assert issubclass(original, ours) and issubclass(ours, original)
    assert not isinstance(nn.Linear(2, 2), ours) and not issubclass(nn.Linear, ours)

    class Derived(ours):  # type: ignore[misc,valid-type]
        pass

    assert issubclass(Derived, ours) and issubclass(Derived, original)
    assert not isinstance(plain, Derived) and not isinstance(own, Derived) and not issubclass(original, Derived)
    assert type(own).__name__ == original.__name__

    class Abstract(ours, abc.ABC):  # type: ignore[misc,valid-type]
        @abc.abstractmethod
        def missing(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract()


def test_a_layer_inside_a_layer_of_torch_is_one_too() -> None:
    inner = [m for m in nn.TransformerEncoderLayer(4, 1, 4).modules() if isinstance(m, ops.Dropout)]
    assert len(inner) == 3


def test_a_product_may_be_written_to_a_tensor() -> None:
    x, y = torch.randn(2, 3), torch.randn(3, 2)
    out = torch.empty(2, 2)
    assert ops.matmul(x, y, out=out) is out and torch.equal(out, x @ y)
