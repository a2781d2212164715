"""Tensors that are made: of sizes, numbers, steps and draws; with a device, moved to one, or neither."""

from __future__ import annotations

from ..kinds import SAMPLES, Many, Other, Tensor
from ..writer import Writer


def move(w: Writer, made: str, dtype: str = "float32") -> tuple[str, str]:
    """The made tensor on the device of another, in some way, and its dtype then."""
    beside, _ = w.signal()
    to = f"{made}.to"
    forms: list[tuple[str, str]] = [
        (f"{to}({beside}.device)", dtype),
        (w.call(to, ("device", f"{beside}.device"), least=0), dtype),
        (f"{to}({beside})", "float32"),
        (f"{made}.type_as({beside})", "float32"),
        (f"{to}(device={beside}.device, dtype={beside}.dtype)", "float32"),
        (f"{to}(dtype={beside}.dtype, device={beside}.device)", "float32"),
        (f"{to}({beside}.device, {w.torch}.float64)", "float64"),
        (f"{to}({beside}.device, non_blocking=True)", dtype),
        (f"{to}({beside}.device).to({beside}.dtype)", "float32"),
        (f"{to}({beside}.dtype).to({beside}.device)", "float32"),
        (f"{to}('cpu')", dtype),
        (made, dtype),
    ]
    return w.rng.choice(forms)


def options(w: Writer, dtype: bool = True) -> tuple[str, str]:
    """Keywords of a factory, and the dtype that they ask for ("" for its own)."""
    beside, _ = w.signal()
    chosen = w.one_of("", "", "", "float64", "float32", "int64") if dtype else ""
    spelled = {
        "": "",
        "float64": w.one_of("float64", "double"),
        "float32": w.one_of("float32", "float"),
        "int64": w.one_of("long", "int64"),
    }
    parts = [f"dtype={w.torch}.{spelled[chosen]}"] if chosen else []
    if not chosen and dtype and w.chance(0.2):
        parts, chosen = [f"dtype={beside}.dtype"], "float32"
    if w.chance(0.5):
        parts.append(
            f"device={w.one_of(f'{beside}.device', f'{beside}.device', f'{w.torch}.device({chr(34)}cpu{chr(34)})')}"
        )
    if w.chance(0.3):
        parts.reverse()
    return ", ".join(parts), chosen


def fill(w: Writer) -> None:
    """Zeros, ones and the like."""
    signal, shape = w.signal()
    sizes = w.sizes(shape) or "2, 3"
    kind = w.one_of("zeros", "ones", "full", "zeros", "empty")
    size = w.one_of(sizes, f"({sizes},)", f"[{sizes}]", f"{signal}.shape", f"size=({sizes},)") if sizes else "()"
    extra, dtype = options(w)
    tail = f", {extra}" if extra else ""
    if kind == "full":
        value = w.one_of("0.5", "1", "-2.0", "True", w.number("float", 0))
        size = (
            size
            if "(" in size[:1] or "[" in size[:1] or "shape" in size or "=" in size
            else f"({sizes},)"
            if sizes
            else "()"
        )
        made = f"{w.torch}.full({size}, {'fill_value=' if '=' in size else w.one_of('', 'fill_value=')}{value}{tail})"
        natural = {"True": "bool", "1": "int64"}.get(value, "float32")
    else:
        made, natural = f"{w.lib(f'torch.{kind}')}({size}{tail})" + (".zero_()" if kind == "empty" else ""), "float32"
    if "device" not in extra or w.chance(0.2):
        made, dtype = move(w, made, dtype or natural)
    w.let(made, Tensor(dtype or natural, shape), "made", "base", "pad_value", "zero")
    if w.chance(0.4):
        w.let(f"{signal} + {_last(w)}", Other())


def _last(w: Writer) -> str:
    return list(w.env)[-1]


