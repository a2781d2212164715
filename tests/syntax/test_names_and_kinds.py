"""What names mean and what values are, by Python's own scoping."""

from __future__ import annotations

import libcst as cst
import pytest

from porter.analysis.project import Project, SourceFile
from porter.syntax.values import Kind, Value
from porter.syntax.walk import code


def parsed(text: str, **others: str) -> SourceFile:
    files = {"module/example.py": ("example.py", text)}
    files |= {f"module/{name}.py": (f"{name}.py", other) for name, other in others.items()}
    return Project.parse(files).files["module/example.py"]


def resolved(text: str, shown: str, **others: str) -> str | None:
    """What the last expression written `shown` resolves to."""
    file = parsed(text, **others)
    found = [n for n in file.index.nodes if isinstance(n, cst.BaseExpression) and code(n) == shown]
    return file.resolve(found[-1])


def kind(text: str, shown: str, **others: str) -> Value:
    file = parsed(text, **others)
    found = [n for n in file.index.nodes if isinstance(n, cst.BaseExpression) and code(n) == shown]
    return file.kind(found[-1])


@pytest.mark.parametrize(
    ("text", "shown", "name"),
    [
        ("import torch\ntorch.randn(2)", "torch.randn", "torch.randn"),
        ("import torch as t\nt.randn(2)", "t.randn", "torch.randn"),
        ("from torch.nn import functional as F\nF.pad(x)", "F.pad", "torch.nn.functional.pad"),
        ("import torch.nn.functional as F\nF.pad(x)", "F.pad", "torch.nn.functional.pad"),
        ("from torch import randn as r\nr(2)", "r", "torch.randn"),
        ("import torch.distributed as dist\ndef f(x):\n    dist = x\n    return dist.max()", "dist.max", None),
        ("import torch\ndef f(torch):\n    return torch.randn(1)", "torch.randn", None),
        (
            "import torch\nclass A:\n    torch = 1\n    def f(self):\n        return torch.randn(1)",
            "torch.randn",
            "torch.randn",
        ),
        ("import torch\n[torch.randn(1) for torch in x]", "torch.randn", None),
        ("from module.other import f\nf(1)", "f", "module.other.f"),
        ("from . import other\nother.f(1)", "other.f", "module.other.f"),
        ("def f():\n    import torch\n    return torch.randn(1)\ntorch.randn(2)", "torch.randn", None),
    ],
)
def test_a_name_means_what_python_says(text: str, shown: str, name: str | None) -> None:
    assert resolved(text, shown) == name


@pytest.mark.parametrize(
    ("text", "shown", "expected"),
    [
        ("import torch\ndef f(x):\n    y = torch.relu(x)\n    return y", "y", Kind.TENSOR),
        ("def f(x):\n    x.unsqueeze(0)\n    m = x > 0\n    return ~m", "~m", Kind.MASK),
        ("def f(x):\n    x.unsqueeze(0)\n    m = (x > 0) & (x < 1)\n    return m", "m", Kind.MASK),
        ("def f(x):\n    b, c = x.shape\n    return b", "b", Kind.HOST),
        ("def f(x, n=1):\n    return n > 0", "n > 0", Kind.HOST),
        ("def f(x):\n    x.device\n    return x == None", "x == None", Kind.HOST),
        ("def f(box):\n    return box.value", "box.value", Kind.UNKNOWN),
        ("import torch\ndef f(x):\n    a, b = torch.split(x, 2)\n    return a", "a", Kind.TENSOR),
        ("def f(self, x):\n    return self.scatter(x)", "self", Kind.UNKNOWN),
        (
            "import torch\nclass A(torch.nn.Module):\n    def __init__(self):\n"
            "        self.register_buffer('seen', torch.zeros(1))\n    def forward(self):\n        return self.seen",
            "self.seen",
            Kind.TENSOR,
        ),
        ("import torch\ndef g(x):\n    return x.size(0)\ndef f(x):\n    return g(x)", "g(x)", Kind.HOST),
        ("import torch\ndef g(x):\n    return torch.relu(x) > 0\ndef f(x):\n    return g(x)", "g(x)", Kind.MASK),
    ],
)
def test_a_value_is_what_its_uses_say(text: str, shown: str, expected: Kind) -> None:
    assert kind(text, shown) is expected


def test_a_call_across_files_gives_what_the_function_returns() -> None:
    other = "import torch\ndef mask(x):\n    return torch.arange(3) < x\n"
    assert kind("from module.other import mask\nm = mask(2)\nm", "m", other=other) is Kind.MASK


def test_a_name_bound_by_assignment_in_another_file_is_no_function() -> None:
    assert kind("from module import other\nother.double(2)", "other.double(2)", other="double = 1\n") is Kind.UNKNOWN
