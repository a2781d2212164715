"""Loops over the samples of a batch cost a graph for every set of lengths; masks and gathers cost one for all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import libcst as cst

from porter.analysis.loops import (
    Range,
    SampleLoop,
    assigned_before,
    of_last_axis,
    same_range,
    sample_branches,
    sample_loop,
    sample_range,
    scalar,
    window,
)
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import method_call
from porter.syntax.predicates import is_plain, only_target
from porter.syntax.template import match, names_in
from porter.syntax.walk import dotted, same

_ZERO = cst.Integer("0")


@dataclass(frozen=True, slots=True)
class _Window:
    """`target[i] = source[i, ..., start[i]:start[i] + size]` for every sample i."""

    target: cst.Name
    source: cst.BaseExpression
    start: cst.BaseExpression  # as a whole tensor
    size: cst.BaseExpression
    rows: bool  # along axis 1, of however many


class SliceSegmentsByGather(Rule):
    """Cut a window out of every sample with one gather.

    `x[i, :, start[i]:start[i] + size]` in a loop reads every start back from the device to make a slice of it, and the
    slice is then part of the graph: other starts, another graph. A gather takes the starts as data. Of a batch without
    samples the result is as empty, but part of the graph of gradients, which a loop that never runs leaves it out of.
    """

    code = "SHP001"
    title = "cut windows with a gather"
    safety = Safety.EXACT
    message = "slicing by a tensor's value reads it back and bakes it into the graph; a gather takes it as data"
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def windows(x, starts, size):
                    out = torch.zeros_like(x[:, :, :size])
                    for i in range(x.size(0)):
                        first = starts[i]
                        last = first + size
                        out[i] = x[i, :, first:last]
                    return out
                """,
            after="""
                import torch
                from . import ops


                def windows(x, starts, size):
                    out = ops.slice_segments(x, starts, size)
                    return out
                """,
            call="windows(x, starts, 3)",
            inputs="""
                x = torch.arange(24.0).reshape(2, 2, 6)
                starts = torch.tensor([1, 3])
                """,
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def windows(x, starts, size):
                    out = x.new_zeros(x.size(0), size)
                    for b in range(x.shape[0]):
                        out[b, :] = x[b, starts[b] : starts[b] + size]
                    return out
                """,
            after="""
                import torch
                from . import ops


                def windows(x, starts, size):
                    out = ops.slice_segments(x, starts, size, whole=True)
                    return out
                """,
            call="windows(x, starts, 3)",
            inputs="""
                x = torch.arange(12.0).reshape(2, 6)
                starts = torch.tensor([1, 3])
                """,
            grad=("x",),
        ),
        Example(  # of rows, where nobody knows how many axes follow
            before="""
                import torch


                def windows(pitch, starts, size):
                    out = torch.zeros_like(pitch[:, :size])
                    for i in range(pitch.size(0)):
                        first = starts[i]
                        last = first + size
                        out[i] = pitch[i, first:last]
                    return out
                """,
            after="""
                import torch
                from . import ops


                def windows(pitch, starts, size):
                    out = ops.slice_segments(pitch, starts, size, rows_of_samples=True)
                    return out
                """,
            call="(windows(x, starts, 2), windows(x[..., 0], starts, 3))",
            inputs="""
                x = torch.arange(24.0).reshape(2, 6, 2)
                starts = torch.tensor([1, 3])
                """,
            grad=("x",),
        ),
        Example(  # of rows or of the last axis, as a number says
            before="""
                import torch


                def windows(x, starts, size=4, dim=2):
                    if dim == 2:
                        out = torch.zeros_like(x[:, :size])
                    elif dim == 3:
                        out = torch.zeros_like(x[:, :, :size])
                    for i in range(x.size(0)):
                        first = starts[i].item()
                        last = first + size
                        if dim == 2:
                            out[i] = x[i, first:last]
                        else:
                            out[i] = x[i, :, first:last]
                    return out
                """,
            after="""
                import torch
                from . import ops


                def windows(x, starts, size=4, dim=2):
                    if dim == 2:
                        out = torch.zeros_like(x[:, :size])
                    elif dim == 3:
                        out = torch.zeros_like(x[:, :, :size])
                    if dim == 2:
                        out[:] = ops.slice_segments(x, starts, size, rows_of_samples=True)
                    else:
                        out[:] = ops.slice_segments(x, starts, size)
                    return out
                """,
            call="(windows(x, starts, 3, 3), windows(x[:, 0], starts, 2))",
            inputs="""
                x = torch.arange(24.0).reshape(2, 2, 6)
                starts = torch.tensor([1, 3])
                """,
            grad=("x",),
        ),
        Example(  # a signal that is shorter than the windows
            before="""
                import torch


                def windows(x, starts, size):
                    out = torch.zeros_like(x[:, :, :size])
                    for i in range(x.size(0)):
                        out[i] = x[i, :, starts[i] : starts[i] + size]
                    return out
                """,
            after="""
                import torch
                from . import ops


                def windows(x, starts, size):
                    out = ops.slice_segments(x, starts, size)
                    return out
                """,
            call="windows(x, starts, 9)",
            inputs="""
                x = torch.arange(24.0).reshape(2, 2, 6)
                starts = torch.tensor([0, 0])
                """,
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def windows(x, starts, size):
            out = []
            for i in range(x.size(0)):
                out.append(x[i, :, starts[i] :])
            return out
        """,
        # windows of another type, or of another width, than what they are written to
        """
        import torch


        def windows(x, starts, size):
            out = torch.zeros(x.size(0), size, device=x.device)
            for b in range(x.shape[0]):
                out[b, :] = x[b, starts[b] : starts[b] + size]
            return out
        """,
        """
        import torch


        def windows(x, starts, size):
            out = torch.zeros_like(x[:, :9])
            for b in range(x.shape[0]):
                out[b, :] = x[b, starts[b] : starts[b] + size]
            return out
        """,
        # windows of rows, and a place for windows of the last axis
        """
        import torch


        def windows(x, starts, size):
            out = torch.zeros_like(x[:, :, :size])
            for b in range(x.shape[0]):
                out[b] = x[b, starts[b] : starts[b] + size]
            return out
        """,
        # a choice that each sample makes
        """
        import torch


        def windows(x, starts, size):
            out = torch.zeros_like(x[:, :, :size])
            for i in range(x.size(0)):
                first = starts[i]
                if first == 2:
                    out[i] = x[i, :, first : first + size]
                else:
                    out[i] = x[i, :, first : first + size]
            return out
        """,
        # fewer windows than there are samples, maybe
        """
        import torch


        def windows(x, starts, size):
            out = torch.zeros_like(x[:, :, :size])
            for i in range(len(starts)):
                first = starts[i]
                out[i] = x[i, :, first : first + size]
            return out
        """,
        """
        import torch


        def rows(x, table):
            out = torch.zeros_like(x)
            for i in range(x.size(0)):
                out[i] = table[i]
            return out
        """,
    )

    def visit_For(self, node: cst.For) -> None:
        if self.host_reason(node) is not None:
            return
        loop = sample_loop(self.file, node)
        if loop is None:
            self._choose(node)
            return
        window = self._window(loop)
        made = assigned_before(self.file, node, window.target.value) if window is not None else None
        if window is None or made is None:
            return
        cut, whole = self._holds_windows(made, window.source, window.size, rows=window.rows)
        if not cut and not whole:
            return
        self.replace(made, [])
        self.replace(node, [_assign(window.target, self._gathered(window, whole=whole))])

    def _choose(self, node: cst.For) -> None:
        """A loop that cuts one window or another, as something says that is the same for all samples."""
        branches = sample_branches(self.file, node)
        if branches is None:
            return
        windows = [self._window(loop) for loop in (branches.one, branches.other)]
        blocks = [
            cst.IndentedBlock([self._filled(window.target, self._gathered(window))])
            for window in windows
            if window is not None
        ]
        if len(blocks) == len(windows):
            self.replace(node, [cst.If(branches.test, blocks[0], cst.Else(blocks[1]))])

    def _window(self, loop: SampleLoop) -> _Window | None:
        """What a loop with one assignment cuts out of each sample, and what it writes that to, sample by sample."""
        statement, *others = loop.statements
        target, source = sample_range(only_target(statement), loop.index), sample_range(statement.value, loop.index)
        if others or target is None or source is None or not target.is_whole:
            return None
        found = window(source) if source.moves and source.axes <= 1 else None
        if found is None or not isinstance(target.tensor, cst.Name):
            return None
        planes = of_last_axis(self.file, source) or of_last_axis(self.file, source, replace(target, axes=0))
        return _Window(target.tensor, source.tensor, *found, rows=not planes)

    def _gathered(self, window: _Window, *, whole: bool = False) -> cst.BaseExpression:
        """All windows at once."""
        how = ", whole=True" if whole else ", rows_of_samples=True" if window.rows else ""
        return self.fill(
            f"__f(__x, __starts, __size{how})",
            f="ops.slice_segments",
            x=window.source,
            starts=window.start,
            size=window.size,
        )

    def _filled(self, target: cst.Name, value: cst.BaseExpression) -> cst.BaseStatement:
        """A tensor is written to as a whole: whether it has room for the windows shows when it is."""
        place = self.fill("__t[:]", t=target)
        return cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(cst.ensure_type(place, cst.Subscript))], value)])

    def _holds_windows(
        self, line: cst.SimpleStatementLine, source: cst.BaseExpression, size: cst.BaseExpression, *, rows: bool
    ) -> tuple[bool, bool]:
        """Whether `line` makes a tensor of the source's type with a place of just this size for each window: cut out of
        the source, which may be shorter, or in its whole length. `rows`: along axis 1, of however many axes.
        """
        made = cst.ensure_type(line.body[0], cst.Assign).value
        if not isinstance(made, cst.Call) or not made.args:
            return False, False
        if self.file.resolve(made.func) in ("torch.zeros_like", "torch.empty_like") and len(made.args) == 1:
            patterns = ("__x[:, :__n]",) if rows else ("__x[:, :, :__n]", "__x[:, :__n]", "__x[..., :__n]")
            return any(_is_cut(made.args[0].value, pattern, source, size) for pattern in patterns), False
        fresh = method_call(made, "new_zeros", "new_empty")
        return False, not rows and fresh is not None and same(fresh[0], source) and same(made.args[-1].value, size)


