"""Writes one function: lines, names that are in scope, and typed expressions made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from . import forms
from .kinds import CHANNELS, SCALAR, WIDTH, Kind, Parameter, Plain, Shape, Tensor
from .styles import Style

_NAMES = "x y z h out res feat signal masked logits loss total state inner part score frames kept width ratio".split()
_COMMENTS = ("# as in the paper", "# [b, c, t]", "# TODO: check", "# keep", "#:noqa", "# see above")


class Writer:
    """One function that is being written."""

    def __init__(self, rng: Random, style: Style, prefix: str) -> None:
        """`prefix` begins the names of all top-level definitions of the program."""
        self.rng, self.style, self.prefix = rng, style, prefix
        self.lines: list[str] = []
        self.before: list[str] = []  # top-level definitions that stand before the function
        self.shared: list[str] = []  # definitions of the file `commons`
        self.env: dict[str, Kind] = {}
        self.parameters: list[Parameter] = []
        self.depth = 1
        self.in_method = False
        self.inference = False  # whether some of it makes inference tensors, which autograd refuses
        self.used: set[str] = set()
        self.defined = 0

    # -- chance -------------------------------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return self.rng.random() < share

    def one_of(self, *texts: str) -> str:
        """One of these texts."""
        return self.rng.choice(texts)

    def mostly(self, usual: str, *others: str) -> str:
        """The usual text in three of four cases, else one of the others."""
        return usual if self.chance(0.75) else self.rng.choice(others)

    # -- names --------------------------------------------------------------------------------------------------

    def fresh(self, *wanted: str) -> str:
        """A name that nothing in the function has."""
        name = self.rng.choice(wanted or _NAMES)
        number = 2
        chosen = name
        while chosen in self.used:
            chosen, number = f"{name}{number}", number + 1
        self.used.add(chosen)
        return chosen

    def parameter(self, kind: Kind, like: str, *wanted: str) -> str:
        """A parameter of the function that is like this, added where there is none."""
        like = "" if like == "grad" and self.inference else like
        for known in self.parameters:
            if known.kind == kind and known.like == like and self.env.get(known.name) == kind:
                return known.name
        name = self.fresh(*wanted)
        self.parameters.append(Parameter(name, kind, like))
        self.env = {name: kind} | self.env
        return name

    def top_name(self, name: str) -> str:
        """A name for a definition of the program's own at the top of the file."""
        self.defined += 1
        return f"{self.prefix}_{name}{self.defined if self.defined > 1 else ''}"

    def lib(self, full: str) -> str:
        """A library name as this file spells it."""
        return self.style.name_of(full, self.rng)

    @property
    def torch(self) -> str:
        """What the file calls torch."""
        return self.lib("torch")

    def names(self, fits: Callable[[Kind], bool]) -> list[str]:
        """Names in scope whose kind fits, in the order they were bound."""
        return [name for name, kind in self.env.items() if fits(kind)]

    def may_infer(self) -> bool:
        """Whether inference tensors will meet no gradients; none are asked for from then on."""
        if self.in_method or any(p.like == "grad" for p in self.parameters):
            return False
        self.inference = True
        return True

    # -- lines --------------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """One line of the function; now and then with a comment, or in another layout."""
        pad = "    " * self.depth
        if self.chance(0.03):
            self.lines.append(pad + self.rng.choice(_COMMENTS))
        if self.chance(0.03):
            text = f"{text}  {self.rng.choice(_COMMENTS)}"
        elif self.chance(0.02) and not text.endswith(":"):
            text += ";"
        self.lines.append(pad + text)
        if self.chance(0.02):
            self.lines.append("")

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """A statement with a body; what the body binds is gone after it."""
        self.line(head)
        env, length = dict(self.env), len(self.lines)
        self.depth += 1
        yield
        if len(self.lines) == length:
            self.line("pass")
        self.depth -= 1
        self.env = {p.name: p.kind for p in self.parameters} | env

    def let(self, value: str, kind: Kind, *wanted: str) -> str:
        """Assign to a new name, or to one that has the same kind; its name."""
        same = [n for n in self.names(lambda k: k == kind) if n not in ("self",)]
        name = self.rng.choice(same) if same and not wanted and self.chance(0.2) else self.fresh(*wanted)
        note = (
            f": {self.torch}.Tensor" if isinstance(kind, Tensor) and name not in self.env and self.chance(0.03) else ""
        )
        self.line(f"{name}{note} = {value}")
        self.env[name] = kind
        return name

    def call(self, function: str, *arguments: tuple[str, str], least: int = 1, extra: str = "") -> str:
        """A call, its arguments by position as far as chance will have it (`least` at least), the rest by name.

        An argument without a name ends what may be named before it; `extra` is added as it is.
        """
        unnamed = max((i + 1 for i, (name, _) in enumerate(arguments) if not name), default=0)
        cut = self.rng.randint(max(least, unnamed), max(len(arguments), least))
        given = [value for _, value in arguments[:cut]]
        named = [f"{name}={value}" for name, value in arguments[cut:]]
        if len(named) > 1 and self.chance(0.3):
            named.reverse()
        parts = [*given, *named, *([extra] if extra else [])]
        if len(parts) > 1 and self.chance(0.05):
            pad = "    " * (self.depth + 1)
            return f"{function}(\n{pad}" + f",\n{pad}".join(parts) + f",\n{pad[4:]})"
        return f"{function}({', '.join(parts)})"

    # -- expressions --------------------------------------------------------------------------------------------

    def tensor_name(self, shape: Shape | None = None, dtype: str = "float32") -> str | None:
        """A name of a tensor of this dtype, and of this shape if one is given."""
        found = self.names(lambda k: isinstance(k, Tensor) and k.dtype == dtype and shape in (None, k.shape))
        return self.rng.choice(found) if found else None

    def signal(self, shape: Shape | None = None) -> tuple[str, Shape]:
        """The name of a float tensor that there is, and its shape."""
        name = self.tensor_name(shape) or self.tensor_name()
        if name is None:
            name = self.let(f"{self.torch}.ones(2, {WIDTH}, 5)", Tensor("float32", ("2", str(WIDTH), "5")))
        kind = self.env[name]
        assert isinstance(kind, Tensor)
        return name, kind.shape

    def floats(self, shape: Shape, depth: int = 2) -> str:
        """An expression for a float32 tensor of a shape."""
        name = self.tensor_name(shape)
        if depth <= 0 or self.chance(0.3):
            return name or self._made(shape)
        roll = self.rng.random()
        a = self.floats(shape, depth - 1)
        if roll < 0.45:
            return self._filled(self.rng.choice(forms.UNARY), a)
        if roll < 0.55 and shape:
            return self._filled(self.rng.choice(forms.ALONG), a)
        if roll < 0.8:
            return self._filled(self.rng.choice(forms.BINARY), a, self.floats(shape, depth - 1))
        if roll < 0.87:
            return f"{self.lib('torch.where')}({self.mask(shape, depth - 1)}, {a}, {self.floats(shape, depth - 1)})"
        if roll < 0.93:
            return self.call(
                f"{_atom(a)}.masked_fill", ("mask", self.mask(shape, depth - 1)), ("value", self.number("float", 0))
            )
        return f"{_atom(a)} {self.one_of('+', '*', '-')} {_atom(self.scalar(depth - 1))}"

    def mask(self, shape: Shape, depth: int = 1) -> str:
        """An expression for a boolean tensor of a shape."""
        name = self.tensor_name(shape, "bool")
        if name is not None and self.chance(0.5):
            return self.one_of(name, name, f"~{name}")
        return self._filled(self.rng.choice(forms.MASKS), self.floats(shape, depth - 1), self.floats(shape, 0))

    def scalar(self, depth: int = 1) -> str:
        """An expression for a float32 tensor of no axes."""
        name = self.tensor_name(SCALAR)
        if name is not None and self.chance(0.3):
            return name
        _, shape = self.signal()
        return self._filled(self.rng.choice(forms.SCALARS), self.floats(shape, depth - 1), self.floats(shape, 0))

    def number(self, name: str, depth: int = 1) -> str:
        """An expression for a Python `int` or `float`."""
        known = self.names(lambda k: k == Plain(name))
        if known and self.chance(0.4):
            return self.rng.choice(known)
        if depth <= 0 or self.chance(0.3):
            if name == "int" and self.chance(0.5):
                return self.size()
            return self.rng.choice(forms.NUMBERS[name])
        a, b = self.number(name, depth - 1), self.number(name, depth - 1)
        found = [
            f"{a} + {b}",
            f"{a} * {b}",
            f"max({a}, {b})",
            f"abs({a})",
            f"min({a}, {b}, 9)",
            f"-{_atom(a)}",
            f"sum([{a}, {b}])",
        ]
        if name == "float":
            found += [f"{a} / 3", f"round({a}, 2)", f"float({self.number('int', 0)})", f"math.sqrt(abs({a}))"]
        else:
            found += [f"{_atom(a)} // 2", f"len([{a}, {b}])"]
        return f"({self.rng.choice(found)})"

    def size(self) -> str:
        """An expression for the size of some tensor's axis."""
        name, shape = self.signal()
        if not shape:
            return f"{name}.dim()"
        return self.size_of(name, shape, self.rng.randrange(len(shape)))

    def size_of(self, name: str, shape: Shape, axis: int) -> str:
        """An expression for the size of one axis of a named tensor."""
        found = [
            f"{name}.size({axis})",
            f"{name}.shape[{axis}]",
            f"{name}.size({axis - len(shape)})",
            f"{name}.shape[{axis - len(shape)}]",
        ]
        if axis == 0:
            found += [f"len({name})", f"{name}.size()[0]"]
        return self.rng.choice(found)

    def sizes(self, shape: Shape) -> str | None:
        """Expressions for all sizes of a shape, with commas between; None where one is not known."""
        found = [self._axis(axis) for axis in shape]
        return None if None in found else ", ".join(s for s in found if s is not None)

    def _axis(self, axis: str) -> str | None:
        if axis.isdigit() or axis == CHANNELS:
            return str(WIDTH) if axis == CHANNELS else axis
        for name in self.names(lambda k: isinstance(k, Tensor) and axis in k.shape):
            kind = self.env[name]
            assert isinstance(kind, Tensor)
            return self.size_of(name, kind.shape, kind.shape.index(axis))
        return None

    def condition(self, depth: int = 1) -> str:
        """An expression for a Python `bool` that reads no tensor."""
        name, _ = self.signal()
        found = [form.replace("{a}", name).replace("{torch}", self.torch) for form in forms.CONDITIONS]
        found += [f"{self.number('int', 0)} > 1", f"{self.number('float', 0)} < 0.75"]
        flags = self.names(lambda k: k == Plain("bool"))
        text = self.rng.choice([*found, *flags, *flags, *flags])
        if depth and self.chance(0.25):
            return f"({text} {self.one_of('and', 'or')} {self.condition(depth - 1)})"
        return f"not ({text})" if self.chance(0.1) else text

    def truth(self) -> str:
        """An expression that asks a tensor for its truth."""
        a, shape = self.signal()
        return self._filled(self.rng.choice(forms.TRUTHS), a, self.floats(shape, 0))

    def _filled(self, form: str, a: str, b: str = "") -> str:
        function = "torch.nn.functional"
        text = form.replace("{a}", _atom(a)).replace("{b}", _atom(b))
        if "{F}" in text:
            text = text.replace("{F}", self.lib(function))
        if "{torch}" in text:
            text = text.replace("{torch}", self.torch)
        return text

    def _made(self, shape: Shape) -> str:
        like = self.tensor_name(shape, "bool") or self.tensor_name(shape, "int64")
        if like is not None:
            return f"{like}.float()"
        sizes = self.sizes(shape)
        if sizes is None:
            name, _ = self.signal()
            return f"{name} * 1"
        beside = self.signal()[0]
        return f"{self.torch}.{self.one_of('ones', 'zeros')}({sizes or '()'}, device={beside}.device)"

    def results(self) -> str:
        """What the function returns: some of what is in scope."""
        names = [n for n in self.env if n != "self"]
        recent = names[-6:]
        chosen = [n for n in recent if self.chance(0.7)] or names[-1:]
        values = [self._shown(n) for n in chosen]
        if len(values) == 1:
            return values[0]
        roll = self.rng.random()
        if roll < 0.7:
            return ", ".join(values)
        if roll < 0.85:
            return f"[{', '.join(values)}]"
        return "{" + ", ".join(f'"{name}": {value}' for name, value in zip(chosen, values, strict=True)) + "}"

    def _shown(self, name: str) -> str:
        kind = self.env[name]
        if isinstance(kind, Plain) and kind.type == "float" and self.chance(0.2):
            return self.one_of(
                f"round({name}, 3)",
                f"f'{{{name}:.3f}}'",
                f"json.dumps([{name}])",
                f"str({name})",
                f"type({name}).__name__",
            )
        return name


def _atom(text: str) -> str:
    """The expression in brackets, where an operator beside it would take it apart."""
    if text.isidentifier() or (text[:1] != "-" and text[-1:] == ")" and _balanced_call(text)):
        return text
    return text if text.replace(".", "", 1).isdigit() else f"({text})"


def _balanced_call(text: str) -> bool:
    """Whether no operator stands outside of all brackets."""
    depth = 0
    for character in text:
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and not (character.isalnum() or character in "._"):
            return False
    return True
