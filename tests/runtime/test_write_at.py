"""Parts written into tensors at a place that is data: what `index_copy_` does, in one graph for all places."""

import pytest
import torch
from torch import Tensor

from porter.runtime import utils

from .graphs import cost_of, device

PLACES = (0, 3, 6)


def written(where: torch.device | str, place: int, apart: bool) -> list[Tensor]:
    own = torch.Generator().manual_seed(1)
    given = [torch.randn(2, 3, size, generator=own) for size in (7, 7, 2, 2)]
    *wholes, first, second = (utils.constant(tensor, where) for tensor in given)
    at = utils.constant(torch.tensor([place]), where)
    for part in (first, second * 2 + 1):  # over what was written before
        utils.write_at(wholes, [part[..., :1], part[..., 1:]], 2, at, apart=apart)
    utils.run_pending()
    return [tensor.cpu() for tensor in wholes]


def wanted(place: int) -> list[Tensor]:
    own = torch.Generator().manual_seed(1)
    *wholes, _, second = (torch.randn(2, 3, size, generator=own) for size in (7, 7, 2, 2))
    for number, whole in enumerate(wholes):
        whole[..., place] = second[..., number] * 2 + 1
    return wholes


@pytest.mark.parametrize("place", PLACES)
def test_it_writes_on_the_host(place: int) -> None:
    torch.testing.assert_close(written("cpu", place, apart=True), wanted(place))


@pytest.mark.xla
@pytest.mark.parametrize("apart", [False, True])
def test_it_writes_on_the_device_in_one_graph_for_all_places(apart: bool) -> None:
    found: list[list[Tensor]] = []
    written(device(), 1, apart)
    cost = cost_of(lambda: found.extend(written(device(), place, apart) for place in PLACES))
    torch.testing.assert_close(found, [wanted(place) for place in PLACES])
    assert (cost.compiles, cost.fallbacks) == (0, {})


@pytest.mark.xla
@pytest.mark.parametrize("apart", [False, True])
def test_whole_numbers_and_several_places_are_written(apart: bool) -> None:
    whole, part = utils.constant(torch.zeros(2, 6, dtype=torch.int64), device()), torch.tensor([[1, 2], [3, 4]])
    utils.write_at(
        [whole], [utils.constant(part, device())], 1, utils.constant(torch.tensor([4]), device()), apart=apart
    )
    assert whole.cpu().tolist() == [[0, 0, 0, 0, 1, 2], [0, 0, 0, 0, 3, 4]]