def steps(w: Writer) -> None:
    """Ranges, of whole numbers and of fractions."""
    signal, _shape = w.signal()
    size, count = w.size(), w.number("int", 0)
    extra, _ = options(w)
    tail = f", {extra}" if extra else ""
    name = w.one_of(
        "arange",
        "arange",
        "arange",
        "linspace",
        "logspace",
        "range",
        "eye",
        "hann_window",
        "kaiser_window",
        "tril_indices",
    )
    span = {
        "arange": w.one_of(
            size,
            f"end={size}",
            f"0, {size}",
            f"1, {size}, 2",
            "0, 1, 1 / 6",
            "0.0, 1.0, 0.1",
            f"start=0, end={size}, step=2",
            f"0, {size} / 4, 0.3",
            f"{size} * 1.0",
            "0, 2, step=1 / 3",
            f"{count}",
            "3, 0, -1",
            "-1, 1, 0.2",
        ),
        "linspace": w.one_of(
            f"0, 1, {size}",
            f"-1, 1, steps={size}",
            f"start=0.0, end={size}, steps=5",
            f"0, {size}, 7",
            "0, 10, 4",
            "1.0, 0.1, 4",
        ),
        "logspace": w.one_of(f"0, 1, {size}", "-1.0, 2, steps=5", "start=0, end=3, steps=4, base=2"),
        "range": w.one_of("0, 1, 0.25", "1, 4", "0, 0.9, 0.3"),
        "eye": w.one_of(size, f"{size}, 3", f"n={size}", f"m=2, n={size}"),
        "hann_window": w.one_of(size, "8", "8, periodic=False", f"window_length={size}"),
        "kaiser_window": "6",
        "tril_indices": "3, 3",
    }[name]
    if ("long" in tail or "int64" in tail) and (name in ("hann_window", "kaiser_window") or "/" in span or "." in span):
        tail = ""  # torch divides by a step of 0 there, which ends the process
    made = f"{w.lib(f'torch.{name}')}({span}{tail})"
    if w.chance(0.3):
        made = w.one_of(
            f"{made} / {w.one_of('2', size)}",
            f"{made}.float()",
            f"({made} * 2)",
            f"{made}[:4]",
            f"{made}.unsqueeze(0)",
            f"{made}.flip(0)",
        )
        made = f"({made})"
    if not tail or w.chance(0.3):
        made, _ = move(w, made)
    w.let(made, Other(), "steps", "grid", "positions", "ramp")
    last = _last(w)
    w.let(
        w.one_of(f"{last}.sum() * {signal}", f"{last}.shape[0]", f"{last}.float().mean() + {signal}", f"len({last})"),
        Other(),
    )


def of_values(w: Writer) -> None:
    """Tensors of Python values, and of what may be one."""
    signal, _ = w.signal()
    number, whole, scalar = w.number("float"), w.number("int"), w.scalar()
    value = w.one_of(
        f"[{number}]",
        f"[{whole}]",
        "0.5",
        "3",
        f"[{scalar}]",
        f"{scalar}",
        "[1, 2]",
        "[0.1, 0.2]",
        "True",
        "[True]",
        f"[abs({signal}.sum())]",
        f"[{number}, {whole}]",
        f"{whole}",
        f"{number}",
        "[[1.0]]",
        f"({whole},)",
        f"[max({number}, 1)]",
        f"[min({signal}.sum(), {signal}.mean())]",
        "[]",
        f"[round({number}, 2)]",
        "-1",
        "[-1.5]",
        "1e10",
        "2**40",
        f"[len({signal})]",
        f"{signal}.shape",
        f"[{signal}.size(-1)]" if w.env.get(signal) else "[2]",
        f"[sum([{whole}, 1])]",
        f"[{signal}.ndim]",
        "float('inf')",
        "[float('nan')]",
        "np.float64(0.1)",
        "np.arange(3)",
    )
    kind = w.one_of(
        "tensor", "tensor", "tensor", "as_tensor", "LongTensor", "FloatTensor", "IntTensor", "scalar_tensor", "Tensor"
    )
    if kind in ("LongTensor", "FloatTensor", "IntTensor", "Tensor"):
        value = value if value.startswith("[") else f"[{number}]"  # of a size it is memory as it lies
        made, _ = move(w, f"{w.torch}.{kind}({value})")
    else:
        extra, _ = options(w)
        first = w.one_of(value, value, f"data={value}") if kind == "tensor" else value
        made = f"{w.torch}.{kind}({first}{', ' + extra if extra else ''})"
        if not extra or w.chance(0.2):
            made, _ = move(w, made)
    name = w.let(made, Other(), "lengths_of", "one", "scale_of", "fixed", "t_of")
    if w.chance(0.6):
        w.let(
            w.one_of(
                f"{signal} * {name}.sum()",
                f"{signal} + {name}",
                f"{name}.dtype == {w.torch}.float32",
                f"{name}.tolist()",
            ),
            Other(),
        )


