"""Shapes that follow the data make a new graph for every batch."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import ClassVar

import libcst as cst

from porter.factories import sizes
from porter.rule import Example, Rule, Safety
from porter.syntax.template import names_in, substitute
from porter.syntax.values import is_tensor
from porter.syntax.walk import own_of_type

_SIZED = ("torch.arange", "torch.zeros", "torch.ones", "torch.empty", "torch.full")
_OF_INTEGERS = ("torch.LongTensor", "torch.IntTensor")
_INTEGERS = ("torch.long", "torch.int64", "torch.int", "torch.int32")
_ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


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
            for size in sizes(self.file, node):
                lengths = self._largest(size)
                if lengths is not None:
                    self.replace(size, self.fill("__f(__x)", f="ops.static_max", x=lengths))

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
            return any(name in names_in(size) for size in sizes(self.file, node))
        return isinstance(node, cst.Slice) and any(
            b is not None and name in names_in(b) for b in (node.lower, node.upper)
        )


class PadToBuckets(Rule):
    """Pad batches to a bucket, not to their own longest sample.

    A batch padded to its own maximum has a shape of its own, and every new shape is a new graph. Rounded up to a few
    lengths, batches share graphs. The masks of the model ignore the padding. A tensor of integers holds text, which
    has lengths of its own. A length that is a multiple of another (spectrogram frames at another rate) follows the
    bucket of that one.
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
        Example(
            before=(
                "import torch\n\n\ndef collate(batch):\n    words = max(len(text) for text, _ in batch)\n    frames = max(ssl.size(0) for _, ssl in batch)\n"
                "    mels = int(frames * 1.5)\n    text = torch.zeros(len(batch), words, dtype=torch.long)\n    sound = torch.zeros(len(batch), mels)\n"
                "    return text, sound\n"
            ),
            after=(
                "import torch\nfrom . import ops\n\n\ndef collate(batch):\n    words = max(len(text) for text, _ in batch)\n    frames = max(ssl.size(0) for _, ssl in batch)\n"
                "    mels = int(ops.bucket(frames) * 1.5)\n    text = torch.zeros(len(batch), ops.bucket(words, tokens=True), dtype=torch.long)\n    sound = torch.zeros(len(batch), mels)\n"
                "    return text, sound\n"
            ),
            call="collate([([1, 2, 3], torch.ones(33)), ([4], torch.ones(41))])",
            trim=True,
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        "import torch\n\n\nclass Collate:\n    def __call__(self, batch):\n        lengths = torch.LongTensor(len(batch))\n        return lengths\n",
        "import torch\n\n\ndef widest(rows):\n    wide = max(r.size(0) for r in rows)\n    return wide\n",
    )

    _allocators: ClassVar = (
        "torch.FloatTensor",
        *_OF_INTEGERS,
        "torch.zeros",
        "torch.empty",
        "torch.full",
        "torch.ones",
    )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        params = [p.name.value for p in node.params.params if p.name.value != "self"]
        if len(params) != 1:
            return
        longest = self._longest(node, params[0])
        padded: set[cst.CSTNode] = set()
        for call in own_of_type(node.body, cst.Call) if longest else ():
            if self.file.resolve(call.func) in self._allocators:
                tokens = self._of_integers(call)
                for size in sizes(self.file, call):
                    self._pad(size, longest, tokens, padded)

    def _longest(self, node: cst.FunctionDef, batch: str) -> dict[str, list[cst.BaseExpression]]:
        """Names that hold the largest length in the batch, or are computed from one, and the values they are given."""
        names: dict[str, list[cst.BaseExpression]] = {}
        for assign in own_of_type(node.body, cst.Assign):
            if not isinstance(assign.targets[0].target, cst.Name):
                continue
            if _is_largest(assign.value, batch) or names.keys() & names_in(assign.value):
                names.setdefault(assign.targets[0].target.value, []).append(assign.value)
        return names

    def _of_integers(self, call: cst.Call) -> bool:
        dtypes = [a.value for a in call.args if a.keyword is not None and a.keyword.value == "dtype"]
        return self.file.resolve(dtypes[0] if dtypes else call.func) in (_INTEGERS if dtypes else _OF_INTEGERS)

    def _pad(
        self,
        size: cst.BaseExpression,
        longest: Mapping[str, list[cst.BaseExpression]],
        tokens: bool,
        padded: set[cst.CSTNode],
    ) -> None:
        """Put the names of `longest` in a size into buckets: there, or where a multiple of one is computed."""
        for part in own_of_type(size, cst.Name):
            values = longest.get(part.value, [])
            around = self.file.parent(part)
            call = self.file.parent(around) if around is not None else None
            if not values or part in padded or (isinstance(call, cst.Call) and _is_bucket(call)):
                continue
            times = _times(values[0], longest) if len(values) == 1 else None
            if times is not None and not math.isclose(times, 1, rel_tol=0.01):
                self._pad(values[0], longest, tokens, padded)
                continue
            padded.add(part)
            self.replace(part, self.fill("__f(__n, tokens=True)" if tokens else "__f(__n)", f="ops.bucket", n=part))


def _times(value: cst.BaseExpression, longest: Mapping[str, object]) -> float | None:
    """How many times the names of `longest` an arithmetic expression is, for large ones; None where that is not known."""
    large = 1e6

    def of(node: ast.expr) -> float:
        if isinstance(node, ast.Name) and node.id in longest:
            return large
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](of(node.left), of(node.right))
        if isinstance(node, ast.Call) and node.args:  # a rounding, or a bucket
            return of(node.args[0])
        raise ValueError

    if not longest.keys() & names_in(value):
        return None
    try:
        return of(ast.parse(cst.Module([]).code_for_node(value), mode="eval").body) / large
    except (ValueError, ZeroDivisionError):
        return None


def _is_bucket(call: cst.Call) -> bool:
    return "bucket" in cst.Module([]).code_for_node(call.func)


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
