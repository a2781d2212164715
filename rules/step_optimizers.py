"""Optimizers take their steps through the runtime, which keeps one graph for all of them."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.optimizers import is_optimizer
from porter.analysis.steps import training_loop
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import method_call

_MAKE = """import torch


def start(x):
    net = torch.nn.Linear(2, 1)
    torch.nn.init.ones_(net.weight)
    torch.nn.init.zeros_(net.bias)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    train([net], [optimizer, None], scheduler, [x, x + 1])
    return net.weight, net.bias
"""
_LOOP = """

def train(nets, optims, scheduler, batches):
    optimizer, other = optims
    for x in batches:
        loss = sum((net(x) ** 2).mean() for net in nets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
"""


class StepThroughRuntime(Rule):
    """Step optimizers through the runtime.

    The first step of Adam makes its state on the device, which is part of that step's graph alone, and its bias
    correction is a constant of another graph once it has reached one; with several programs gradients have to be
    summed first. The runtime's `optimizer_step` sees to that, and what it leaves is what torch's own step leaves. A
    `GradScaler` calls it already. Done where the name is that of an optimizer that the same script makes.
    """

    code = "GRF003"
    title = "one graph for all steps of an optimizer"
    safety = Safety.EXACT
    message = "the first step of an optimizer would be a graph of its own"
    calls: ClassVar = ("step",)
    examples: ClassVar = (
        Example(
            before=f"{_MAKE}{_LOOP}",
            after=(_MAKE + _LOOP)
            .replace("import torch\n", "import torch\nfrom .. import utils\n", 1)
            .replace("optimizer.step()", "utils.optimizer_step(optimizer)"),
            call="start(x)",
            inputs="x = torch.tensor([[0.5, -1.0], [0.25, 2.0]])",
            path="train_net.py",
            on_device=False,  # two steps
        ),
        Example(  # made by a function of the project, kept in an attribute
            before="""
                from helpers import choose


                class Trainer:
                    def __init__(self, net):
                        self.optim = choose(net)

                    def run(self, batches, loss):
                        for x in batches:
                            loss(x).backward()
                            self.optim.step()
                """,
            after="""
                from helpers import choose
                from .. import utils


                class Trainer:
                    def __init__(self, net):
                        self.optim = choose(net)

                    def run(self, batches, loss):
                        for x in batches:
                            loss(x).backward()
                            utils.optimizer_step(self.optim)
                """,
            path="train_net.py",
            others={
                "helpers.py": """
                    from torch.optim import SGD


                    def choose(net):
                        return SGD(net.parameters(), lr=0.1)
                    """
            },
        ),
    )
    untouched: ClassVar = (
        # who knows what steps here
        """
        def train(net, batches, thing):
            for x in batches:
                net(x).backward()
                thing.step()
        """,
        # a closure is called by the step
        """
        import torch


        def train(net, batches, f):
            optimizer = torch.optim.LBFGS(net.parameters())
            for x in batches:
                net(x).backward()
                optimizer.step(f)
        """,
        # another thing by the same name
        """
        import torch


        def make(net):
            optimizer = torch.optim.SGD(net.parameters(), 0.1)
            return optimizer


        def train(net, batches, walker):
            optimizer = walker()
            for x in batches:
                net(x).backward()
                optimizer.step()
        """,
        # a schedule
        """
        import torch


        def train(net, batches, optimizer):
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
            for x in batches:
                net(x).backward()
                schedule.step()
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        found = method_call(node, "step") if self.file.is_trainer and not node.args else None
        if found is None or training_loop(self.file, node) is None or not is_optimizer(self.file, found[0]):
            return
        self.replace(node, self.fill("__f(__o)", f="utils.optimizer_step", o=found[0]))
