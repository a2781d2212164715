"""Forwards that kernels stand for, told by what they compute: other words for the same, and what only looks the same."""

from __future__ import annotations

import copy
import pickle
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("jax", reason="kernels are written with jax")

import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops
from porter.runtime.ops.fused import fuse

from .graphs import decibels

pytestmark = pytest.mark.xla

SLOPE = 0.1
WIDTH = 128
T = torch.Tensor
Forward = Callable[..., Any]


class Layers(nn.Module):
    """What the forwards below are made of."""

    def __init__(self) -> None:
        super().__init__()

        def convolution(gives: int, taps: int = 3, dilation: int = 1) -> nn.Module:
            return ops.weight_norm(
                nn.Conv1d(WIDTH, gives, taps, dilation=dilation, padding=dilation * (taps // 2)), "weight"
            )

        self.wide = nn.ModuleList(convolution(WIDTH, dilation=d) for d in (1, 3))
        self.near = nn.ModuleList(convolution(WIDTH) for _ in range(2))
        self.gates = nn.ModuleList(convolution(2 * WIDTH) for _ in range(2))
        self.passes = nn.ModuleList(convolution(gives, 1) for gives in (2 * WIDTH, WIDTH))
        self.tell = nn.Conv1d(4, 4 * WIDTH, 1)
        self.bend, self.bend_in_place = nn.LeakyReLU(SLOPE), nn.LeakyReLU(SLOPE, inplace=True)
        self.rectify = nn.ReLU()
        self.idle, self.drop = nn.Dropout(0.0), nn.Dropout(0.5)
        self.width, self.seen = WIDTH, [0]


def signal() -> T:
    return torch.randn(2, WIDTH, 16, generator=torch.Generator().manual_seed(1))


def mask() -> T:
    return (torch.arange(16) < torch.tensor([[[16]], [[11]]])).float()


def told() -> T:
    return torch.randn(2, 4, 1, generator=torch.Generator().manual_seed(2))


def made(forward: Forward, mark: Forward = ops.fused) -> Any:
    """A module with that forward."""
    torch.manual_seed(0)
    kind: Any = type("Made", (Layers,), {"forward": mark(forward)})
    return kind()


def step(self: Any, x: T, i: int) -> T:
    h: T = self.near[i](F.leaky_relu(self.wide[i](F.leaky_relu(x, SLOPE)), SLOPE))
    return h


# Residual layers.


def as_upstream(self: Any, x: T, mask: T | None = None) -> T:
    for first, second in zip(self.wide, self.near, strict=True):
        h = F.leaky_relu(x, SLOPE)
        if mask is not None:
            h = h * mask
        h = F.leaky_relu(first(h), SLOPE)
        if mask is not None:
            h = h * mask
        x = second(h) + x
    if mask is not None:
        x = x * mask
    return x


def the_other_way_round(self: Any, x: T) -> T:
    for i in range(2):
        x = x + step(self, x, i)
    return x


def torch_add(self: Any, x: T) -> T:
    for i in range(2):
        x = torch.add(step(self, x, i), x)
    return x


def a_method(self: Any, x: T) -> T:
    for i in range(2):
        x = x.add(step(self, x, i))
    return x


def annotated(self: Any, x: T) -> T:
    for first, second in zip(self.wide, self.near, strict=True):
        h: T = F.leaky_relu(input=x, negative_slope=SLOPE)
        g: T = ops.leaky_relu(first(h), SLOPE)
        x = x + second(g)
    return x


def enumerated(self: Any, x: T) -> T:
    for i, (first, _) in enumerate(zip(self.wide, self.near, strict=True)):
        x = self.near[i](self.bend(first(self.bend(x)))) + x
    return x


def one_of_two_afterwards(self: Any, x: T, mask: T) -> T:
    for i in range(2):
        x = x + step(self, x, i)
    return torch.where(mask > 0, x, 2 * x)


def without_a_loop(self: Any, x: T) -> T:
    y = step(self, x, 0) + x
    return step(self, y, 1) + y


def in_place_where_nobody_looks(self: Any, x: T) -> T:
    for first, second in zip(self.wide, self.near, strict=True):
        h = second(self.bend_in_place(first(F.leaky_relu(x, SLOPE))))
        h += x
        x = h
    return x


def with_idle_dropout(self: Any, x: T) -> T:
    for i in range(2):
        x = self.idle(step(self, x, i)) + F.dropout(x, 0.5, training=False)
    return x.contiguous()


def with_something_after(self: Any, x: T) -> Any:
    for i in range(2):
        x = x + step(self, x, i)
    return {"sound": [torch.tanh(x * 2), x], "width": self.width}


def stored(self: Any, x: T) -> T:
    self.last = x * 2
    return the_other_way_round(self, x)


def with_a_weight_of_its_own(self: Any, x: T) -> T:
    y: T = the_other_way_round(self, x) * self.near[0].weight_g[0]
    return y


# Gated layers.


def gated(self: Any, x: T, mask: T, told: T | None = None) -> T:
    total = torch.zeros_like(x)
    g = None if told is None else self.tell(told)
    for i in range(2):
        both = self.gates[i](x)
        if g is not None:
            part = g[:, i * 2 * self.width : (i + 1) * 2 * self.width, :]
        else:
            part = torch.zeros_like(both)
        both = both + part
        h = torch.tanh(both[:, : self.width, :]) * torch.sigmoid(both[:, self.width :, :])
        h = self.passes[i](self.idle(h))
        if i < 1:
            x = (x + h[:, : self.width, :]) * mask
            total = total + h[:, self.width :, :]
        else:
            total = total + h
    return total * mask


def gated_in_chunks(self: Any, x: T, mask: T, told: T) -> T:
    parts = self.tell(told).chunk(2, dim=1)
    sums: list[T] = []
    for i, (gate, onward) in enumerate(zip(self.gates, self.passes, strict=True)):
        first, second = (parts[i] + gate(x)).chunk(2, 1)
        h = onward(second.sigmoid() * first.tanh())
        if i == 0:
            kept, h = torch.split(h, self.width, dim=1)
            x = torch.mul(mask, torch.add(x, kept))
        sums.append(h)
    return (sums[0] + sums[1]).mul(mask)


def gated_with_narrow(self: Any, x: T, mask: T, g: T) -> T:
    total = torch.zeros_like(x)
    for i in range(2):
        h = self.gates[i](x) + g.narrow(1, 2 * WIDTH * i, 2 * WIDTH)
        h = self.passes[i](torch.tanh(h[:, :WIDTH]) * torch.sigmoid(h[:, -WIDTH:]))
        x = (h.narrow(1, 0, WIDTH) + x) * mask
        total = h[:, -WIDTH:] + total
    return mask * total


def gated_without_mask(self: Any, x: T) -> T:
    total = torch.zeros_like(x)
    for i in range(2):
        first, second = torch.chunk(self.gates[i](x), 2, 1)
        h = self.passes[i](torch.tanh(first) * torch.sigmoid(second))
        if i < 1:
            x = x + h[:, : self.width]
        total = total + h[:, -self.width :]
    return total


# Layers whose results are all wanted.


def features(self: Any, x: T) -> Any:
    _, _, time = x.shape
    if time % 5:
        x = F.pad(x, (0, 5 - time % 5), "reflect")
    found = []
    for layer in self.wide:
        x = F.leaky_relu(layer(x), SLOPE)
        found.append(x)
    x = self.near[0](x)
    found.append(x)
    return torch.flatten(x, 1, -1), found


def features_in_other_words(self: Any, x: T) -> Any:
    if x.size(2) % 5 != 0:
        x = F.pad(x, (0, 5 - x.size(-1) % 5), mode="reflect")
    first = self.bend_in_place(self.wide[0](x))
    second = self.bend(self.wide[1](first))
    last = self.near[0](second)
    return last.flatten(1, -1), [first, second, last]


def features_by_a_helper(self: Any, x: T) -> Any:
    def onward(x: T, i: int) -> T:
        y: T = self.bend(self.wide[i](x))
        return y

    found = {"first": onward(x, 0)}
    found["second"] = ops.leaky_relu(self.wide[1](found["first"]), negative_slope=SLOPE)
    return found, found["second"].mean(2)


def features_counted(self: Any, x: T) -> Any:
    found, i = [x], 0
    while i < len(self.wide):
        found.append(F.leaky_relu(self.wide[i](found[-1]), 0.1))
        i += 1
    return found[1:]


# Two layers with a ReLU between.


def fed_forward(self: Any, x: T, mask: T) -> T:
    x = self.drop(torch.relu(self.wide[0](x * mask)))
    y: T = self.near[0](F.pad(x * mask, (2, 0)))[..., :16]
    return y * mask


def fed_forward_in_other_words(self: Any, x: T, mask: T) -> T:
    for i, layer in enumerate((self.wide[0], self.near[0])):
        x = layer(torch.mul(mask, x) if i == 0 else F.pad(mask.mul(x), [2, 0, 0, 0], "constant", 0.0))
        if i == 0:
            x = F.dropout(x.relu_(), p=0.5, training=self.training)
    return mask * x[:, :, :16]


def fed_forward_by_layers(self: Any, x: T, mask: T) -> T:
    y: T = nn.Sequential(self.wide[0], self.rectify, self.idle, self.near[0])(x)
    return y


def fed_forward_by_a_method(self: Any, x: T, mask: T) -> T:
    y = (mask * self.wide[0](x).relu()) if self.width else x
    z: T = self.near[0](F.dropout(y, 0.0))
    return z + x


SAME: dict[str, tuple[Forward, Callable[[], list[T]]]] = {
    f.__name__: (f, lambda: [signal()])
    for f in (
        *(as_upstream, the_other_way_round, torch_add, a_method, annotated, enumerated, without_a_loop),
        *(in_place_where_nobody_looks, with_idle_dropout, with_something_after),
        *(gated_without_mask, features, features_in_other_words, features_by_a_helper, features_counted),
    )
}
SAME["fed_forward"] = fed_forward, lambda: [signal(), mask()]
SAME["fed_forward_in_other_words"] = fed_forward_in_other_words, lambda: [signal(), mask()]
SAME["fed_forward_by_layers"] = fed_forward_by_layers, lambda: [signal(), mask()]
SAME["fed_forward_by_a_method"] = fed_forward_by_a_method, lambda: [signal(), mask()]
SAME["gated"] = gated, lambda: [signal(), mask()]
SAME["gated, told"] = gated, lambda: [signal(), mask(), told()]
SAME["gated_in_chunks"] = gated_in_chunks, lambda: [signal(), mask(), told()]
SAME["gated_with_narrow"] = gated_with_narrow, lambda: [signal(), mask(), torch.randn(2, 4 * WIDTH, 1)]


SAME["stored"] = stored, lambda: [signal()]
SAME["one_of_two_afterwards"] = one_of_two_afterwards, lambda: [signal(), mask()]
SAME["with_a_weight_of_its_own"] = with_a_weight_of_its_own, lambda: [signal()]


def tensors(value: Any) -> list[T]:
    if isinstance(value, T):
        return [value]
    if isinstance(value, dict):
        return tensors(list(value.values()))
    return [one for part in value for one in tensors(part)] if isinstance(value, (list, tuple)) else []


def results(network: Any, given: list[T]) -> tuple[Any, list[T]]:
    """What a network gives; and all of its tensors and gradients."""
    network.zero_grad(set_to_none=True)
    torch.manual_seed(5)
    first = given[0].clone().requires_grad_()
    found = network(first, *given[1:])
    torch.stack([one.sin().sum() for one in tensors(found)]).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert first.grad is not None
    return found, [*tensors(found), first.grad, *gradients]


def shown(value: Any) -> Any:
    """The types of a result's parts."""
    if isinstance(value, dict):
        return {key: shown(one) for key, one in value.items()}
    return (type(value), [shown(one) for one in value]) if isinstance(value, (list, tuple)) else type(value)


@pytest.mark.parametrize("name", SAME)
def test_other_words_for_a_chain_are_fused(name: str) -> None:
    forward, give = SAME[name]
    network = made(forward)
    given = give()
    before = [one.clone() for one in given]
    wanted, plain = results(made(forward, lambda f: f), given)
    with ops.device_forms(tpu=True):
        found, ours = results(network, given)
    (said,) = ops.fusions(network)
    kernels = {"gated": "gated", "feat": "features", "fed_": "feed_forward"}
    assert said.kernel == next((kernel for part, kernel in kernels.items() if part in name), "residual"), said
    assert shown(found) == shown(wanted) and len(ours) == len(plain)
    for one, other in zip(ours, plain, strict=True):
        assert decibels(one, other) > 90
    assert all(map(torch.equal, given, before))


# What only looks like a chain.


def another_slope(self: Any, x: T) -> T:
    for first, second in zip(self.wide, self.near, strict=True):
        x = x + second(F.leaky_relu(first(F.leaky_relu(x, SLOPE)), 0.2))
    return x


def into_what_it_is_given(self: Any, x: T) -> T:
    x += step(self, x, 0)
    return x + step(self, x, 1)


def bent_in_place(self: Any, x: T) -> T:
    for first, second in zip(self.wide, self.near, strict=True):
        x = x + second(self.bend_in_place(first(self.bend_in_place(x))))
    return x


def written_to_while_in_use(self: Any, x: T) -> T:
    for first, second in zip(self.wide, self.near, strict=True):
        h = first(F.leaky_relu(x, SLOPE))
        g = second(F.leaky_relu(h, SLOPE))
        h.mul_(2)
        x = x + g + 0 * h
    return x


def scaled(self: Any, x: T) -> T:
    for i in range(2):
        x = x + 0.5 * step(self, x, i)
    return x


def added_with_alpha(self: Any, x: T) -> T:
    for i in range(2):
        x = torch.add(x, step(self, x, i), alpha=2)
    return x


def subtracted(self: Any, x: T) -> T:
    for i in range(2):
        x = x - step(self, x, i)
    return x


def from_the_bent(self: Any, x: T) -> T:
    for first, second in zip(self.wide, self.near, strict=True):
        h = F.leaky_relu(x, SLOPE)
        x = h + second(F.leaky_relu(first(h), SLOPE))
    return x


def a_value_inside_is_wanted(self: Any, x: T) -> Any:
    h = step(self, x, 0)
    y = h + x
    return y + step(self, y, 1), h


def dropped(self: Any, x: T) -> T:
    for i in range(2):
        x = x + self.drop(step(self, x, i))
    return x


def without_gradients(self: Any, x: T) -> T:
    with torch.no_grad():
        h = step(self, x, 0)
    y = x + h
    return y + step(self, y, 1)


def in_another_precision(self: Any, x: T) -> T:
    with torch.autocast("cpu", torch.bfloat16):
        h = step(self, x, 0)
    y = x + h.float()
    return y + step(self, y, 1)


def a_value_inside_is_stored(self: Any, x: T) -> T:
    h = step(self, x, 0)
    self.last = h
    y = h + x
    return y + step(self, y, 1)


def counted(self: Any, x: T) -> T:
    self.seen.append(len(self.seen))
    return the_other_way_round(self, x)


def drawn(self: Any, x: T) -> T:
    return the_other_way_round(self, x + torch.randn(1))


def drawn_by_python(self: Any, x: T) -> T:
    return the_other_way_round(self, x) if random.random() < 2 else x


def by_its_values(self: Any, x: T) -> T:
    return the_other_way_round(self, x) if x.sum() > -1e9 else x


def with_a_tensor_that_is_computed(self: Any, x: T) -> T:
    y: T = the_other_way_round(self, x) + self.near[0].weight[:1, :1, :1]
    return y


def gates_the_other_way_round(self: Any, x: T) -> T:
    total = torch.zeros_like(x)
    for i in range(2):
        first, second = self.gates[i](x).chunk(2, 1)
        h = self.passes[i](torch.sigmoid(first) * torch.tanh(second))
        x = x + h[:, :WIDTH] if i < 1 else x
        total = total + h[:, -WIDTH:]
    return total


def the_same_half_twice(self: Any, x: T) -> T:
    total = torch.zeros_like(x)
    for i in range(2):
        first, second = self.gates[i](x).chunk(2, 1)
        h = self.passes[i](torch.tanh(first) * torch.sigmoid(second))
        x = x + h[:, -WIDTH:] if i < 1 else x
        total = total + h[:, -WIDTH:]
    return total


def one_part_for_all(self: Any, x: T) -> T:
    total, part = torch.zeros_like(x), self.tell(x[:, :4, :1])[:, : 2 * WIDTH]
    for i in range(2):
        first, second = (self.gates[i](x) + part).chunk(2, 1)
        h = self.passes[i](torch.tanh(first) * torch.sigmoid(second))
        x = x + h[:, :WIDTH] if i < 1 else x
        total = total + h[:, -WIDTH:]
    return total


def kept_before_they_are_bent(self: Any, x: T) -> Any:
    found = []
    for layer in self.wide:
        h = layer(x)
        found.append(h)
        x = F.leaky_relu(h, SLOPE)
    return found, x


def bent_twice(self: Any, x: T) -> Any:
    found = []
    for layer in self.wide:
        x = self.bend(self.bend(layer(x)))
        found.append(x)
    return found


def another_activation(self: Any, x: T) -> T:
    h = F.gelu(self.wide[0](x))
    y: T = self.near[0](h)
    return y


def dropped_after_the_mask(self: Any, x: T) -> T:
    h = F.relu(self.wide[0](x)) * x[:1, :1]
    y: T = self.near[0](self.drop(h))
    return y


OTHER: dict[str, tuple[Forward, str]] = {
    "another_slope": (another_slope, "leaky_relu (test_fused.py:"),
    "into_what_it_is_given": (into_what_it_is_given, "writes to a tensor that is read elsewhere: iadd (test_fused.py:"),
    "bent_in_place": (bent_in_place, "writes to a tensor that is read elsewhere: bend_in_place"),
    "written_to_while_in_use": (written_to_while_in_use, "writes to a tensor that is read elsewhere: mul_"),
    "scaled": (scaled, "no residual chain from mul (test_fused.py:"),
    "added_with_alpha": (added_with_alpha, "no residual chain from add (test_fused.py:"),
    "subtracted": (subtracted, "no residual chain from sub (test_fused.py:"),
    "from_the_bent": (from_the_bent, "no residual chain from add (test_fused.py:"),
    "a_value_inside_is_wanted": (
        a_value_inside_is_wanted,
        "reads a value inside a residual chain: near.0 (test_fused.py:",
    ),
    "a_value_inside_is_stored": (a_value_inside_is_stored, "reads a value inside a residual chain: near.0 "),
    "dropped": (dropped, "no residual chain from drop (test_fused.py:"),
    "without_gradients": (without_gradients, "computes _set_grad_enabled of nothing"),
    "in_another_precision": (in_another_precision, "a mode of autocast or gradients of its own"),
    "counted": (counted, "stores something in seen"),
    "drawn": (drawn, "computes randn of nothing that it is given"),
    "drawn_by_python": (drawn_by_python, "draws a random number"),
    "with_a_tensor_that_is_computed": (with_a_tensor_that_is_computed, "computes __getitem__ of nothing"),
    "gates_the_other_way_round": (gates_the_other_way_round, "no gated chain from sigmoid (test_fused.py:"),
    "the_same_half_twice": (the_same_half_twice, "no gated chain from add (test_fused.py:"),
    "one_part_for_all": (one_part_for_all, " chain from "),
    "kept_before_they_are_bent": (kept_before_they_are_bent, "reads a value inside a features chain: wide.1 "),
    "bent_twice": (bent_twice, "no features chain from bend (test_fused.py:"),
    "another_activation": (another_activation, "chain from gelu (test_fused.py:"),
    "dropped_after_the_mask": (dropped_after_the_mask, "no feed_forward chain from "),
    "by_its_values": (by_its_values, "torch.fx cannot trace it"),
}


@pytest.mark.parametrize("name", OTHER)
def test_what_only_looks_like_a_chain_runs_as_it_is(name: str) -> None:
    forward, reason = OTHER[name]
    network, plain = made(forward), made(forward, lambda f: f)
    states = []
    for one, tpu in ((plain, False), (network, True)):
        torch.manual_seed(3)
        random.seed(3)
        given = signal()
        with ops.device_forms(tpu=tpu), torch.no_grad():
            found = one(given)
        states.append([*tensors(found), given, torch.get_rng_state(), torch.tensor(one.seen)])
        states[-1].append(torch.tensor(random.random()))
    (said,) = ops.fusions(network)
    assert not said.kernel and reason in said.reason
    assert all(map(torch.equal, *states))


@pytest.mark.parametrize("kind", ["a mask", "a hook", "a hook inside", "another type", "too small"])
def test_reasons_of_a_call(kind: str) -> None:
    network, x, more = made(as_upstream), signal(), []
    if kind == "a mask":
        more = [mask()]
    elif kind == "a hook":
        network.near[1].register_forward_hook(lambda *_: None)
    elif kind == "a hook inside":
        network.idle.register_forward_hook(lambda *_: None)
    elif kind == "another type":
        network, x = network.double(), x.double()
    elif kind == "too small":
        x = x[:, :, :12]
    with ops.device_forms(tpu=True):
        network(x, *more)
    (said,) = ops.fusions(network)
    wanted = {"a mask": "from mul", "a hook": "hooks", "a hook inside": "a hook is set on Dropout"}
    assert not said.kernel and wanted.get(kind, "") in said.reason


def test_a_slope_that_is_a_tensor_is_none_that_is_known() -> None:
    def forward(self: Any, x: T, slope: Any) -> T:
        for first, second in zip(self.wide, self.near, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, slope)), slope))
        return x

    network, given = made(forward), (signal(), torch.tensor(0.1))
    with ops.device_forms(tpu=True):
        found = network(*given)
    assert decibels(found, made(forward, lambda f: f)(*given)) > 120
    assert "of no known form: TypeError" in ops.fusions(network)[0].reason


