"""A value that is only stored or reported can stay where it is."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.project import SourceFile
from porter.rule import Example, Needed, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.values import is_tensor
from porter.syntax.walk import dotted, own_descendants
from porter.truths import is_tensor_truth, only_reports

_ENDS = ("item", "cpu", "float")


def read_value(file: SourceFile, node: cst.CSTNode) -> cst.BaseExpression | None:
    """The tensor that `x.item()`, `x.detach().cpu().item()` or `float(x)` reads, if `node` is such a read."""
    found = method_call(node, "item")
    if found is not None and not found[1].args:
        tensor = found[0]
        while (step := method_call(tensor, "cpu", "detach")) is not None and not step[1].args:
            tensor = step[0]
        return tensor if is_tensor(file.kind(tensor)) else None
    if (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Name)
        and node.func.value == "float"
        and len(node.args) == 1
        and is_tensor(file.kind(node.args[0].value))
    ):
        return node.args[0].value
    return None


def only_kept(file: SourceFile, node: cst.CSTNode, seen: frozenset[str] = frozenset()) -> bool:
    """Whether the value of an expression is only computed with, stored, returned or printed: never asked for its
    truth, used as an index or a size.
    """
    child: cst.CSTNode = node
    for around in file.ancestors(node):
        if isinstance(around, (cst.BinaryOperation, cst.UnaryOperation, cst.Tuple, cst.List, cst.Element, cst.Arg)):
            child = around
        elif isinstance(around, cst.Call):
            name = around.func.attr.value if isinstance(around.func, cst.Attribute) else None
            if name in ("append", "add_scalar"):
                return name == "append"
            return isinstance(around.func, cst.Name) and around.func.value == "print"
        elif isinstance(around, (cst.Return, cst.Expr)):
            return True
        elif isinstance(around, (cst.Assign, cst.AugAssign)):
            targets = [t.target for t in around.targets] if isinstance(around, cst.Assign) else [around.target]
            return child is around.value and all(_only_kept_name(file, t, seen) for t in targets)
        else:
            return False
    return False


def _only_kept_name(file: SourceFile, target: cst.CSTNode, seen: frozenset[str]) -> bool:
    if not isinstance(target, cst.Name):
        return False
    if target.value in seen:
        return True  # being looked at further out
    function = file.function(target)
    if function is None:
        return False
    for node in own_descendants(function.body):
        if isinstance(node, cst.Name) and node.value == target.value and node is not target:
            parent = file.parent(node)
            if isinstance(parent, (cst.AssignTarget, cst.AugAssign)) and getattr(parent, "target", None) is node:
                continue
            if not only_kept(file, node, seen | {target.value}):
                return False
    return True


def kept_names(file: SourceFile, function: cst.FunctionDef) -> set[str]:
    """Names that hold a Python number upstream and a device scalar after SYN001."""
    names = set()
    for node in own_descendants(function.body):
        if isinstance(node, cst.Assign) and isinstance(node.targets[0].target, cst.Name):
            reads = [n for n in own_descendants(node.value) if read_value(file, n) is not None]
            if reads and all(only_kept(file, r) for r in reads):
                names.add(node.targets[0].target.value)
    return names


class KeepValuesOnDevice(Rule):
    """Keep scalars that are only stored, returned or printed on the device.

    `.item()` and `float(tensor)` wait until the device has computed the value. A loss that goes into a list for the
    log does not need to be known now: a detached tensor holds the same value and can be read after the step.
    """

    code = "SYN001"
    title = "keep stored values on the device"
    safety = Safety.EXACT
    message = "reading the value waits for the device; a detached tensor holds it until somebody looks"
    examples: ClassVar = (
        Example(
            before=(
                "import torch\n\n\ndef losses(outputs):\n    total = 0\n    parts = []\n    for o in outputs:\n"
                "        part = torch.mean(o**2)\n        total += part\n        parts.append(part.item())\n    return total, parts\n"
            ),
            after=(
                "import torch\n\n\ndef losses(outputs):\n    total = 0\n    parts = []\n    for o in outputs:\n"
                "        part = torch.mean(o**2)\n        total += part\n        parts.append(part.detach())\n    return total, parts\n"
            ),
            call="losses([a, b])",
            inputs="a = torch.linspace(0, 1, 5)\nb = torch.linspace(1, 2, 4)",
            grad=("a", "b"),
        ),
        Example(  # the sum goes on in place
            before=(
                "import torch\n\n\ndef sums(parts):\n    total = torch.zeros_like(parts[0])\n    log = []\n    for p in parts:\n"
                "        total += p\n        log.append(total.item())\n    return log\n"
            ),
            after=(
                "import torch\n\n\ndef sums(parts):\n    total = torch.zeros_like(parts[0])\n    log = []\n    for p in parts:\n"
                "        total += p\n        log.append(total.detach().clone())\n    return log\n"
            ),
            call="sums([a, b])",
            inputs="a = torch.tensor(1.5)\nb = torch.tensor(2.0)",
        ),
        Example(
            before=(
                "import torch\n\n\ndef accuracy(x, y):\n    share = 100 * torch.mean((x == y).float()).detach().cpu().item()\n"
                "    return share\n"
            ),
            after=(
                "import torch\n\n\ndef accuracy(x, y):\n    share = 100 * torch.mean((x == y).float()).detach()\n    return share\n"
            ),
            call="accuracy(x, y)",
            inputs="x = torch.tensor([1, 2, 3, 4])\ny = torch.tensor([1, 2, 0, 4])",
        ),
    )
    untouched: ClassVar = (
        "import torch\n\n\ndef cut(x):\n    n = torch.sum(x).item()\n    return x[:n]\n",
        "def read(box):\n    return box.item()\n",
        "def power(p, norm_type):\n    return p ** float(norm_type)\n",
    )

    def visit_Call(self, node: cst.Call) -> None:
        tensor = read_value(self.file, node)
        if tensor is not None and only_kept(self.file, node) and self.file.host_reason(node) is None:
            kept = "__x.detach().clone()" if self._changes_later(tensor) else "__x.detach()"
            # What is printed would be a tensor's text otherwise.
            needs = [Needed(self.file.function(node) or self.file.module, (PrintAfterStep.code,))]
            self.replace(node, self.fill(kept, x=tensor), needs=needs)

    def _changes_later(self, tensor: cst.BaseExpression) -> bool:
        """Whether a tensor may be written in place after it was read: `total += part`, `total.add_(part)`."""
        if not isinstance(tensor, (cst.Name, cst.Attribute, cst.Subscript)):
            return False
        function = self.file.function(tensor)
        if not isinstance(tensor, cst.Name) or function is None:
            return True
        for node in own_descendants(function.body):
            if isinstance(node, cst.AugAssign) and dotted(node.target) == tensor.value:
                return True
            if isinstance(node, cst.Attribute) and dotted(node.value) == tensor.value and node.attr.value[-1] == "_":
                return True
        return False


class PrintAfterStep(Rule):
    """Print tensors after the step.

    `print(loss)` needs the value now and stops the trace. The runtime's `print_values` prints at once for host
    tensors and when the step has run for device tensors; the text is the same.
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
    )
    untouched: ClassVar = (
        "import torch\n\n\ndef report(x):\n    print('shape', x.shape)\n    return torch.relu(x)\n",
        "import torch\n\n\ndef report(x):\n    if torch.min(x) < 0:\n        print('low', torch.min(x))\n    return x\n",
        # this print is somebody's own
        "import torch\n\n\ndef report(x, print):\n    print(torch.mean(x))\n    return x\n",
        # in a script, and when a module is built, there is no step to hold up
        "import torch\n\n\nif __name__ == '__main__':\n    print(torch.ones(2).mean())\n",
    )

    def visit_Call(self, node: cst.Call) -> None:
        if not (isinstance(node.func, cst.Name) and node.func.value == "print"):
            return
        function = self.file.function(node)
        if function is None or self.file.host_reason(node) is not None or self._in_check(node):
            return
        if self.file.index.scope_of(node).lookup("print") is not None:
            return
        kept = kept_names(self.file, function)
        for arg in node.args:
            value = arg.value
            if is_tensor(self.file.kind(value)) or (isinstance(value, cst.Name) and value.value in kept):
                self.replace(node.func, self.runtime("utils.print_values"))
                return

    def _in_check(self, node: cst.Call) -> bool:
        """Inside a check of values: SYN002 keeps that on the host altogether."""
        return any(
            isinstance(a, cst.If) and only_reports(a.body) and is_tensor_truth(self.file, a.test)
            for a in self.file.ancestors(node)
        )
