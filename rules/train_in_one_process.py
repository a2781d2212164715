"""A trainer is one program over all devices of a host: no process for each, no process group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import argument_for
from porter.analysis.project import SourceFile
from porter.rule import Example, Needed, RedirectRule, Rule, Safety
from porter.syntax.walk import own_of_type, same

_COUNT = "torch.cuda.device_count"
_GROUP = ("torch.distributed.init_process_group", "torch.distributed.destroy_process_group")
_ADDRESSES = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK")


class StartReplicas(Rule):
    """Count processes, one for each host, where a trainer counts GPUs.

    With CUDA each device has a process of its own. On XLA one process drives all devices of its host (SPMD: the
    batch is sharded, the program is one), so what is spawned, and what ranks are counted in, are hosts.
    `start_replicas()` switches that on before a device is touched, and answers how many processes there are: 1 on a
    single host, and 1 on the CPU.
    """

    code = "DST002"
    title = "one process a host"
    safety = Safety.EXACT
    message = "one process drives all devices of its host: processes are counted, not GPUs"
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def main():
                    # as many as there are
                    if torch.cuda.is_available():
                        n_gpus = torch.cuda.device_count()
                    else:
                        n_gpus = 1
                    return n_gpus


                def train(loss, optimizer):
                    loss.backward()
                    optimizer.step()
                """,
            after="""
                import torch
                from .. import utils


                def main():
                    # as many as there are
                    n_gpus = utils.start_replicas()
                    return n_gpus


                def train(loss, optimizer):
                    loss.backward()
                    optimizer.step()
                """,
            call="",  # switches the process to SPMD: the runtime's own test
            path="train_net.py",
        ),
        Example(
            before="""
                import torch


                def main(wanted):
                    n = torch.cuda.device_count() if torch.cuda.is_available() else 1
                    return min(wanted, n, torch.cuda.device_count())


                def train(loss, optimizer):
                    loss.backward()
                    optimizer.step()
                """,
            after="""
                import torch
                from .. import utils


                def main(wanted):
                    n = utils.start_replicas()
                    return min(wanted, n, utils.start_replicas())


                def train(loss, optimizer):
                    loss.backward()
                    optimizer.step()
                """,
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        # no trainer
        """
        import torch


        def count():
            return torch.cuda.device_count()
        """,
        # nothing to train on is something else than one process
        """
        import torch


        def main(loss):
            loss.backward()
            return torch.cuda.device_count() if torch.cuda.is_available() else 0
        """,
        # somebody's own count
        """
        import torch


        def main(box, loss):
            loss.backward()
            return box.device_count()
        """,
    )

    def visit_If(self, node: cst.If) -> None:
        if not self.file.is_trainer or not _asks_cuda(self.file, node.test) or not isinstance(node.orelse, cst.Else):
            return
        counted, other = _only_assignment(node.body), _only_assignment(node.orelse.body)
        if counted is None or other is None or not _is_one(other.value):
            return
        if _counts(self.file, counted.value) and same(counted.targets[0].target, other.targets[0].target):
            call = self.fill("__f()", f="utils.start_replicas")
            self.replace(node, [cst.SimpleStatementLine([counted.with_changes(value=call)])])

    def visit_IfExp(self, node: cst.IfExp) -> None:
        counts = _asks_cuda(self.file, node.test) and _counts(self.file, node.body)
        if self.file.is_trainer and counts and _is_one(node.orelse):
            self.replace(node, self.fill("__f()", f="utils.start_replicas"))

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.is_trainer and _counts(self.file, node) and not isinstance(self.file.parent(node), cst.IfExp):
            self.replace(node, self.fill("__f()", f="utils.start_replicas"))


def _asks_cuda(file: SourceFile, test: cst.BaseExpression) -> bool:
    return isinstance(test, cst.Call) and file.resolve(test.func) == "torch.cuda.is_available"


def _is_one(value: cst.BaseExpression) -> bool:
    return isinstance(value, cst.Integer) and value.evaluated_value == 1


def _counts(file: SourceFile, value: cst.BaseExpression) -> bool:
    return isinstance(value, cst.Call) and not value.args and file.resolve(value.func) == _COUNT


def _only_assignment(block: cst.BaseSuite) -> cst.Assign | None:
    """The assignment to one name that a block consists of."""
    smalls = [small for s in block.body for small in (s.body if isinstance(s, cst.SimpleStatementLine) else [s])]
    if len(smalls) != 1 or not isinstance(smalls[0], cst.Assign) or len(smalls[0].targets) != 1:
        return None
    return smalls[0]


