"""A training step is one graph, and what is logged about it is read when it has run."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.steps import Loop, ends_step, is_training_loop, log_blocks, read_step
from porter.rule import Example, Needed, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.predicates import only_index
from porter.syntax.values import is_tensor
from porter.syntax.walk import own_descendants

_TRAINER = """import torch


def train(net, optimizer, batches, log, every):
    step = 0
    for x in batches:
        loss = (net(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
_START = """


def start(x, every):
    net = torch.nn.Linear(2, 1)
    torch.nn.init.ones_(net.weight)
    torch.nn.init.zeros_(net.bias)
    log = []
    train(net, torch.optim.SGD(net.parameters(), lr=0.01), [x, x + 1, x + 2, x + 3], log.append, every)
    return log, net.weight, net.bias
"""


def _with_runtime(text: str) -> str:
    return text.replace("import torch\n", "import torch\nfrom .. import utils\n", 1)


class EndSteps(Rule):
    """End the step in each iteration of a training loop.

    On XLA nothing runs until it is asked for. Without an end of the step, two iterations become one graph twice as
    large, which compiles anew. `mark_step()` runs the step as one graph: behind the last computation of the
    iteration and what is logged about it, before counters go on.
    """

    code = "GRF002"
    title = "one graph a step"
    safety = Safety.EXACT
    message = "each iteration of the training loop ends its step, so that all of them share one graph"
    examples: ClassVar = (
        Example(
            before=f"{_TRAINER}        step += 1\n        log(step / every)\n{_START}",
            after=_with_runtime(
                f"{_TRAINER}        utils.mark_step()\n        step += 1\n        log(step / every)\n{_START}"
            ),
            call="start(x, 2)",
            inputs="x = torch.tensor([[0.5, -1.0], [0.25, 2.0]])",
            path="train_net.py",
            on_device=False,  # four steps
        ),
        Example(  # the logged values belong to the step
            before=f"{_TRAINER}        if every > 1:\n            if step % every == 0:\n                log(loss.item())\n        step += 1\n{_START}",
            after=_with_runtime(
                f"{_TRAINER}        if every > 1:\n            if step % every == 0:\n                log(loss.item())\n        utils.mark_step()\n        step += 1\n{_START}"
            ),
            call="start(x, 2)",
            inputs="x = torch.tensor([[0.5, -1.0], [0.25, 2.0]])",
            path="train_net.py",
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        # an epoch is no step
        """
        def run(train_epoch, loss, scheduler):
            loss.backward()
            for epoch in range(3):
                train_epoch(epoch)
                scheduler.step()
        """,
        # an iteration may go on without an end
        """
        def run(batches, net, optimizer):
            for x in batches:
                loss = net(x)
                loss.backward()
                if loss is None:
                    continue
                optimizer.step()
        """,
        # no trainer: nothing here steps an optimizer
        """
        def gradients(parts):
            for loss in parts:
                loss.backward()
        """,
    )

    def visit_For(self, node: cst.For) -> None:
        self._end(node)

    def visit_While(self, node: cst.While) -> None:
        self._end(node)

    def _end(self, loop: Loop) -> None:
        step = read_step(self.file, loop) if self.file.is_trainer and is_training_loop(loop) else None
        if step is None or any(ends_step(self.file, s) for s in step.after):
            return
        logs = set(log_blocks(self.file, step))
        logged = [i for i, s in enumerate(step.after, 1) if not logs.isdisjoint(own_descendants(s))]
        at = max(logged, default=0)
        mark = cst.SimpleStatementLine([cst.Expr(self.fill("__f()", f="utils.mark_step"))])
        if at < len(step.after):
            following = step.after[at]
            bare = following.with_changes(leading_lines=[]) if getattr(following, "leading_lines", ()) else following
            self.replace(following, [mark, bare])
        else:
            last = (step.last, *step.after)[-1]
            self.replace(last, [last, mark])


class LogAfterStep(Rule):
    """Read what is logged about a step when the step has run.

    `.item()` in the middle of an iteration stops it: what was computed so far becomes a graph of its own. The block
    becomes a function that runs when `mark_step()` has run the graph, still in the same iteration, so it sees the
    values of its step. This is done for blocks that only look: behind the last optimizer step, under a condition
    that holds every so many steps, binding no name that is used elsewhere.
    """

    code = "SYN008"
    title = "log after the step"
    safety = Safety.EXACT
    message = "what is logged is read when the step has run, not in the middle of its graph"
    examples: ClassVar = (
        Example(
            before=_with_runtime(
                f"{_TRAINER}        if step % every == 0:  # now and then\n            value = loss.item()\n            log(value * 2)\n"
                f"        utils.mark_step()\n        step += 1\n{_START}"
            ),
            after=_with_runtime(
                f"{_TRAINER}        if step % every == 0:  # now and then\n            @utils.after_step\n            def log_step():\n"
                "                value = loss.item()\n                log(value * 2)\n        utils.mark_step()\n        step += 1\n"
                + _START
            ),
            call="start(x, 2)",
            inputs="x = torch.tensor([[0.5, -1.0], [0.25, 2.0]])",
            path="train_net.py",
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        # what is read decides what is trained next
        f"{_TRAINER}        if step % every == 0:\n            best = loss.item()\n        step += 1\n    return best\n",
        f"{_TRAINER}        if step % every == 0:\n            if loss.item() < 1:\n                break\n        step += 1\n",
        f"{_TRAINER}        if step % every == 0:\n            log.last = loss.item()\n        step += 1\n",
        # what is noted is read in the same iteration, or what is read is another then
        _with_runtime(
            f"{_TRAINER}        if step % every == 0:\n            log.append(loss.item())\n        best = min(log)\n"
            f"        utils.mark_step()\n        step += 1\n"
        ),
        _with_runtime(
            f"{_TRAINER}        if step % every == 0:\n            log(loss.item(), step)\n        step += 1\n"
            "        utils.mark_step()\n"
        ),
        _with_runtime(
            f"{_TRAINER}        if every:\n            if step % every == 0:\n                log(loss.item(), every.value)\n"
            "            every.value = 2\n        utils.mark_step()\n        step += 1\n"
        ),
        # each step
        f"{_TRAINER}        if every:\n            log(loss.item())\n        step += 1\n",
        # nothing of the device
        f"{_TRAINER}        if step % every == 0:\n            log(step)\n        step += 1\n",
    )

    def visit_For(self, node: cst.For) -> None:
        self._defer(node)

    def visit_While(self, node: cst.While) -> None:
        self._defer(node)

    def _defer(self, loop: Loop) -> None:
        step = read_step(self.file, loop) if self.file.is_trainer and is_training_loop(loop) else None
        for node in log_blocks(self.file, step) if step is not None else ():
            if isinstance(node.body, cst.IndentedBlock) and not self._is_deferred(node.body):
                function = cst.FunctionDef(
                    name=cst.Name("log" if "log" not in self.file.names else self.free_name("log_step")),
                    params=cst.Parameters(),
                    body=node.body.with_changes(header=cst.TrailingWhitespace()),
                    decorators=[cst.Decorator(self.runtime("utils.after_step"))],
                )
                block = cst.IndentedBlock([function], header=node.body.header)
                self.replace(node.body, block, alone=True, needs=[Needed(loop, (EndSteps.code,))])

    def _is_deferred(self, body: cst.IndentedBlock) -> bool:
        return all(isinstance(s, cst.FunctionDef) and s.decorators for s in body.body)


class CopyBeforeIndexing(Rule):
    """Copy a tensor to the host before one of its items is taken, not after.

    Behind a step, `x[0].cpu()` computes on the device again: a small graph for the index, compiled for each shape of
    x. The runtime's `host_copy` only copies, a little more: a tensor or a list of them, and of a batch that several
    hosts hold, only this host's part, since the others may not be asking.
    """

    code = "SYN009"
    title = "copy to the host before indexing"
    safety = Safety.EXACT
    message = "an index on the device is a graph of its own for each shape; on the host it costs nothing"
    calls: ClassVar = ("cpu",)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def show(x, loss):
                    loss.backward()
                    y = torch.relu(x)
                    return torch.from_numpy(y[0].data.cpu().numpy()), y[-1, :2].detach().cpu()
                """,
            after="""
                import torch
                from .. import training


                def show(x, loss):
                    loss.backward()
                    y = torch.relu(x)
                    return torch.from_numpy(training.host_copy(y)[0].data.numpy()), training.host_copy(y)[-1, :2].detach()
                """,
            call="show(x, (x**2).sum())",
            inputs="x = torch.tensor([[0.5, -1.0], [0.25, 2.0]], requires_grad=True)",
            path="train_net.py",
            on_device=False,
        ),
        Example(
            before="""
                import torch


                def show(net, x, loss):
                    loss.backward()
                    a, b = net(x)
                    return a[0].data.cpu(), torch.from_numpy(b[1].cpu().numpy())
                """,
            after="""
                import torch
                from .. import training


                def show(net, x, loss):
                    loss.backward()
                    a, b = net(x)
                    return training.host_copy(a)[0].data, torch.from_numpy(training.host_copy(b)[1].numpy())
                """,
            call="show(lambda x: (x * 2, [x, (x + 1).detach()]), x, (x**2).sum())",
            inputs="x = torch.tensor([[0.5, -1.0], [0.25, 2.0]], requires_grad=True)",
            path="train_net.py",
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        """
        def show(x, loss, i):
            loss.backward()
            return x[i].cpu(), x['mel'].cpu(), x[0].copy()
        """,
        # networks may be in a list too
        """
        def show(nets, loss):
            loss.backward()
            return nets[0].cpu()
        """,
        # no trainer
        """
        import torch


        def show(x):
            return torch.relu(x)[0].cpu()
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        found = method_call(node, "cpu") if self.file.is_trainer and not node.args else None
        indexed = _attached(found[0]) if found is not None else None
        if found is None or not isinstance(indexed, cst.Subscript) or not all(map(_is_fixed, indexed.slice)):
            return
        if self._is_of_tensor(node, indexed, attached=indexed is found[0]):
            copied = indexed.with_changes(value=self.fill("__f(__x)", f="training.host_copy", x=indexed.value))
            self.replace(node, found[0].deep_replace(indexed, copied) if found[0] is not indexed else copied)

    def _is_of_tensor(self, node: cst.Call, indexed: cst.Subscript, *, attached: bool) -> bool:
        """Whether an item that is copied is a tensor's. Of a network in a list nothing would be copied; what has no
        autograd or becomes numpy's is a tensor.
        """
        around = self.file.parent(node)
        numbers = isinstance(around, cst.Attribute) and around.attr.value == "numpy"
        taken = only_index(indexed) is not None and (numbers or not attached)
        return taken or is_tensor(self.file.kind(indexed.value))


def _is_fixed(element: cst.SubscriptElement) -> bool:
    """Whether an index is a number that stands in the code, a slice of such, or an ellipsis."""
    part = element.slice
    if isinstance(part, cst.Index):
        return isinstance(part.value, cst.Ellipsis) or _is_number(part.value)
    return isinstance(part, cst.Slice) and all(b is None or _is_number(b) for b in (part.lower, part.upper, part.step))


def _is_number(node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus):
        node = node.expression
    return isinstance(node, cst.Integer)


def _attached(node: cst.BaseExpression) -> cst.BaseExpression:
    """`x` of `x.data` and `x.detach()`."""
    while True:
        detached = method_call(node, "detach")
        if detached is not None and not detached[1].args:
            node = detached[0]
        elif isinstance(node, cst.Attribute) and node.attr.value == "data":
            node = node.value
        else:
            return node
