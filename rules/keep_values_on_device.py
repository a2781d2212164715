"""A value that is only stored or reported can stay where it is."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.logged import is_kept, kept_numbers, only_logged, read_value
from porter.analysis.truths import only_reports, parts, reads_value
from porter.rule import Example, Needed, Rule, Safety
from porter.syntax.calls import has_star, positional, with_keywords
from porter.syntax.values import is_tensor


class KeepValuesOnDevice(Rule):
    """Keep scalars that only go into logs on the device.

    `.item()` and `float(tensor)` wait until the device has computed the value. A loss that is printed, or written to
    TensorBoard every so many steps, does not need to be known now. The runtime's `value_for_log` is the number for host
    tensors, and for device tensors a copy that holds it until somebody looks; sums of such are then made in the
    tensor's own precision.

    That a value only goes into logs must be seen: in its function, in functions of the project that it is handed to,
    and in all callers of a function that returns it, which must be in the project, and at least one. A value that is
    compared, rounded, formatted, used as an index, kept in an attribute, given to an unknown call or to nobody that is
    known, stays a Python number, and its read is a hazard that `check` lists.
    """

    code = "SYN001"
    title = "keep values for logs on the device"
    safety = Safety.EXACT
    message = "reading the value waits for the device; its log can wait until the step has run"
    examples: ClassVar = (
        Example(
            before=(
                "import torch\n\n\ndef report(x, y):\n    share = 100 * torch.mean((x == y).float()).detach().cpu().item()\n"
                "    print('share', share)\n    return x + y\n"
            ),
            after=(
                "import torch\nfrom . import utils\n\n\ndef report(x, y):\n"
                "    share = 100 * utils.value_for_log(torch.mean((x == y).float()))\n"
                "    print('share', share)\n    return x + y\n"
            ),
            call="report(x, y)",
            inputs="x = torch.tensor([1, 2, 3, 4])\ny = torch.tensor([1, 2, 0, 4])",
            on_device=False,  # SYN003 has the print
        ),
        Example(  # what a function returns, its only caller writes to the log
            before=(
                "import torch\n\n\ndef losses(outputs):\n    total = 0\n    parts = []\n    for o in outputs:\n"
                "        part = torch.mean(o**2)\n        total += part\n        parts.append(part.item())\n    return total, parts\n\n\n"
                "def step(outputs, writer=None):\n    total, parts = losses(outputs)\n    if writer:\n"
                "        told = {f'loss/{i}': v for i, v in enumerate(parts)}\n        summarize(writer, told)\n    return total\n\n\n"
                "def summarize(writer, scalars):\n    for k, v in scalars.items():\n        writer.add_scalar(k, v)\n"
            ),
            after=(
                "import torch\nfrom . import utils\n\n\ndef losses(outputs):\n    total = 0\n    parts = []\n    for o in outputs:\n"
                "        part = torch.mean(o**2)\n        total += part\n        parts.append(utils.value_for_log(part))\n    return total, parts\n\n\n"
                "def step(outputs, writer=None):\n    total, parts = losses(outputs)\n    if writer:\n"
                "        told = {f'loss/{i}': v for i, v in enumerate(parts)}\n        summarize(writer, told)\n    return total\n\n\n"
                "def summarize(writer, scalars):\n    for k, v in scalars.items():\n        writer.add_scalar(k, v)\n"
            ),
            call="step([a, b])",
            inputs="a = torch.linspace(0, 1, 5)\nb = torch.linspace(1, 2, 4)",
            grad=("a", "b"),
        ),
        Example(  # a norm over all parameters, in float64 on the host
            before=(
                "import torch\n\n\ndef norm(tensors, kind=2):\n    total = 0\n    for t in tensors:\n"
                "        total += t.norm(kind).item() ** kind\n    return total ** (1.0 / kind)\n\n\n"
                "def step(tensors, writer=None):\n    told = norm(tensors)\n    if writer:\n"
                "        writer.add_scalar('norm', told)\n    return tensors[0] * 2\n"
            ),
            after=(
                "import torch\nfrom . import utils\n\n\ndef norm(tensors, kind=2):\n    total = 0\n    for t in tensors:\n"
                "        total += utils.value_for_log(t.norm(kind)) ** kind\n    return total ** (1.0 / kind)\n\n\n"
                "def step(tensors, writer=None):\n    told = norm(tensors)\n    if writer:\n"
                "        writer.add_scalar('norm', told)\n    return tensors[0] * 2\n"
            ),
            call="step([a, b])",
            inputs="a = torch.linspace(0, 1, 5)\nb = torch.linspace(1, 2, 4)",
        ),
    )
    untouched: ClassVar = (
        "import torch\n\n\ndef cut(x):\n    n = torch.sum(x).item()\n    return x[:n]\n",
        "def read(box):\n    return box.item()\n",
        "def power(p, norm_type):\n    return p ** float(norm_type)\n",
        # nobody is known who only logs it
        "import torch\n\n\ndef mean(x):\n    return torch.mean(x).item()\n",
        "import torch\n\n\ndef told(x):\n    kept = []\n    kept.append(torch.mean(x).item())\n    return kept\n\n\ndef use(x, seen):\n    seen.put(told(x))\n",
        "import torch\n\n\nclass Net:\n    def step(self, x):\n        self.last = torch.mean(x).item()\n",
        # it is compared, rounded, formatted, divided by
        "import torch\n\n\ndef best(x, low):\n    loss = torch.mean(x).item()\n    print(loss)\n    return loss < low\n",
        "import torch\n\n\ndef told(x):\n    print(round(torch.mean(x).item(), 3))\n",
        "import torch\n\n\ndef told(x):\n    print(f'{torch.mean(x).item():.3f}')\n",
        "import torch\n\n\ndef told(x):\n    print(1 / torch.mean(x).item())\n",
        "import torch\n\n\ndef told(x):\n    print([torch.mean(x).item()])\n",
        # a tensor times a number is another thing than a tensor times a tensor
        "import torch\n\n\ndef scale(x):\n    return torch.relu(x) * torch.mean(x).item()\n",
        "import torch\n\n\ndef total(x):\n    total = torch.zeros(1)\n    total += torch.mean(x).item()\n    print(total)\n",
    )

    def visit_Call(self, node: cst.Call) -> None:
        tensor = read_value(self.file, node)
        if tensor is None or self.file.host_reason(node) is not None or not only_logged(self.file, node):
            return
        made = "__f(__x, float)" if isinstance(node.func, cst.Name) else "__f(__x)"
        # What is printed would be a tensor's text otherwise.
        needs = [Needed(self.file.function(node) or self.file.module, (PrintAfterStep.code,))]
        self.replace(node, self.fill(made, f="utils.value_for_log", x=tensor), needs=needs)


class PrintAfterStep(Rule):
    """Print tensors after the step.

    `print(loss)` needs the value now and stops the trace. The runtime's `print_values` prints at once for host
    tensors and when the step has run for device tensors. The text is that of the tensor on the host, without what
    autograd has to say of a device tensor; `numbers=True` stands where upstream has numbers that SYN001 kept.
    """

    code = "SYN003"
    title = "print tensors after the step"
    safety = Safety.EXACT
    message = "printing a tensor stops the step to fetch it; the same line is printed when the step has run"
    examples: ClassVar = (
        Example(
            before=(
                "import torch\n\n\ndef report(x):\n    m = torch.mean(x)\n    print('mean', m)\n    return x + m\n"
            ),
            after=(
                "import torch\nfrom . import utils\n\n\ndef report(x):\n    m = torch.mean(x)\n"
                "    utils.print_values('mean', m)\n    return x + m\n"
            ),
            call="report(x)",
            inputs="x = torch.ones(3)",
            grad=("x",),
            on_device=False,  # that it prints after the step is the runtime's test
        ),
        Example(
            before=(
                "import torch\n\n\ndef report(x):\n    share = 0\n    share += 100 * torch.mean(x).item()\n    print('share', share, '%')\n"
                "    return x * 2\n"
            ),
            after=(
                "import torch\nfrom . import utils\n\n\ndef report(x):\n    share = 0\n    share += 100 * torch.mean(x).item()\n"
                "    utils.print_values('share', share, '%', numbers=True)\n    return x * 2\n"
            ),
            call="report(x)",
            inputs="x = torch.ones(3)",
            on_device=False,  # SYN001 has the read
        ),
    )
    untouched: ClassVar = (
        "import torch\n\n\ndef report(x):\n    print('shape', x.shape)\n    return torch.relu(x)\n",
        "import torch\n\n\ndef report(x):\n    if torch.min(x) < 0:\n        print('low', torch.min(x))\n    return x\n",
        # this print is somebody's own
        "import torch\n\n\ndef report(x, print):\n    print(torch.mean(x))\n    return x\n",
        # in a script, and when a module is built, there is no step to hold up
        "import torch\n\n\nif __name__ == '__main__':\n    print(torch.ones(2).mean())\n",
        # a list of numbers, and a number of a list
        "import torch\n\n\ndef report(x):\n    m = [torch.mean(x).item()]\n    print(m)\n",
        "import torch\n\n\ndef report(x):\n    a, b = torch.mean(x).item(), 2\n    print(a)\n",
        "import torch\n\n\ndef report(x):\n    print(*torch.relu(x))\n",
    )

    def visit_Call(self, node: cst.Call) -> None:
        if not (isinstance(node.func, cst.Name) and node.func.value == "print"):
            return
        function = self.file.function(node)
        if function is None or self.file.host_reason(node) is not None or self._in_check(node):
            return
        if has_star(node) or self.file.index.scope_of(node).lookup("print") is not None:
            return
        kept = kept_numbers(self.file, function)
        values = positional(node)
        numbers = [v for v in values if is_kept(self.file, v, kept)]
        tensors = [v for v in values if v not in numbers and is_tensor(self.file.kind(v))]
        if numbers and not tensors:
            true = cst.Name("True")
            self.replace(node, with_keywords(node.with_changes(func=self.runtime("utils.print_values")), numbers=true))
        elif tensors and not numbers:
            self.replace(node.func, self.runtime("utils.print_values"))

    def _in_check(self, node: cst.Call) -> bool:
        """Inside a check of values: SYN002 keeps that on the host altogether."""
        return any(
            isinstance(a, cst.If) and only_reports(a.body) and all(reads_value(self.file, p) for p in parts(a.test))
            for a in self.file.ancestors(node)
        )
