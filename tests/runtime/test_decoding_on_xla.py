"""What decoding costs on XLA: graphs, fallbacks and reads."""

import pytest
import torch

from porter.runtime.decoding import Decoded, Network, Options, Row, decode

from .graphs import cost_of, device
from .speaker import Speaker, a_row, drawn

MOST = 40
ROWS = [a_row(1, 9, 5), a_row(2, 3, 5), a_row(3, 14, 0), a_row(4, 6, 8)]


@pytest.mark.xla
@torch.no_grad()
def test_there_is_a_graph_for_the_prompt_and_one_for_a_token() -> None:
    torch.manual_seed(3)
    model = Speaker()
    noise = torch.stack([drawn(10 + i) for i in range(4)], 1)

    def run(options: Options, rows: list[Row], noise: torch.Tensor) -> list[Decoded]:
        return decode(Network.of(model), rows, options, most=MOST, noise=lambda index, shape: noise[index])

    wanted = run(Options(top_k=5), ROWS, noise)
    model.to(device())
    sent = noise.to(device())
    found = run(Options(top_k=5), ROWS, sent)
    assert [row.tokens.tolist() for row in found] == [row.tokens.tolist() for row in wanted]

    network = Network.of(model)
    first = cost_of(lambda: decode(network, ROWS, Options(top_k=3), most=MOST))
    assert first.compiles == 1  # with noise of the device's own the step is another graph
    others = [a_row(5, 13, 0), a_row(6, 3, 9), a_row(7, 10, 2), a_row(8, 6, 7)]
    options = Options(top_k=7, top_p=0.9, temperature=0.8, repetition_penalty=1.1)
    again = cost_of(lambda: decode(network, others, options, most=MOST))
    assert again.compiles == 0
    for cost in (first, again):
        assert cost.fallbacks.keys() <= {"aten::_local_scalar_dense"}
        assert cost.downloads <= MOST / 16 + 3
