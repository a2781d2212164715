"""Upstream's own calls of its GPT, `infer_panel` and its kin, answered by the static decoder."""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .driver import MOST, Decoded, decode, stream
from .network import Network
from .prompt import Row
from .sampling import Options

_CALLS = ("infer_panel", "infer_panel_naive", "infer_panel_naive_batched", "infer_panel_batch_infer")


class Panel:
    """Decodes in the place of a Text2SemanticDecoder; takes tensors of any device and answers on the host."""

    def __init__(self, model: nn.Module, network: Network, progress: Callable[[int], object] | None = None) -> None:
        """`model` tells how upstream's loops behave; `network` holds its weights; `progress` hears of steps done."""
        self._network, self._progress = network, progress
        self._forced = {name: _forced(getattr(type(model), name, None)) for name in _CALLS}

    def infer_panel(
        self, x: Tensor, x_lens: Tensor, prompts: Tensor | None, bert_feature: Tensor, *given: Any, **named: Any
    ) -> tuple[Tensor, int]:
        """One sentence, (1, ...) each: codes behind those of the prompt, (1, P + N), and the index of the last step."""
        found: tuple[Tensor, int] = next(self.infer_panel_naive(x, x_lens, prompts, bert_feature, *given, **named))
        return found

    def infer_panel_naive(
        self,
        x: Tensor,
        x_lens: Tensor,
        prompts: Tensor | None,
        bert_feature: Tensor,
        top_k: int = -100,
        top_p: float = 100,
        early_stop_num: int = -1,
        temperature: float = 1.0,
        repetition_penalty: float = 1.35,
        streaming_mode: bool = False,
        chunk_length: int = 24,
        **named: Any,
    ) -> Iterator[Any]:
        """The same as an iterator, or, with `streaming_mode`, pieces of codes (1, n) and whether each is the last."""
        row = _row(x[0], prompts, 0, bert_feature[0])
        forced = self._forced["infer_panel_naive"]
        options = Options(top_k, top_p, temperature, repetition_penalty, forced)
        most = _most(early_stop_num)
        if streaming_mode:
            mute = named.get("mute_emb_sim_matrix")
            least = named.get("chunk_split_thershold", 0.3)
            for codes, last in self._pieces(row, options, most, chunk_length, mute, least):
                yield (None if codes is None else codes.to(_dtype(prompts))), last
            return
        (found,) = decode(self._network, [row], options, most=most, progress=self._progress)
        codes = _codes(row, found.tokens, prompts)[None]
        if prompts is None:
            yield codes, 0
        yield codes, _last(found, most)

    def infer_panel_naive_batched(
        self,
        x: Sequence[Tensor],
        x_lens: Tensor,
        prompts: Tensor | None,
        bert_feature: Sequence[Tensor],
        top_k: int = -100,
        top_p: float = 100,
        early_stop_num: int = -1,
        temperature: float = 1.0,
        repetition_penalty: float = 1.35,
        **named: Any,
    ) -> tuple[list[Tensor], list[int]]:
        """Several sentences: codes behind those of the prompt, (P + N) each, and the index of each one's last step."""
        drawing = (top_k, top_p, temperature, repetition_penalty)
        rows, found, most = self._several("infer_panel_naive", x, prompts, bert_feature, early_stop_num, drawing)
        codes = [_codes(row, one.tokens, prompts) for row, one in zip(rows, found, strict=True)]
        return codes, [0 if prompts is None else _last(one, most) for one in found]

    def infer_panel_batch_infer(
        self,
        x: Sequence[Tensor],
        x_lens: Tensor,
        prompts: Tensor | None,
        bert_feature: Sequence[Tensor],
        top_k: int = -100,
        top_p: float = 100,
        early_stop_num: int = -1,
        temperature: float = 1.0,
        repetition_penalty: float = 1.35,
        **named: Any,
    ) -> tuple[list[Tensor], list[int]]:
        """The same; as upstream's, it drops the last code of a sentence that the limit stops."""
        given = (top_k, top_p, early_stop_num, temperature)
        if prompts is None:  # upstream leaves the penalty at its default here
            return self.infer_panel_naive_batched(x, x_lens, prompts, bert_feature, *given)
        drawing = (top_k, top_p, temperature, repetition_penalty)
        rows, found, most = self._several("infer_panel_batch_infer", x, prompts, bert_feature, early_stop_num, drawing)
        kept = [one.tokens if one.ended else one.tokens[:-1] for one in found]
        codes = [_codes(row, tokens, prompts) for row, tokens in zip(rows, kept, strict=True)]
        return codes, [_last(one, most) for one in found]

    def _several(
        self,
        loop: str,
        texts: Sequence[Tensor],
        prompts: Tensor | None,
        berts: Sequence[Tensor],
        early_stop: int,
        drawing: tuple[int, float, float, float],
    ) -> tuple[list[Row], list[Decoded], int]:
        """Rows, what became of them as in upstream's `loop`, and its most steps."""
        rows = [_row(text, prompts, index, berts[index]) for index, text in enumerate(texts)]
        most = _most(early_stop)
        options = Options(*drawing, self._forced[loop])
        return rows, decode(self._network, rows, options, most=most, progress=self._progress), most

    def _pieces(
        self, row: Row, options: Options, most: int, length: int, mute: Tensor | None, least: float
    ) -> Iterator[tuple[Tensor | None, bool]]:
        """Codes in pieces of `length`, or, with `mute`, up to where two codes in a row sound most like silence."""
        done = given = 0  # codes looked at, and handed on
        for tokens, last in stream(self._network, row, options, most=most):
            if self._progress is not None:
                self._progress(len(tokens))
            steps_left = len(tokens) if not last else max(done, len(tokens) - (len(tokens) == most))
            while done < steps_left:
                done += 1
                held = tokens[given:done]
                piece = _piece(held, length, mute, least)
                if piece:
                    yield held[None], False
                    given += piece
            if last:
                yield (tokens[None, given:] if given < len(tokens) else None), True


