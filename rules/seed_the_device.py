"""A run that is seeded is seeded on the device too."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.rule import Example, Rule, Safety


class SeedTheDevice(Rule):
    """Seed the device's generator with torch's.

    `torch.manual_seed` seeds the CPU and CUDA. XLA's generator does not hear of it, so a run would draw other noise
    each time. The runtime's `manual_seed` seeds both. Its result is not torch's generator, so only a call whose result
    nobody takes is rewritten.
    """

    code = "RNG002"
    title = "seed the device"
    safety = Safety.EXACT
    message = "torch.manual_seed does not seed the device's generator; the runtime's seeds both"
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def run(seed):
                    torch.manual_seed(seed)
                    return torch.randn(3)
                """,
            after="""
                import torch
                from .. import utils


                def run(seed):
                    utils.manual_seed(seed)
                    return torch.randn(3)
                """,
            call="run(3)",
            path="train_net.py",
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        """
        import torch

        generator = torch.manual_seed(3)
        """,
        """
        import torch


        def draw(generator):
            generator.manual_seed(3)
        """,
    )

    def visit_Expr(self, node: cst.Expr) -> None:
        call = node.value
        if isinstance(call, cst.Call) and self.file.resolve(call.func) in (
            "torch.manual_seed",
            "torch.random.manual_seed",
        ):
            self.replace(call.func, self.runtime("utils.manual_seed"))
