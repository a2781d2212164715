"""Calls that name CUDA where any device will do."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.rule import Example, RedirectRule, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.values import is_tensor


class AutocastOnDevice(RedirectRule):
    """Autocast on the device that is used, in its own dtype.

    `torch.cuda.amp.autocast` does nothing without CUDA. The runtime's autocast is the device's: bfloat16 on a TPU,
    which needs no gradient scaling, and no effect on the CPU.
    """

    code = "DEV001"
    title = "autocast on the device"
    safety = Safety.EXACT
    message = "CUDA's autocast has no effect on another device; the runtime's is the device's own, in bfloat16"
    targets: ClassVar = {
        "torch.cuda.amp.autocast": "utils.autocast",
        "torch.cuda.amp.autocast_mode.autocast": "utils.autocast",
    }
    examples: ClassVar = (
        Example(
            before="import torch\nfrom torch.cuda.amp import autocast\n\n\ndef exact(x):\n    with autocast(enabled=False):\n        return x * 2\n",
            after="import torch\nfrom .utils import autocast\n\n\ndef exact(x):\n    with autocast(enabled=False):\n        return x * 2\n",
            call="exact(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
        Example(
            before='import torch\n\n\ndef exact(x):\n    with torch.autocast("cuda", enabled=False), torch.amp.autocast(device_type="cuda", enabled=False):\n        return x * 2\n',
            after="import torch\nfrom . import utils\n\n\ndef exact(x):\n    with utils.autocast(enabled=False), utils.autocast(enabled=False):\n        return x * 2\n",
            call="exact(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        'import torch\n\n\ndef low(x):\n    with torch.autocast("cpu", dtype=torch.bfloat16):\n        return x * 2\n',
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) not in (
            "torch.autocast",
            "torch.amp.autocast",
            "torch.amp.autocast_mode.autocast",
        ):
            return
        if not node.args or not _is_cuda_text(node.args[0].value) or node.args[0].keyword not in (None,):
            named = [a for a in node.args if a.keyword is not None and a.keyword.value == "device_type"]
            if not named or not _is_cuda_text(named[0].value):
                return
            rest = [a for a in node.args if a is not named[0]]
        else:
            rest = list(node.args[1:])
        self.replace(node, node.with_changes(func=self.runtime("utils.autocast"), args=rest))


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
            before="import torch\nfrom torch.utils.checkpoint import checkpoint\n\n\ndef f(x):\n    return checkpoint(torch.tanh, x, use_reentrant=False) * 2\n",
            after="import torch\nfrom .utils import checkpoint\n\n\ndef f(x):\n    return checkpoint(torch.tanh, x, use_reentrant=False) * 2\n",
            call="f(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = ("def f(store, x):\n    store.checkpoint(x)\n    return x\n",)


class InferWithoutGradients(Rule):
    """Switch gradients off instead of making inference tensors.

    Inference tensors have no version counter, and XLA's functionalization needs one: writing into a slice raises
    "Cannot set version_counter for inference tensor". `no_grad` computes the same values.
    """

    code = "DEV009"
    title = "infer without gradients"
    safety = Safety.EXACT
    message = "inference tensors cannot be written to in slices on XLA; without gradients the values are the same"
    examples: ClassVar = (
        Example(
            before="import torch\n\n\n@torch.inference_mode()\ndef f(x):\n    y = torch.zeros_like(x)\n    y[:1] = x[:1] * 2\n    return y\n",
            after="import torch\n\n\n@torch.no_grad()\ndef f(x):\n    y = torch.zeros_like(x)\n    y[:1] = x[:1] * 2\n    return y\n",
            call="f(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
        ),
    )
    untouched: ClassVar = (
        "import torch\n\n\ndef f(x, on):\n    with torch.inference_mode(on):\n        return torch.relu(x)\n",
        "def f(engine, x):\n    with engine.inference_mode():\n        return x\n",
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) == "torch.inference_mode" and not node.args:
            torch = self.file.alias("torch")
            if torch is not None:
                self.replace(node.func, cst.parse_expression(f"{torch}.no_grad"))


class LeaveCuda(Rule):
    """Use the device that there is instead of CUDA.

    `.cuda()`, `"cuda"` and `torch.device("cuda")` name one backend. The runtime knows which device this process uses.
    Calls that only manage CUDA's memory and streams are dropped.
    """

    code = "DEV002"
    title = "use the device that there is"
    safety = Safety.EXACT
    message = "CUDA is named where the device in use is meant"
    examples: ClassVar = (
        Example(
            before='import torch\n\n\ndef pick():\n    device = "cuda" if torch.cuda.is_available() else "cpu"\n    return torch.ones(2, device=device)\n',
            after="import torch\nfrom . import utils\n\n\ndef pick():\n    device = utils.default_device()\n    return torch.ones(2, device=device)\n",
            call="pick()",
            on_device=False,
        ),
        Example(
            before="import torch\n\n\ndef move(x):\n    torch.cuda.empty_cache()\n    return torch.relu(x).cuda(non_blocking=True)\n",
            after="import torch\nfrom . import utils\n\n\ndef move(x):\n    return torch.relu(x).to(utils.default_device())\n",
            call="",
        ),
        Example(
            before='import torch\n\n\ndef move(x):\n    return torch.relu(x).to("cuda") + torch.zeros(1, device=torch.device("cuda"))\n',
            after="import torch\nfrom . import utils\n\n\ndef move(x):\n    return torch.relu(x).to(utils.default_device()) + torch.zeros(1, device=utils.default_device())\n",
            call="",
        ),
    )
    untouched: ClassVar = (
        'def name():\n    return "cuda"\n',
        "def move(box):\n    return box.cuda\n",
    )
    _management: ClassVar = ("torch.cuda.empty_cache", "torch.cuda.synchronize", "torch.cuda.ipc_collect")

    def visit_IfExp(self, node: cst.IfExp) -> None:
        if (
            isinstance(node.test, cst.Call)
            and self.file.resolve(node.test.func) == "torch.cuda.is_available"
            and self._is_cuda(node.body)
            and self._is_cpu(node.orelse)
        ):
            self.replace(node, self.fill("__f()", f="utils.default_device"))

    def visit_Call(self, node: cst.Call) -> None:
        found = method_call(node, "cuda")
        if found is not None and is_tensor(self.file.kind(found[0])):
            assert isinstance(node.func, cst.Attribute)
            to = node.func.with_changes(attr=cst.Name("to"))
            self.replace(node, self.fill("__to(__f())", to=to, f="utils.default_device"))
        elif self._is_cuda(node) and not self._in_choice(node):
            self.replace(node, self.fill("__f()", f="utils.default_device"))

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        arg = self.file.parent(node)
        call = self.file.parent(arg) if arg is not None else None
        if not _is_cuda_text(node) or not isinstance(arg, cst.Arg) or not isinstance(call, cst.Call):
            return
        named = arg.keyword is not None and arg.keyword.value == "device"
        moved = method_call(call, "to") is not None and arg.keyword is None
        if named or moved:
            self.replace(node, self.fill("__f()", f="utils.default_device"))

    def visit_Expr(self, node: cst.Expr) -> None:
        if isinstance(node.value, cst.Call) and self.file.resolve(node.value.func) in self._management:
            self.replace(self.file.alone(node) or node, [])

    def _in_choice(self, node: cst.Call) -> bool:
        return isinstance(self.file.parent(node), cst.IfExp)

    def _is_cuda(self, node: cst.BaseExpression) -> bool:
        if isinstance(node, cst.Call):
            device = self.file.resolve(node.func) == "torch.device"
            return device and len(node.args) == 1 and _is_cuda_text(node.args[0].value)
        return _is_cuda_text(node)

    def _is_cpu(self, node: cst.BaseExpression) -> bool:
        inner = node.args[0].value if isinstance(node, cst.Call) and len(node.args) == 1 else node
        return isinstance(inner, cst.SimpleString) and inner.evaluated_value == "cpu"


def _is_cuda_text(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.SimpleString) and str(node.evaluated_value).split(":")[0] == "cuda"
