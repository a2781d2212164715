"""Shapes that follow the data make a new graph for every batch."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import ClassVar

import libcst as cst

from porter.analysis.factories import sizes
from porter.analysis.numeric import is_whole
from porter.rule import Example, Rule, Safety
from porter.syntax.predicates import last_parts, only_target
from porter.syntax.template import names_in, substitute
from porter.syntax.values import is_tensor
from porter.syntax.walk import own_names, own_of_type, spelled

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
    """Read the largest of some lengths once.

    `torch.arange(lengths.max())` waits for the lengths and makes a graph for each maximum; each further use of the
    maximum as a size waits again. A mask of that length can only be had by reading it: the runtime's `static_max` does
    so, once, and gives a Python number. Callers that know the padded length pass it, and read nothing: `check` lists
    those that do not, unless they run without gradients, where the length is read once an utterance.

    The maximum becomes a number only where it was one (`.item()`, `int(...)`) or is only used as a size.
    """

    code = "SHP007"
    title = "read the largest length once"
    safety = Safety.EXACT
    message = (
        "a size taken from a tensor's maximum waits for the device at each use and makes a graph of each; read it once, "
        "or pass the padded length"
    )
    calls: ClassVar = last_parts(_SIZED)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def mask(lengths, longest=None):
                    if longest is None:
                        longest = lengths.max()
                    return torch.arange(longest, device=lengths.device)[None] < lengths[:, None]
                """,
            after="""
                import torch
                from . import ops


                def mask(lengths, longest=None):
                    if longest is None:
                        longest = ops.static_max(lengths)
                    return torch.arange(longest, device=lengths.device)[None] < lengths[:, None]
                """,
            call="mask(lengths, n)",
            inputs="""
                lengths = torch.tensor([2, 4])
                n = 4
                """,
        ),
        Example(
            before="""
                import torch


                def count(lengths):
                    return torch.arange(torch.max(lengths).item(), device=lengths.device)
                """,
            after="""
                import torch
                from . import ops


                def count(lengths):
                    return torch.arange(ops.static_max(lengths), device=lengths.device)
                """,
            call="count(lengths)",
            inputs="lengths = torch.tensor([2, 4])",
            on_device=False,  # it reads the length there, which the runtime's tests show
        ),
        Example(  # an int, of lengths in seconds too
            before="""
                import torch


                def count(lengths):
                    n = int(torch.max(lengths))
                    return torch.zeros(n), n
                """,
            after="""
                import torch
                from . import ops


                def count(lengths):
                    n = int(ops.static_max(lengths))
                    return torch.zeros(n), n
                """,
            call="count(lengths)",
            inputs="lengths = torch.tensor([2.0, 4.5])",
            on_device=False,
        ),
        Example(
            before="""
                import torch


                def count(lengths):
                    return torch.arange(step=2, end=lengths.max().item(), start=0, device=lengths.device)
                """,
            after="""
                import torch
                from . import ops


                def count(lengths):
                    return torch.arange(step=2, end=ops.static_max(lengths), start=0, device=lengths.device)
                """,
            call="count(lengths)",
            inputs="lengths = torch.tensor([2, 4])",
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def peak(x):
            top = x.float().max()
            return x / top
        """,
        # it goes elsewhere, as a tensor
        """
        import torch


        def mask(lengths):
            longest = torch.max(lengths)
            return torch.arange(longest / 2, device=lengths.device)
        """,
        """
        import torch


        def mask(lengths):
            longest = torch.max(lengths)
            return torch.arange(longest, device=lengths.device), longest
        """,
        # what is filled in is no size
        """
        import torch


        def last(lengths):
            return torch.full((2,), lengths.max().item())
        """,
        """
        import torch


        def last(lengths):
            top = lengths.max()
            return torch.full((2,), fill_value=top)
        """,
    )

    def visit_Assign(self, node: cst.Assign) -> None:
        target, function = only_target(node), self.file.function(node)
        largest = self._largest(node.value) if isinstance(target, cst.Name) else None
        if largest is None or function is None or self.host_reason(node) is not None:
            return
        uses = filter(self._is_read, own_names(function).get(spelled(target), ()))
        of_size = list(map(self._is_size, uses))
        if any(of_size) and (self._is_number(node.value) or all(of_size)):
            self.replace(largest, self._read(largest))

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) in _SIZED and self.host_reason(node) is None:
            for size in sizes(self.file, node):
                largest = self._largest(size)
                if largest is not None:
                    self.replace(largest, self._read(largest))

    def _largest(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
        """`lengths.max()` in what may stand around it: the part that is the number, or the tensor of it."""
        found = self.match("int(__x)", node)
        if found is not None and isinstance(found["x"], cst.BaseExpression):
            node = found["x"]
        return node if self._lengths(node) is not None else None

    def _lengths(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
        found = self.match("__x.item()", node)
        if found is not None and isinstance(found["x"], cst.BaseExpression):
            node = found["x"]
        for pattern in ("__x.max()", "torch.max(__x)"):
            found = self.match(pattern, node)
            lengths = found["x"] if found is not None else None
            if isinstance(lengths, cst.BaseExpression) and is_tensor(self.file.kind(lengths)):
                return lengths
        return None

    def _read(self, largest: cst.BaseExpression) -> cst.BaseExpression:
        lengths = self._lengths(largest)
        assert lengths is not None
        return self.fill("__f(__x)", f="ops.static_max", x=lengths)

    def _is_number(self, node: cst.BaseExpression) -> bool:
        return self.match("int(__x)", node) is not None or self.match("__x.item()", node) is not None

    def _is_read(self, name: cst.Name) -> bool:
        parent = self.file.parent(name)
        if isinstance(parent, cst.Attribute):
            return parent.value is name
        return not isinstance(parent, (cst.AssignTarget, cst.Param)) and getattr(parent, "keyword", None) is not name

    def _is_size(self, name: cst.Name) -> bool:
        """Whether a use of a name is a size that takes a tensor for its number, or the question whether it is None."""
        node: cst.CSTNode = name
        parent = self.file.parent(node)
        while isinstance(parent, cst.BinaryOperation) and isinstance(parent.operator, (cst.Add, cst.Subtract)):
            if not is_whole(self.file, parent.right if parent.left is node else parent.left):
                return False
            node, parent = parent, self.file.parent(parent)
        if isinstance(parent, cst.Comparison):
            return all(isinstance(c.operator, (cst.Is, cst.IsNot)) for c in parent.comparisons)
        return isinstance(parent, cst.Slice) or self._sizes(node)

    def _sizes(self, node: cst.CSTNode) -> bool:
        """Whether an expression is a size that a function is given, alone or in the tuple of all sizes."""
        parent = self.file.parent(node)
        around = self.file.parent(parent) if isinstance(parent, cst.Element) else node
        call = self.file.call_with(around) if around is not None else None
        if call is None or self.file.resolve(call.func) not in _SIZED:
            return False
        return any(size is around for size in sizes(self.file, call))


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
            before="""
                import torch


                class Collate:
                    def __call__(self, batch):
                        longest = max([x.size(0) for x in batch])
                        longest = int(2 * ((longest // 2) + 1))
                        padded = torch.FloatTensor(len(batch), longest)
                        padded.zero_()
                        for i in range(len(batch)):
                            padded[i, : batch[i].size(0)] = batch[i]
                        return padded
                """,
            after="""
                import torch
                from . import ops


                class Collate:
                    def __call__(self, batch):
                        longest = max([x.size(0) for x in batch])
                        longest = int(2 * ((longest // 2) + 1))
                        padded = torch.FloatTensor(len(batch), ops.bucket(longest))
                        padded.zero_()
                        for i in range(len(batch)):
                            padded[i, : batch[i].size(0)] = batch[i]
                        return padded
                """,
            call="Collate()([torch.ones(33), torch.ones(41)])",
            trim=True,
            on_device=False,
        ),
        Example(
            before="""
                import torch


                def collate(batch):
                    words = max(len(text) for text, _ in batch)
                    frames = max(ssl.size(0) for _, ssl in batch)
                    mels = int(frames * 1.5)
                    text = torch.zeros(len(batch), words, dtype=torch.long)
                    sound = torch.zeros(len(batch), mels)
                    return text, sound
                """,
            after="""
                import torch
                from . import ops


                def collate(batch):
                    words = max(len(text) for text, _ in batch)
                    frames = max(ssl.size(0) for _, ssl in batch)
                    mels = int(ops.bucket(frames) * 1.5)
                    text = torch.zeros(len(batch), ops.bucket(words, tokens=True), dtype=torch.long)
                    sound = torch.zeros(len(batch), mels)
                    return text, sound
                """,
            call="collate([([1, 2, 3], torch.ones(33)), ([4], torch.ones(41))])",
            trim=True,
            on_device=False,
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        class Collate:
            def __call__(self, batch):
                lengths = torch.LongTensor(len(batch))
                return lengths
        """,
        """
        import torch


        def widest(rows):
            wide = max(r.size(0) for r in rows)
            return wide
        """,
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
            call = self.file.call_with(part)
            if not values or part in padded or (call is not None and _is_bucket(call)):
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
