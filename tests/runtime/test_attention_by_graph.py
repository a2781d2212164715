"""Attentions told by what they compute: other words for the same, what only looks the same, and random ones."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from porter.runtime import ops
from porter.runtime.ops.fused import attention

from .graphs import decibels

HEADS, WIDTH, TIME, WINDOW = 2, 4, 9, 2
T = torch.Tensor
Forward = Callable[..., Any]


class Layers(nn.Module):
    """What the forwards below are made of."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.o = (nn.Conv1d(8, HEADS * WIDTH, 1) for _ in range(4))
        self.all = nn.Linear(8, 3 * HEADS * WIDTH)
        self.near_keys, self.near_values = (nn.Parameter(torch.randn(1, 2 * WINDOW + 1, WIDTH)) for _ in range(2))
        self.temperature = nn.Parameter(torch.tensor(0.7))
        self.drop, self.idle, self.weigh = nn.Dropout(0.4), nn.Dropout(0.0), nn.Softmax(dim=-1)
        self.last: Any = None

    def heads(self, x: T) -> T:
        return x.view(x.size(0), HEADS, WIDTH, x.size(2)).transpose(2, 3)

    def three(self, x: T) -> list[T]:
        return [self.heads(layer(x)) for layer in (self.q, self.k, self.v)]

    def joined(self, x: T) -> T:
        y: T = self.o(x.transpose(2, 3).contiguous().view(x.size(0), HEADS * WIDTH, -1))
        return y

    def offsets(self, table: T, length: int) -> T:
        more, start = max(length - WINDOW - 1, 0), max(WINDOW + 1 - length, 0)
        return F.pad(table, [0, 0, more, more, 0, 0])[:, start : start + 2 * length - 1]

    def columns(self, x: T) -> T:
        b, h, n, _ = x.size()
        x = F.pad(x, (0, 1)).view(b, h, n * 2 * n)
        return F.pad(x, (0, n - 1)).view(b, h, n + 1, 2 * n - 1)[:, :, :n, n - 1 :]

    def rows(self, x: T) -> T:
        b, h, n, _ = x.size()
        x = F.pad(x, (0, n - 1)).view(b, h, n**2 + n * (n - 1))
        return F.pad(x, (n, 0)).view(b, h, n, 2 * n)[:, :, :, 1:]


def given() -> tuple[T, T]:
    """A signal [2, 8, TIME], and where it ends [2, 1, TIME, TIME]."""
    ends = (torch.arange(TIME) < torch.tensor([[[TIME]], [[TIME - 3]]])).float()
    noise = torch.Generator().manual_seed(1)
    return torch.randn(2, 8, TIME, generator=noise), ends.unsqueeze(2) * ends.unsqueeze(-1)


def made(forward: Forward, mark: Forward = ops.fused) -> Any:
    """A module with that forward."""
    kind: Any = type("Made", (Layers,), {"forward": mark(forward)})
    return kind()


# The same in other words.


def as_upstream(self: Any, x: T, mask: T | None = None) -> T:
    q, k, v = self.three(x)
    scores = torch.matmul(q / math.sqrt(WIDTH), k.transpose(-2, -1))
    near = torch.matmul(q / math.sqrt(WIDTH), self.offsets(self.near_keys, x.size(2)).unsqueeze(0).transpose(-2, -1))
    scores = scores + self.columns(near)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e4)
    weights = self.drop(F.softmax(scores, dim=-1))
    sums = torch.matmul(weights, v)
    sums = sums + torch.matmul(self.rows(weights), self.offsets(self.near_values, x.size(2)).unsqueeze(0))
    self.last = weights
    return self.joined(sums)  # type: ignore[no-any-return]


