"""Calls that name CUDA where any device will do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import libcst as cst

from porter.analysis import cuda
from porter.analysis.arguments import argument_for, bind
from porter.analysis.project import SourceFile
from porter.analysis.resent import resent
from porter.rule import Example, Needed, RedirectRule, Rule, Safety
from porter.syntax.predicates import last_parts, leaves, only_target
from porter.syntax.walk import descendants, own_of_type

_TIGHT = cst.AssignEqual(whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace(""))
_HALF = ("torch.float16", "torch.half")


class AutocastOnDevice(RedirectRule):
    """Autocast on the device that is used, in its own dtype.

    `torch.cuda.amp.autocast` does nothing without CUDA. The runtime's autocast is the device's: bfloat16 on a TPU,
    which needs no gradient scaling, and no effect on the CPU. Where the device is known at run time only,
    autocast stays torch's own; on XLA float16, for which torch switches autocast off there, becomes bfloat16.
    """

    code = "DEV001"
    title = "autocast on the device"
    safety = Safety.EXACT
    message = "CUDA's autocast has no effect on another device; the runtime's is the device's own, in bfloat16"
    targets: ClassVar = {
        "torch.cuda.amp.autocast": "utils.autocast",
        "torch.cuda.amp.autocast_mode.autocast": "utils.autocast",
    }
    calls: ClassVar = last_parts(cuda.AUTOCASTS)
    examples: ClassVar = (
        Example(
            before="""
                import torch
                from torch.cuda.amp import autocast


                def exact(x):
                    with autocast(enabled=False):
                        return x * 2
                """,
            after="""
                import torch
                from .utils import autocast


                def exact(x):
                    with autocast(enabled=False):
                        return x * 2
                """,
            call="exact(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def exact(x):
                    with torch.autocast("cuda", enabled=False), torch.amp.autocast(device_type="cuda", enabled=False):
                        return x * 2
                """,
            after="""
                import torch
                from . import utils


                def exact(x):
                    with utils.autocast(enabled=False), utils.autocast(enabled=False):
                        return x * 2
                """,
            call="exact(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def exact(x, on):
                    with torch.autocast("cuda", torch.float16, on), torch.amp.autocast(enabled=on, device_type="cuda"):
                        return x * 2
                """,
            after="""
                import torch
                from . import utils


                def exact(x, on):
                    with utils.autocast(dtype=torch.float16, enabled=on), utils.autocast(enabled=on):
                        return x * 2
                """,
            call="exact(x, False)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch
                from torch.amp.autocast_mode import autocast


                def low(x, on):
                    with autocast(device_type=x.device.type, dtype=torch.float16, enabled=on):
                        return x * 2
                """,
            after="""
                import torch
                from torch.amp.autocast_mode import autocast
                from . import utils


                def low(x, on):
                    with utils.autocast_for(device_type=x.device.type, dtype=torch.float16, enabled=on):
                        return x * 2
                """,
            call="low(x, True)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        # not in float16, as far as can be seen
        """
        import torch


        def low(x, dtype):
            with torch.autocast(x.device.type, dtype=dtype), torch.autocast(x.device.type, enabled=False):
                return x * 2
        """,
        """
        import torch


        def low(x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return x * 2
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) not in cuda.AUTOCASTS:
            return
        given = bind(self.file, node)
        if given is None:
            return
        if not cuda.is_cuda_text(given["device_type"]):
            self._choose_at_runtime(node, given)
            return
        # The runtime's takes what torch.cuda.amp.autocast takes, in another order: all of it goes by keyword.
        names = {value: name for name, value in given.items()}
        rest = [
            arg.with_changes(keyword=cst.Name(names[arg.value]), equal=_TIGHT) if arg.keyword is None else arg
            for arg in node.args
            if arg.value is not given["device_type"]
        ]
        if rest:
            rest[-1] = rest[-1].with_changes(comma=node.args[-1].comma)
        self.replace(node, node.with_changes(func=self.runtime("utils.autocast"), args=rest))

    def _choose_at_runtime(self, node: cst.Call, given: Mapping[str, cst.BaseExpression]) -> None:
        """Autocast to half precision on a device that only the run knows."""
        half = "dtype" in given and self.file.resolve(given["dtype"]) in _HALF
        if half and not isinstance(given["device_type"], cst.SimpleString):
            self.replace(node.func, self.runtime("utils.autocast_for"))


class CheckpointOnDevice(RedirectRule):
    """Checkpoint activations in a way that XLA keeps.

    XLA merges the recomputation of a checkpoint with the first computation unless a barrier stands between; the
    runtime's checkpoint puts one there, and replays the device's random state.
    """

    code = "DEV008"
    title = "checkpoint on the device"
    safety = Safety.EXACT
    message = "torch's checkpoint knows no XLA device; the runtime's recomputes behind a barrier on XLA"
    targets: ClassVar = {"torch.utils.checkpoint.checkpoint": "utils.checkpoint"}
    examples: ClassVar = (
        Example(
            before="""
                import torch
                from torch.utils.checkpoint import checkpoint


                def f(x):
                    return checkpoint(torch.tanh, x, use_reentrant=False) * 2
                """,
            after="""
                import torch
                from .utils import checkpoint


                def f(x):
                    return checkpoint(torch.tanh, x, use_reentrant=False) * 2
                """,
            call="f(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        def f(store, x):
            store.checkpoint(x)
            return x
        """,
    )


