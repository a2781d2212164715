"""The signals between layers are written to memory and read again, and a TPU waits for that."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import libcst as cst

from porter.analysis.layers import is_list, layer_classes
from porter.rule import Example, Rule, Safety
from porter.syntax.predicates import of_self
from porter.syntax.walk import descendants, spelled

_CONVOLUTIONS = frozenset({"torch.nn.Conv1d", "torch.nn.Conv2d"})
_SOFTMAX, _PRODUCTS = frozenset({"softmax", "Softmax"}), frozenset({"matmul", "bmm", "einsum"})
_PAIR = 2  # convolutions with a ReLU between
_RESIDUAL = """import torch.nn.functional as F
from torch import nn

SLOPE = 0.1


class Block(nn.Module):
    def __init__(self, width, reach):
        super().__init__()
        self.wide = nn.ModuleList([nn.Conv1d(width, width, 3, dilation=d, padding=d) for d in (1, reach)])
        self.near = nn.ModuleList([nn.Conv1d(width, width, 5, padding=2) for _ in range(2)])
        for i, p in enumerate(self.parameters()):
            nn.init.constant_(p, 0.01 * (-1) ** i)

    def forward(self, x, mask=None):
        for first, second in zip(self.wide, self.near):
            step = F.leaky_relu(x, SLOPE)
            if mask is not None:
                step = step * mask
            step = F.leaky_relu(first(step), SLOPE)
            if mask is not None:
                step = step * mask
            x = second(step) + x
        return x


class Chain(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(width, width, 7, padding=3) for _ in range(2)])
        for p in self.parameters():
            nn.init.constant_(p, 0.01)

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(F.leaky_relu(x))
        return x
"""

_GATED = """import torch
from torch import nn


def gate(a, b, sizes):
    both = a + b
    size = sizes[0]
    return torch.tanh(both[:, :size, :]) * torch.sigmoid(both[:, size:, :])


class Stack(nn.Module):
    def __init__(self, width, number, given=0):
        super().__init__()
        self.width = width
        self.number = number
        self.opening = nn.ModuleList()
        self.closing = nn.ModuleList()
        self.forget = nn.Dropout(0.0)
        self.tell = nn.Conv1d(given, 2 * width * number, 1) if given else None
        for i in range(number):
            layer = nn.Conv1d(width, 2 * width, 3, padding=1)
            self.opening.append(layer)
            self.closing.append(nn.Conv1d(width, 2 * width if i < number - 1 else width, 1))
        for i, p in enumerate(self.parameters()):
            nn.init.constant_(p, 0.05 * (-1) ** i)

    def forward(self, x, mask, told=None):
        total = torch.zeros_like(x)
        sizes = [self.width]
        if told is not None:
            told = self.tell(told)
        for i in range(self.number):
            both = self.opening[i](x)
            if told is not None:
                start = i * 2 * self.width
                part = told[:, start : start + 2 * self.width, :]
            else:
                part = torch.zeros_like(both)
            gated = self.forget(gate(both, part, sizes))
            out = self.closing[i](gated)
            if i < self.number - 1:
                x = (x + out[:, : self.width, :]) * mask
                total = total + out[:, self.width :, :]
            else:
                total = total + out
        return total * mask
"""

_FEATURES = """import torch
from torch import nn
from torch.nn import functional as F

SLOPE = 0.2


class Judge(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0)) for a, b in zip(widths, widths[1:])
        )
        for p in self.parameters():
            nn.init.constant_(p, 0.01)

    def forward(self, x):
        seen = []
        for step in self.steps:
            x = step(x)
            x = F.leaky_relu(x, SLOPE)
            seen.append(x)
        return torch.flatten(x, 1, -1), seen
"""


_FORWARD = """import torch
from torch import nn
import torch.nn.functional as F


class Wide(nn.Module):
    def __init__(self, share, soft=False):
        super().__init__()
        self.soft = soft
        self.widen = nn.Conv1d(3, 8, 3)
        self.narrow = nn.Conv1d(8, 3, 3)
        self.forget = nn.Dropout(share)
        for i, p in enumerate(self.parameters()):
            nn.init.constant_(p, 0.1 * (-1) ** i)

    def around(self, x):
        return F.pad(x, (1, 1))

    def forward(self, x, mask):
        y = self.widen(self.around(x * mask))
        if self.soft:
            y = y * torch.sigmoid(y)
        else:
            y = torch.relu(y)
        y = self.forget(y)
        return self.narrow(self.around(y * mask)) * mask
"""


_ATTENTION = """import math
import torch
from torch import nn
import torch.nn.functional as F