def _is_cut(node: cst.BaseExpression, pattern: str, source: cst.BaseExpression, size: cst.BaseExpression) -> bool:
    """Whether `pattern` cuts a node, of just this size, out of the source."""
    cut = match(pattern, node)
    return cut is not None and same(cut["x"], source) and same(cut["n"], size)


class CopyRangesByMask(Rule):
    """Write the first (or any) positions of every sample under a mask.

    `a[i, :, :length[i]] = b[i, :, :length[i]]` in a loop reads every length back and makes a graph of each set of
    lengths. Comparing positions with lengths gives the same as a mask, with one graph for all lengths. Of a batch without
    samples the result is as empty, but part of the graph of gradients, which a loop that never runs leaves it out of.
    """

    code = "SHP002"
    title = "write per-sample ranges under a mask"
    safety = Safety.EXACT
    message = "a slice by each sample's length is read back and baked into the graph; a mask takes the lengths as data"
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def prompts(x, lengths):
                    kept = torch.zeros_like(x)
                    rest = x.clone()
                    for i in range(x.shape[0]):
                        kept[i, :, : lengths[i]] = x[i, :, : lengths[i]]
                        rest[i, :, : lengths[i]] = 0
                    return kept, rest
                """,
            after="""
                import torch
                from . import ops


                def prompts(x, lengths):
                    kept = torch.zeros_like(x)
                    rest = x.clone()
                    ops.copy_ranges_(kept, x, 0, lengths)
                    ops.fill_ranges_(rest, 0, 0, lengths)
                    return kept, rest
                """,
            call="prompts(x, lengths)",
            inputs="""
                x = torch.arange(1.0, 25.0).reshape(2, 2, 6)
                lengths = torch.tensor([1, 4])
                """,
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def shift(x, lengths):
            out = torch.zeros_like(x)
            for i in range(x.shape[0]):
                out[i, :, : lengths[i]] = x[i, :, -lengths[i] :]
            return out
        """,
        """
        import torch


        def collate(batch):
            out = torch.zeros(len(batch), 9)
            for i in range(len(batch)):
                row = batch[i]
                out[i, : row.size(0)] = row
            return out
        """,
    )

    def visit_For(self, node: cst.For) -> None:
        loop = sample_loop(self.file, node)
        if loop is None or self.host_reason(node) is not None:
            return
        new = [self._write(loop, s) for s in loop.statements]
        done = [n for n in new if n is not None]
        if len(done) == len(new):
            self.replace(node, done)

    def _write(self, loop: SampleLoop, statement: cst.Assign | cst.AugAssign) -> cst.BaseStatement | None:
        target = sample_range(only_target(statement), loop.index)
        if target is None or target.end is None:
            return None
        source = sample_range(statement.value, loop.index)
        if not of_last_axis(self.file, *filter(None, (target, source))):
            return None
        start: cst.BaseExpression = target.start if target.start is not None else _ZERO
        number = scalar(self.file, statement.value) and loop.index not in names_in(statement.value)
        if source is not None and same_range(source, target):
            how, value = "ops.copy_ranges_", source.tensor
        elif source is None and number:
            how, value = "ops.fill_ranges_", statement.value
        else:
            return None
        return _call(self.fill("__f(__t, __v, __a, __b)", f=how, t=target.tensor, v=value, a=start, b=target.end))


