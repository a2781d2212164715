"""Small groups and single channels are padded to the lanes of a TPU, many times their size."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import Arguments, bind
from porter.rule import Example, Rule, Safety
from porter.syntax.walk import same

_BEFORE = """import torch
from torch import nn
from torch.nn import Conv1d


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                Conv1d(1, 16, 15, padding=7),
                Conv1d(16, 64, 11, 4, groups=4, padding=5),
                nn.Conv1d(64, 320, 11, 4, 5, 1, 16),
                Conv1d(320, 320, 5, padding=2),
            ]
        )
        for p in self.parameters():
            nn.init.normal_(p, 0, 0.1)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x
"""

_AFTER = (
    _BEFORE.replace("from torch.nn import Conv1d\n", "from torch.nn import Conv1d\nfrom . import ops\n")
    .replace(" Conv1d(1,", " ops.Conv1d(1,")
    .replace(" Conv1d(16,", " ops.Conv1d(16,")
    .replace(" nn.Conv1d(64,", " ops.Conv1d(64,")
)


class FillLanesWithGroups(Rule):
    """Merge the groups of a convolution, and fold time into channels, until they fill a TPU's lanes.

    XLA lays a grouped convolution out group by group. With 4 or 16 channels in a group, an array that a TPU reads and
    writes is 8 to 32 times as large as its numbers; the same goes for a signal of one channel. The runtime's
    convolution merges groups, with zeros between them in the weight, and folds the samples between two strides into
    channels. It is torch's own class with the same parameters, and elsewhere computes as torch's does.
    """

    code = "TPU010"
    title = "fill lanes with groups"
    safety = Safety.CLOSE
    message = (
        "a few channels in a group leave most of a TPU's 128 lanes empty: there, groups are merged and time folded"
    )
    fixes_hazard = False
    calls: ClassVar = ("Conv1d",)
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="torch.manual_seed(0), Critic().to(x.device)(x)",
            inputs="x = torch.linspace(-3, 3, 2 * 77).sin().reshape(2, 1, 77)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # no groups, a channel in each, and what fills the lanes or has nothing to fold
        """
        from torch import nn


        def build(n):
            return nn.Conv1d(n, n, 3, groups=1), nn.Conv1d(n, n, 3, groups=n)
        """,
        """
        from torch import nn


        def build(n):
            return nn.Conv1d(1, 512, 3), nn.Conv1d(1, n, 1), nn.Conv1d(1, 16, 1)
        """,
        # other classes, and arguments that cannot be read
        """
        from torch import nn


        def build():
            return nn.Conv2d(8, 8, 3, groups=2)
        """,
        """
        def build(Conv1d):
            return Conv1d(8, 8, 3, groups=2)
        """,
        """
        from torch import nn


        def build(*sizes):
            return nn.Conv1d(*sizes, groups=2)
        """,
        # a class that is looked at, not made
        """
        from torch import nn


        def is_one(m):
            return isinstance(m, nn.Conv1d)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) not in ("torch.nn.Conv1d", "torch.nn.modules.conv.Conv1d"):
            return
        given = bind(self.file, node)
        if given is not None and (self._small_groups(given) or self._one_channel(given)):
            self.replace(node.func, self.runtime("ops.Conv1d"))

    def _small_groups(self, given: Arguments) -> bool:
        groups, channels = given.get("groups"), given.get("in_channels")
        if groups is None or channels is None or same(groups, channels):
            return False
        return _number(groups) != 1

    def _one_channel(self, given: Arguments) -> bool:
        """Whether a signal of one channel becomes one of few, by a kernel of more than one tap."""
        sizes = ("in_channels", "out_channels", "kernel_size")
        channels, out, kernel = (_number(given.get(name)) for name in sizes)
        return channels == 1 and out is not None and out <= 128 and kernel is not None and kernel > 1


def _number(node: cst.BaseExpression | None) -> int | None:
    return int(node.value) if isinstance(node, cst.Integer) and node.value.isdigit() else None