def beside_inputs(w: Writer) -> None:
    """A tensor made without a device meets one of the function's own."""
    signal, shape = w.signal()
    sizes = w.sizes(shape) or ""
    if not shape:
        w.let(f"{signal} + {w.torch}.zeros(3)", Other())
        return
    last = w.size_of(signal, shape, len(shape) - 1)
    w.let(
        w.one_of(
            f"{signal} + {w.lib('torch.zeros')}({last})",
            f"{signal} * {w.lib('torch.arange')}({last})",
            f"{w.torch}.cat([{signal}, {w.torch}.ones({sizes or '1'})])",
            f"{w.torch}.linspace(0, 1, {last}) - {signal}",
            f"{signal} @ {w.torch}.eye({last})",
            f"{signal} + {w.torch}.hann_window({last})",
            f"{w.lib('torch.where')}({signal} > 0, {signal}, {w.torch}.full(({last},), 0.25))",
            f"{signal}[{w.torch}.arange(len({signal}))]",
            f"{signal}[..., {w.torch}.arange({last} - 1, -1, -1)]",
            f"{w.torch}.outer({w.torch}.ones(2), {signal}.flatten())",
            f"{w.torch}.zeros({sizes or '1'}, dtype={w.torch}.float64) + {signal}",
        ),
        Other(),
    )


def cached(w: Writer) -> None:
    """A constant that the file keeps between calls."""
    store, signal = w.top_name(w.one_of("windows", "tables", "basis")), w.signal()
    name, shape = signal
    last = w.size_of(name, shape, len(shape) - 1) if shape else "3"
    w.before += [f"{store} = " + w.one_of("{}", "dict()", "{}  # filled when first asked"), "", ""]
    key = w.let(
        w.one_of(
            f"str({last}) + str({name}.device)",
            f"{last}",
            f"f'{{{last}}}_{{{name}.dtype}}'",
            f"({last}, {name}.device, {name}.dtype)",
        ),
        Other(),
        "key",
        "which",
    )
    made = w.one_of(
        f"{w.torch}.arange({last}, device={name}.device) / 3",
        f"{w.torch}.hann_window({last}).to(dtype={name}.dtype, device={name}.device)",
        f"{w.torch}.ones({last}).to({name}.device)",
        f"{w.torch}.linspace(0, 1, {last}).to({name}.device, {w.torch}.float64)",
        f"{w.torch}.zeros({last}, dtype={w.torch}.long, device={name}.device)",
        f"{w.torch}.arange({last}).to({name})",
        f"{w.torch}.from_numpy(np.hanning({last})).to(dtype={name}.dtype, device={name}.device)",
        f"{name}.sum().detach()",
        f"{w.torch}.eye({last}).sum(0).to({name}.device)",
        f"str({last})",
    )
    with w.block(w.one_of(f"if {key} not in {store}:", f"if not {key} in {store}:")):
        w.line(f"{store}[{key}] = {made}")
    w.let(w.one_of(f"{store}[{key}]", f"{name} * {store}[{key}]" if "str(" not in made else f"{store}[{key}]"), Other())


def by_helper(w: Writer) -> None:
    """A helper of the file makes a tensor, which is moved then."""
    helper = w.top_name(w.one_of("causal", "ramp", "table"))
    form = w.one_of(
        "{t}.tril({t}.ones(n, n))",
        "{t}.sin({t}.arange(n) / 7)",
        "{t}.zeros(n)",
        "{t}.arange(n)[None]",
        "{t}.linspace(0, 1, n) * k",
        "{t}.eye(n)[:k]",
        "{t}.LongTensor([n, k])",
    )
    w.before += [
        f"def {helper}(n, k=2):",
        *(["    n = n + 0"] if w.chance(0.3) else []),
        f"    return {form.replace('{t}', w.torch)}",
        "",
        "",
    ]
    signal, shape = w.signal()
    size = w.size_of(signal, shape, len(shape) - 1) if shape else "3"
    made = w.call(helper, ("n", size), *((("k", w.number("int", 0)),) if w.chance(0.4) else ()))
    if w.chance(0.5):
        made = w.let(made, Other(), "signal_of", "wave")
        if w.chance(0.2):
            w.line(f"{signal} = {signal} * 1")
    moved, _ = move(w, made)
    w.let(moved, Other())