class AverageRangesByMask(Rule):
    """Compute every sample's loss over its own range with one masked mean.

    `loss += criterion(p[i, :, a[i]:b[i]], t[i, :, a[i]:b[i]])` makes a graph for each set of bounds. The mean over
    the positions of a mask, sample by sample, is the same mean of means, with one graph. A batch has a sample at least:
    of none the loop leaves the 0 that it began with, and the port a tensor of it.
    """

    code = "SHP003"
    title = "average per-sample ranges under a mask"
    safety = Safety.CLOSE
    message = "the loss of each sample's slice makes a graph for each set of lengths; masked means make one for all"
    examples: ClassVar = (
        Example(
            before="""
                import torch
                import torch.nn.functional as F


                def loss(p, t, a, b):
                    total = 0
                    for i in range(p.shape[0]):
                        total += F.mse_loss(p[i, :, a[i] : b[i]], t[i, :, a[i] : b[i]])
                    return total / p.shape[0]
                """,
            after="""
                import torch
                import torch.nn.functional as F
                from . import ops


                def loss(p, t, a, b):
                    total = 0
                    total += ops.ranges_mse(p, t, a, b).sum()
                    return total / p.shape[0]
                """,
            call="loss(p, t, a, b)",
            inputs="""
                p = torch.linspace(-1, 1, 24).reshape(2, 2, 6)
                t = torch.linspace(1, 0, 24).reshape(2, 2, 6)
                a = torch.tensor([1, 0])
                b = torch.tensor([4, 6])
                """,
            grad=("p", "t"),
        ),
        Example(
            before="""
                import torch


                class Flow(torch.nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.criterion = torch.nn.L1Loss()

                    def forward(self, p, t, ends):
                        loss = 0
                        for i in range(p.size(0)):
                            loss += self.criterion(p[i, :, : ends[i]], t[i, :, : ends[i]])
                        return loss
                """,
            after="""
                import torch
                from . import ops


                class Flow(torch.nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.criterion = torch.nn.L1Loss()

                    def forward(self, p, t, ends):
                        loss = 0
                        loss += ops.ranges_l1(p, t, 0, ends).sum()
                        return loss
                """,
            call="Flow()(p, t, ends)",
            inputs="""
                p = torch.linspace(-1, 1, 24).reshape(2, 2, 6)
                t = torch.linspace(1, 0, 24).reshape(2, 2, 6)
                ends = torch.tensor([4, 6])
                """,
            grad=("p",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch
        import torch.nn.functional as F


        def loss(p, t, b):
            total = 0
            for i in range(p.shape[0]):
                total += F.mse_loss(p[i, :, : b[i]], t[i, :, : b[i]], reduction='sum')
            return total
        """,
    )

    def visit_For(self, node: cst.For) -> None:
        loop = sample_loop(self.file, node)
        if loop is None or self.host_reason(node) is not None:
            return
        new = [self._sum(loop, s) for s in loop.statements]
        done = [n for n in new if n is not None]
        if len(done) == len(new):
            self.replace(node, done)

    def _sum(self, loop: SampleLoop, statement: cst.Assign | cst.AugAssign) -> cst.BaseStatement | None:
        match statement:
            case cst.AugAssign(operator=cst.AddAssign(), value=cst.Call(func=func, args=[one, other])):
                name = self._criterion(func) if all(map(is_plain, (one, other))) else None
                a, b = (sample_range(arg.value, loop.index) for arg in (one, other))
            case _:
                return None
        if name is None or a is None or b is None or not same_range(a, b) or a.end is None:
            return None
        if not of_last_axis(self.file, a, b):
            return None
        return cst.SimpleStatementLine([statement.with_changes(value=self._means(name, a, b))])

    def _means(self, name: str, a: Range, b: Range) -> cst.BaseExpression:
        assert a.end is not None
        start: cst.BaseExpression = a.start if a.start is not None else _ZERO
        return self.fill("__f(__p, __t, __a, __b).sum()", f=name, p=a.tensor, t=b.tensor, a=start, b=a.end)

    def _criterion(self, func: cst.BaseExpression) -> str | None:
        """The runtime's function for a mean criterion: F.mse_loss, or an attribute that holds MSELoss()."""
        resolved = self.file.resolve(func)
        if resolved == "torch.nn.functional.mse_loss":
            return "ops.ranges_mse"
        if resolved == "torch.nn.functional.l1_loss":
            return "ops.ranges_l1"
        text = dotted(func)
        owner = self.file.owner(func)
        if text is None or owner is None or not text.startswith("self."):
            return None
        made = self.file.attribute_value(owner, text.removeprefix("self."))
        if isinstance(made, cst.Call) and not made.args:
            return {"torch.nn.MSELoss": "ops.ranges_mse", "torch.nn.L1Loss": "ops.ranges_l1"}.get(
                self.file.resolve(made.func) or ""
            )
        return None


def _assign(target: cst.Name, value: cst.BaseExpression) -> cst.BaseStatement:
    return cst.SimpleStatementLine([cst.Assign(targets=[cst.AssignTarget(target)], value=value)])


def _call(value: cst.BaseExpression) -> cst.BaseStatement:
    return cst.SimpleStatementLine([cst.Expr(value)])
