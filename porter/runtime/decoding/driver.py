"""The loop that decodes rows of sentences, and reads from the device only now and then."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .. import loops, ops, utils
from . import steps as graphs
from .network import Network
from .prompt import Prompt, Row, lay_out
from .sampling import Drawing, Options
from .slots import State, room

MOST = 1500  # steps that upstream's loops take at most
READ_EVERY = 16  # steps between two looks at whether all rows have ended, where each step is a graph
TURNS = 64  # steps of one graph at most, which stops by itself: tracing and starting it is the host's work for all


class Decoded(NamedTuple):
    """What one row became."""

    tokens: Tensor  # int64, on the host, without the end
    ended: bool  # False where the limit stopped it


Noise = Callable[[int, tuple[int, int]], Tensor]  # of a step: exponential, (B, V), on the device


def decode(
    network: Network,
    rows: Sequence[Row],
    options: Options | None = None,
    *,
    most: int = MOST,
    noise: Noise | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Decoded]:
    """Decode `rows` together, each up to its own end, in `most` steps at most.

    `noise` draws from the device's seeded generator where it is None; `progress` hears of the steps so far now and
    then. ValueError for options that nothing can be drawn with, and for rows without phonemes; IndexError for phonemes
    and codes that the network does not have, as eager PyTorch raises: XLA would take others in their place.
    """
    every = TURNS if loops.fits(network.device) else READ_EVERY
    state, prompt, chunks = _decoding(network, rows, options, most, every, noise)
    pending: Tensor | None = None
    for done in chunks:
        # What was computed a while ago is read, so that nobody waits for what is being computed.
        if pending is not None and bool(pending):
            break
        pending = state.over
        if progress is not None:
            progress(done)
    ended = state.ended.cpu().tolist()
    tokens = state.tokens.cpu()[:, prompt.slots :]
    return [Decoded(row[: most if end < 0 else end].clone(), end >= 0) for row, end in zip(tokens, ended, strict=True)]


def stream(
    network: Network,
    row: Row,
    options: Options | None = None,
    *,
    most: int = MOST,
    every: int = READ_EVERY,
    noise: Noise | None = None,
) -> Iterator[tuple[Tensor, bool]]:
    """Decode one row; all of its tokens so far, and whether these are all, each `every` steps and at the end."""
    state, prompt, chunks = _decoding(network, [row], options, most, every, noise)
    for done in chunks:
        end = int(state.ended)
        count = done if end < 0 else end
        yield state.tokens[0].cpu()[prompt.slots : prompt.slots + count].clone(), end >= 0 or done == most
        if end >= 0:
            return


def _decoding(
    network: Network, rows: Sequence[Row], options: Options | None, most: int, every: int, noise: Noise | None
) -> tuple[State, Prompt, Iterator[int]]:
    """The state behind the prompt, and an iterator that does `every` steps at a time and tells how many it did."""
    if not rows or any(row.phonemes.shape[0] == 0 for row in rows):
        raise ValueError("there is no text to speak: a row holds no phonemes")
    for row in rows:
        _check_known("phoneme", row.phonemes, network.text)
        _check_known("code", row.prompt, network.audio)
    chosen = (options or Options()).checked(network.audio.shape[0])
    slots = ops.bucket(max(row.phonemes.shape[0] + row.prompt.shape[0] for row in rows))
    prompt = Prompt(*(_sent(part, network) for part in lay_out(rows, slots)))
    drawing = Drawing.of(chosen, lambda tensor: _sent(tensor, network))
    state = graphs.prefill(network, prompt, room(slots))
    utils.run_pending()
    steps = _in_one_graph if loops.fits(network.device) else _one_by_one
    return state, prompt, _chunks(steps, network, state, slots, drawing, most, every, noise)


def _check_known(what: str, numbers: Tensor, table: Tensor) -> None:
    known = table.shape[0]
    for number in numbers[(numbers < 0) | (numbers >= known)][:1].tolist():
        raise IndexError(f"{what} {number} is none of the {known} that this network knows")


def _chunks(
    steps: Callable[..., None],
    network: Network,
    state: State,
    filled: int,
    drawing: Drawing,
    most: int,
    every: int,
    noise: Noise | None,
) -> Iterator[int]:
    done = 0
    while done < most:
        # Up to the next look, to the limit, or to the last slot, whichever comes first.
        wanted = min(done + every, most)
        while done < wanted:
            if filled + done == state.slots:
                state.grow(room(state.slots))
                utils.run_pending()
            count = min(wanted - done, state.slots - filled - done, TURNS)
            steps(network, state, drawing, noise, range(done, done + count))
            done += count
        yield done


def _one_by_one(network: Network, state: State, drawing: Drawing, noise: Noise | None, turns: range) -> None:
    """A graph for each step."""
    shape = (state.logits.shape[0], state.logits.shape[1])
    for index in turns:
        drawn = torch.empty(shape, device=network.device).exponential_() if noise is None else noise(index, shape)
        graphs.step(network, state, drawn, drawing)
        utils.run_pending()


def _in_one_graph(network: Network, state: State, drawing: Drawing, noise: Noise | None, turns: range) -> None:
    """One graph for all of them, which is the same for any number up to TURNS."""
    shape = (state.logits.shape[0], state.logits.shape[1])
    if noise is None:
        drawn = torch.empty((TURNS, *shape), device=network.device).exponential_()
    else:
        drawn = torch.stack([noise(min(index, turns[-1]), shape) for index in range(turns[0], turns[0] + TURNS)])
    graphs.several(network, state, drawn, _sent(torch.tensor(len(turns)), network), drawing)
    utils.run_pending()


def _sent(tensor: Tensor, network: Network) -> Tensor:
    kept = tensor.dtype if not tensor.is_floating_point() else network.audio.dtype
    return utils.constant(tensor, network.device, kept)