def test_calls_are_traced_once_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    original = fuse._match

    def noted(*given: Any) -> Any:
        traced.append(given)
        return original(*given)

    monkeypatch.setattr(fuse, "_match", noted)
    network = made(with_idle_dropout)
    with ops.device_forms(tpu=True):
        for _ in range(3):
            network(signal())
        network(signal()[:, :, :8])  # a graph of no certain shape
        assert len(traced) == 1
        network.idle.p = 0.5
        network(signal())
        assert len(traced) == 2 and len(ops.fusions(network)) == 2
        network.eval()(signal())
        assert len(traced) == 3
        network.near[1] = copy.deepcopy(network.near[1])
        network(signal())
        assert len(traced) == 4


def test_graphs_of_certain_shapes_are_traced_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    network, wanted = made(features), made(features, lambda f: f)
    with ops.device_forms(tpu=True), torch.no_grad():
        for time in (16, 15, 16, 24):
            x = signal()[:, :, :1].expand(-1, -1, time).contiguous()
            assert decibels(network(x)[0], wanted(x)[0]) > 90
    assert [one.kernel for one in ops.fusions(network)] == ["features"]


def test_a_mode_within_is_none_of_its_own_where_it_is_so_anyway() -> None:
    def forward(self: Any, x: T) -> T:
        with torch.autocast("cpu", enabled=False):
            return the_other_way_round(self, x)

    network, plain = made(forward), made(forward, lambda f: f)
    with ops.device_forms(tpu=True), torch.no_grad():
        network(signal())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = network(signal())
        assert torch.equal(found, plain(signal()))
    assert [bool(one.kernel) for one in ops.fusions(network)] == [True, False]