class Look(nn.Module):
    def __init__(self, heads, width, window):
        super().__init__()
        self.heads, self.window = heads, window
        self.three = nn.Conv1d(width, 3 * width, 1)
        self.forget = nn.Dropout(0.0)
        self.seen = None
        self.keys = nn.Parameter(torch.zeros(1, 2 * window + 1, width // heads))
        self.values = nn.Parameter(torch.zeros(1, 2 * window + 1, width // heads))
        for p in self.parameters():
            p.data = torch.linspace(-1, 1, p.numel()).cos().reshape(p.shape)

    def forward(self, x, mask=None):
        b, c, n = x.shape
        q, k, v = self.three(x).view(b, 3 * self.heads, -1, n).transpose(2, 3).chunk(3, dim=1)
        q = q / math.sqrt(q.shape[-1])
        scores = q @ k.mT + self.to_columns(q @ self.near(self.keys, n).mT)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e4)
        self.seen = weights = self.forget(F.softmax(scores, dim=-1))
        y = weights @ v + self.to_offsets(weights) @ self.near(self.values, n)
        return y.transpose(2, 3).reshape(b, c, n)

    def near(self, table, n):
        more = max(n - self.window - 1, 0)
        start = max(self.window + 1 - n, 0)
        return F.pad(table, [0, 0, more, more])[:, start : start + 2 * n - 1]

    def to_columns(self, x):
        b, h, n, _ = x.shape
        x = F.pad(x, (0, 1)).reshape(b, h, 2 * n * n)
        return F.pad(x, (0, n - 1)).reshape(b, h, n + 1, 2 * n - 1)[..., :n, n - 1 :]

    def to_offsets(self, x):
        b, h, n, _ = x.shape
        x = F.pad(x, (0, n - 1)).reshape(b, h, n * (2 * n - 1))
        return F.pad(x, (n, 0)).reshape(b, h, n, 2 * n)[..., 1:]
"""

_WEIGHED = """import torch
from torch import nn


class Weigh(nn.Module):
    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature
        self.weigh = nn.Softmax(dim=2)

    def forward(self, q, k, v, hidden=None):
        scores = torch.bmm(q, k.transpose(1, 2)) / self.temperature
        if hidden is not None:
            scores = scores.masked_fill(hidden, float("-inf"))
        weights = self.weigh(scores)
        return torch.bmm(weights, v), weights
"""


def _fused(text: str, last_import: str) -> str:
    text = text.replace(last_import, f"{last_import}from . import ops\n", 1)
    return text.replace("    def forward(", "    @ops.fused\n    def forward(")


class FuseLayers(Rule):
    """Let kernels stand for chains of layers, where their graph is what those compute.

    Each layer of a chain writes its signal to memory, for the next one and for the backward pass, which reads it again:
    memory is what a decoder, an encoder or a discriminator waits for, not products. Where one sample's signal fits into
    the chip's own memory, a kernel (written in Pallas, so jax has to be installed) reads it, passes as many layers as
    there is memory for weights, and writes what is wanted; the backward pass computes the others again.

    Four chains have kernels: residual layers (a leaky ReLU before each convolution), gated layers (a WaveNet's),
    convolutions all of whose results are wanted, a leaky ReLU after each (a discriminator's), and two convolutions with
    a ReLU between, and perhaps a dropout, a mask and padding (a transformer's feed-forward layers). So has attention,
    which writes a number for each pair of positions: scores, their mask, their softmax and what a dropout leaves of it
    stay on the chip, one head at a time, and embeddings of relative positions inside a window fill a few diagonals,
    where padded and skewed they are matrices full of zeros. Weights that a forward stores in its module are computed
    when somebody looks at them. Which of them a
    forward computes, if any, is told when it is called, from its torch.fx graph, however it is written:
    `ops.fusions(network)` lists what was fused, and what else stopped to look like a chain, at which line. Where none is
    computed, without jax, on a chip with little memory of its own, with a hook in between, and on all other devices, the
    forward runs as it is.
    """

    code = "TPU004"
    title = "fuse layers"
    safety = Safety.CLOSE
    message = "on a TPU the signals between these layers stay on the chip, where they are not written and read again"
    fixes_hazard = False
    supports_double_backward = False
    examples: ClassVar = (
        Example(
            before=_RESIDUAL,
            after=_fused(_RESIDUAL, "from torch import nn\n"),
            call="Chain(128).to(x.device)(Block(128, 3).to(x.device)(x))",
            inputs="x = torch.linspace(-1, 1, 2 * 128 * 16).reshape(2, 128, 16).sin()",
            grad=("x",),
        ),
        Example(
            before=_GATED,
            after=_fused(_GATED, "from torch import nn\n"),
            call="Stack(6, 3).to(x.device)(x, mask), Stack(6, 2, 4).to(x.device)(x, mask, told)",
            inputs=(
                "x = torch.linspace(-1, 1, 2 * 6 * 16).reshape(2, 6, 16).sin()\n"
                "mask = (torch.arange(16) < torch.tensor([[[16]], [[11]]])).float()\n"
                "told = torch.linspace(-1, 1, 8).reshape(2, 4, 1)"
            ),
            grad=("x", "told"),
        ),
        Example(
            before=_FEATURES,
            after=_fused(_FEATURES, "from torch.nn import functional as F\n"),
            call="(lambda x, seen: (x, *seen))(*Judge(1, 128, 128).to(x.device)(x))",
            inputs="x = torch.linspace(-1, 1, 2 * 81 * 2).reshape(2, 1, 81, 2).sin()",
            grad=("x",),
        ),
        Example(
            before=_FORWARD,
            after=_fused(_FORWARD, "import torch.nn.functional as F\n"),
            call="Wide(0.0).to(x.device)(x, mask), Wide(0.5, True).to(x.device).eval()(x, mask)",
            inputs=(
                "x = torch.linspace(-3, 3, 2 * 3 * 7).sin().reshape(2, 3, 7)\n"
                "mask = (torch.arange(7) < torch.tensor([[[7]], [[4]]])).float()"
            ),
            grad=("x",),
        ),
        Example(
            before=_ATTENTION,
            after=_fused(_ATTENTION, "import torch.nn.functional as F\n"),
            call="Look(2, 6, 2).to(x.device)(x), Look(2, 6, 1).to(x.device)(x, mask)",
            inputs=(
                "x = torch.linspace(-3, 3, 2 * 6 * 7).sin().reshape(2, 6, 7)\n"
                "mask = (torch.arange(7) < torch.tensor([[[[7]]], [[[4]]]])).float()"
            ),
            grad=("x",),
        ),
        Example(
            before=_WEIGHED,
            after=_fused(_WEIGHED, "from torch import nn\n"),
            call="Weigh(1.5)(q, k, v), Weigh(1.5)(q, k, v, hidden)",
            inputs=(
                "q, k, v = torch.linspace(-3, 3, 90).sin().reshape(3, 2, 5, 3)\n"
                "hidden = torch.arange(5) >= torch.tensor([[[5]], [[3]]])"
            ),
            grad=("q", "k", "v"),
        ),
    )
    untouched: ClassVar = (
        # other activations
        _RESIDUAL.replace("F.leaky_relu(", "F.elu("),
        _GATED.replace("torch.tanh(", "torch.erf("),
        _FORWARD.replace("torch.relu(", "torch.erf("),
        # layers of another kind
        _RESIDUAL.replace("nn.Conv1d(", "nn.ConvTranspose1d("),
        _GATED.replace("nn.Conv1d(", "nn.Linear("),
        _FORWARD.replace("nn.Conv1d(8, 3, 3)", "nn.Linear(8, 3)"),
        # no softmax, and no product of its result
        _ATTENTION.replace("F.softmax(", "F.gumbel_softmax("),
        _WEIGHED.replace("torch.bmm(q, k.transpose(1, 2))", "q * k").replace("torch.bmm(weights, v)", "weights * v"),
        # no module, and no forward
        _FEATURES.replace("class Judge(nn.Module)", "class Judge(Base)"),
        _FEATURES.replace("def forward(", "def judge("),
        # a penalty on gradients, which have gradients themselves then
        _FEATURES
        + "\n\ndef penalty(x, y):\n    return torch.autograd.grad(y, x, create_graph=True)[0].square().mean()\n",
    )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        owner = self.file.owner(node)
        if node.name.value != "forward" or owner is None or node not in owner.body.body:
            return
        if self._is_fused(node) or not self.file.defines_module(owner):
            return
        if not self._may_be_chain(owner):
            return
        added = cst.Decorator(self.runtime("ops.fused"))
        self.replace(node, node.with_changes(decorators=[*node.decorators, added]))

    def _is_fused(self, node: cst.FunctionDef) -> bool:
        return any(spelled(d.decorator).rpartition(".")[2] == "fused" for d in node.decorators)

    def _words(self, owner: cst.ClassDef) -> set[str]:
        """The names in what a class may run, `matmul` for the operator too."""
        return {word for node in self.file.project.reached(self.file, owner) for word in _words_in(node)}

    def _may_be_chain(self, owner: cst.ClassDef) -> bool:
        """Whether a class has the layers and the activations of a chain, or the products of an attention.

        What it computes is told by its graph.
        """
        names = self._words(owner)
        if not names.isdisjoint(_PRODUCTS) and not names.isdisjoint(_SOFTMAX):
            return True
        of_pair = not names.isdisjoint({"relu", "ReLU"})
        of_lists = not names.isdisjoint({"leaky_relu", "LeakyReLU"}) or {"tanh", "sigmoid"} <= names
        lists, single = self._convolutions(owner) if of_pair or of_lists else (0, 0)
        return (of_pair and single >= _PAIR) or (of_lists and lists > 0)

    def _convolutions(self, owner: cst.ClassDef) -> tuple[int, int]:
        """How many attributes are lists of convolutions, or of layers whose classes only the run knows; and how many
        are one.
        """
        lists = single = 0
        for name in {name for part in descendants(owner) if (name := of_self(part)) is not None}:
            classes = layer_classes(self.file, owner, name)
            if is_list(self.file, owner, name):
                lists += classes is None or classes <= _CONVOLUTIONS
            else:
                single += classes is not None and classes <= _CONVOLUTIONS
        return lists, single


@lru_cache(maxsize=1024)  # helpers are reached from many classes
def _words_in(node: cst.CSTNode) -> frozenset[str]:
    told = (part for part in descendants(node) if type(part) is cst.Name or type(part) is cst.MatrixMultiply)
    return frozenset(part.value if isinstance(part, cst.Name) else "matmul" for part in told)
