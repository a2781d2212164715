import copy
import pickle

import pytest
import torch
from torch import nn

from porter.runtime import ops, utils

from .graphs import cost_of, device


class Codebook(ops.HostFlags, nn.Module):
    inited: torch.Tensor

    def __init__(self, inited: bool) -> None:
        super().__init__()
        self.register_buffer("inited", torch.tensor([float(inited)]))
        self.register_buffer("embed", torch.randn(4, 2))


def reads(codebook: Codebook) -> int:
    return cost_of(lambda: codebook.host_flag("inited")).downloads


def test_on_the_cpu_it_is_the_buffer_itself() -> None:
    codebook = Codebook(False)
    assert codebook.host_flag("inited") is False
    codebook.inited.data.copy_(torch.tensor([True]))
    assert codebook.host_flag("inited") is True
    codebook.inited.zero_()
    assert codebook.host_flag("inited") is False
    assert list(codebook.state_dict()) == ["inited", "embed"]


@pytest.mark.xla
def test_a_true_flag_moves_to_the_device_without_a_read() -> None:
    codebook = Codebook(True)
    nn.Sequential(codebook).to(device())
    assert codebook.host_flag("inited") is True
    assert reads(codebook) == 0
    assert list(codebook.state_dict()) == ["inited", "embed"]


@pytest.mark.xla
def test_a_false_flag_is_read_until_it_is_true_and_once_more() -> None:
    codebook = Codebook(False).to(device())
    assert codebook.host_flag("inited") is False
    assert reads(codebook) > 0
    codebook.inited.data.copy_(torch.tensor([True]))
    assert codebook.host_flag("inited") is True
    assert reads(codebook) == 0


@pytest.mark.xla
def test_a_written_or_replaced_buffer_is_read_again() -> None:
    codebook = Codebook(True).to(device())
    codebook.inited.zero_()
    assert codebook.host_flag("inited") is False
    codebook = Codebook(True).to(device())
    codebook.inited = torch.zeros(1, device=device())
    assert codebook.host_flag("inited") is False


@pytest.mark.xla
def test_a_loaded_checkpoint_tells_the_value() -> None:
    codebook = Codebook(False).to(device())
    codebook.load_state_dict(Codebook(True).state_dict())
    assert reads(codebook) == 0
    assert codebook.host_flag("inited") is True
    codebook.load_state_dict(Codebook(False).state_dict())
    assert codebook.host_flag("inited") is False


@pytest.mark.xla
def test_copies_and_pickles_keep_the_flag_right() -> None:
    codebook = Codebook(True).to(device())
    copied = copy.deepcopy(codebook)
    assert reads(copied) == 0
    copied.inited.zero_()
    assert copied.host_flag("inited") is False
    assert codebook.host_flag("inited") is True
    assert pickle.loads(pickle.dumps(Codebook(True))).host_flag("inited") is True
    assert copy.deepcopy(codebook).to("cpu").host_flag("inited") is True


@pytest.mark.xla
def test_reading_the_flag_leaves_a_pending_graph_whole() -> None:
    codebook = Codebook(True).to(device())
    x = utils.constant(torch.randn(3), device())

    def step() -> torch.Tensor:
        y = x + 1
        assert codebook.host_flag("inited")
        return y * 2

    assert cost_of(step).graphs == 1