class InferWithoutGradients(Rule):
    """Switch gradients off instead of making inference tensors.

    Inference tensors have no version counter, and XLA's functionalization needs one: writing into a slice raises
    "Cannot set version_counter for inference tensor". `no_grad` computes the same values.
    """

    code = "DEV009"
    title = "infer without gradients"
    safety = Safety.EXACT
    message = "inference tensors cannot be written to in slices on XLA; without gradients the values are the same"
    calls: ClassVar = ("inference_mode",)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                @torch.inference_mode()
                def f(x):
                    y = torch.zeros_like(x)
                    y[:1] = x[:1] * 2
                    return y
                """,
            after="""
                import torch


                @torch.no_grad()
                def f(x):
                    y = torch.zeros_like(x)
                    y[:1] = x[:1] * 2
                    return y
                """,
            call="f(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def f(x, on):
            with torch.inference_mode(on):
                return torch.relu(x)
        """,
        """
        def f(engine, x):
            with engine.inference_mode():
                return x
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) == "torch.inference_mode" and not node.args:
            torch = self.file.alias("torch")
            if torch is not None:
                self.replace(node.func, cst.parse_expression(f"{torch}.no_grad"))


class LeaveCuda(Rule):
    """Use the device that there is instead of CUDA.

    `.cuda()`, `"cuda"` and `torch.device("cuda")` name one backend. The runtime knows which device this process uses; a
    number behind the colon or in the brackets is the process's own device there. Calls that only manage CUDA's memory
    and streams are dropped.
    """

    code = "DEV002"
    title = "use the device that there is"
    safety = Safety.EXACT
    message = "CUDA is named where the device in use is meant"
    calls: ClassVar = ("cuda", "device")
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def pick():
                    device = "cuda" if torch.cuda.is_available() else "cpu"
                    return torch.ones(2, device=device)
                """,
            after="""
                import torch
                from . import utils


                def pick():
                    device = utils.default_device()
                    return torch.ones(2, device=device)
                """,
            call="pick()",
            on_device=False,
        ),
        Example(
            before="""
                import torch


                def move(x):
                    torch.cuda.empty_cache()
                    return torch.relu(x).cuda(non_blocking=True)
                """,
            after="""
                import torch
                from . import utils


                def move(x):
                    return torch.relu(x).to(utils.default_device())
                """,
            call="",
        ),
        Example(
            before="""
                import torch


                def move(x):
                    return torch.relu(x).to("cuda") + torch.zeros(1, device=torch.device("cuda"))
                """,
            after="""
                import torch
                from . import utils


                def move(x):
                    return torch.relu(x).to(utils.default_device()) + torch.zeros(1, device=utils.default_device())
                """,
            call="",
        ),
        Example(
            before="""
                import torch


                def move(net, batch, rank):
                    device = f"cuda:{rank}"
                    net = net.cuda(rank)
                    return net, [x.cuda(rank, non_blocking=True) for x in batch], torch.zeros(1).to(device)
                """,
            after="""
                import torch
                from . import utils


                def move(net, batch, rank):
                    device = utils.default_device()
                    net = net.to(utils.default_device())
                    return net, [x.to(utils.default_device()) for x in batch], torch.zeros(1).to(device)
                """,
            call="",  # before needs CUDA, which is the point
        ),
        Example(
            before="""
                import torch

                if torch.cuda.is_available():
                    kind = "cuda"
                elif torch.backends.mps.is_available():
                    kind = "mps"
                else:
                    kind = "cpu"


                def move(x, rank):
                    return torch.relu(x).to(f"{kind}:{rank}")
                """,
            after="""
                import torch
                from . import utils

                kind = utils.default_device().type


                def move(x, rank):
                    return torch.relu(x).to(f"{kind}:{rank}")
                """,
            call="move(x, 0)",
            inputs="x = torch.linspace(-1, 1, 5)",
        ),
    )
    untouched: ClassVar = (
        """
        def name():
            return "cuda"
        """,
        """
        import torch


        def known(x):
            kind = "cuda"
            return x.device.type == kind
        """,
        """
        import torch


        def move(box):
            return box.cuda
        """,
        """
        def move(box):
            return box.cuda(0)
        """,
        """
        import torch


        class Box:
            def cuda(self):
                return self


        def move(box):
            return box.cuda()
        """,
    )

    def visit_IfExp(self, node: cst.IfExp) -> None:
        if cuda.is_choice(self.file, node):
            self.replace(node, self.fill("__f()", f="utils.default_device"))

    def visit_If(self, node: cst.If) -> None:
        chosen = cuda.chosen_device(self.file, node)
        if chosen is not None:
            typed = cuda.is_cuda_text(chosen.value)  # a text stays one, as it may become part of another
            made = self.fill("__f().type" if typed else "__f()", f="utils.default_device")
            self.replace(node, [cst.SimpleStatementLine([chosen.with_changes(value=made)])])

    def visit_Call(self, node: cst.Call) -> None:
        if cuda.moves_to_cuda(self.file, node) and resent(self.file, node) is None:
            assert isinstance(node.func, cst.Attribute)
            to = node.func.with_changes(attr=cst.Name("to"))
            self.replace(node, self.fill("__to(__f())", to=to, f="utils.default_device"))
        elif cuda.is_cuda_device(self.file, node) and not cuda.is_choice(self.file, self.file.parent(node)):
            self.replace(node, self.fill("__f()", f="utils.default_device"))

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        self._text(node)

    def visit_FormattedString(self, node: cst.FormattedString) -> None:
        self._text(node)

    def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
        self._text(node)

    def _text(self, node: cst.BaseExpression) -> None:
        if cuda.is_cuda_text(node) and cuda.stands_for_device(self.file, node):
            self.replace(node, self.fill("__f()", f="utils.default_device"))

    def visit_Expr(self, node: cst.Expr) -> None:
        if isinstance(node.value, cst.Call) and self.file.resolve(node.value.func) in cuda.MANAGEMENT:
            self.replace(self.file.alone(node) or node, [])


