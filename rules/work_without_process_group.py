"""On XLA the port is one program over all chips; there may be no process group to ask."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.guards import DISTRIBUTED_ONLY
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import has_star
from porter.syntax.predicates import last_parts

_CALLS = {
    "torch.distributed.get_rank": "utils.get_rank",
    "torch.distributed.get_world_size": "utils.get_world_size",
    "torch.distributed.broadcast": "utils.broadcast",
    "torch.distributed.all_reduce": "utils.all_reduce",
}


def _plain(call: cst.Call, target: str) -> bool:
    """Whether a call asks for no more than the runtime's function knows: no group, no other reduction, no handle."""
    known = {"utils.broadcast": ("tensor", "src"), "utils.all_reduce": ("tensor",)}.get(target, ())
    names = [a.keyword.value for a in call.args if a.keyword is not None]
    return len(call.args) <= len(known) and not has_star(call) and all(n in known for n in names)


class WorkWithoutProcessGroup(Rule):
    """Ask for rank and size, and broadcast, only where there is a process group.

    `torch.distributed.get_rank()` raises without one. SPMD training on XLA is a single program, and so is inference:
    rank 0 of 1. The runtime's functions ask torch.distributed if it is initialised and answer that otherwise.
    """

    code = "DST001"
    title = "work without a process group"
    safety = Safety.EXACT
    message = "without a process group this call raises; the runtime's answers rank 0 of 1"
    calls: ClassVar = last_parts(_CALLS)
    examples: ClassVar = (
        Example(
            before="""
                import torch
                import torch.distributed as dist


                def share(x):
                    if dist.get_rank() == 0:
                        x = x + 1
                    dist.broadcast(x, src=0)
                    return x
                """,
            after="""
                import torch
                import torch.distributed as dist
                from . import utils


                def share(x):
                    if utils.get_rank() == 0:
                        x = x + 1
                    utils.broadcast(x, src=0)
                    return x
                """,
            call="",  # before raises without a process group, which is the point
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def rank():
            if torch.distributed.is_initialized():
                return torch.distributed.get_rank()
            return 0
        """,
        """
        import torch.distributed as dist


        def count(group):
            return dist.get_world_size(group)
        """,
        """
        def share(dist, x):
            return dist.get_rank() + x
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        target = _CALLS.get(self.file.full_name(node.func))
        if target is None or not _plain(node, target) or (self.host_reason(node) or "").startswith(DISTRIBUTED_ONLY):
            return
        self.replace(node.func, self.runtime(target))