def attach(
    model: nn.Module, device: torch.device | str | None = None, progress: Callable[[int], object] | None = None
) -> None:
    """Let the static decoder answer `infer_panel` and its kin of this Text2SemanticDecoder, upstream's or the port's.

    `device` gets a copy of the weights as they are now; without one, the decoder reads those of the model. The model
    itself stays where it is. `progress` hears now and then how many steps of a call are done.
    """
    network = Network.of(model)
    if device is not None:
        network = network.to(device)
    panel = Panel(model, network, progress)
    for name in _CALLS:
        if hasattr(type(model), name):
            setattr(model, name, getattr(panel, name))


def _row(text: Tensor, prompts: Tensor | None, index: int, bert: Tensor) -> Row:
    prompt = torch.zeros(0, dtype=torch.int64) if prompts is None else prompts[index].cpu().long()
    return Row(text.cpu(), bert.detach().cpu(), prompt)


def _codes(row: Row, tokens: Tensor, prompts: Tensor | None) -> Tensor:
    """Codes behind those of the prompt."""
    return torch.cat([row.prompt, tokens]).to(_dtype(prompts))


def _dtype(prompts: Tensor | None) -> torch.dtype:
    """Upstream's of codes: it draws int32, and puts them behind what it was given."""
    return torch.int32 if prompts is None else torch.promote_types(prompts.dtype, torch.int32)


def _most(early_stop: int) -> int:
    """How many steps upstream's loops take at most."""
    return MOST if early_stop == -1 else min(MOST, early_stop + 1)


def _last(found: Decoded, most: int) -> int:
    return len(found.tokens) if found.ended else most - 1


def _piece(codes: Tensor, length: int, mute: Tensor | None, least: float) -> int:
    """How many of the codes at hand are a piece; 0 where more are to come first."""
    if mute is None:
        return len(codes) if len(codes) >= length else 0
    if len(codes) < length + 2:
        return 0
    cut = _quietest(mute.cpu()[codes] - least)
    return cut + 1 if cut is not None and cut + 1 >= length else 0


def _quietest(score: Tensor) -> int | None:
    """Where two codes in a row are most like silence; None where the threshold is not reached."""
    score = torch.where(score < 0, -1.0, score)
    score = torch.cat([score[:-1] + score[1:], score[-1:]])
    place = int(score.argmax())
    return place if score[place] >= 0 else None


def _forced(method: Any) -> int:
    """How many codes a loop of upstream draws before the end may be one: `idx < 11`, or `idx == 0` in earlier ones."""
    try:
        found = re.search(r"\bidx < (\d+)", inspect.getsource(method))
    except (TypeError, OSError):
        return Options().forced
    return int(found[1]) if found else 1
