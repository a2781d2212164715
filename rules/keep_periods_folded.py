"""The first layers over the columns of a period have few channels, which are padded to the lanes of a TPU."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import bind
from porter.rule import Example, Rule, Safety

_BEFORE = """import torch
from torch import nn
from torch.nn import Conv2d


class Critic(nn.Module):
    def __init__(self, reach=2):
        super().__init__()
        kernel = (2 * reach + 1, 1)
        self.layers = nn.ModuleList(
            [
                Conv2d(1, 32, (2 * reach + 1, 1), (3, 1), padding=(reach, 0)),
                nn.Conv2d(32, 128, kernel_size=(2 * reach + 1, 1), stride=(3, 1), padding=(reach, 0)),
                Conv2d(128, 256, (2 * reach + 1, 1), (3, 1), padding=(reach, 0)),
            ]
        )
        for p in self.parameters():
            nn.init.normal_(p, 0, 0.1)

    def forward(self, x):
        for layer in self.layers:
            x = torch.nn.functional.leaky_relu(layer(x), 0.1)
        return x
"""

_AFTER = (
    _BEFORE.replace("from torch.nn import Conv2d\n", "from torch.nn import Conv2d\nfrom . import ops\n")
    .replace(" Conv2d(1,", " ops.Conv2d(1,")
    .replace("nn.Conv2d(32,", "ops.Conv2d(32,")
)


class KeepPeriodsFolded(Rule):
    """Keep time folded into channels where a kernel is one column wide.

    A discriminator that looks at every p-th sample convolves columns, and its first layers have 1 and 32 channels: of
    a TPU's 128 lanes, 127 and 96 are padding that is read and written. The runtime's convolution folds time into the
    channels of its result, and hands that to a next one of its kind beside the plain result, through leaky ReLUs of
    the runtime too. It is torch's own class with the same parameters, and elsewhere computes as torch's does.
    """

    code = "TPU011"
    title = "keep periods folded"
    safety = Safety.CLOSE
    message = (
        "the first layers over a period have too few channels for a TPU's 128 lanes: there, time is folded into them"
    )
    fixes_hazard = False
    calls: ClassVar = ("Conv2d",)
    examples: ClassVar = (
        Example(
            before=_BEFORE,
            after=_AFTER,
            call="torch.manual_seed(0), Critic().to(x.device)(x)",
            inputs="x = torch.linspace(-3, 3, 2 * 3 * 52).sin().reshape(2, 1, 52, 3)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # kernels of several columns, of one tap, and of a form that cannot be read
        """
        from torch import nn


        def build(k):
            return nn.Conv2d(1, 32, (3, 3), (2, 2)), nn.Conv2d(1, 32, (1, 1)), nn.Conv2d(1, 32, k)
        """,
        # steps from column to column, and channels that fill the lanes
        """
        from torch import nn


        def build(k):
            return nn.Conv2d(1, 32, (k, 1), (3, 2)), nn.Conv2d(128, 512, (k, 1), (3, 1))
        """,
        """
        from torch import nn


        def build(k):
            return nn.Conv2d(8, 32, (k, 1), groups=2)
        """,
        # other classes, and arguments that cannot be read
        """
        def build(Conv2d):
            return Conv2d(1, 32, (5, 1))
        """,
        """
        from torch import nn


        def build(*sizes):
            return nn.Conv2d(*sizes, kernel_size=(5, 1))
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) in ("torch.nn.Conv2d", "torch.nn.modules.conv.Conv2d"):
            given = bind(self.file, node, "in_channels", "kernel_size", "stride", "groups") or {}
            if _folds(**given):
                self.replace(node.func, self.runtime("ops.Conv2d"))


def _folds(
    in_channels: cst.BaseExpression | None = None,
    kernel_size: cst.BaseExpression | None = None,
    stride: cst.BaseExpression | None = None,
    groups: cst.BaseExpression | None = None,
) -> bool:
    """Whether a convolution with these arguments goes along columns, and is of few channels or of who knows how many."""
    columns = _is_column(kernel_size) and (stride is None or _is_column(stride) or _is_one(stride))
    if not columns or in_channels is None or not (groups is None or _is_one(groups)):
        return False
    return not isinstance(in_channels, cst.Integer) or int(in_channels.evaluated_value) < 128


def _is_column(node: cst.BaseExpression | None) -> bool:
    """Whether an expression is a pair whose second part is 1, and the first is not."""
    if not isinstance(node, cst.Tuple) or len(node.elements) != 2:
        return False
    high, wide = (element.value for element in node.elements)
    return _is_one(wide) and not _is_one(high)


def _is_one(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Integer) and node.value == "1"