def scaled_later(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined(self.drop(torch.softmax((q @ k.mT * 0.5).masked_fill(mask == 0, -1e4), -1)) @ v)  # type: ignore[no-any-return]


def keys_that_are_scaled(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    scores = q.matmul(k.permute(0, 1, 3, 2) * WIDTH**-0.5).masked_fill(mask == 0, value=-1e4)
    return self.joined(scores.softmax(dim=3).matmul(v))  # type: ignore[no-any-return]


def by_einsum(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    scores = torch.einsum("bhtd,bhsd->bhts", q, k) / 2.0
    weights = F.dropout(torch.softmax(scores.masked_fill(mask < 1, -1e4), dim=-1), 0.3, self.training)
    return self.joined(torch.einsum("bhts,bhsd->bhtd", weights, v))  # type: ignore[no-any-return]


def by_a_choice(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    scores = torch.where(mask > 0, torch.matmul(q, other=k.transpose(2, 3)), -1e4)
    return self.joined(torch.matmul(input=self.weigh(scores), other=v))  # type: ignore[no-any-return]


def by_the_other_choice(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    scores = torch.where(~(mask > 0), -1e4, q @ k.swapaxes(-1, -2))
    return self.joined(self.idle(self.weigh(scores)) @ v)  # type: ignore[no-any-return]


def in_place(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    scores = q @ k.mT
    scores *= 0.5
    scores.masked_fill_(mask == 0, -1e4)
    weights = scores.softmax(-1)
    sums = weights @ v
    sums += self.rows(weights) @ self.offsets(self.near_values, TIME)
    return self.joined(sums)  # type: ignore[no-any-return]


def heads_in_the_batch(self: Any, x: T, mask: T) -> Any:
    q, k, v = (part.flatten(0, 1) for part in self.three(x))
    scores = torch.bmm(q, k.transpose(1, 2)).div(2)
    weights = nn.Softmax(2)(scores.masked_fill((mask == 0).expand(-1, HEADS, -1, -1).flatten(0, 1), -math.inf))
    sums = torch.bmm(self.drop(weights), v)
    return self.joined(sums.view(-1, HEADS, TIME, WIDTH)), weights


def another_skew(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    n = x.shape[-1]
    table = F.pad(self.near_keys, (0, 0, n - WINDOW - 1, n - WINDOW - 1))
    near = F.pad(q @ table.expand(HEADS, -1, -1).mT, (0, 1)).flatten(2)
    near = near[..., n - 1 : n - 1 + n * (2 * n - 1)].reshape(len(x), HEADS, n, 2 * n - 1)[..., :n]
    return self.joined(((near + q @ k.mT) * 0.5).masked_fill(mask == 0, -1e4).softmax(-1) @ v)  # type: ignore[no-any-return]


def from_one_layer(self: Any, x: T, mask: T) -> T:
    three = self.all(x.transpose(1, 2)).reshape(len(x), -1, 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4)
    q, k, v = (three[i] for i in range(3))
    hidden = mask == 0
    weights = torch.softmax((q * 0.5 @ k.transpose(-1, -2)).masked_fill(hidden, -1e4).masked_fill(hidden.mT, -1e4), -1)
    y: T = (weights @ v).transpose(1, 2).flatten(2)
    return y


def of_copies(self: Any, x: T, mask: T) -> T:
    q, k, v = (part[:1].expand(2, -1, -1, -1) for part in self.three(x))
    return self.joined(torch.softmax(q @ k.mT, -1) @ v) * x.mean((1, 2), keepdim=True)  # type: ignore[no-any-return]


def across(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined(torch.softmax(q[:, :, 2:6] @ k[:, :, :5].mT, -1) @ v[:, :, :5])  # type: ignore[no-any-return]


def near_values_alone(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    weights = torch.softmax(q @ k.mT, -1)
    return self.joined(self.rows(weights) @ self.offsets(self.near_values, TIME) + weights @ v)  # type: ignore[no-any-return]


def near_weights_before_they_are_dropped(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    weights = torch.softmax(q @ k.mT, -1)
    return self.joined(self.drop(weights) @ v + self.rows(weights) @ self.offsets(self.near_values, TIME))  # type: ignore[no-any-return]


SAME = {
    forward.__name__: forward
    for forward in (
        *(as_upstream, scaled_later, keys_that_are_scaled, by_einsum, by_a_choice, by_the_other_choice, in_place),
        *(heads_in_the_batch, another_skew, from_one_layer, across, near_values_alone),
        near_weights_before_they_are_dropped,
    )
}


# What only looks the same.


def over_the_queries(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined(torch.softmax(q @ k.mT, -2) @ v)  # type: ignore[no-any-return]


def masked_behind(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined(torch.softmax(q @ k.mT, -1).masked_fill(mask == 0, 0.0) @ v)  # type: ignore[no-any-return]


def with_an_added_mask(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined(torch.softmax(q @ k.mT + (mask - 1) * 1e4, -1) @ v)  # type: ignore[no-any-return]


def one_further(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    near = q @ self.offsets(self.near_keys, TIME + 1)[:, 2:].mT
    return self.joined(torch.softmax(q @ k.mT + self.columns(near), -1) @ v)  # type: ignore[no-any-return]


def near_other_queries(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    near = self.columns(k @ self.offsets(self.near_keys, TIME).mT)
    return self.joined(torch.softmax(q @ k.mT + near, -1) @ v)  # type: ignore[no-any-return]


def scores_are_given(self: Any, x: T, mask: T) -> Any:
    q, k, v = self.three(x)
    scores = q @ k.mT
    return self.joined(torch.softmax(scores, -1) @ v), scores


def scores_are_kept(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    self.last = q @ k.mT
    return self.joined(torch.softmax(self.last, -1) @ v)  # type: ignore[no-any-return]


def of_another_dtype(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined(torch.softmax(q @ k.mT, -1, dtype=torch.float64).float() @ v)  # type: ignore[no-any-return]


def dropped_before(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined(torch.softmax(self.drop(q @ k.mT), -1) @ v)  # type: ignore[no-any-return]


def filled_with_two_numbers(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    scores = (q @ k.mT).masked_fill(mask == 0, -1e4).masked_fill(mask.mT == 0, -5.0)
    return self.joined(torch.softmax(scores, -1) @ v)  # type: ignore[no-any-return]


def written_to_while_in_use(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    scores = q @ k.mT
    weights = torch.softmax(scores, -1)
    scores.mul_(2)
    return self.joined(weights @ v + scores.sum())  # type: ignore[no-any-return]


def stored_before_it_is_written_to(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    scores = q @ k.mT
    self.last = scores.view(-1)
    scores.mul_(2)
    return self.joined(torch.softmax(scores, -1) @ v)  # type: ignore[no-any-return]


def with_a_temperature(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined(torch.softmax(q @ k.mT * self.temperature, -1) @ v)  # type: ignore[no-any-return]


def with_a_mask_of_its_own(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined(torch.softmax(q @ k.mT + torch.ones(TIME, TIME).tril(), -1) @ v)  # type: ignore[no-any-return]


def weights_from_the_right(self: Any, x: T, mask: T) -> T:
    q, k, v = self.three(x)
    return self.joined((v.mT @ torch.softmax(q @ k.mT, -1)).mT)  # type: ignore[no-any-return]


OTHER: dict[str, tuple[Forward, str]] = {
    "over_the_queries": (over_the_queries, "no attention from softmax (test_attention_by_graph.py:"),
    "masked_behind": (masked_behind, "no attention from masked_fill (test_attention_by_graph.py:"),
    "with_an_added_mask": (with_an_added_mask, "no attention from mul (test_attention_by_graph.py:"),
    "one_further": (one_further, "no attention from "),
    "near_other_queries": (near_other_queries, "no attention from "),
    "scores_are_given": (scores_are_given, "reads a value inside an attention: matmul (test_attention_by_graph.py:"),
    "scores_are_kept": (scores_are_kept, "reads a value inside an attention: matmul (test_attention_by_graph.py:"),
    "of_another_dtype": (of_another_dtype, "no attention from softmax (test_attention_by_graph.py:"),
    "dropped_before": (dropped_before, "no attention from drop (test_attention_by_graph.py:"),
    "filled_with_two_numbers": (filled_with_two_numbers, "no attention from masked_fill (test_attention_by_graph.py:"),
    "written_to_while_in_use": (written_to_while_in_use, "writes to a tensor that is read elsewhere: mul_"),
    "stored_before_it_is_written_to": (
        stored_before_it_is_written_to,
        "writes to a tensor that is read elsewhere: mul_",
    ),
    "with_a_temperature": (with_a_temperature, "no attention from mul (test_attention_by_graph.py:"),
    "with_a_mask_of_its_own": (with_a_mask_of_its_own, "computes ones of nothing that it is given"),
    "weights_from_the_right": (weights_from_the_right, "no attention from matmul (test_attention_by_graph.py:"),
}


def tensors(value: Any) -> list[T]:
    return [value] if isinstance(value, T) else [one for part in value for one in tensors(part)]


def results(network: Any, x: T, *more: T) -> list[T]:
    """All tensors that a network gives and stores, its gradients, and a number drawn behind it."""
    torch.manual_seed(5)
    leaf = x.clone().requires_grad_()
    found = tensors(network(leaf * 1, *more))
    if network.last is not None:
        found.append(network.last + 0)
    torch.stack([one.sin().sum() for one in found]).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in (leaf, *network.parameters()) if p.grad is not None]
    return [one.detach() for one in (*found, *gradients, torch.rand(3))]


@pytest.fixture(autouse=True)
def in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a kernel would run the reference does, so that neither a device nor jax is needed."""
    monkeypatch.setattr(attention, "run", lambda reference, *given: list(reference(*given)))


def alike(ours: list[T], plain: list[T]) -> bool:
    """Whether all are the same, but for rounding; the gradient of a key's bias is zero, and rounding alone."""
    pairs = list(zip(ours, plain, strict=True))
    return all(decibels(one, other) > 100 or max(one.abs().max(), other.abs().max()) < 1e-5 for one, other in pairs)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", SAME)
def test_other_words_for_an_attention_are_fused(name: str, batch: int) -> None:
    network, plain = made(SAME[name]), made(SAME[name], lambda f: f)
    x, mask = (one[:batch] for one in given())
    wanted = results(plain, x, mask)
    with ops.device_forms(tpu=True):
        found = results(network, x, mask)
    (said,) = ops.fusions(network)
    assert said.kernel == "attention", said
    assert alike(found, wanted)


@pytest.mark.parametrize("name", OTHER)
def test_what_only_looks_like_an_attention_runs_as_it_is(name: str) -> None:
    forward, reason = OTHER[name]
    network, plain = made(forward), made(forward, lambda f: f)
    with torch.no_grad():
        x, mask = given()
        torch.manual_seed(5)
        wanted = [*tensors(plain(x.clone(), mask)), torch.rand(3)]
        torch.manual_seed(5)
        with ops.device_forms(tpu=True):
            found = [*tensors(network(x.clone(), mask)), torch.rand(3)]
    (said,) = ops.fusions(network)
    assert not said.kernel and reason in said.reason, said
    assert all(map(torch.equal, found, wanted))


@pytest.mark.parametrize("time", [1, 2, 3, 4, 7])
def test_windows_are_told_at_all_lengths(time: int) -> None:
    network, plain, x = made(as_upstream), made(as_upstream, lambda f: f), given()[0][:, :, :time]
    wanted = results(plain, x)
    with ops.device_forms(tpu=True):
        found = results(network, x)
    assert [one.kernel for one in ops.fusions(network)] == ["attention"]
    assert alike(found, wanted)


def test_copies_on_both_sides_of_a_product_are_as_many_as_they_were() -> None:
    network, plain = made(of_copies), made(of_copies, lambda f: f)
    wanted = results(plain, *given())
    with ops.device_forms(tpu=True):
        found = results(network, *given())
    assert alike(found, wanted)


def test_embeddings_may_be_replaced() -> None:
    network, x = made(as_upstream).eval(), given()[0]
    with ops.device_forms(tpu=True), torch.no_grad():
        before = network(x)
        network.near_keys = nn.Parameter(torch.zeros_like(network.near_keys))
        found = network(x)
    plain = made(as_upstream, lambda f: f).eval()
    plain.near_keys.data.zero_()
    assert decibels(found, plain(x).detach()) > 100 > decibels(found, before)


def test_a_hook_on_the_weights_keeps_kernels_away() -> None:
    network, seen = made(as_upstream), []
    network.drop.register_forward_hook(lambda *found: seen.append(found))
    with ops.device_forms(tpu=True):
        network(*given())
    assert len(seen) == 1 and ops.fusions(network)[0].reason == "a hook is set on Dropout"


def test_hooks_that_come_later_keep_kernels_away_too() -> None:
    network, seen = made(as_upstream), []
    with ops.device_forms(tpu=True):
        network(*given())
        own = network.drop.register_full_backward_hook(lambda *found: seen.append(found))
        network(given()[0].requires_grad_(), given()[1]).sum().backward()
        own.remove()
        every = torch.nn.modules.module.register_module_forward_hook(lambda *found: seen.append(found))
        try:
            network(*given())
        finally:
            every.remove()
    assert len(seen) == 7  # one way back, four convolutions, a dropout, and the module itself
    reasons = [one.reason for one in ops.fusions(network)]
    assert reasons == ["", "a hook is set on Dropout", "a hook is set on all modules"]


# Random ones.

_SCORES = ["q @ {k}", "torch.matmul(q, {k})", "q.matmul({k})", "torch.einsum('bhtd,bhsd->bhts', q, k)"]
_KEYS = ["k.mT", "k.transpose(2, 3)", "k.permute(0, 1, 3, 2)", "k.swapaxes(-1, -2).contiguous()"]
_SCALED = ["scores * 0.5", "0.5 * scores", "scores / 2", "scores.div(2.0)", "torch.mul(scores, 0.5)"]
_NEAR = ["self.columns(q @ self.offsets(self.near_keys, 9).mT)", "0"]
_NO_NEAR = ["self.columns(k @ self.offsets(self.near_keys, 9).mT)", "self.temperature", "scores.mT"]
_MASKED = [
    *("scores.masked_fill(hidden, -1e4)", "torch.where(hidden, -1e4, scores)", "scores.masked_fill_(hidden, -1e4)"),
    *("torch.where(~hidden, scores, -1e4)", "scores", "torch.masked_fill(scores, hidden, -1e4)"),
]
_OTHERWISE_MASKED = ["scores.masked_fill(hidden, -1e4).mT", "scores - hidden * 1.0", "scores.tril()"]
_SOFTMAX = ["torch.softmax(scores, -1)", "F.softmax(scores, dim=3)", "scores.softmax(-1)", "self.weigh(scores)"]
_OTHER_SOFTMAX = ["scores.softmax(2)", "torch.sigmoid(scores)", "scores.softmax(-1) * 2"]
_DROPPED = ["self.drop(w)", "self.idle(w)", "F.dropout(w, 0.2)", "w"]
_SUMS = ["w @ v", "torch.matmul(w, v)", "torch.einsum('bhts,bhsd->bhtd', w, v)"]
_OTHER_SUMS = ["w.mT @ v", "w @ v + w @ v.flip(2)", "self.idle(w) @ v.tanh() + w.sum()"]
_MORE = ["y", "y + self.rows(w) @ self.offsets(self.near_values, 9)"]
_OTHERWISE_MORE = [
    "y + self.rows(w.mT) @ self.offsets(self.near_values, 9)",
    "y + self.rows(w)[..., :4]",
    "y * w.sum()",
]


def random_forward(seed: int) -> str:
    """A forward that is an attention, or nearly."""
    draw = random.Random(seed)

    def pick(usual: list[str], other: list[str]) -> str:
        return draw.choice(other if other and draw.random() < 0.06 else usual)

    lines = [
        "q, k, v = self.three(x)",
        "hidden = mask == 0",
        f"scores = {pick(_SCORES, []).format(k=pick(_KEYS, []))}",
        *[f"scores = {pick(_SCALED, [])}", f"near = {pick(_NEAR, _NO_NEAR)}"][:: draw.choice((1, -1))],
        "scores = scores + near" if draw.random() < 0.5 else f"scores = scores\nnear = {pick(_SCALED, [])}",
        f"scores = {pick(_MASKED, _OTHERWISE_MASKED)}",
        f"w = {pick(_SOFTMAX, _OTHER_SOFTMAX)}",
        f"w = {pick(_DROPPED, [])}",
        f"y = {pick(_SUMS, _OTHER_SUMS)}",
        f"y = {pick(_MORE, _OTHERWISE_MORE)}",
        draw.choice(["", "self.last = w", "y = y * 2", "y = y + x.mean()"]),
        pick(["return y", "return self.joined(y)", "return y, w"], ["return y, scores"]),
    ]
    return "\n    ".join(["def forward(self, x, mask):", *"\n".join(lines).split("\n")])


def test_whatever_is_fused_computes_the_same() -> None:
    layers, fused, failed = Layers(), 0, 0
    for seed in range(80):
        text = random_forward(seed)
        found: dict[str, Any] = {}
        exec(text, {"torch": torch, "F": F}, found)
        networks = []
        for forward in (found["forward"], ops.fused(found["forward"])):
            network: Any = copy.deepcopy(layers)
            network.__class__ = type("Made", (Layers,), {"forward": forward})
            networks.append(network)
        try:
            wanted = results(networks[0], *given())
        except RuntimeError:  # it writes where a gradient needs the old value
            failed += 1
            continue
        with ops.device_forms(tpu=True):
            ours = results(networks[1], *given())
        (said,) = ops.fusions(networks[1])
        fused += said.kernel == "attention"
        assert alike(ours, wanted), f"{text}\n{said}"
    assert fused > 30 and fused + failed < 75, (fused, failed)