def test_a_constant_of_its_file_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    network = made(as_upstream)
    with ops.device_forms(tpu=True):
        network(signal())
        monkeypatch.setitem(globals(), "SLOPE", 0.3)
        found = network(signal())
    assert decibels(found, made(as_upstream, lambda f: f)(signal())) > 90


def test_a_module_stays_what_it_was() -> None:
    network: Any = Pickled()
    before = {name for name, _ in network.named_modules()}, list(network.state_dict()), set(vars(network))
    with ops.device_forms(tpu=True):
        network(signal())
        again = pickle.loads(pickle.dumps(network))
        assert torch.equal(again(signal()), network(signal()))
    assert before == ({name for name, _ in network.named_modules()}, list(network.state_dict()), set(vars(network)))
    assert str(ops.fusions(nn.ModuleList([again]))[0]) == "0: fused by the kernel residual"
    assert ops.fusions(Pickled())[0].reason == "it was not called on a TPU"


class Pickled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 1) for _ in range(2))

    @ops.fused
    def forward(self, x: T) -> T:
        for layer in self.layers:
            x = x + layer(F.leaky_relu(x))
        return x


def test_other_threads_may_call_modules_meanwhile() -> None:
    other, stop, failed = nn.Linear(2, 2), threading.Event(), []

    def call() -> None:
        while not stop.is_set():
            try:
                other(torch.zeros(1, 2))
            except Exception as error:
                failed.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        for _ in range(5):
            with ops.device_forms(tpu=True):
                made(as_upstream)(signal())
    finally:
        stop.set()
        thread.join()
    assert not failed


def test_a_compiler_sees_the_forward_itself() -> None:
    network = made(as_upstream)
    with ops.device_forms(tpu=True):
        said = torch._dynamo.explain(network)(signal())
    assert said.graph_break_count == 0 and ops.fusions(network)[0].reason == "it was not called on a TPU"
