"""The search for a monotonic alignment that VITS runs on the host, once each training step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import libcst as cst

from porter.rule import Example, Rule, Safety
from porter.syntax.predicates import is_plain, last_part, only_small
from porter.syntax.walk import descendants, dotted

_SEARCH = """

def search(paths, values, t_ys, t_xs):
    for path, value, t_y, t_x in zip(paths, values, t_ys, t_xs):
        for y in range(t_y):
            for x in range(max(0, t_x - t_y + y), min(t_x, y + 1)):
                stay = -1e9 if x == y else value[y - 1, x]
                move = (0.0 if y == 0 else -1e9) if x == 0 else value[y - 1, x - 1]
                value[y, x] += max(stay, move)
        at = t_x - 1
        for y in range(t_y - 1, -1, -1):
            path[y, at] = 1
            if at != 0 and (at == y or value[y - 1, at] < value[y - 1, at - 1]):
                at = at - 1
"""
_INPUTS = (
    "x = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(1))\n"
    "m = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])[:, None] * (torch.arange(7) < torch.tensor([[7], [5]]))[..., None]"
)


class AlignOnDevice(Rule):
    """Search for the monotonic alignment on the device.

    `maximum_path` copies scores and lengths to the host, searches there in Cython or numba, and uploads the path:
    three waits and an upload each step. `ops.maximum_path` finds the same path in the graph, as two loops of XLA's.
    """

    code = "SYN010"
    title = "align on the device"
    safety = Safety.EXACT
    message = (
        "the search for the alignment waits for scores and lengths on the host; on the device it waits for nothing"
    )
    examples: ClassVar = (
        Example(
            before=(
                "import numpy as np\nimport torch\n" + _SEARCH + "\n\ndef align(x, m):\n    device = x.device\n"
                "    dtype = x.dtype\n    x = x.data.cpu().numpy().astype(np.float32)\n"
                "    path = np.zeros(x.shape, dtype=np.int32)\n"
                "    t_ys = m.sum(1)[:, 0].data.cpu().numpy().astype(np.int32)\n"
                "    t_xs = m.sum(2)[:, 0].data.cpu().numpy().astype(np.int32)\n    search(path, x, t_ys, t_xs)\n"
                "    return torch.from_numpy(path).to(device=device, dtype=dtype)\n"
            ),
            after=(
                "import numpy as np\nimport torch\nfrom . import ops\n" + _SEARCH + "\n\ndef align(x, m):\n"
                "    return ops.maximum_path(x, m)\n"
            ),
            call="align(x, m)",
            inputs=_INPUTS,
        ),
    )
    untouched: ClassVar = (
        # searched by something else
        """
        import numpy as np
        import torch
        from elsewhere import shortest


        def align(x, m):
            device = x.device
            dtype = x.dtype
            x = x.data.cpu().numpy().astype(np.float32)
            path = np.zeros(x.shape, dtype=np.int32)
            t_ys = m.sum(1)[:, 0].data.cpu().numpy().astype(np.int32)
            t_xs = m.sum(2)[:, 0].data.cpu().numpy().astype(np.int32)
            shortest(path, x, t_ys, t_xs)
            return torch.from_numpy(path).to(device=device, dtype=dtype)
        """,
        # lengths the other way round
        """
        import numpy as np
        import torch
        from elsewhere import maximum_path_c


        def align(x, m):
            dtype = x.dtype
            x = x.data.cpu().numpy().astype(np.float32)
            path = np.zeros(x.shape, dtype=np.int32)
            t_ys = m.sum(1)[:, 0].data.cpu().numpy().astype(np.int32)
            t_xs = m.sum(2)[:, 0].data.cpu().numpy().astype(np.int32)
            maximum_path_c(path, x, t_xs, t_ys)
            return torch.from_numpy(path).to(device=m.device, dtype=dtype)
        """,
    )

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        lines = [line for line in node.body.body if not _is_docstring(line)]
        if len(node.params.params) != 2 or len(lines) < 6:
            return
        value, mask = (param.name.value for param in node.params.params)
        search = self._search(lines, {value: "value", mask: "mask"})
        if search is None or not self._aligns(search):
            return
        call = self.fill("__f(__x, __m)", f="ops.maximum_path", x=cst.Name(value), m=cst.Name(mask))
        self.replace(lines[0], cst.SimpleStatementLine([cst.Return(call)]))
        for line in lines[1:]:
            self.replace(line, [])
        self._drop_import(search)

    def _search(self, lines: Sequence[cst.CSTNode], roles: dict[str, str]) -> cst.BaseExpression | None:
        """The function that is called with path, scores and lengths, where the lines do nothing else but lead to it."""
        search: cst.BaseExpression | None = None
        smalls = list(map(only_small, lines))
        last = smalls.pop() if smalls else None
        for small in smalls:
            match small:
                case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value) if (
                    search is None and (role := self._role(value, roles)) is not None
                ):
                    roles[name] = role
                case cst.Expr(value=cst.Call(func=func, args=args)) if search is None:
                    given = [self._role(arg.value, roles) if is_plain(arg) else None for arg in args]
                    if given != ["path", "scores", "frames", "tokens"]:
                        return None
                    search = func
                case _:
                    return None
        match last:
            case cst.Return(value=cst.BaseExpression() as returned) if self._is_result(returned, roles):
                return search
        return None

    def _role(self, node: cst.BaseExpression, roles: dict[str, str]) -> str | None:
        """What an expression stands for, given what names do."""
        match node:
            case cst.Name(value=name):
                return roles.get(name)
            case cst.Attribute(value=value, attr=cst.Name(value="device" | "dtype" as attribute)):
                return attribute if self._role(value, roles) == "value" else None
        zeros = self.match("numpy.zeros(__h.shape, dtype=numpy.int32)", node)
        if zeros is not None:
            return "path" if self._role(_expression(zeros["h"]), roles) in ("scores", "value") else None
        scores, lengths = self._copied(node, "float32"), self._copied(node, "int32")
        if scores is not None:
            return "scores" if self._role(scores, roles) == "value" else None
        return self._length(lengths, roles) if lengths is not None else None

    def _copied(self, node: cst.BaseExpression, kind: str) -> cst.BaseExpression | None:
        """The tensor of which an expression makes an array of numpy's with a dtype."""
        for start in ("__x.data.cpu()", "__x.detach().cpu()", "__x.cpu()"):
            found = self.match(f"{start}.numpy().astype(numpy.{kind})", node)
            if found is not None:
                return _expression(found["x"])
        return None

    def _length(self, node: cst.BaseExpression, roles: dict[str, str]) -> str | None:
        for axis, role in ((1, "frames"), (2, "tokens")):
            found = self.match(f"__m.sum({axis})[:, 0]", node)
            if found is not None and self._role(_expression(found["m"]), roles) == "mask":
                return role
        return None

    def _is_result(self, node: cst.BaseExpression, roles: dict[str, str]) -> bool:
        found = self.match("torch.from_numpy(__p).to(device=__d, dtype=__t)", node)
        return found is not None and [self._role(_expression(found[hole]), roles) for hole in "pdt"] == [
            "path",
            "device",
            "dtype",
        ]

    def _aligns(self, search: cst.BaseExpression) -> bool:
        """Whether a function is VITS's search: by what it does where its source is there, else by its name."""
        name = self.file.full_name(search)
        found = self.file.project.function(name if not name.startswith(".") else f"{self.file.dotted_path}{name}")
        function = found[1] if found is not None else self._local(search)
        return "maximum_path" in last_part(name) if function is None else self._searches(function)

    def _searches(self, function: cst.FunctionDef) -> bool:
        """Whether a function does what the search of VITS does."""
        parts = list(descendants(function))
        return (
            any(self._is("max(__a, __b)", n.value) for n in parts if isinstance(n, cst.AugAssign))
            and any(self._marks(n) for n in parts if isinstance(n, cst.Assign))
            and any(self._is("__v[__y - 1, __i] < __v[__y - 1, __i - 1]", n) for n in parts)
            and any(self._is("-1e9", n) for n in parts)
        )

    def _local(self, search: cst.BaseExpression) -> cst.FunctionDef | None:
        """The last function of the file's own that has a name."""
        bound = self.file.index.root.bindings.get(search.value) if isinstance(search, cst.Name) else None
        return bound[-1] if bound and isinstance(bound[-1], cst.FunctionDef) else None

    def _marks(self, node: cst.Assign) -> bool:
        return isinstance(node.targets[0].target, cst.Subscript) and self._is("1", node.value)

    def _is(self, pattern: str, node: cst.CSTNode) -> bool:
        return isinstance(node, cst.BaseExpression) and self.match(pattern, node) is not None

    def _drop_import(self, search: cst.BaseExpression) -> None:
        """Do without the import of a search that nothing calls any more: compiled ones have to be built first."""
        if not isinstance(search, cst.Name):
            return
        name = search.value
        named = (n for n in self.file.index.named(name) if isinstance(n, cst.Name))
        if sum(not self.file.inside_import(n) for n in named) != 1:
            return
        for line in self.file.module.body:
            small = only_small(line)
            if isinstance(small, cst.ImportFrom) and _brings_only(small, name):
                self.replace(cst.ensure_type(line, cst.SimpleStatementLine), [])


def _brings_only(node: cst.ImportFrom, name: str) -> bool:
    if isinstance(node.names, cst.ImportStar):
        return False
    return [(dotted(alias.name), alias.asname) for alias in node.names] == [(name, None)]


def _expression(node: cst.CSTNode) -> cst.BaseExpression:
    assert isinstance(node, cst.BaseExpression)
    return node


def _is_docstring(line: cst.CSTNode) -> bool:
    return (
        isinstance(line, cst.SimpleStatementLine)
        and len(line.body) == 1
        and isinstance(line.body[0], cst.Expr)
        and isinstance(line.body[0].value, (cst.SimpleString, cst.ConcatenatedString))
    )
