"""One process loads batches for all its devices."""

from __future__ import annotations

from itertools import count
from typing import ClassVar

import libcst as cst

from porter.analysis.project import Definition, SourceFile
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import argument, without_argument

_SAMPLERS = ("torch.utils.data.distributed.DistributedSampler", "torch.utils.data.DistributedSampler")
_LOADERS = ("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader")

_SAMPLER = """from torch.utils.data.distributed import DistributedSampler


class BucketSampler(DistributedSampler):
    def __init__(self, dataset, batch_size, boundaries, rank=0):
        super().__init__(dataset, num_replicas=1, rank=rank)
        self.batch_size = batch_size
        self.boundaries = boundaries
"""


class BatchForAllDevices(Rule):
    """Let a sampler make batches for all devices of its process.

    Upstream's batch size is that of one GPU, and each GPU's process has a sampler of its own. One process for all
    devices of a host needs one batch as large as all of theirs, which is sharded over them. The sampler's bucket
    boundaries come from the plan that `sovits-port buckets` wrote for the dataset, where there is one, so that a
    bucket is one graph.
    """

    code = "DST006"
    title = "one batch for all devices of a process"
    safety = Safety.EXACT
    message = "the process batches for all its devices, and buckets as the dataset's plan says"
    examples: ClassVar = (
        Example(
            before=f"{_SAMPLER}\n\ndef run(data, size, loss):\n    sampler = BucketSampler(data, size, [32, 300], rank=0)\n    loss.backward()\n    return sampler\n",
            after=(
                f"{_SAMPLER.replace('Sampler' + chr(10), 'Sampler' + chr(10) + 'from .. import training, utils' + chr(10), 1)}\n\ndef run(data, size, loss):\n"
                "    sampler = BucketSampler(data, utils.replica_batch(size), training.boundaries(data, [32, 300]), rank=0)\n"
                "    loss.backward()\n    return sampler\n"
            ),
            call="run([x], 4, (x**2).sum()).batch_size",
            inputs="x = torch.ones(3, requires_grad=True)",
            path="train_net.py",
            on_device=False,
        ),
        Example(  # the sampler of another file, given by keywords
            before="""
                from module.samplers import BucketSampler


                def run(data, size, loss):
                    sampler = BucketSampler(data, boundaries=[32, 300], batch_size=size)
                    loss.backward()
                    return sampler
                """,
            after="""
                from module.samplers import BucketSampler
                from .. import training, utils


                def run(data, size, loss):
                    sampler = BucketSampler(data, boundaries=training.boundaries(data, [32, 300]), batch_size=utils.replica_batch(size))
                    loss.backward()
                    return sampler
                """,
            path="train_net.py",
            others={"module/samplers.py": _SAMPLER},
        ),
    )
    untouched: ClassVar = (
        # no sampler of replicas
        """
        class BucketSampler:
            def __init__(self, dataset, batch_size, boundaries):
                self.batch_size = batch_size


        def run(data, loss):
            loss.backward()
            return BucketSampler(data, 4, [32, 300])
        """,
        """
        def run(data, loss, BucketSampler):
            loss.backward()
            return BucketSampler(data, 4, [32, 300])
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        found = self.file.project.class_definition(self._full_name(node.func)) if self.file.is_trainer else None
        if found is None or not _is_sampler(found):
            return
        places = dict(zip(_constructor_names(found[1]), count(), strict=False))
        size, limits, dataset = (
            argument(node, name, places.get(name)) for name in ("batch_size", "boundaries", "dataset")
        )
        if size is not None and "batch_size" in places:
            self._wrap(size, "utils.replica_batch")
        if limits is not None and dataset is not None and "boundaries" in places:
            self._wrap(limits, "training.boundaries", dataset)

    def _wrap(self, value: cst.BaseExpression, name: str, *before: cst.BaseExpression) -> None:
        """Let a function of the runtime make the value, unless it does already."""
        if not self.file.calls_runtime(value, name):
            self.replace(value, cst.Call(self.runtime(name), [cst.Arg(part) for part in (*before, value)]))

    def _full_name(self, node: cst.CSTNode) -> str | None:
        return self.file.resolve(node)


def _is_sampler(found: Definition, depth: int = 4) -> bool:
    """Whether a class derives from torch's DistributedSampler, directly or through classes of the project."""
    file, owner = found
    if not isinstance(owner, cst.ClassDef):
        return False
    for base in owner.bases:
        name = file.resolve(base.value)
        above = file.project.definition(name)
        if name in _SAMPLERS or (above is not None and depth > 0 and _is_sampler(above, depth - 1)):
            return True
    return False


def _constructor_names(owner: cst.ClassDef) -> list[str]:
    """The parameters of a class's constructor, but `self`."""
    for item in owner.body.body:
        if isinstance(item, cst.FunctionDef) and item.name.value == "__init__":
            return [p.name.value for p in (*item.params.posonly_params, *item.params.params)][1:]
    return []


class LoadBatchesOntoDevices(Rule):
    """Load batches onto the devices.

    The runtime's loader wraps torch's: while a step runs, the next batches are uploaded in the background, with the
    batch axis sharded over the devices. `dataset`, `batch_sampler` and `len()` stay reachable, so `set_epoch` works
    as before. Pinned memory is CUDA's and is not asked for.
    """

    code = "DST007"
    title = "load batches onto the devices"
    safety = Safety.EXACT
    message = "batches are uploaded in the background, the batch axis sharded over the devices"
    calls: ClassVar = ("DataLoader",)
    examples: ClassVar = (
        Example(
            before="""
                from torch.utils.data import DataLoader


                def run(data, loss):
                    loader = DataLoader(
                        data,
                        shuffle=False,
                        pin_memory=True,
                        batch_size=2,
                    )
                    loss.backward()
                    return [(x + 1).cpu() for x in loader]
                """,
            after="""
                from torch.utils.data import DataLoader
                from .. import training


                def run(data, loss):
                    loader = training.DeviceLoader(DataLoader(
                        data,
                        shuffle=False,
                        batch_size=2,
                    ))
                    loss.backward()
                    return [(x + 1).cpu() for x in loader]
                """,
            call="run([x, x + 1, x + 2], (y**2).sum())",
            inputs="""
                x = torch.ones(3)
                y = torch.ones(3, requires_grad=True)
                """,
            path="train_net.py",
            on_device=False,
        ),
        Example(
            before="""
                import torch


                def run(data, loss, options):
                    loss.backward()
                    return [x for x in torch.utils.data.DataLoader(data, pin_memory=True, **options)]
                """,
            after="""
                import torch
                from .. import training


                def run(data, loss, options):
                    loss.backward()
                    return [x for x in training.DeviceLoader(torch.utils.data.DataLoader(data, **options))]
                """,
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        """
        from loaders import DataLoader


        def run(data, loss):
            loss.backward()
            return DataLoader(data, pin_memory=True)
        """,
        # no trainer
        """
        from torch.utils.data import DataLoader


        def load(data):
            return DataLoader(data)
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if not self.file.is_trainer or self.file.resolve(node.func) not in _LOADERS or _is_wrapped(self.file, node):
            return
        pinned = argument(node, "pin_memory")
        plain = isinstance(pinned, cst.Name) and pinned.value == "True"
        inner = without_argument(node, "pin_memory") if plain else node
        self.replace(node, self.fill("__f(__loader)", f="training.DeviceLoader", loader=inner))


def _is_wrapped(file: SourceFile, node: cst.Call) -> bool:
    """Whether a loader is made for another loader that uploads, ours or somebody's."""
    arg = file.parent(node)
    call = file.parent(arg) if isinstance(arg, cst.Arg) else None
    name = file.resolve(call.func) if isinstance(call, cst.Call) else None
    return name is not None and name.rsplit(".", 1)[-1] in ("DeviceLoader", "MpDeviceLoader", "ParallelLoader")
