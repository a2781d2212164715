"""Short-time Fourier transforms and their inverses in real arithmetic: XLA has no gradients of complex tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import libcst as cst

from porter.analysis.arguments import bind, without
from porter.rule import Example, Rule, Safety
from porter.syntax.calls import has_star, with_keywords
from porter.syntax.predicates import is_plain, only_target
from porter.syntax.walk import dotted, names_called, own_of_type

_READS = {"torch.view_as_real": "", "torch.abs": "complex_abs", "torch.angle": "complex_angle"}
_READS |= {"torch.real": "0", "torch.imag": "1"}
_METHODS = {"abs": "complex_abs", "angle": "complex_angle"}
_PARTS = {"real": "0", "imag": "1"}


class TransformOnDevice(Rule):
    """Take short-time Fourier transforms in real arithmetic.

    `_fft_r2c` has no lowering, and complex tensors have no gradient on XLA. With `return_complex=False` the transform
    is a product with cosines and sines, which is what a TPU does best; on the CPU torch's own transform is used.
    """

    code = "LOW003"
    title = "stft on the device"
    safety = Safety.EXACT
    message = "the FFT has no lowering and runs on the host; as a product with cosines and sines it runs on the device"
    calls: ClassVar = ("stft",)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def spectrum(y, w):
                    s = torch.stft(y, 16, hop_length=4, win_length=16, window=w, center=False, return_complex=False)
                    return torch.sqrt(s.pow(2).sum(-1) + 1e-8)
                """,
            after="""
                import torch
                from . import ops


                def spectrum(y, w):
                    s = ops.stft(y, 16, hop_length=4, win_length=16, window=w, center=False, return_complex=False)
                    return torch.sqrt(s.pow(2).sum(-1) + 1e-8)
                """,
            call="spectrum(y, w)",
            inputs="""
                y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)
                w = torch.hann_window(16)
                """,
            grad=("y",),
        ),
        Example(  # a name that torch has, or that of the signal
            before="""
                import torch


                def magnitudes(x, w):
                    stft = torch.stft(x.float(), n_fft=16, hop_length=4, window=w, return_complex=True)
                    root = torch.sqrt(stft.real.pow(2) + stft.imag.pow(2) + 1e-6)
                    x = torch.stft(x, n_fft=16, hop_length=4, window=w, center=False, return_complex=True)
                    return root, torch.norm(torch.view_as_real(x) + 1e-3, p=2, dim=-1)
                """,
            after="""
                import torch
                from . import ops


                def magnitudes(x, w):
                    stft = ops.stft_as_real(x.float(), n_fft=16, hop_length=4, window=w)
                    root = torch.sqrt(stft[..., 0].pow(2) + stft[..., 1].pow(2) + 1e-6)
                    x = ops.stft_as_real(x, n_fft=16, hop_length=4, window=w, center=False)
                    return root, torch.norm(x + 1e-3, p=2, dim=-1)
                """,
            call="magnitudes(y, w)",
            inputs="""
                y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)
                w = torch.hann_window(16)
                """,
            grad=("y",),
        ),
        Example(  # as it was written for torch 1, which gave what is real
            before="""
                import torch


                def spectrum(y, w):
                    s = torch.stft(y, 16, hop_length=4, window=w)
                    return s.pow(2).sum(-1)
                """,
            after="""
                import torch
                from . import ops


                def spectrum(y, w):
                    s = ops.stft(y, 16, hop_length=4, window=w, return_complex=False)
                    return s.pow(2).sum(-1)
                """,
        ),
        Example(
            before="""
                import torch


                def spectrum(y, w):
                    s = torch.stft(y, 16, hop_length=4, window=w, return_complex=True)
                    return torch.view_as_real(s).pow(2).sum(-1)
                """,
            after="""
                import torch
                from . import ops


                def spectrum(y, w):
                    s = ops.stft_as_real(y, 16, hop_length=4, window=w)
                    return s.pow(2).sum(-1)
                """,
            call="spectrum(y, w)",
            inputs="""
                y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)
                w = torch.hann_window(16)
                """,
            grad=("y",),
        ),
        Example(  # all of it by place
            before="""
                import torch


                def spectrum(y, w):
                    return torch.stft(y, 16, 4, 16, w, True, "reflect", False, True, True).abs() + 1
                """,
            after="""
                import torch
                from . import ops


                def spectrum(y, w):
                    return ops.stft_magnitude(y, 16, 4, 16, w, True, "reflect", False, True) + 1
                """,
            call="spectrum(y, w)",
            inputs="""
                y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)
                w = torch.hann_window(16)
                """,
            grad=("y",),
        ),
        Example(
            before="""
                import torch


                def spectrum(y, w):
                    return torch.stft(y, 16, window=w, return_complex=True).abs() + 1
                """,
            after="""
                import torch
                from . import ops


                def spectrum(y, w):
                    return ops.stft_magnitude(y, 16, window=w) + 1
                """,
            call="spectrum(y, w)",
            inputs="""
                y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)
                w = torch.hann_window(16)
                """,
            grad=("y",),
        ),
        Example(
            before="""
                import torch


                def spectrum(y, w):
                    return torch.stft(y, 16, 4, 16, w, True, "reflect", False, True, True).abs()
                """,
            after="""
                import torch
                from . import ops


                def spectrum(y, w):
                    return ops.stft_magnitude(y, 16, 4, 16, w, True, "reflect", False, True)
                """,
            call="spectrum(y, w)",
            inputs="""
                y = torch.linspace(-1, 1, 64).sin().reshape(1, 64)
                w = torch.hann_window(16)
                """,
            grad=("y",),
        ),
        Example(
            before="""
                import torch


                def polar(y, w):
                    s = torch.stft(y, 16, window=w, return_complex=True)
                    return torch.abs(s), torch.angle(s)
                """,
            after="""
                import torch
                from . import ops


                def polar(y, w):
                    s = ops.stft_as_real(y, 16, window=w)
                    return ops.complex_abs(s), ops.complex_angle(s)
                """,
            call="[a * b for a, b in [polar(y, w)]][0]",
            inputs="""
                y = torch.linspace(-99, 99, 64).sin().reshape(1, 64)
                w = torch.hann_window(16)
                """,
            grad=("y",),
        ),
        Example(
            before="""
                import torch


                def spectrum(y, w):
                    s = torch.stft(y, 16, window=w, return_complex=True)
                    s = torch.sqrt(s.real.pow(2) + s.imag.pow(2) + 1)
                    return 2 * s
                """,
            after="""
                import torch
                from . import ops


                def spectrum(y, w):
                    s = ops.stft_as_real(y, 16, window=w)
                    s = torch.sqrt(s[..., 0].pow(2) + s[..., 1].pow(2) + 1)
                    return 2 * s
                """,
            call="spectrum(y, w)",
            inputs="""
                y = torch.linspace(-99, 99, 64).sin().reshape(1, 64)
                w = torch.hann_window(16)
                """,
            grad=("y",),
        ),
        Example(  # for torch 1 too
            before="""
                import torch


                def spectrum(y, w):
                    s = torch.stft(y, 16, 4, 16, w)
                    real = s[..., 0]
                    imag = s[..., 1]
                    return real**2 + imag**2
                """,
            after="""
                import torch
                from . import ops


                def spectrum(y, w):
                    s = ops.stft(y, 16, 4, 16, w, return_complex=False)
                    real = s[..., 0]
                    imag = s[..., 1]
                    return real**2 + imag**2
                """,
        ),
    )
    untouched: ClassVar = (
        # torch raises, or gives what is complex
        """
        import torch


        def spectrum(y, w):
            return torch.stft(y, 16, window=w)
        """,
        # complex on one of the ways
        """
        import torch


        def parts(y, c):
            s = torch.stft(y, 16, return_complex=True)
            if c:
                s = torch.view_as_real(s)
            return s
        """,
        """
        import torch


        def parts(y):
            out = []
            for k in range(2):
                if k:
                    out.append(s.abs())
                s = torch.stft(y, 16, return_complex=True)
                out.append(torch.view_as_real(s))
            return out
        """,
        """
        import torch


        def spectrum(y, w, m):
            return torch.stft(y, 16, window=w, return_complex=True) * m
        """,
        """
        import torch


        def spectrum(y, w):
            s = torch.stft(y, 16, window=w, return_complex=True)
            return s, s.abs()
        """,
        # what stands behind it by place would move, and what a star hides cannot be read
        """
        import torch


        def f(y, w):
            return torch.stft(y, 16, 4, 16, w, True, "reflect", False, True, True, None).abs()
        """,
        """
        import torch


        def f(y, *options):
            return torch.stft(y, *options).abs()
        """,
    )

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) != "torch.stft" or self.host_reason(node) is not None:
            return
        given = bind(self.file, node)
        if given is None or "align_to_window" in given:
            return
        # Not given, torch 2 raises, unless something is complex; before it, the result was real.
        wanted = dotted(given.get("return_complex"))
        if "return_complex" not in given and self._is_squared(node):
            asked = with_keywords(node, return_complex=cst.Name("False"))
            self.replace(node, asked.with_changes(func=self.runtime("ops.stft")))
        elif wanted == "False":
            self.replace(node.func, self.runtime("ops.stft"))
        elif wanted == "True" and (real := without(self.file, node, "return_complex")) is not None:
            self._complex(node, real)

    def _is_squared(self, node: cst.Call) -> bool:
        """Whether the result is read as real: `s.pow(2).sum(-1)` adds the squares of both parts, `s[..., 0]` is one."""
        made = self.file.parent(node)
        function = self.file.function(node)
        if not isinstance(made, cst.Assign) or len(made.targets) != 1 or function is None or has_star(node):
            return False
        name = made.targets[0].target
        if not isinstance(name, cst.Name):
            return False

        def read(pattern: str, kind: type[cst.BaseExpression]) -> bool:
            found = (self.match(pattern, part) for part in own_of_type(function.body, kind))
            return any(one is not None and dotted(one["s"]) == name.value for one in found)

        parts = all(read(f"__s[..., {part}]", cst.Subscript) for part in "01")
        return parts or read("__s.pow(2).sum(-1)", cst.Call)

    def _complex(self, node: cst.Call, real: cst.Call) -> None:
        """Replace a spectrum that is complex, where all that reads it reads its parts, or what they make together."""
        direct = self._read(node)
        if direct is not None:
            place, how = direct
            if how == "complex_abs":
                self.replace(place, real.with_changes(func=self.runtime("ops.stft_magnitude")))
            else:
                self.replace(place, self._of_pairs(self._as_pairs(real), how))
            return
        made = self.file.parent(node)
        if isinstance(made, cst.Assign) and len(made.targets) == 1 and isinstance(made.targets[0].target, cst.Name):
            reads = self._later_reads(made, made.targets[0].target)
            if reads:
                self.replace(node, self._as_pairs(real))
                for name, place, how in reads:
                    self.replace(place, self._of_pairs(name, how))

    def _as_pairs(self, real: cst.Call) -> cst.Call:
        return real.with_changes(func=self.runtime("ops.stft_as_real"))

    def _read(self, node: cst.BaseExpression) -> tuple[cst.BaseExpression, str] | None:
        """What reads a complex spectrum right where it stands, as a whole, and how: a function, or a part's number."""
        call, method, part = self.file.call_with(node), self.file.method_of(node), self.file.parent(node)
        if call is not None and len(call.args) == 1 and is_plain(call.args[0]):
            how = _READS.get(self.file.full_name(call.func))
            return (call, how) if how is not None else None
        if method is not None:
            how = _METHODS.get(cst.ensure_type(method.func, cst.Attribute).attr.value)
            return (method, how) if how is not None and not method.args else None
        if isinstance(part, cst.Attribute) and part.attr.value in _PARTS:
            return part, _PARTS[part.attr.value]
        return None

    def _of_pairs(self, pairs: cst.BaseExpression, how: str) -> cst.BaseExpression:
        """What reads a complex spectrum, of its parts side by side."""
        if not how:
            return pairs
        return (
            self.fill(f"__s[..., {how}]", s=pairs) if how.isdigit() else self.fill("__f(__s)", f=f"ops.{how}", s=pairs)
        )

    def _later_reads(self, made: cst.Assign, name: cst.Name) -> list[tuple[cst.Name, cst.BaseExpression, str]]:
        """The uses of a complex spectrum up to its next assignment, if all read its parts; else none."""
        found: list[tuple[cst.Name, cst.BaseExpression, str]] = []
        after = self.file.following(made)
        rebound = next((at for at, statement in enumerate(after) if self._rebinds(statement, name)), len(after))
        for node, later in self._uses_of(made, name):
            at = self._place(node, after)
            if at is not None and at > rebound:
                return found
            read = self._read(node)
            if read is None or not later or at is None or self.file.statement(node) is not after[at]:
                return []
            found.append((node, *read))
        return found

    def _place(self, node: cst.CSTNode, statements: Sequence[cst.BaseStatement]) -> int | None:
        """In which of some statements a node is."""
        around = set(self.file.ancestors(node))
        return next((at for at, statement in enumerate(statements) if statement in around), None)

    def _uses_of(self, made: cst.Assign, name: cst.Name) -> Iterator[tuple[cst.Name, bool]]:
        """Where the function of an assignment may read what it assigns, and whether that is behind the assigned name."""
        function = self.file.function(made)
        again = any(isinstance(a, (cst.For, cst.While)) for a in self.file.ancestors(made))
        later = False
        for node in names_called(function or self.file.module, name.value):
            later = later or node is name
            written = _is_written(self.file.parent(node), node) or self.file.function(node) is not function
            if not written and (again or (later and made.value not in self.file.ancestors(node))):
                yield node, later

    def _rebinds(self, statement: cst.CSTNode, name: cst.Name) -> bool:
        small = statement.body[0] if isinstance(statement, cst.SimpleStatementLine) else None
        return isinstance(small, cst.Assign) and any(
            isinstance(t.target, cst.Name) and t.target.value == name.value for t in small.targets
        )


