"""Upstream's calls of its GPT, answered by the static decoder."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from porter.runtime.decoding import Network, Options, attach, decode

from .speaker import Speaker, a_row

ROWS = [a_row(1, 9, 5), a_row(2, 3, 5), a_row(3, 14, 5)]
GIVEN: dict[str, Any] = {"top_k": 1, "top_p": 1.0, "temperature": 1.0, "repetition_penalty": 1.2}


class Panelled(Speaker):
    """One whose loops let a sentence end after the first code, and answer nothing themselves."""

    def infer_panel_naive(self, *given: Any, **named: Any) -> Any:
        for idx in range(3):
            assert idx < 2

    infer_panel = infer_panel_naive_batched = infer_panel_batch_infer = infer_panel_naive


@pytest.fixture
def model() -> Iterator[Any]:
    torch.manual_seed(3)
    found = Panelled()
    attach(found, "cpu")
    with torch.no_grad():
        yield found


def several(prompts: bool = True) -> tuple[Any, ...]:
    texts, berts = [row.phonemes for row in ROWS], [row.bert for row in ROWS]
    prompt = torch.stack([row.prompt for row in ROWS]) if prompts else None
    return texts, torch.tensor([len(text) for text in texts]), prompt, berts


@pytest.mark.parametrize("limit", [4, 60])
def test_several_sentences(model: Any, limit: int) -> None:
    options = Options(1, 1.0, 1.0, 1.2, forced=2)
    found = decode(Network.of(model), ROWS, options, most=limit + 1)
    wanted = [row.prompt.tolist() + one.tokens.tolist() for row, one in zip(ROWS, found, strict=True)]
    last = [len(one.tokens) if one.ended else limit for one in found]
    codes, index = model.infer_panel_naive_batched(*several(), early_stop_num=limit, **GIVEN)
    assert ([row.tolist() for row in codes], index) == (wanted, last)
    codes, index = model.infer_panel_batch_infer(*several(), early_stop_num=limit, max_len=14, **GIVEN)
    dropped = [row if one.ended else row[:-1] for row, one in zip(wanted, found, strict=True)]
    assert ([row.tolist() for row in codes], index) == (dropped, last)
    text, count, prompt, bert = ROWS[0].phonemes[None], torch.tensor([9]), ROWS[0].prompt[None], ROWS[0].bert[None]
    one, step = model.infer_panel(text, count, prompt, bert, early_stop_num=limit, **GIVEN)
    assert (one.tolist(), step) == ([wanted[0]], last[0])


def test_progress_is_told() -> None:
    torch.manual_seed(3)
    model: Any = Panelled()
    heard: list[int] = []
    attach(model, "cpu", heard.append)
    with torch.no_grad():
        model.infer_panel_naive_batched(*several(), early_stop_num=60, **GIVEN)
    assert heard and all(count % 16 == 0 for count in heard) and heard == sorted(heard)


def test_without_a_reference(model: Any) -> None:
    codes, index = model.infer_panel_naive_batched(*several(prompts=False), early_stop_num=20, **GIVEN)
    assert index == [0, 0, 0]
    assert all(0 < len(row) <= 21 for row in codes)


@pytest.mark.parametrize("quiet", [None, 1, 7])
def test_pieces_are_the_whole(model: Any, quiet: int | None) -> None:
    text, count, prompt, bert = ROWS[0].phonemes[None], torch.tensor([9]), ROWS[0].prompt[None], ROWS[0].bert[None]
    given = {**GIVEN, "early_stop_num": 40}
    whole, _ = model.infer_panel(text, count, prompt, bert, **given)
    mute = None if quiet is None else torch.full((13,), -1.0).index_fill(0, torch.tensor([quiet]), 1.0)
    named = {"streaming_mode": True, "chunk_length": 6, "mute_emb_sim_matrix": mute}
    pieces = list(model.infer_panel_naive(text, count, prompt, bert, **given, **named))
    assert [last for _, last in pieces] == [False] * (len(pieces) - 1) + [True]
    if mute is None:
        assert torch.cat([codes for codes, _ in pieces if codes is not None], 1).tolist() == whole[:, 5:].tolist()
        assert {codes.shape[1] for codes, last in pieces if not last} <= {6}