class TrainerRedirect(RedirectRule):
    """A redirect for trainers only."""

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        if self.file.is_trainer:
            super().visit_ImportFrom(node)

    def wanted(self, node: cst.Attribute) -> bool:
        return self.file.is_trainer


class LaunchInThisProcess(TrainerRedirect):
    """Call what would be spawned, in this process.

    A process for each device is CUDA's way. Here the process that was started is the one of its host; its number,
    which the function gets as its first argument, is the host's.
    """

    code = "DST003"
    title = "launch in this process"
    safety = Safety.EXACT
    message = "nothing is spawned: the process that was started drives all devices of its host"
    targets: ClassVar[Mapping[str, str]] = {
        "torch.multiprocessing.spawn": "utils.launch",
        "torch.multiprocessing.spawn.spawn": "utils.launch",
        "torch_xla.distributed.xla_multiprocessing.spawn": "utils.launch",
        "torch_xla.launch": "utils.launch",
    }
    examples: ClassVar = (
        Example(
            before="""
                import torch.multiprocessing as mp


                def run(rank, n, loss):
                    loss.backward()


                def main(n, loss):
                    mp.spawn(run, nprocs=n, args=(n, loss))
                """,
            after="""
                import torch.multiprocessing as mp
                from .. import utils


                def run(rank, n, loss):
                    loss.backward()


                def main(n, loss):
                    utils.launch(run, nprocs=n, args=(n, loss))
                """,
            call="",  # before starts another process
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        """
        import torch.multiprocessing as mp


        def main(run, loss):
            loss.backward()
            mp.Process(target=run).start()
        """,
        """
        def main(pool, run, loss):
            loss.backward()
            pool.spawn(run)
        """,
    )


class NoProcessGroup(Rule):
    """Set up no process group in a trainer.

    Devices of a host exchange gradients inside the one program that all of them run, and hosts find each other
    through the TPU's own runtime. There is no address to agree on, and no group to join or leave. A condition that
    guarded nothing else goes with it.
    """

    code = "DST004"
    title = "no process group"
    safety = Safety.EXACT
    message = "devices and hosts are joined by XLA itself; a process group would be torch.distributed's"
    examples: ClassVar = (
        Example(
            before="""
                import os
                import torch.distributed as dist


                def run(rank, n, loss):
                    os.environ["MASTER_ADDR"] = "localhost"
                    os.environ["MASTER_PORT"] = str(5000 + n)
                    dist.init_process_group(backend="gloo", rank=rank, world_size=n)
                    loss.backward()
                    joined = n > 1
                    if joined and dist.is_initialized():
                        dist.destroy_process_group()
                    return joined
                """,
            after="""
                import os
                import torch.distributed as dist


                def run(rank, n, loss):
                    loss.backward()
                    joined = n > 1
                    return joined
                """,
            call="",  # before joins a process group
            path="train_net.py",
        ),
        Example(
            before="""
                import torch.distributed as dist


                def run(rank, n, loss, start):
                    if start():
                        dist.init_process_group()
                    loss.backward()
                """,
            after="""
                import torch.distributed as dist


                def run(rank, n, loss, start):
                    if start():
                        pass
                    loss.backward()
                """,
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        """
        import os


        def run(loss):
            os.environ["OMP_NUM_THREADS"] = "1"
            loss.backward()
        """,
        """
        def run(dist, loss):
            dist.init_process_group()
            loss.backward()
        """,
        # no trainer
        """
        import torch.distributed as dist


        def join():
            dist.init_process_group()
        """,
    )

    def visit_Expr(self, node: cst.Expr) -> None:
        if not self.file.is_trainer or not isinstance(node.value, cst.Call):
            return
        name = self.file.resolve(node.value.func)
        if name in _GROUP or (name == "os.environ.setdefault" and _is_address(node.value.args[0].value)):
            self._drop(node)

    def visit_Assign(self, node: cst.Assign) -> None:
        target = node.targets[0].target
        if (
            self.file.is_trainer
            and len(node.targets) == 1
            and isinstance(target, cst.Subscript)
            and self.file.resolve(target.value) == "os.environ"
            and isinstance(index := target.slice[0].slice, cst.Index)
            and _is_address(index.value)
        ):
            self._drop(node)

    def _drop(self, node: cst.BaseSmallStatement) -> None:
        line = self.file.alone(node)
        guard = self._empty_guard(line) if line is not None else None
        wrapped = Needed(self.file.module, (ReplicateNetworks.code,))  # torch's DDP asks for the group
        self.replace(guard or line or node, [], together=[(type(self), self.file)], needs=[wrapped])

    def _empty_guard(self, line: cst.SimpleStatementLine) -> cst.If | None:
        """The condition around a line, if it guards nothing else and asking it does nothing."""
        block = self.file.parent(line)
        guard = self.file.parent(block) if block is not None else None
        if not isinstance(guard, cst.If) or guard.orelse is not None or len(guard.body.body) != 1:
            return None
        if isinstance(above := self.file.parent(guard), cst.If) and above.orelse is guard:
            return None  # an elif
        calls = own_of_type(guard.test, cst.Call)
        asks = ("torch.distributed.is_initialized", "torch.distributed.is_available")
        return guard if all(self.file.resolve(c.func) in asks for c in calls) else None


def _is_address(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.SimpleString) and node.evaluated_value in _ADDRESSES


class ReplicateNetworks(TrainerRedirect):
    """Replicate networks over the devices of the one program.

    DistributedDataParallel averages gradients between processes. With the batch sharded over the devices of one
    program, XLA sums them where they are computed. The runtime's class only keeps what callers see of DDP: the
    network as `.module`, and calls that go through to it.
    """

    code = "DST005"
    title = "replicate networks in one program"
    safety = Safety.EXACT
    message = "XLA sums gradients over the sharded batch itself; what is left of DDP is its `.module`"
    targets: ClassVar[Mapping[str, str]] = {
        "torch.nn.parallel.DistributedDataParallel": "utils.Replicated",
        "torch.nn.parallel.distributed.DistributedDataParallel": "utils.Replicated",
        "torch.nn.parallel.DataParallel": "utils.Replicated",
        "torch.nn.DataParallel": "utils.Replicated",
    }
    examples: ClassVar = (
        Example(
            before="""
                from torch.nn.parallel import DistributedDataParallel as DDP


                def run(rank, net, loss):
                    net = DDP(net, device_ids=[rank], find_unused_parameters=True)
                    loss(net.module).backward()
                """,
            after="""
                from ..utils import Replicated as DDP


                def run(rank, net, loss):
                    net = DDP(net, device_ids=[rank], find_unused_parameters=True)
                    loss(net.module).backward()
                """,
            call="",  # before needs a process group
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        """
        from wrappers import DistributedDataParallel as DDP


        def run(net, loss):
            DDP(net)
            loss.backward()
        """,
        # no trainer
        """
        from torch.nn.parallel import DistributedDataParallel


        def is_wrapped(net):
            return isinstance(net, DistributedDataParallel)
        """,
    )


class ReplicateUnwrapped(Rule):
    """Replicate a network that is wrapped for several processes alone.

    `if n_gpus > 1: net = DDP(net)` leaves the network bare where one process drives all devices of a host. It has to be
    on each of them all the same: unless its parameters are uploaded so before the first step, the second step has
    another graph than the first. The runtime's `replicate` does that and gives the same network back, so that whatever
    looks for `.module`, or for the names in a state dictionary, finds what upstream has on one GPU.
    """

    code = "DST009"
    title = "replicate networks that are not wrapped"
    safety = Safety.EXACT
    message = "without DDP's wrapping the network is still on all devices of the process, from the first step on"
    examples: ClassVar = (
        Example(
            before="""
                from torch.nn.parallel import DistributedDataParallel as DDP


                def run(n, net, x):
                    several = n > 1
                    if several:  # as many as there are
                        net = DDP(net, device_ids=[0])
                    y = net(x).sum()
                    y.backward()
                    return y, net.state_dict()['weight']


                def start(x):
                    import torch

                    net = torch.nn.Linear(2, 1)
                    torch.nn.init.ones_(net.weight)
                    torch.nn.init.zeros_(net.bias)
                    return run(1, net, x)
                """,
            after="""
                from torch.nn.parallel import DistributedDataParallel as DDP
                from .. import utils


                def run(n, net, x):
                    several = n > 1
                    if several:  # as many as there are
                        net = DDP(net, device_ids=[0])
                    else:
                        net = utils.replicate(net)
                    y = net(x).sum()
                    y.backward()
                    return y, net.state_dict()['weight']


                def start(x):
                    import torch

                    net = torch.nn.Linear(2, 1)
                    torch.nn.init.ones_(net.weight)
                    torch.nn.init.zeros_(net.bias)
                    return run(1, net, x)
                """,
            call="start(x)",
            inputs="x = torch.tensor([[0.5, -1.0], [0.25, 2.0]])",
            path="train_net.py",
            on_device=False,
        ),
        Example(  # several networks, another way without DDP, and a choice in one line
            before="""
                import torch


                def run(n, a, b, c, device, loss):
                    if n > 1:
                        a, step = torch.nn.DataParallel(a), n
                        a = torch.nn.DataParallel(a)
                        self.b = torch.nn.DataParallel(module=self.b)
                    else:
                        b = b.to(device)
                    c = torch.nn.DataParallel(c) if n > 1 else c
                    loss.backward()
                """,
            after="""
                import torch
                from .. import utils


                def run(n, a, b, c, device, loss):
                    if n > 1:
                        a, step = torch.nn.DataParallel(a), n
                        a = torch.nn.DataParallel(a)
                        self.b = torch.nn.DataParallel(module=self.b)
                    else:
                        b = b.to(device)
                        a = utils.replicate(a)
                        self.b = utils.replicate(self.b)
                    c = torch.nn.DataParallel(c) if n > 1 else utils.replicate(c)
                    loss.backward()
                """,
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        # wrapped in any case
        """
        from torch.nn.parallel import DistributedDataParallel as DDP


        def run(net, loss):
            net = DDP(net)
            loss.backward()
        """,
        # two networks, and which is trained without DDP is not said
        """
        from torch.nn.parallel import DistributedDataParallel as DDP


        def run(n, net, loss):
            if n > 1:
                model = DDP(net)
            loss.backward()
        """,
        # an alternative that is wrapped, or chosen by more than one condition
        """
        from torch.nn.parallel import DataParallel, DistributedDataParallel


        def run(n, net, loss):
            if n > 1:
                net = DistributedDataParallel(net)
            else:
                net = DataParallel(net)
            loss.backward()
        """,
        # no trainer
        """
        from torch.nn.parallel import DistributedDataParallel as DDP


        def wrap(n, net):
            if n > 1:
                net = DDP(net)
            return net
        """,
    )

    def visit_If(self, node: cst.If) -> None:
        if not self.file.is_trainer or not isinstance(node.body, cst.IndentedBlock) or isinstance(node.orelse, cst.If):
            return
        bare = list(filter(None, map(self._wrapped_line, node.body.body)))
        other = node.orelse.body if node.orelse is not None else None
        if not bare or (other is not None and self._handles(other)):
            return
        lines = list(map(self._replicated, bare))
        if other is None:
            self.replace(node, node.with_changes(orelse=cst.Else(cst.IndentedBlock(lines))))
        elif isinstance(other, cst.IndentedBlock):
            self.replace(other, other.with_changes(body=[*other.body, *lines]))

    def _replicated(self, name: cst.BaseAssignTargetExpression) -> cst.SimpleStatementLine:
        made = self.fill("__f(__n)", f="utils.replicate", n=name)
        return cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(name)], made)])

    def visit_IfExp(self, node: cst.IfExp) -> None:
        wrapped = self._wrapped(node.body) if self.file.is_trainer else None
        if wrapped is not None and same(wrapped, node.orelse):
            self.replace(node.orelse, self.fill("__f(__n)", f="utils.replicate", n=node.orelse))

    def _wrapped_line(self, statement: cst.BaseStatement) -> cst.Name | cst.Attribute | None:
        """The network that a line wraps under its own name."""
        small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
        if not isinstance(small, cst.Assign) or len(small.targets) != 1:
            return None
        target, wrapped = small.targets[0].target, self._wrapped(small.value)
        is_own = wrapped is not None and same(target, wrapped)
        return target if is_own and isinstance(target, (cst.Name, cst.Attribute)) else None

    def _wrapped(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
        """What a call of DDP's class is given."""
        if isinstance(node, cst.Call) and self.file.resolve(node.func) in ReplicateNetworks.targets:
            return argument_for(self.file, node, "module")
        return None

    def _handles(self, body: cst.CSTNode) -> bool:
        """Whether a branch replicates networks itself."""
        called = (self.file.resolve(call.func) or "" for call in own_of_type(body, cst.Call))
        return any(name in ReplicateNetworks.targets or name.endswith("utils.replicate") for name in called)
