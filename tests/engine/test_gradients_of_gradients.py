"""Rules whose code has gradients that nobody can differentiate leave a project alone that does that."""

from __future__ import annotations

import pytest

from porter.analysis.project import Project
from porter.codemod import rulebook
from porter.codemod.engine import rewrite

LOOK = "import torch.nn.functional as F\n\n\ndef look(q, k, v):\n    return F.scaled_dot_product_attention(q, k, v)\n"
RULES = [rule for rule in rulebook.load().rules if rule.code == "TPU012"]


def is_left_alone(other: str) -> bool:
    project = Project.parse({"module/a.py": ("a.py", LOOK), "module/b.py": ("b.py", other)})
    return rewrite(project, RULES).files["module/a.py"].text == LOOK


@pytest.mark.parametrize(
    "other",
    [
        "import torch\n\n\ndef f(y, x):\n    return torch.autograd.grad(y, x, create_graph=True)\n",
        "import torch\n\n\ndef f(y, x):\n    return torch.autograd.grad(y, x, None, None, True)\n",
        "import torch\n\n\ndef f(y, asked):\n    y.sum().backward(**asked)\n",
        "def f(y):\n    y.sum().backward(create_graph=True)\n",
        "import torch\n\n\ndef f(g, x):\n    return torch.vmap(g)(x)\n",
        "import torch as t\n\n\ndef f(g, x):\n    return list(map(t.func.grad(g), x))\n",
        "import torch\n\n\n@torch.func.grad\ndef f(x):\n    return x.sum()\n",
        "from torch import vmap\n",
        "from torch.func import grad as slope\n",
        "from torch import func\n",
        "import torch.func as func\n",
        "from functorch import *\n",
        "import functorch\n",
        "import torch.autograd.forward_ad as forward\n",
        "from torch.autograd import forward_ad, gradgradcheck\n",
        "import torch\n\n\ndef f(g, x):\n    return torch.autograd.functional.hessian(g, x)\n",
    ],
)
def test_a_project_that_differentiates_gradients_is_left_alone(other: str) -> None:
    assert is_left_alone(other)


@pytest.mark.parametrize(
    "other",
    [
        "import torch\n\n\ndef f(y, x):\n    return torch.autograd.grad(y, x, create_graph=False)\n",
        "def f(y):\n    y.sum().backward()\n    y.sum().backward(retain_graph=True)\n",
        "import torch.nn.functional as functional\nfrom torch.nn import functional as F\n",
        "from torch.autograd import Function, grad\nimport torch.autograd\n",
        "def f(self, func, vmap):\n    return self.func(vmap.functional)\n",
    ],
)
def test_others_are_not(other: str) -> None:
    assert not is_left_alone(other)


def test_what_is_assigned_to_is_the_librarys() -> None:
    text = (
        "import torch.nn.functional as F\n\n\ndef mine(q, k, v):\n    return v\n\n\n"
        "F.scaled_dot_product_attention = mine\ndel F.scaled_dot_product_attention\n"
    )
    project = Project.parse({"module/a.py": ("a.py", text)})
    assert rewrite(project, RULES).files["module/a.py"].text == text