def draws(w: Writer) -> None:
    """Random numbers, of sizes and in place."""
    signal, shape = w.signal()
    sizes = w.sizes(shape) or "2, 3"
    made = w.one_of(
        f"{w.torch}.randn({sizes})",
        f"{w.torch}.rand([{sizes}])",
        f"{w.torch}.rand({sizes})",
        f"{w.torch}.randn(({sizes},), dtype={w.torch}.float64)",
        f"{w.torch}.randint(0, 5, ({sizes},))",
        f"{w.torch}.randn(size=({sizes},))",
        f"{w.torch}.randperm(5)",
        f"{w.torch}.normal(0.0, 1.0, ({sizes},))",
        f"{w.torch}.randint(high=4, size=({sizes},))",
        f"{w.torch}.FloatTensor({sizes}).normal_()",
        f"{w.torch}.empty({sizes}).uniform_()",
        f"{w.torch}.Tensor({sizes}).uniform_()",
        f"{w.torch}.randn_like({signal})",
        f"{w.torch}.normal({signal}.detach(), 1.0)",
        f"{w.torch}.zeros({sizes}).normal_(0, 2)",
        f"{w.torch}.FloatTensor(4, 2).uniform_(-1, 1)",
    )
    moved, _dtype = move(w, made)
    w.let(moved, Other(), "noise", "eps", "start")
    w.let(w.one_of(f"{signal} + {_last(w)}.float().mean()", f"{_last(w)} * 2", f"{_last(w)}.dtype"), Other())


def seeds(w: Writer) -> None:
    """The generator is seeded, and drawn from."""
    w.line(
        w.one_of(
            f"{w.torch}.manual_seed(3)",
            f"{w.torch}.random.manual_seed({w.size()})",
            f"{w.torch}.manual_seed(seed=5)",
            f"np.random.seed(0); {w.torch}.manual_seed(1)",
        )
    )
    w.let(
        w.one_of(f"{w.torch}.randn(3)", f"{w.torch}.rand(2, 2)", "np.random.rand()", f"{w.torch}.randint(0, 9, (2,))"),
        Other(),
        "drawn",
    )


def lengths_made(w: Writer) -> None:
    """A tensor that holds lengths, as callers of models make it."""
    signal, shape = w.signal()
    size = w.size_of(signal, shape, len(shape) - 1) if shape else "4"
    made = w.one_of(
        f"{w.torch}.LongTensor([{size}])",
        f"{w.torch}.tensor([{size}])",
        f"{w.torch}.IntTensor([{size}])",
        f"{w.torch}.full(({w.size()},), {size})",
        f"{w.torch}.tensor([{size}] * 2)",
        f"{w.torch}.LongTensor([{size}] * {w.size()})",
        f"{w.torch}.FloatTensor([{size}])",
        f"{w.torch}.tensor(data=[{size}])",
        f"{w.torch}.tensor([{w.number('float')}])",
        f"{w.torch}.LongTensor([{size}, 2])",
    )
    moved, _ = move(w, made, "int64")
    w.let(moved, Other(), "y_lengths", "lens_of", "n_frames")


def from_numbers(w: Writer) -> None:
    """A tensor of what was read from others."""
    many = w.parameter(Many(Tensor("float32")), "", "outputs", "parts")
    lengths = w.parameter(Tensor("int64", SAMPLES), "lengths", "lengths", "x_lengths")
    signal, _ = w.signal()
    w.let(
        w.one_of(
            f"{w.torch}.tensor([len(p) for p in {many}], device={signal}.device)",
            f"{w.torch}.tensor([p.sum() for p in {many}])",
            f"{w.torch}.tensor([{lengths}.max()], device={signal}.device)",
            f"{w.torch}.tensor({lengths}.tolist(), device={signal}.device)",
            f"{w.torch}.tensor([{signal}.sum().item()], device={signal}.device)",
            f"{w.torch}.tensor({signal}.mean().item()).to({signal})",
            f"{w.torch}.tensor([{signal}.mean().item(), 1.0])",
            f"{w.torch}.tensor([float({lengths}.sum())], dtype={w.torch}.float64, device={signal}.device)",
            f"{w.torch}.LongTensor([int({lengths}.max())]).to({signal}.device)",
        ),
        Other(),
    )


PHRASES = (
    fill,
    fill,
    steps,
    steps,
    of_values,
    of_values,
    beside_inputs,
    beside_inputs,
    cached,
    by_helper,
    draws,
    draws,
    seeds,
    lengths_made,
    from_numbers,
)
