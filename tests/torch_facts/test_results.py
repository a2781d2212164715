"""What functions, methods and attributes give, by what torch says of itself."""

from __future__ import annotations

import pytest

from porter.syntax import torch_names as tn
from porter.torch_facts.reading import table
from porter.torch_facts.results import attributes, result


def test_attributes_that_are_no_tensors_are_known() -> None:
    plain = "is_nested is_sparse is_leaf is_quantized is_meta is_cpu layout names retains_grad grad_fn shape dtype device ndim"
    assert set(plain.split()) <= tn.HOST_ATTRIBUTES
    assert {"T", "mT", "H", "grad", "data", "real", "imag"} <= attributes("tensor")
    assert not attributes("tensor") & attributes("host")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("torch.split", {"sequence"}),
        ("torch.Tensor.split", {"sequence"}),
        ("torch.max", {"tensor", "tuple2"}),
        ("torch.Tensor.topk", {"tuple2"}),
        ("torch.isnan", {"mask"}),
        ("torch.Tensor.greater_equal", {"mask"}),
        ("torch.equal", {"host"}),
        ("torch.Tensor.tolist", {"host"}),
        ("torch.Tensor.is_shared", {"host"}),
        ("torch.is_tensor", {"host"}),
        ("torch.functional.norm", {"tensor"}),
        ("torch.nn.functional.sigmoid", {"tensor"}),
        ("torch.no_such_function", set()),
    ],
)
def test_results_are_known(name: str, kinds: set[str]) -> None:
    assert result(name) == kinds


def test_a_tensor_comes_first_where_torch_says_so() -> None:
    assert tn.takes_tensor_first("torch.nn.functional.pad") and tn.takes_tensor_first("torch.mul")
    assert not tn.takes_tensor_first("torch.cat") and not tn.takes_tensor_first("torch.zeros")


@pytest.mark.parametrize("name", ["signatures", "results", "operators"])
def test_the_data_says_what_it_was_made_with(name: str) -> None:
    made_with = [pair["torch_xla"].rpartition(".")[0] for pair in table(name)["made_with"]]
    assert made_with == ["2.5", "2.6", "2.7", "2.8", "2.9"]