class TakeAcceleratorsBranch(Rule):
    """Take the branch for CUDA, since the port's device stands where CUDA stood.

    `if torch.cuda.is_available()` asks whether there is an accelerator; on a TPU machine it says no, and upstream's way
    for machines without one is another program. A condition stays as it is, and is reported, when something in its
    branch for CUDA is not translated by a rule. Pinned memory is CUDA's own, so there the answer is no.
    """

    code = "DEV010"
    title = "take the accelerator's branch"
    safety = Safety.EXACT
    message = "the device in use stands where CUDA stood, so its branch is the one"
    calls: ClassVar = ("is_available",)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def place(net, x):
                    if torch.cuda.is_available():
                        # one chip a process
                        net = net.cuda()
                        x = x.cuda()
                    else:
                        net = net.float()
                    return net(x)
                """,
            after="""
                import torch


                def place(net, x):
                    # one chip a process
                    net = net.cuda()
                    x = x.cuda()
                    return net(x)
                """,
            call="",  # before takes the other way without CUDA, which is the point
        ),
        Example(
            before="""
                import torch


                def run(net, x):
                    assert torch.cuda.is_available(), 'no GPU'
                    y = net.module.infer(x) if torch.cuda.is_available() else net.infer(x)
                    if not torch.cuda.is_available():
                        print('slow')
                    return y if not torch.cuda.is_available() else y * 2
                """,
            after="""
                import torch


                def run(net, x):
                    y = net.module.infer(x)
                    return y * 2
                """,
            call="",
        ),
        Example(
            before="""
                import torch


                def load(data, cold):
                    if cold:
                        n = 0
                    elif torch.cuda.is_available():
                        n = 2
                    else:
                        n = 1
                    return torch.utils.data.DataLoader(data, batch_size=n, pin_memory=torch.cuda.is_available())
                """,
            after="""
                import torch


                def load(data, cold):
                    if cold:
                        n = 0
                    else:
                        n = 2
                    return torch.utils.data.DataLoader(data, batch_size=n, pin_memory=False)
                """,
            call="",
        ),
        Example(
            before="""
                import torch


                def place(x, cached, n):
                    alone = torch.cuda.is_available() and n == 1
                    if alone:
                        print('alone')
                    if (cached == False) and torch.cuda.is_available():
                        x = x.cuda()
                    return torch.relu(x)
                """,
            after="""
                import torch


                def place(x, cached, n):
                    alone = n == 1
                    if alone:
                        print('alone')
                    if (cached == False):
                        x = x.cuda()
                    return torch.relu(x)
                """,
            call="",
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def pick():
            return "cuda" if torch.cuda.is_available() else "cpu"
        """,
        """
        import torch


        def count():
            if torch.cuda.is_available():
                n = torch.cuda.device_count()
            else:
                n = 1
            return n
        """,
        """
        import torch


        def count():
            return torch.cuda.device_count() if torch.cuda.is_available() else 1
        """,
        """
        import torch


        def capture(f):
            if torch.cuda.is_available():
                with torch.cuda.graph(torch.cuda.CUDAGraph()):
                    f()
        """,
        """
        import torch


        def fast():
            if torch.cuda.is_available():
                import flash
                return flash
            return None
        """,
        """
        import torch


        def known(ready):
            return torch.cuda.is_available() and ready
        """,
        # what follows is CUDA's, and this is how to go on without
        """
        import torch


        def memory():
            if not torch.cuda.is_available():
                return 0
            return torch.cuda.mem_get_info()[0]
        """,
        """
        import torch


        def known(ready):
            told = torch.cuda.is_available() and ready
            return told
        """,
    )

    def visit_If(self, node: cst.If) -> None:
        asked = cuda.asks_for_cuda(self.file, node.test)
        if asked is None:
            self._other_question(node)
            return
        block = node.body if asked else node.orelse
        if cuda.chosen_device(self.file, node) is not None or not (asked or self._rest_translated(node)):
            return
        if block is not None and (_counts_devices(self.file, block) or not cuda.is_translated(self.file, block)):
            return
        if isinstance(self.file.parent(node), cst.If):
            self._branch(node, block)
        else:
            self.replace(node, _statements(block), needs=_translations(block))

    def _rest_translated(self, node: cst.If) -> bool:
        """Whether rules translate what stands behind an `if` that leaves without CUDA, and so runs with it only."""
        if not leaves(node.body, cst.Return, cst.Raise) or isinstance(self.file.parent(node), cst.If):
            return True
        beside = self.file.siblings(node)
        rest = beside[beside.index(node) + 1 :]
        parts = (part for one in rest for part in descendants(one) if isinstance(part, cst.Attribute))
        if not self.file.is_trainer and any(self.file.resolve(p) == "torch.cuda.device_count" for p in parts):
            return False
        return all(cuda.is_translated(self.file, one) for one in rest)

    def _other_question(self, node: cst.If) -> None:
        """`if ready and torch.cuda.is_available()`: what is left of the condition, where its branch is translated."""
        left = self._besides_cuda(node.test)
        if left is not None and not _counts_devices(self.file, node.body) and cuda.is_translated(self.file, node.body):
            self.replace(node.test, left, needs=_translations(node.body))

    def _besides_cuda(self, test: cst.BaseExpression) -> cst.BaseExpression | None:
        """The other of two conditions that both have to hold, one of which asks for CUDA."""
        if not isinstance(test, cst.BooleanOperation) or not isinstance(test.operator, cst.And):
            return None
        for asks, other in ((test.left, test.right), (test.right, test.left)):
            if cuda.asks_for_cuda(self.file, asks) is True and cuda.implies_cuda(self.file, other) is None:
                return other.with_changes(lpar=[*test.lpar, *other.lpar], rpar=[*other.rpar, *test.rpar])
        return None

    def visit_Assign(self, node: cst.Assign) -> None:
        left, target = self._besides_cuda(node.value), only_target(node)
        if left is None or not isinstance(target, cst.Name) or not cuda.is_translated(self.file, left):
            return
        if cuda.bound_once(self.file, target) is not node.value:
            return
        tests = list(map(self._translated_test, cuda.uses(self.file, target)))
        if tests and None not in tests:
            needs = [need for one in filter(None, tests) for need in _translations(one.body)]
            self.replace(node.value, left, needs=needs)

    def _translated_test(self, use: cst.CSTNode) -> cst.If | None:
        """The `if` that a name alone is the condition of, where the rules translate what it does."""
        parent = self.file.parent(use)
        if isinstance(parent, cst.If) and parent.test is use and cuda.is_translated(self.file, parent.body):
            return parent
        return None

    def _branch(self, node: cst.If, block: cst.BaseSuite | cst.If | cst.Else | None) -> None:
        """An `elif`: what remains of it is the `else` of the one before."""
        if isinstance(block, cst.BaseSuite):
            last = cst.Else(body=block, leading_lines=node.leading_lines)
            self.replace(node, last, needs=_translations(block))
        elif block is not None:
            self.replace(node, block, needs=_translations(block))

    def visit_IfExp(self, node: cst.IfExp) -> None:
        asked = cuda.asks_for_cuda(self.file, node.test)
        value = node.body if asked else node.orelse
        if asked is None or cuda.is_choice(self.file, node) or _counts_devices(self.file, value):
            return
        if cuda.is_translated(self.file, value):
            self.replace(node, value, needs=_translations(value))

    def visit_Assert(self, node: cst.Assert) -> None:
        operands = [node.test]
        while isinstance(operands[-1], cst.BooleanOperation) and isinstance(operands[-1].operator, cst.Or):
            last = operands.pop()
            assert isinstance(last, cst.BooleanOperation)
            operands += [last.right, last.left]
        if any(cuda.asks_for_cuda(self.file, operand) for operand in operands):
            self.replace(self.file.alone(node) or node, [])

    def visit_Call(self, node: cst.Call) -> None:
        if cuda.asks_for_cuda(self.file, node) and self._pins(node):
            self.replace(node, cst.Name("False"), "pinned memory is CUDA's own")

    def _pins(self, node: cst.Call) -> bool:
        parent = self.file.parent(node)
        if isinstance(parent, cst.Arg):
            return parent.keyword is not None and parent.keyword.value == "pin_memory"
        key: cst.CSTNode | None = parent.key if isinstance(parent, cst.DictElement) else None
        if isinstance(parent, cst.Assign) and isinstance(parent.targets[0].target, cst.Subscript):
            index = parent.targets[0].target.slice[0].slice
            key = index.value if isinstance(index, cst.Index) else None
        return isinstance(key, cst.SimpleString) and key.evaluated_value == "pin_memory"


