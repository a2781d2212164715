"""Decoding with fixed shapes gives the tokens of a decoder that reads everything again for each."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from porter.runtime import utils
from porter.runtime.decoding import Decoded, Network, Options, Row, decode, driver, sampling, steps, stream
from porter.runtime.decoding import network as network_module
from porter.runtime.decoding.network import Product
from porter.runtime.decoding.slots import State
from porter.runtime.ops import forms

from .speaker import Speaker, a_row, drawn, speak

MOST = 40


@pytest.fixture
def model() -> Speaker:
    torch.manual_seed(3)
    found = Speaker()
    with torch.no_grad():
        found.ar_predict_layer.weight.mul_(2)
    return found


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def together(model: Any, rows: list[Row], options: Options, noises: list[Tensor], most: int = MOST) -> list[Decoded]:
    network = Network.of(model)
    return decode(
        network, rows, options, most=most, noise=lambda i, shape: torch.stack([n[i] for n in noises]).to(network.device)
    )


ROWS = [a_row(1, 9, 5), a_row(2, 3, 5), a_row(3, 14, 0), a_row(4, 6, 8)]
OPTIONS = [
    Options(top_k=1),
    Options(top_k=1, repetition_penalty=1.0),
    Options(top_k=5),
    Options(top_k=100, top_p=0.8, temperature=0.7),
    Options(top_k=4, top_p=0.95, temperature=1.4, repetition_penalty=2.0),
    Options(top_k=13, top_p=0.01),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_each_row_gives_the_tokens_of_a_decoder_without_caches(model: Speaker, options: Options) -> None:
    noises = [drawn(10 + i) for i in range(len(ROWS))]
    wanted = [
        speak(model, row, options, MOST, lambda i, n=noise: n[i])  # type: ignore[misc]
        for row, noise in zip(ROWS, noises, strict=True)
    ]
    alone = [together(model, [row], options, [noise])[0] for row, noise in zip(ROWS, noises, strict=True)]
    for found in (together(model, ROWS, options, noises), alone):
        assert [(d.tokens.tolist(), d.ended) for d in found] == wanted


def test_rows_end_in_steps_of_their_own(model: Speaker) -> None:
    noises = [drawn(i) for i in range(4)]
    found = together(model, ROWS, Options(top_k=13, temperature=3.0, repetition_penalty=1.0), noises, most=150)
    assert all(row.ended for row in found)
    assert len({len(row.tokens) for row in found}) > 1
    assert min(len(row.tokens) for row in found) >= Options().forced


def test_a_limit_stops_what_does_not_end(model: Speaker) -> None:
    model.ar_predict_layer.weight[model.EOS] = 0
    model.ar_predict_layer.weight[0] = -9.0
    (found,) = together(model, ROWS[:1], Options(top_k=1, repetition_penalty=1.0), [drawn(1)], most=37)
    assert (len(found.tokens), found.ended) == (37, False)


def test_a_state_that_is_full_grows(model: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [row.tokens.tolist() for row in together(model, ROWS, Options(top_k=3), [drawn(i) for i in range(4)])]
    monkeypatch.setattr(driver, "room", lambda slots: slots + 6)
    found = together(model, ROWS, Options(top_k=3), [drawn(i) for i in range(4)])
    assert [row.tokens.tolist() for row in found] == wanted


def spoiled(state: State, filled: int) -> None:
    """Put rubbish into every slot that holds nothing."""
    for cache in (*state.keys, *state.values):
        cache.masked_fill_(~state.valid.repeat_interleave(len(cache) // len(state.valid), 0)[:, None], 1e4)
    state.tokens[:, filled:] = 7


def test_rubbish_in_empty_slots_changes_nothing(model: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    noises = [drawn(i) for i in range(4)]
    wanted = [row.tokens.tolist() for row in together(model, ROWS, Options(top_k=3), noises)]
    plain = steps.prefill

    def prefill(network: Network, prompt: Any, slots: int) -> State:
        state = plain(network, prompt, slots)
        spoiled(state, prompt.slots)
        return state

    monkeypatch.setattr(steps, "prefill", prefill)
    assert [row.tokens.tolist() for row in together(model, ROWS, Options(top_k=3), noises)] == wanted


def _without_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "visible", lambda valid, dtype: torch.zeros(valid.shape, dtype=dtype))


def _position_off_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = steps.prefill

    def prefill(network: Network, prompt: Any, slots: int) -> State:
        state = plain(network, prompt, slots)
        state.position += 1
        return state

    monkeypatch.setattr(steps, "prefill", prefill)


def _likeliest_before_the_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sampling.sample

    def sample(logits: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        return plain(logits, *others)[0], logits.argmax(-1)

    monkeypatch.setattr(steps, "sample", sample)


def _end_one_step_late(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = sampling.sample

    def sample(logits: Tensor, seen: Tensor, noise: Tensor, may_end: Tensor, drawing: Any) -> tuple[Tensor, Tensor]:
        return plain(logits, seen, noise, may_end & (noise[0, 0] != late[0, 11, 0]), drawing)

    late = torch.stack([drawn(30)])
    monkeypatch.setattr(steps, "sample", sample)


def _penalty_not_of_new_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = steps.step

    def step(network: Network, state: State, noise: Tensor, drawing: Any) -> None:
        seen = state.seen.clone()
        plain(network, state, noise, drawing)
        state.seen = seen

    monkeypatch.setattr(steps, "step", step)


@pytest.mark.parametrize(
    "fault",
    [
        _without_mask,
        _position_off_by_one,
        _likeliest_before_the_penalty,
        _end_one_step_late,
        _penalty_not_of_new_tokens,
    ],
)
def test_a_fault_gives_other_tokens(model: Speaker, monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    """What the comparisons above are worth: each of these faults is seen by one of them."""
    rows = [a_row(20 + i, 4 + i % 9, 4) for i in range(48)]
    noises = [drawn(30 + i) for i in range(48)]
    options = Options(top_k=13, temperature=2.0, repetition_penalty=1.6)
    wanted = [row.tokens.tolist() for row in together(model, rows, options, noises)]
    fault(monkeypatch)
    assert [row.tokens.tolist() for row in together(model, rows, options, noises)] != wanted


def test_a_stream_gives_more_and_more_of_the_same(model: Speaker) -> None:
    options, noise = Options(top_k=5), drawn(1)
    (wanted,) = together(model, ROWS[:1], options, [noise])
    network = Network.of(model)
    found = list(stream(network, ROWS[0], options, most=MOST, every=7, noise=lambda i, shape: noise[i][None]))
    assert found[-1][0].tolist() == wanted.tokens.tolist()
    assert [last for _, last in found] == [False] * (len(found) - 1) + [True]
    for tokens, _ in found:
        assert tokens.tolist() == wanted.tokens[: len(tokens)].tolist()


def test_what_cannot_be_drawn_with_is_refused(model: Speaker) -> None:
    network = Network.of(model)
    with pytest.raises(ValueError, match="top_k is at least 1, not 0"):
        decode(network, ROWS[:1], Options(top_k=0))
    with pytest.raises(ValueError, match="repetition_penalty is above 0, not -1"):
        decode(network, ROWS[:1], Options(repetition_penalty=-1))
    with pytest.raises(ValueError, match="a row holds no phonemes"):
        decode(network, [a_row(1, 0, 3)])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (a_row(1, 9, 5)._replace(phonemes=torch.tensor([3] * 8 + [20])), "phoneme 20 is none of the 20"),
        (a_row(1, 9, 5)._replace(prompt=torch.tensor([1, -1, 2])), "code -1 is none of the 13"),
    ],
)
def test_what_has_no_embedding_is_refused(model: Speaker, row: Row, words: str) -> None:
    with pytest.raises(IndexError, match=words):
        decode(Network.of(model), [ROWS[0], row], Options(), most=2)


@pytest.mark.parametrize("tpu", [False, True])
def test_weights_lie_as_a_device_multiplies_them(monkeypatch: pytest.MonkeyPatch, tpu: bool) -> None:
    plain = Product(torch.randn(5, 3), torch.randn(5))
    monkeypatch.setattr(utils, "constant", lambda tensor, device: tensor.contiguous())
    monkeypatch.setattr(forms, "wants_tpu_form", lambda *tensors: tpu)
    monkeypatch.setattr(network_module, "_kind", lambda device: "xla")
    sent = plain.sent("cpu")
    assert sent.turned is not tpu and sent.weight.shape == ((5, 3) if tpu else (3, 5))
    given = torch.randn(2, 3)
    assert torch.allclose(sent(given), plain(given))
    assert torch.equal(sent.sent("cpu").weight, sent.weight)


def test_noise_comes_from_the_seeded_generator(model: Speaker) -> None:
    network = Network.of(model)
    found = []
    for seed in (1, 1, 2):
        utils.manual_seed(seed)
        found.append(decode(network, ROWS[:1], Options(top_k=13, temperature=2.0), most=30)[0].tokens.tolist())
    assert found[0] == found[1] != found[2]
