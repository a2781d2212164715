"""Few channels and many samples leave most of a TPU's lanes empty."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.layers import is_list, layer_classes
from porter.analysis.project import SourceFile
from porter.analysis.signals import Form, Passage
from porter.rule import Example, Rule, Safety
from porter.syntax.predicates import function_named, is_none, of_self
from porter.syntax.walk import dotted, own_descendants, own_of_type

_BEFORE = """import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width, reach):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(width, width, 3, dilation=d, padding=d) for d in (1, reach)])

    def forward(self, x, mask=None):
        for conv in self.convs:
            step = F.leaky_relu(x, 0.1)
            if mask is not None:
                step = step * mask
            x = conv(step) + x
        return x


class Voice(nn.Module):
    def __init__(self, width, rates):
        super().__init__()
        self.number = len(rates)
        self.first = nn.Conv1d(4, width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.blocks = nn.ModuleList()
        for i, rate in enumerate(rates):
            self.ups.append(nn.ConvTranspose1d(width >> i, width >> (i + 1), 2 * rate, rate, padding=rate // 2))
            self.blocks.append(Block(width >> (i + 1), 2))
            self.blocks.append(Block(width >> (i + 1), 3))
        self.last = nn.Conv1d(width >> self.number, 1, 7, padding=3)
{added}
    def forward(self, x):
        x = self.first(x)
        for i in range(self.number):
            x = self.ups[i](F.leaky_relu(x, 0.1))
            total = None
            for j in range(2):
                part = self.blocks[2 * i + j](x)
                total = part if total is None else total + part
            x = total / 2
        return torch.tanh(self.last(x))
"""

_PLAIN = _BEFORE.replace("{added}\n", "\n")
_FOLDED = _BEFORE.replace("{added}\n", "        ops.fold_time(self.ups, self.blocks, self.last)\n\n").replace(
    "from torch import nn\n", "from torch import nn\nfrom . import ops\n", 1
)


class FoldTimeIntoChannels(Rule):
    """Let the late stages of an upsampling decoder work on blocks of samples.

    A TPU works on 128 lanes at a time. Where a decoder has 64, 32 or 16 channels, every value that it reads and writes
    is padded to that: at 16 channels seven bytes of eight are nothing. Here phases of time move into the channels until
    the lanes are full (a transposed convolution leaves them there anyway), and the convolutions get block-Toeplitz
    weights: the same products, added up in another order. Parameters and results keep their shapes; other devices run
    what they ran.
    """

    code = "TPU001"
    title = "fold time into channels"
    safety = Safety.CLOSE
    message = "the late stages have too few channels for a TPU's 128 lanes: there, time is folded into channels"
    fixes_hazard = False
    examples: ClassVar = (
        Example(
            before=_PLAIN,
            after=_FOLDED,
            call="(torch.manual_seed(0), Voice(64, (4, 2)).to(x.device)(x))[1]",
            inputs="x = torch.linspace(-1, 1, 2 * 4 * 6).reshape(2, 4, 6).sin()",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # something looks at the length of the signal
        _PLAIN.replace("x = total / 2", "x = total / x.shape[2]"),
        # a sum with another signal, which is not folded
        _PLAIN.replace("x = total / 2", "x = total / 2 + noise").replace(
            "forward(self, x):", "forward(self, x, noise):"
        ),
        # a block that mixes over time in its own way
        _PLAIN.replace("x = conv(step) + x", "x = conv(step).cumsum(2) + x"),
        # a mask over time that is always given
        _PLAIN.replace("mask=None", "mask").replace("(x)\n                total", "(x, 1)\n                total"),
        # each stage gives a signal of its own
        _PLAIN.replace("return torch.tanh(self.last(x))", "return x"),
    )

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        if not self.file.index.named("ConvTranspose1d"):
            return
        constructor, forward = function_named(node, "__init__"), function_named(node, "forward")
        if constructor is None or forward is None or not self.file.defines_module(node):
            return
        ups = self._held(node, constructor, "torch.nn.ConvTranspose1d", many=True)
        if not ups or self._done(constructor):
            return
        passage = Passage(self.file, ups, self._held(node, constructor, "torch.nn.Conv1d", many=False))
        if passage.follow(forward) is not Form.PLAIN:
            return
        if not len(passage.started) == len(passage.through) == len(passage.ended) == 1:
            return
        (up,), (block,), (end,) = passage.started, passage.through, passage.ended
        if is_list(self.file, node, block) and self._blocks_hand_on(node, block):
            self._add(constructor, up, block, end)

    def _held(self, owner: cst.ClassDef, constructor: cst.FunctionDef, kind: str, *, many: bool) -> frozenset[str]:
        """The attributes that a constructor names and that hold a layer of one class, or a list of them."""
        names = {name for n in own_of_type(constructor.body, cst.Attribute) if (name := of_self(n)) is not None}
        of_kind = (name for name in names if layer_classes(self.file, owner, name) == frozenset({kind}))
        return frozenset(name for name in of_kind if is_list(self.file, owner, name) is many)

    def _done(self, method: cst.FunctionDef) -> bool:
        names = (dotted(n.func) or "" for n in own_of_type(method.body, cst.Call))
        return any(name.rpartition(".")[2] == "fold_time" for name in names)

    def _blocks_hand_on(self, owner: cst.ClassDef, attribute: str) -> bool:
        """Whether all blocks give a signal as it came."""
        classes = layer_classes(self.file, owner, attribute)
        return classes is not None and all(name == "torch.nn.Conv1d" or self._hands_on(name) for name in classes)

    def _hands_on(self, name: str) -> bool:
        definition = self.file.project.class_definition(name)
        if definition is None or not definition[0].defines_module(definition[1]):
            return False
        file, owner = definition
        forward = function_named(owner, "forward")
        if forward is None or len(forward.params.params) < 2:
            return False
        _, given, *others = forward.params.params
        passage = Passage(file, absent=frozenset(p.name.value for p in others if is_none(p.default)))
        if len(passage.absent) < len(others) or passage.follow(forward, given.name.value) is not Form.SIGNAL:
            return False
        return all(_only_convolutions(file, owner, layer) for layer in passage.through)

    def _add(self, method: cst.FunctionDef, up: str, block: str, end: str) -> None:
        """Put the call behind the last statement that has to do with these layers."""
        wanted = {f"self.{up}", f"self.{block}", f"self.{end}"}
        last = [s for s in method.body.body if any(dotted(n) in wanted for n in own_descendants(s))][-1]
        if not isinstance(last, (cst.SimpleStatementLine, cst.For, cst.If)):
            return
        call = self.fill(f"__f(self.{up}, self.{block}, self.{end})", f="ops.fold_time")
        self.replace(last, [last, cst.SimpleStatementLine([cst.Expr(call)])])


def _only_convolutions(file: SourceFile, owner: cst.ClassDef, attribute: str) -> bool:
    return layer_classes(file, owner, attribute) == frozenset({"torch.nn.Conv1d"})