class LeaveCudaSettings(Rule):
    """Drop the switches of CUDA's libraries, its choice of a device and its seeds.

    They have no meaning for another device, and what they are set to is not computed. How a TPU multiplies is set by
    `torch_xla.backends.set_mat_mul_precision`; which chips a process sees by the variables of its runtime; and the
    runtime's `manual_seed` seeds the device that is used.
    """

    code = "DEV011"
    title = "drop CUDA's own settings"
    safety = Safety.EXACT
    message = "a setting of CUDA alone"
    examples: ClassVar = (
        Example(
            before="""
                import os

                import torch

                os.environ['CUDA_VISIBLE_DEVICES'] = '0,1'
                torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
                torch.set_float32_matmul_precision('medium')


                def run(rank, x):
                    torch.cuda.set_device(rank)
                    torch.cuda.manual_seed_all(3)
                    return torch.relu(x)
                """,
            after="""
                import os

                import torch


                def run(rank, x):
                    return torch.relu(x)
                """,
            path="train_net.py",
        ),
        Example(
            before="""
                import torch


                def f(x):
                    torch.backends.cudnn.benchmark = True
                    return torch.relu(x)
                """,
            after="""
                import torch


                def f(x):
                    return torch.relu(x)
                """,
            call="f(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        import os

        os.environ['CUDA_HOME'] = '/usr/local/cuda'
        """,
        """
        import torch

        fast = torch.backends.cudnn.benchmark
        """,
        """
        def run(torch):
            torch.backends.cudnn.benchmark = True
        """,
    )
    _INSTEAD: ClassVar = {
        "torch.cuda.set_device": "the runtime picks the device of this process",
        "torch.cuda.manual_seed": "the runtime's manual_seed seeds the device that is used",
        "torch.cuda.manual_seed_all": "the runtime's manual_seed seeds the device that is used",
        "torch.set_float32_matmul_precision": (
            "TPU knows nothing of it; to set how TPU multiplies, use torch_xla.backends.set_mat_mul_precision"
        ),
    }

    def visit_Assign(self, node: cst.Assign) -> None:
        if cuda.is_setting(self.file, node):
            target = self.file.resolve(node.targets[0].target) or ""
            why = (
                "a switch of CUDA's libraries; to set how TPU multiplies, use torch_xla.backends.set_mat_mul_precision"
                if target.startswith(cuda.SETTINGS)
                else "hides GPUs; which chips a process sees is set by TPU_VISIBLE_CHIPS, before it starts"
            )
            self.replace(self.file.alone(node) or node, [], why)

    def visit_Expr(self, node: cst.Expr) -> None:
        if cuda.is_setting(self.file, node):
            assert isinstance(node.value, cst.Call)
            why = self._INSTEAD.get(self.file.full_name(node.value.func))
            self.replace(self.file.alone(node) or node, [], why)


class ScaleNoGradients(RedirectRule):
    """Train without scaling gradients.

    `GradScaler` keeps float16's small gradients from vanishing. Autocast on the device is bfloat16, which has float32's
    range, so the runtime's scaler hands losses through, and steps the optimizer.
    """

    code = "DEV012"
    title = "scale no gradients"
    safety = Safety.EXACT
    message = "bfloat16 needs no scaling of gradients, and CUDA's scaler knows no other device"
    targets: ClassVar = dict.fromkeys(sorted(cuda.SCALERS), "utils.GradScaler")
    calls: ClassVar = last_parts(cuda.SCALERS)
    examples: ClassVar = (
        Example(
            before="""
                import torch
                from torch.cuda.amp import GradScaler


                def step(w, x):
                    w = torch.nn.Parameter(w.clone())
                    optimizer = torch.optim.SGD([w], 0.1)
                    scaler = GradScaler(enabled=False)
                    scaler.scale((w * x).sum()).backward()
                    scaler.unscale_(optimizer)
                    scaler.step(optimizer)
                    scaler.update()
                    return w.detach()
                """,
            after="""
                import torch
                from ..utils import GradScaler


                def step(w, x):
                    w = torch.nn.Parameter(w.clone())
                    optimizer = torch.optim.SGD([w], 0.1)
                    scaler = GradScaler(enabled=False)
                    scaler.scale((w * x).sum()).backward()
                    scaler.unscale_(optimizer)
                    scaler.step(optimizer)
                    scaler.update()
                    return w.detach()
                """,
            call="step(w, x)",
            inputs="w, x = torch.ones(3), torch.linspace(-1, 1, 3)",
            path="train_net.py",
        ),
        Example(
            before="""
                import torch


                def make(half):
                    return torch.amp.GradScaler("cuda", enabled=half), torch.amp.GradScaler(device="cuda")
                """,
            after="""
                import torch
                from .. import utils


                def make(half):
                    return utils.GradScaler(enabled=half), utils.GradScaler()
                """,
            path="train_net.py",
        ),
    )
    untouched: ClassVar = (
        """
        from scalers import GradScaler

        scaler = GradScaler()
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) not in cuda.SCALERS:
            return
        device = argument_for(self.file, node, "device")
        for arg in node.args:
            if arg.value is device and cuda.is_cuda_text(arg.value):
                self.replace(arg, [], together=self.redirects(node.func))


def _statements(block: cst.BaseSuite | cst.If | cst.Else | None) -> list[cst.BaseStatement]:
    """The statements of a branch, to stand where the whole `if` stood."""
    if block is None:
        return []
    if isinstance(block, cst.If):
        return [block]
    body = block.body if isinstance(block, cst.Else) else block
    if isinstance(body, cst.SimpleStatementSuite):
        return [cst.SimpleStatementLine(body.body, trailing_whitespace=body.trailing_whitespace)]
    return [s for s in body.body if isinstance(s, cst.BaseStatement)]


def _translations(block: cst.CSTNode | None) -> list[Needed]:
    """What has to be done in a branch for CUDA, so that it runs without."""
    rules = (AutocastOnDevice, LeaveCuda, TakeAcceleratorsBranch, LeaveCudaSettings, ScaleNoGradients)
    return [Needed(block, tuple(rule.code for rule in rules))] if block is not None else []


def _counts_devices(file: SourceFile, block: cst.CSTNode) -> bool:
    """A number of GPUs, which is the number of processes: no business of this rule."""
    if isinstance(block, cst.BaseExpression):
        return isinstance(block, cst.Call) and file.resolve(block.func) == "torch.cuda.device_count"
    found = [n.value for n in own_of_type(block, cst.Assign)]
    return len(found) == 1 and _counts_devices(file, found[0])
