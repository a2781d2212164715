"""A boolean index has a result whose shape depends on data; a mask has not."""

from __future__ import annotations

from typing import ClassVar

import libcst as cst

from porter.analysis.loops import scalar
from porter.analysis.numeric import is_number
from porter.analysis.pointwise import bare_parameters, is_pointwise
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import has_star
from porter.syntax.predicates import only_index, only_target, targets
from porter.syntax.template import names_in, substitute
from porter.syntax.values import Kind
from porter.syntax.walk import code, dotted, own_descendants, own_of_type, same


def masked(node: cst.CSTNode | None, kind_of: object = None) -> tuple[cst.BaseExpression, cst.BaseExpression] | None:
    """Tensor and index of `tensor[index]` or `tensor[index, :]`."""
    if not isinstance(node, cst.Subscript):
        return None
    first = node.slice[0].slice
    rest = [e.slice for e in node.slice[1:]]
    whole = all(isinstance(e, cst.Slice) and e.lower is None and e.upper is None and e.step is None for e in rest)
    return (node.value, first.value) if isinstance(first, cst.Index) and whole else None


def _under(node: cst.CSTNode, mask: cst.BaseExpression) -> bool:
    """Whether a node is a tensor under this very mask."""
    found = masked(node)
    return found is not None and same(found[1], mask)


class WriteUnderMasks(Rule):
    """Write under a mask instead of into a boolean index.

    `x[mask] = value` needs to know where the mask is true: `nonzero`, which has no lowering, so the tensors go to the
    host and back. Selecting between old and new values element by element gives the same, on the device.
    """

    code = "SHP004"
    title = "write under masks"
    safety = Safety.EXACT
    message = "a boolean index needs `nonzero`, which leaves the device; a select under the mask does not"
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def quiet(x):
                    y = x.clone()
                    y[y < 0.5] = 0
                    return y
                """,
            after="""
                import torch
                from . import ops


                def quiet(x):
                    y = x.clone()
                    ops.masked_write_(y, y < 0.5, 0)
                    return y
                """,
            call="quiet(x)",
            inputs="x = torch.linspace(0, 1, 6)",
            grad=("x",),
        ),
        Example(
            before="""
                import torch


                def outside(x, y):
                    out = torch.zeros_like(x)
                    far = ~((x >= -1) & (x <= 1))
                    out[far] = y[far]
                    return out
                """,
            after="""
                import torch
                from . import ops


                def outside(x, y):
                    out = torch.zeros_like(x)
                    far = ~((x >= -1) & (x <= 1))
                    ops.masked_write_(out, far, y)
                    return out
                """,
            call="outside(x, y)",
            inputs="""
                x = torch.linspace(-2, 2, 6)
                y = torch.arange(6.0)
                """,
            grad=("y",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def first(x, n):
            y = torch.zeros_like(x)
            y[n] = 1
            return y
        """,
        """
        import torch


        def fill(x, new):
            y = torch.zeros_like(x)
            y[x > 0] = new
            return y
        """,
        """
        def first(x, wanted):
            x[wanted == 3] = 0
            return x
        """,
    )

    def visit_Assign(self, node: cst.Assign) -> None:
        target = masked(node.targets[0].target) if len(node.targets) == 1 else None
        if target is None or self.file.kind(target[1]) is not Kind.MASK or self.host_reason(node) is not None:
            return
        source = masked(node.value)
        if source is not None and same(source[1], target[1]):
            value = source[0]
        elif scalar(self.file, node.value):
            value = node.value
        else:
            return
        new = self.fill("__f(__x, __m, __v)", f="ops.masked_write_", x=target[0], m=target[1], v=value)
        self.replace(node, cst.Expr(new))