class InvertOnDevice(Rule):
    """Take inverse short-time Fourier transforms in real arithmetic.

    `torch.istft` ends the process on XLA, and making complex tensors of two real ones falls back to the host. A spectrum
    that is made of a magnitude and a phase, or of its two parts, stays a pair of real tensors; any other is complex until
    it is transformed. The transform is a product with cosines and sines, and a sum of shifted frames. Windows that cancel
    somewhere raise on the CPU alone: on the device that would have to be waited for.
    """

    code = "LOW010"
    title = "istft on the device"
    safety = Safety.EXACT
    message = "istft ends the process on XLA; in real arithmetic it runs on the device, with its gradient"
    calls: ClassVar = ("istft",)
    examples: ClassVar = (
        Example(
            before="""
                import torch


                def sound(m, p, w):
                    return torch.istft(m * torch.exp(p * 1j), 8, 2, 8, window=w)
                """,
            after="""
                import torch
                from . import ops


                def sound(m, p, w):
                    return ops.istft(ops.phasor_parts(m, p), 8, 2, 8, window=w)
                """,
            call="sound(m, p, w)",
            inputs="""
                m = torch.linspace(0, 1, 30).reshape(1, 5, 6)
                p = torch.linspace(-3, 3, 30).reshape(1, 5, 6).sin()
                w = torch.hann_window(8)
                """,
            grad=("m", "p"),
        ),
        Example(
            before="""
                import torch


                def sound(m, p, w):
                    spectrum = torch.complex(m * torch.cos(p), m * torch.sin(p))
                    return torch.istft(spectrum, n_fft=8, window=w, length=9)
                """,
            after="""
                import torch
                from . import ops


                def sound(m, p, w):
                    spectrum = ops.complex_parts(m * torch.cos(p), m * torch.sin(p))
                    return ops.istft(spectrum, n_fft=8, window=w, length=9)
                """,
            call="sound(m, p, w)",
            inputs="""
                m = torch.linspace(0, 1, 30).reshape(1, 5, 6)
                p = torch.linspace(-3, 3, 30).reshape(1, 5, 6).sin()
                w = torch.hann_window(8)
                """,
            grad=("m", "p"),
        ),
        Example(
            before="""
                import torch


                def sound(s, w):
                    return torch.istft(input=torch.view_as_complex(s), n_fft=8, window=w, return_complex=False)
                """,
            after="""
                import torch
                from . import ops


                def sound(s, w):
                    return ops.istft(parts=s, n_fft=8, window=w)
                """,
            call="sound(s, w)",
            inputs="""
                s = torch.linspace(0, 9, 60).sin().reshape(1, 5, 6, 2)
                w = torch.hann_window(8)
                """,
            grad=("s",),
        ),
        Example(
            before="""
                import torch


                def sound(m, p, w):
                    return torch.istft(torch.polar(m, p), 8, window=w)
                """,
            after="""
                import torch
                from . import ops


                def sound(m, p, w):
                    return ops.istft(ops.polar_parts(m, p), 8, window=w)
                """,
            call="sound(m, p, w)",
            inputs="""
                m = torch.linspace(0, 1, 30).reshape(1, 5, 6)
                p = torch.linspace(-3, 3, 30).reshape(1, 5, 6).sin()
                w = torch.hann_window(8)
                """,
            grad=("m", "p"),
        ),
        Example(
            before="""
                import torch


                def sound(m, p, w):
                    return inverse(m * torch.exp(p * 1j), w)


                def inverse(s, w):
                    return torch.istft(s, 8, window=w)
                """,
            after="""
                import torch
                from . import ops


                def sound(m, p, w):
                    return inverse(m * torch.exp(p * 1j), w)


                def inverse(s, w):
                    return ops.istft(ops.view_as_real(s), 8, window=w)
                """,
            call="sound(m, p, w)",
            inputs="""
                m = torch.linspace(0, 1, 30).reshape(1, 5, 6)
                p = torch.linspace(-3, 3, 30).reshape(1, 5, 6).sin()
                w = torch.hann_window(8)
                """,
            grad=("m", "p"),
        ),
    )
    untouched: ClassVar = (
        """
        import torch


        def sound(m, p, w):
            return torch.istft(torch.polar(m, p), 8, window=w, return_complex=True)
        """,
        """
        import torch


        def sound(m, p, *how):
            return torch.istft(torch.polar(m, p), *how)
        """,
    )
    _phasors: ClassVar = (
        "__m * torch.exp(__p * 1j)",
        "__m * torch.exp(1j * __p)",
        "torch.exp(__p * 1j) * __m",
        "torch.exp(1j * __p) * __m",
    )
    _made: ClassVar = {
        "torch.polar(__a, __b)": "ops.polar_parts",
        "torch.complex(__a, __b)": "ops.complex_parts",
    }

    def visit_Call(self, node: cst.Call) -> None:
        if self.file.resolve(node.func) != "torch.istft" or self.host_reason(node) is not None:
            return
        given, bare = bind(self.file, node), without(self.file, node, "return_complex")
        if given is None or bare is None or dotted(given.get("return_complex", cst.Name("False"))) != "False":
            return
        spectrum = given["input"]
        made = self._pairs(spectrum) or self._assigned_pairs(spectrum)
        made = made if made is not None else self.fill("ops.view_as_real(__s)", s=spectrum)
        at = [arg.value for arg in bare.args].index(spectrum)
        old = bare.args[at]
        new = old.with_changes(value=made, keyword=cst.Name("parts") if old.keyword else None)
        args = [*bare.args[:at], new, *bare.args[at + 1 :]]
        self.replace(node, bare.with_changes(func=self.runtime("ops.istft"), args=args))

    def _pairs(self, spectrum: cst.BaseExpression) -> cst.BaseExpression | None:
        """The parts of a complex spectrum side by side, where an expression makes it of real tensors."""
        for pattern in self._phasors:
            found = self.match(pattern, spectrum)
            if found is not None:
                return self.fill("__f(__m, __p)", f="ops.phasor_parts", m=found["m"], p=found["p"])
        for pattern, name in self._made.items():
            found = self.match(pattern, spectrum)
            if found is not None:
                return self.fill("__f(__a, __b)", f=name, a=found["a"], b=found["b"])
        found = self.match("torch.view_as_complex(__s)", spectrum)
        viewed = found["s"] if found is not None else None
        return viewed if isinstance(viewed, cst.BaseExpression) else None

    def _assigned_pairs(self, spectrum: cst.BaseExpression) -> cst.BaseExpression | None:
        """A local name, where what it is assigned can be such parts instead; asks for that edit."""
        value = self._only_value(spectrum)
        pairs = self._pairs(value) if value is not None else None
        if value is None or pairs is None:
            return None
        self.replace(value, pairs)
        return spectrum

    def _only_value(self, spectrum: cst.BaseExpression) -> cst.BaseExpression | None:
        """What a local name is assigned, if that happens once and nothing but one expression reads it."""
        function = self.file.function(spectrum)
        if not isinstance(spectrum, cst.Name) or function is None:
            return None
        own = [n for n in names_called(function, spectrum.value) if self.file.function(n) is function]
        assign = self.file.parent(self.file.parent(own[0]) or own[0])
        only = len(own) == 2 and own[1] is spectrum and only_target(assign) is own[0]
        return assign.value if only and isinstance(assign, cst.Assign) else None


def _is_written(around: cst.CSTNode | None, name: cst.Name) -> bool:
    """Whether a name is what an assignment writes, or that of a part of something else."""
    return isinstance(around, cst.AssignTarget) or (isinstance(around, cst.Attribute) and around.attr is name)
