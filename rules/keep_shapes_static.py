"""Shapes that follow the data make a new graph for every batch."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.rule import Example, Rule, Safety
from porter.syntax.template import names_in, substitute
from porter.syntax.values import is_tensor
from porter.syntax.walk import own_of_type

_SIZED = ("torch.arange", "torch.zeros", "torch.ones", "torch.empty", "torch.full")


class KnowMaskLengths(Rule):
    """Do not size a tensor by the largest of some lengths.

    `torch.arange(lengths.max())` waits for the lengths and makes a graph for each maximum. Callers know the padded
    length and can pass it. For host tensors the maximum is taken as before; for device tensors the runtime raises and
    says what to pass, instead of stopping every step.
    """

    code = "SHP007"
    title = "do not size tensors by the largest length"
    safety = Safety.EXACT
    message = (
        "a size taken from a tensor's maximum waits for the device and makes a graph of each; pass the padded length"
    )
    examples: ClassVar = (
        Example(
            before=(
                "import torch\n\n\ndef mask(lengths, longest=None):\n    if longest is None:\n        longest = lengths.max()\n"
                "    return torch.arange(longest, device=lengths.device)[None] < lengths[:, None]\n"
            ),
            after=(
                "import torch\nfrom . import ops\n\n\ndef mask(lengths, longest=None):\n    if longest is None:\n        longest = ops.static_max(lengths)\n"
                "    return torch.arange(longest, device=lengths.device)[None] < lengths[:, None]\n"
            ),
            call="mask(lengths, n)",
            inputs="lengths = torch.tensor([2, 4])\nn = 4",
        ),
        Example(
            before="import torch\n\n\ndef count(lengths):\n    return torch.arange(torch.max(lengths).item(), device=lengths.device)\n",
            after="import torch\nfrom . import ops\n\n\ndef count(lengths):\n    return torch.arange(ops.static_max(lengths), device=lengths.device)\n",
            call="count(lengths)",
            inputs="lengths = torch.tensor([2, 4])",
            on_device=False,  # on a device it raises, which the runtime's tests show
        ),
    )
    untouched: ClassVar = ("import torch\n\n\ndef peak(x):\n    top = x.float().max()\n    return x / top\n",)

    def visit_Assign(self, node: cst.Assign) -> None:
        if len(node.targets) != 1 or not isinstance(node.targets[0].target, cst.Name):
            return
        lengths = self._largest(node.value)
        function = self.file.function(node) if lengths is not None else None
        if lengths is None or function is None or self.file.host_reason(node) is not None:
            return
        name = node.targets[0].target.value
        if any(self._sizes(n, name) for n in own_of_type(function.body, cst.Call, cst.Slice)):
            self.replace(node.value, self.fill("__f(__x)", f="ops.static_max", x=lengths))

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) in _SIZED and self.file.host_reason(node) is None:
            for arg in node.args:
                lengths = self._largest(arg.value)
                if arg.keyword is None and lengths is not None:
                    self.replace(arg.value, self.fill("__f(__x)", f="ops.static_max", x=lengths))

    def _largest(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
        for outer in ("int(__x)", "__x.item()"):
            found = self.match(outer, node)
            if found is not None and isinstance(found["x"], cst.BaseExpression):
                node = found["x"]
        for pattern in ("__x.max()", "torch.max(__x)"):
            found = self.match(pattern, node)
            if (
                found is not None
                and isinstance(found["x"], cst.BaseExpression)
                and is_tensor(self.file.kind(found["x"]))
            ):
                return found["x"]
        return None

    def _sizes(self, node: cst.CSTNode, name: str) -> bool:
        if isinstance(node, cst.Call) and self.file.resolve(node.func) in _SIZED:
            return any(name in names_in(a.value) for a in node.args if a.keyword is None)
        return isinstance(node, cst.Slice) and any(
            b is not None and name in names_in(b) for b in (node.lower, node.upper)
        )


class PadToBuckets(Rule):
    """Pad batches to a bucket, not to their own longest sample.

    A batch padded to its own maximum has a shape of its own, and every new shape is a new graph. Rounded up to a few
    lengths, batches share graphs. The masks of the model ignore the padding.
    """

    code = "SHP008"
    title = "pad batches to buckets"
    safety = Safety.CLOSE
    message = "a batch padded to its own maximum makes a graph of its own; padded to a bucket it shares one"
    examples: ClassVar = (
        Example(
            before=(
                "import torch\n\n\nclass Collate:\n    def __call__(self, batch):\n        longest = max([x.size(0) for x in batch])\n"
                "        longest = int(2 * ((longest // 2) + 1))\n        padded = torch.FloatTensor(len(batch), longest)\n        padded.zero_()\n"
                "        for i in range(len(batch)):\n            padded[i, : batch[i].size(0)] = batch[i]\n        return padded\n"
            ),
            after=(
                "import torch\nfrom . import ops\n\n\nclass Collate:\n    def __call__(self, batch):\n        longest = max([x.size(0) for x in batch])\n"
                "        longest = int(2 * ((longest // 2) + 1))\n        padded = torch.FloatTensor(len(batch), ops.bucket(longest))\n        padded.zero_()\n"
                "        for i in range(len(batch)):\n            padded[i, : batch[i].size(0)] = batch[i]\n        return padded\n"
            ),
            call="Collate()([torch.ones(33), torch.ones(41)])",
            trim=True,
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        "import torch\n\n\nclass Collate:\n    def __call__(self, batch):\n        lengths = torch.LongTensor(len(batch))\n        return lengths\n",
        "import torch\n\n\ndef widest(rows):\n    wide = max(r.size(0) for r in rows)\n    return wide\n",
    )

    _allocators: ClassVar = ("torch.FloatTensor", "torch.LongTensor", "torch.IntTensor", "torch.zeros", "torch.empty",
                             "torch.full", "torch.ones")  # fmt: skip

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        params = [p.name.value for p in node.params.params if p.name.value != "self"]
        if len(params) != 1:
            return
        longest = self._longest(node, params[0])
        if not longest:
            return
        for call in own_of_type(node.body, cst.Call):
            if self.file.resolve(call.func) in self._allocators:
                for arg in call.args:
                    if arg.keyword is None:
                        self._pad(arg.value, longest)

    def _longest(self, node: cst.FunctionDef, batch: str) -> set[str]:
        """Names that hold the largest length in the batch, or are computed from one."""
        names: set[str] = set()
        for assign in own_of_type(node.body, cst.Assign):
            if not isinstance(assign.targets[0].target, cst.Name):
                continue
            if _is_largest(assign.value, batch) or names & names_in(assign.value):
                names.add(assign.targets[0].target.value)
        return names

    def _pad(self, size: cst.BaseExpression, longest: set[str]) -> None:
        for part in own_of_type(size, cst.Name):
            if part.value in longest:
                around = self.file.parent(part)
                call = self.file.parent(around) if around is not None else None
                if isinstance(call, cst.Call) and "bucket" in cst.Module([]).code_for_node(call.func):
                    continue
                self.replace(part, self.fill("__f(__n)", f="ops.bucket", n=part))


def _is_largest(node: cst.BaseExpression, batch: str) -> bool:
    """`max([... for x in batch])`, alone or in arithmetic."""
    found = False

    def look(part: cst.CSTNode, parent: cst.CSTNode | None) -> cst.CSTNode | None:
        nonlocal found
        if isinstance(part, cst.Call) and isinstance(part.func, cst.Name) and part.func.value == "max" and part.args:
            inner = part.args[0].value
            if isinstance(inner, (cst.ListComp, cst.GeneratorExp)) and batch in names_in(inner.for_in.iter):
                found = True
        return None

    substitute(node, look)
    return found
