"""Arguments of torch's calls by the names of their parameters, in whatever way they are given."""

from __future__ import annotations

import libcst as cst
import pytest

from porter.analysis.arguments import bind, lacks, values, without
from porter.analysis.project import Project, SourceFile
from porter.syntax.walk import code
from porter.torch_facts.signatures import parse

_HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\nimport torch.distributions as D\n\n\n"


def called(text: str) -> tuple[SourceFile, cst.Call]:
    """A file with one function, and the call that it returns."""
    source = f"{_HEAD}def f(x: torch.Tensor, n, *rest, **options):\n    return {text}\n"
    file = Project.parse({"module/a.py": ("a.py", source)}).files["module/a.py"]
    returned = next(n.value for n in file.index.nodes if isinstance(n, cst.Return))
    assert isinstance(returned, cst.Call)
    return file, returned


def bound(text: str) -> dict[str, str] | None:
    given = bind(*called(text))
    return None if given is None else {name: code(value) for name, value in given.items()}


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("torch.stft(x, 16, 4, return_complex=True)", "input=x n_fft=16 hop_length=4 return_complex=True"),
        ("torch.stft(n_fft=16, input=x)", "n_fft=16 input=x"),
        ("torch.arange(end=5)", "end=5"),
        ("torch.arange(2, 5)", "start=2 end=5"),
        ("torch.bincount(x, None, 5)", "input=x weights=None minlength=5"),
        ("torch.bucketize(x, x, right=True)", "input=x boundaries=x right=True"),
        ("torch.as_tensor(n, torch.long, x.device)", "data=n dtype=torch.long device=x.device"),
        ("F.interpolate(x, None, 2)", "input=x size=None scale_factor=2"),
        ("F.dropout(x, 0.1, True)", "input=x p=0.1 training=True"),
        ("F.softmax(x, -1)", "input=x dim=-1"),
        ("x.softmax(-1)", "dim=-1"),
        ("x.sum(axis=-1, keepdims=True)", "dim=-1 keepdim=True"),  # torch takes NumPy's names
        ("torch.sum(a=x, dim=1)", "input=x dim=1"),
        ("x.flip(-1)", "dims=-1"),
        ("x.to(device=n)", "device=n"),
        ("torch.max(x, x)", "input=x other=x"),
        ("torch.max(x, 1)", "input=x dim=1"),
        ("torch.functional.stft(x, 16)", "input=x n_fft=16"),
        (
            "nn.Conv1d(4, 4, 3, 1, 0, 1, 2)",
            "in_channels=4 out_channels=4 kernel_size=3 stride=1 padding=0 dilation=1 groups=2",
        ),
        ("nn.modules.conv.Conv1d(4, 4, kernel_size=3)", "in_channels=4 out_channels=4 kernel_size=3"),
        ("torch.autocast('cuda', torch.half, n)", "device_type='cuda' dtype=torch.half enabled=n"),
        ("D.Normal(x, x, False)", "loc=x scale=x validate_args=False"),
        ("torch.FloatTensor(2, 3, device=n)", "device=n"),
    ],
)
def test_arguments_have_the_names_of_torch_s_parameters(text: str, given: str) -> None:
    assert bound(text) == dict(part.split("=", 1) for part in given.split())


@pytest.mark.parametrize(
    "text",
    [
        "torch.stft(x, *rest)",
        "torch.stft(x, 16, **options)",
        "torch.stft(x)",  # fails
        "torch.stft(x, 16, no=1)",
        "torch.sin(x, dim=1)",
        "torch.max(x, n)",  # a tensor to compare with, or an axis
        "torch.no_such_function(x)",
        "n(x)",
    ],
)
def test_what_cannot_be_told_is_not_guessed(text: str) -> None:
    assert bound(text) is None


def test_a_question_about_some_parameters_needs_only_those() -> None:
    file, call = called("torch.max(x, n)")
    assert bind(file, call, "keepdim") == {}
    assert lacks(file, call, "out", "keepdim")
    assert not lacks(*called("torch.zeros(n, *rest)"), "device")
    assert not lacks(*called("torch.zeros(2, device=n)"), "device")


@pytest.mark.parametrize(
    ("text", "name", "left"),
    [
        ("torch.zeros(2, device=n, dtype=None)", "device", "torch.zeros(2, dtype=None)"),
        ("torch.as_tensor(n, None, x.device)", "device", "torch.as_tensor(n, None)"),
        ("torch.as_tensor(n, None, x.device)", "dtype", None),  # the device would move to its place
        ("torch.zeros(2)", "device", "torch.zeros(2)"),
        ("torch.zeros(*rest)", "device", None),
    ],
)
def test_an_argument_is_taken_out_where_nothing_moves(text: str, name: str, left: str | None) -> None:
    call = without(*called(text), name)
    assert (None if call is None else code(call)) == left


def test_values_are_told_as_the_data_has_them() -> None:
    value = values(*called("F.avg_pool2d(x, (2, 2), ceil_mode=n)"))
    assert [value(p) for p in ("input", "kernel_size", "ceil_mode", "padding", "no")] == [
        "tensor",
        "2",
        "something",
        "0",
        "",
    ]
    assert values(*called("F.avg_pool2d(x, *rest)"))("padding") is None


def test_a_signature_is_read_from_its_text() -> None:
    signature = parse("input:T n=1 *sizes device=None", native=True)
    assert signature.place(1, ()) == {"input": 0}
    assert signature.place(4, ("device",)) == {"input": 0, "n": 1, "sizes": (2, 3), "device": "device"}
    assert signature.place(1, ("x",)) is None  # given twice: x is input
    assert signature.place(0, ("n",)) is None
    assert parse("a **options", native=False).place(0, ("a", "b")) == {"a": "a", "b": "b"}