class ComputeUnderMasks(Rule):
    """Compute for all elements and keep the result under the mask.

    `out[inside] = f(x[inside])` computes on as many elements as the mask is true for: another shape, another graph,
    each time. If `f` treats every element alike (this rule proves it from f's own source), computing everywhere and
    selecting gives the same values and gradients. Elements outside get the lower bound of the range that the
    mask allows first, so that nothing that is not finite, theirs or their gradient's, reaches the others.
    """

    code = "SHP005"
    title = "compute under masks"
    safety = Safety.EXACT
    message = (
        "computing on the masked elements alone has a data-dependent shape; computed for all and selected it has not"
    )
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def curve(inputs, slopes):
                    return torch.sqrt(1 - inputs**2) * slopes[..., slopes.size(-1) - 1], inputs * 2


                def bent(x, slopes):
                    inside = (x >= -0.5) & (x <= 0.5)
                    y = torch.zeros_like(x)
                    z = torch.zeros_like(x)
                    (
                        y[inside],
                        z[inside],
                    ) = curve(
                        inputs=x[inside],
                        slopes=slopes[inside, :],
                    )
                    return y, z
                """,
            after="""
                import torch
                from . import ops


                def curve(inputs, slopes):
                    return torch.sqrt(1 - inputs**2) * slopes[..., slopes.size(-1) - 1], inputs * 2


                def bent(x, slopes):
                    inside = (x >= -0.5) & (x <= 0.5)
                    y = torch.zeros_like(x)
                    z = torch.zeros_like(x)
                    all_y, all_z = curve(
                        inputs=torch.where(inside, x, -0.5),
                        slopes=slopes,
                    )
                    ops.masked_write_(y, inside, all_y)
                    ops.masked_write_(z, inside, all_z)
                    return y, z
                """,
            call="bent(x, slopes)",
            inputs="""
                x = torch.linspace(-2, 2, 9)
                slopes = torch.ones(9, 2)
                """,
            grad=("x", "slopes"),
        ),
        # an element that is no number stays where it is
        Example(
            before="""
                import torch


                def root(v):
                    return torch.sqrt(4 - v * v)


                def bent(x):
                    inside = (x >= -1) & (x <= 1)
                    y = torch.zeros_like(x)
                    y[inside] = root(x[inside])
                    return y
                """,
            after="""
                import torch
                from . import ops


                def root(v):
                    return torch.sqrt(4 - v * v)


                def bent(x):
                    inside = (x >= -1) & (x <= 1)
                    y = torch.zeros_like(x)
                    all_y = root(torch.where(inside, x, -1))
                    ops.masked_write_(y, inside, all_y)
                    return y
                """,
            call="bent(x)",
            inputs="x = torch.tensor([0.3, float('nan'), -0.6, float('inf'), 2.0])",
            grad=("x",),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def norm(x):
            return x / x.sum()


        def bent(x):
            inside = (x >= -1) & (x <= 1)
            y = torch.zeros_like(x)
            y[inside] = norm(x[inside])
            return y
        """,
        # what it does depends on how many elements there are, or runs across them, or was made for them
        *(
            f"import torch\n\n\ndef part(v, w):\n    return {body}\n\n\ndef bent(x, w):\n    inside = (x >= -1) & (x <= 1)\n"
            f"    y = torch.zeros_like(x)\n    y[inside] = part(x[inside], {given})\n    return y\n"
            for body, given in (
                ("v / v.numel()", "2"),
                ("v / v.shape[0]", "2"),
                ("v / len(v)", "2"),
                ("v @ v * v", "2"),
                ("v.T", "2"),
                ("v.cumsum(-1)", "2"),
                ("v - v[0]", "2"),
                ("v - v[..., 0]", "2"),
                ("v * w", "w"),
                ("torch.softmax(v * 2, -1)", "2"),
            )
        ),
        """
        import torch


        def root(x):
            return torch.sqrt(x)


        def bent(x, m):
            inside = m.bool()
            y = torch.zeros_like(x)
            y[inside] = root(x[inside])
            return y
        """,
    )

    def visit_Assign(self, node: cst.Assign) -> None:
        written, line = self._written(node), self.file.alone(node)
        if written is None or line is None or not isinstance(node.value, cst.Call):
            return
        call = self._whole(node.value, written[0][1])
        names = [f"all_{code(tensor)}" for tensor, _ in written]
        scope = self.file.index.scope_of(node)
        if call is None or any(scope.lookup(n) for n in names):
            return
        new: list[cst.BaseStatement] = [_assign(names, call)]
        for name, (tensor, mask) in zip(names, written, strict=True):
            write = self.fill("__f(__x, __m, __v)", f="ops.masked_write_", x=tensor, m=mask, v=cst.Name(name))
            new.append(cst.SimpleStatementLine([cst.Expr(write)]))
        self.replace(line, new)

    def _whole(self, node: cst.Call, mask: cst.BaseExpression) -> cst.Call | None:
        """The same call of all elements, where each result is made of what is under the mask by itself."""
        bounds = self._bounds(mask)
        if bounds is None or not self._is_pointwise(node, mask) or self.host_reason(node) is not None:
            return None
        call, bounded = self._everywhere(node, mask, bounds)
        return call if bounded and not any(_under(n, mask) for n in own_descendants(call)) else None

    def _written(self, node: cst.Assign) -> list[tuple[cst.BaseExpression, cst.BaseExpression]] | None:
        """The tensors that an assignment writes under one mask, with that mask; None where it writes anything else."""
        target = only_target(node)
        parts = [e.value for e in target.elements] if isinstance(target, cst.Tuple) else [target]
        written = list(filter(None, map(masked, parts)))
        if not written or len(written) != len(parts) or not all(same(mask, written[0][1]) for _, mask in written):
            return None
        named = all(isinstance(tensor, cst.Name) for tensor, _ in written)
        return written if named and self.file.kind(written[0][1]) is Kind.MASK else None

    def _is_pointwise(self, call: cst.Call, mask: cst.BaseExpression) -> bool:
        """Whether each element of a call's results is made of the same element of what it is given under the mask."""
        definition = self.file.project.function(self.file.resolve(call.func))
        if definition is None or has_star(call):
            return False
        under = frozenset(a.value for a in call.args if _under(a.value, mask))
        if not all(a.value in under or scalar(self.file, a.value) or is_number(self.file, a.value) for a in call.args):
            return False  # something that was made to fit the masked elements
        rows = frozenset(filter(only_index, under))
        return is_pointwise(*definition, bare_parameters(definition[1], call, rows))

    def _everywhere(
        self,
        call: cst.Call,
        mask: cst.BaseExpression,
        bounds: dict[str, tuple[cst.CSTNode, cst.CSTNode]],
    ) -> tuple[cst.Call, bool]:
        """The call on whole tensors, bounded ones with their lower bound outside; and whether one was bounded."""
        bounded = False
        torch = self.file.alias("torch")
        if torch is None:
            return call, False

        def put(part: cst.CSTNode, parent: cst.CSTNode | None) -> cst.CSTNode | None:
            nonlocal bounded
            read = masked(part)
            if read is None or not same(read[1], mask):
                return None
            if code(read[0]) in bounds:
                bounded = True
                low, _ = bounds[code(read[0])]
                return self.fill("__torch.where(__m, __x, __low)", torch=torch, m=mask, x=read[0], low=low)
            return read[0]

        new = substitute(call, put)
        assert isinstance(new, cst.Call)
        return new, bounded

    def _bound_once(self, function: cst.FunctionDef, name: str) -> bool:
        return len(self.file.index.scopes[function].bindings.get(name, ())) <= 1

    def _bounds(self, mask: cst.BaseExpression) -> dict[str, tuple[cst.CSTNode, cst.CSTNode]] | None:
        """For a mask defined as `(x >= low) & (x <= high)`: {x: (low, high)}."""
        function = self.file.function(mask)
        if function is None or not isinstance(mask, cst.Name):
            return None
        assigns = own_of_type(function.body, cst.Assign)
        made = [assign.value for assign in assigns if mask.value in map(dotted, targets(assign))]
        if len(made) != 1:
            return None
        one, other = "(__x >= __low) & (__x <= __high)", "(__x <= __high) & (__x >= __low)"
        found = self.match(one, made[0]) or self.match(other, made[0])
        if found is None or not all(self._bound_once(function, n) for n in names_in(made[0])):
            return None  # another mask, or another value by now
        return {code(found["x"]): (found["low"], found["high"])}


def _assign(names: list[str], value: cst.BaseExpression) -> cst.BaseStatement:
    line = cst.parse_statement(f"{', '.join(names)} = __value")
    assert isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Assign)
    return line.with_changes(body=[line.body[0].with_changes(value=value)])
