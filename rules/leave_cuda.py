"""Calls that name CUDA where any device will do."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis import cuda
from porter.analysis.arguments import bind
from porter.analysis.project import SourceFile
from porter.rule import Example, Needed, RedirectRule, Rule, Safety
from porter.syntax.walk import own_of_type

_TIGHT = cst.AssignEqual(whitespace_before=cst.SimpleWhitespace(""), whitespace_after=cst.SimpleWhitespace(""))


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
        Example(
            before='import torch\n\n\ndef exact(x, on):\n    with torch.autocast("cuda", torch.float16, on), torch.amp.autocast(enabled=on, device_type="cuda"):\n        return x * 2\n',
            after="import torch\nfrom . import utils\n\n\ndef exact(x, on):\n    with utils.autocast(dtype=torch.float16, enabled=on), utils.autocast(enabled=on):\n        return x * 2\n",
            call="exact(x, False)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        'import torch\n\n\ndef low(x):\n    with torch.autocast("cpu", dtype=torch.bfloat16):\n        return x * 2\n',
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) not in cuda.AUTOCASTS:
            return
        given = bind(self.file, node)
        if given is None or not cuda.is_cuda_text(given["device_type"]):
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

    `.cuda()`, `"cuda"` and `torch.device("cuda")` name one backend. The runtime knows which device this process uses; a
    number behind the colon or in the brackets is the process's own device there. Calls that only manage CUDA's memory
    and streams are dropped.
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
        Example(
            before=(
                'import torch\n\n\ndef move(net, batch, rank):\n    device = f"cuda:{rank}"\n    net = net.cuda(rank)\n'
                "    return net, [x.cuda(rank, non_blocking=True) for x in batch], torch.zeros(1).to(device)\n"
            ),
            after=(
                "import torch\nfrom . import utils\n\n\ndef move(net, batch, rank):\n    device = utils.default_device()\n    net = net.to(utils.default_device())\n"
                "    return net, [x.to(utils.default_device()) for x in batch], torch.zeros(1).to(device)\n"
            ),
            call="",  # before needs CUDA, which is the point
        ),
    )
    untouched: ClassVar = (
        'def name():\n    return "cuda"\n',
        'import torch\n\n\ndef known(x):\n    kind = "cuda"\n    return x.device.type == kind\n',
        "import torch\n\n\ndef move(box):\n    return box.cuda\n",
        "def move(box):\n    return box.cuda(0)\n",
        "import torch\n\n\nclass Box:\n    def cuda(self):\n        return self\n\n\ndef move(box):\n    return box.cuda()\n",
    )

    def visit_IfExp(self, node: cst.IfExp) -> None:
        if cuda.is_choice(self.file, node):
            self.replace(node, self.fill("__f()", f="utils.default_device"))

    def visit_Call(self, node: cst.Call) -> None:
        if cuda.moves_to_cuda(self.file, node):
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
    examples: ClassVar = (
        Example(
            before=(
                "import torch\n\n\ndef place(net, x):\n    if torch.cuda.is_available():\n        # one chip a process\n        net = net.cuda()\n"
                "        x = x.cuda()\n    else:\n        net = net.float()\n    return net(x)\n"
            ),
            after=(
                "import torch\n\n\ndef place(net, x):\n    # one chip a process\n    net = net.cuda()\n"
                "    x = x.cuda()\n    return net(x)\n"
            ),
            call="",  # before takes the other way without CUDA, which is the point
        ),
        Example(
            before=(
                "import torch\n\n\ndef run(net, x):\n    assert torch.cuda.is_available(), 'no GPU'\n"
                "    y = net.module.infer(x) if torch.cuda.is_available() else net.infer(x)\n"
                "    if not torch.cuda.is_available():\n        print('slow')\n"
                "    return y if not torch.cuda.is_available() else y * 2\n"
            ),
            after="import torch\n\n\ndef run(net, x):\n    y = net.module.infer(x)\n    return y * 2\n",
            call="",
        ),
        Example(
            before=(
                "import torch\n\n\ndef load(data, cold):\n    if cold:\n        n = 0\n    elif torch.cuda.is_available():\n        n = 2\n    else:\n        n = 1\n"
                "    return torch.utils.data.DataLoader(data, batch_size=n, pin_memory=torch.cuda.is_available())\n"
            ),
            after=(
                "import torch\n\n\ndef load(data, cold):\n    if cold:\n        n = 0\n    else:\n        n = 2\n"
                "    return torch.utils.data.DataLoader(data, batch_size=n, pin_memory=False)\n"
            ),
            call="",
        ),
    )
    untouched: ClassVar = (
        'import torch\n\n\ndef pick():\n    return "cuda" if torch.cuda.is_available() else "cpu"\n',
        "import torch\n\n\ndef count():\n    if torch.cuda.is_available():\n        n = torch.cuda.device_count()\n    else:\n        n = 1\n    return n\n",
        "import torch\n\n\ndef count():\n    return torch.cuda.device_count() if torch.cuda.is_available() else 1\n",
        "import torch\n\n\ndef capture(f):\n    if torch.cuda.is_available():\n        with torch.cuda.graph(torch.cuda.CUDAGraph()):\n            f()\n",
        "import torch\n\n\ndef fast():\n    if torch.cuda.is_available():\n        import flash\n        return flash\n    return None\n",
        "import torch\n\n\ndef known(ready):\n    return torch.cuda.is_available() and ready\n",
    )

    def visit_If(self, node: cst.If) -> None:
        asked = cuda.asks_for_cuda(self.file, node.test)
        if asked is None:
            return
        block = node.body if asked else node.orelse
        if block is not None and (_counts_devices(self.file, block) or not cuda.is_translated(self.file, block)):
            return
        if isinstance(self.file.parent(node), cst.If):
            self._branch(node, block)
        else:
            self.replace(node, _statements(block), needs=_translations(block))

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
            before=(
                "import os\n\nimport torch\n\nos.environ['CUDA_VISIBLE_DEVICES'] = '0,1'\n"
                "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True\ntorch.set_float32_matmul_precision('medium')\n\n\n"
                "def run(rank, x):\n    torch.cuda.set_device(rank)\n    torch.cuda.manual_seed_all(3)\n    return torch.relu(x)\n"
            ),
            after="import os\n\nimport torch\n\n\ndef run(rank, x):\n    return torch.relu(x)\n",
            path="train_net.py",
        ),
        Example(
            before="import torch\n\n\ndef f(x):\n    torch.backends.cudnn.benchmark = True\n    return torch.relu(x)\n",
            after="import torch\n\n\ndef f(x):\n    return torch.relu(x)\n",
            call="f(x)",
            inputs="x = torch.linspace(-1, 1, 5)",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        "import os\n\nos.environ['CUDA_HOME'] = '/usr/local/cuda'\n",
        "import torch\n\nfast = torch.backends.cudnn.benchmark\n",
        "def run(torch):\n    torch.backends.cudnn.benchmark = True\n",
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
            why = self._INSTEAD.get(self.file.resolve(node.value.func) or "")
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
    examples: ClassVar = (
        Example(
            before=(
                "import torch\nfrom torch.cuda.amp import GradScaler\n\n\ndef step(w, x):\n    w = torch.nn.Parameter(w.clone())\n"
                "    optimizer = torch.optim.SGD([w], 0.1)\n    scaler = GradScaler(enabled=False)\n    scaler.scale((w * x).sum()).backward()\n"
                "    scaler.unscale_(optimizer)\n    scaler.step(optimizer)\n    scaler.update()\n    return w.detach()\n"
            ),
            after=(
                "import torch\nfrom ..utils import GradScaler\n\n\ndef step(w, x):\n    w = torch.nn.Parameter(w.clone())\n"
                "    optimizer = torch.optim.SGD([w], 0.1)\n    scaler = GradScaler(enabled=False)\n    scaler.scale((w * x).sum()).backward()\n"
                "    scaler.unscale_(optimizer)\n    scaler.step(optimizer)\n    scaler.update()\n    return w.detach()\n"
            ),
            call="step(w, x)",
            inputs="w, x = torch.ones(3), torch.linspace(-1, 1, 3)",
            path="train_net.py",
        ),
        Example(
            before='import torch\n\n\ndef make(half):\n    return torch.amp.GradScaler("cuda", enabled=half), torch.amp.GradScaler(device="cuda")\n',
            after="import torch\nfrom .. import utils\n\n\ndef make(half):\n    return utils.GradScaler(enabled=half), utils.GradScaler()\n",
            path="train_net.py",
        ),
    )
    untouched: ClassVar = ("from scalers import GradScaler\n\nscaler = GradScaler()\n",)

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) not in cuda.SCALERS:
            return
        device = (bind(self.file, node, "device") or {}).get("device")
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
