"""What Python can do with values: stars, several targets, walrus, generators, `match`, globals."""

from __future__ import annotations

from ..kinds import SIGNAL, Many, Other, Plain, Tensor
from ..writer import Writer
from .reads import read


def stars(w: Writer) -> None:
    """Arguments that come in stars."""
    signal, _ = w.signal()
    options = w.let(
        w.one_of(
            f"dict(device={signal}.device)",
            f'{{"dtype": {w.torch}.float64, "device": {signal}.device}}',
            "{}",
            f"dict(dtype={signal}.dtype)",
        ),
        Other(),
        "options",
        "kw",
    )
    w.let(
        w.one_of(
            f"{w.torch}.zeros(*{signal}.shape)",
            f"{w.torch}.ones(*{signal}.shape, **{options})",
            f"{w.torch}.arange(4, **{options})",
            f"{w.torch}.full(*[(2, 2), 0.5], device={signal}.device)",
            f"{w.torch}.tensor([1.5], **{options}).to({signal}.device)",
            f"{w.torch}.zeros(*({signal}.size(0), 2)).to({signal}.device)",
            f"{w.lib('torch.nn.functional')}.leaky_relu(*[{signal}], **dict(negative_slope=0.2))",
            f"print(*{signal}.shape)",
        ),
        Other(),
    )


def several_targets(w: Writer) -> None:
    """One value for several names, several for several."""
    first, second = read(w), read(w)
    a, b = w.fresh("low", "a"), w.fresh("high", "b")
    w.line(
        w.one_of(
            f"{a} = {b} = {first}",
            f"{a}, {b} = {first}, {second}",
            f"({a}, {b}) = ({first}, 1.0)",
            f"[{a}, {b}] = [{first}, {second}]",
        )
    )
    if w.chance(0.4):
        w.line(w.one_of(f"{a}, {b} = {b}, {a}", f"{a} += {b}", f"{b} = ({a}, {b})[0]", f"{a} = -{b}"))
    w.env[a] = w.env[b] = Plain("float")


def named_in_passing(w: Writer) -> None:
    """A value gets its name inside an expression."""
    value = read(w)
    name = w.fresh("peak", "top_of")
    w.line(f"if ({name} := {value}) > {w.one_of('0.5', '0', '1e3')}:")
    w.lines.append(
        "    " * (w.depth + 1) + w.one_of(f"print({name})", f"{name} = {name} / 2", "pass", f"print(f'{{{name}:.2f}}')")
    )
    w.env[name] = Plain("float")


def yields(w: Writer) -> None:
    """A generator gives values one by one."""
    helper = w.top_name("each")
    value = w.one_of(
        "v.sum().item()",
        "float(v.mean())",
        "v.sum()",
        "(v.mean().item(), v)",
        "v.max().item() if v.numel() else 0.0",
        "v * 2",
    )
    many = w.parameter(Many(Tensor("float32", SIGNAL)), "", "outputs", "parts")
    w.before += [
        f"def {helper}(values):",
        "    for v in values:",
        *(["        if v.sum() > 2: continue"] if w.chance(0.3) else []),
        f"        yield {value}",
        "",
        "",
    ]
    w.let(
        w.one_of(
            f"list({helper}({many}))",
            f"[p for p in {helper}({many})]",
            f"next({helper}({many}), None)",
            f"tuple({helper}({many}[:1]))",
            f"dict(enumerate({helper}({many})))",
        ),
        Other(),
        "values",
        "each_of",
    )


def kept_outside(w: Writer) -> None:
    """Something of the file's own is added to."""
    store = w.top_name(w.one_of("totals", "history"))
    if w.chance(0.5):
        w.before += [f'{store} = {{"loss": 0.0, "n": 0}}', "", ""]
        w.line(
            w.one_of(
                f'{store}["loss"] += {read(w)}',
                f'{store}["loss"] = {read(w)}',
                f'{store}["loss"] = max({store}["loss"], {read(w)})',
            )
        )
        w.line(f'{store}["n"] += 1')
        w.let(w.one_of(f'{store}["loss"] / {store}["n"]', f"dict({store})", f"json.dumps({store})"), Other())
    else:
        w.before += [f"{store} = []", "", ""]
        w.line(f"{store}.append({read(w)})")
        w.let(
            w.one_of(f"sum({store})", f"{store}[-1]", f"list({store})", f"len({store})", f"np.mean({store})"), Other()
        )


def matched(w: Writer) -> None:
    """`match` decides."""
    signal, shape = w.signal()
    name = w.let(f"{signal} * 1", Tensor("float32", shape), "matched_of", "case_of")
    with w.block(
        f"match {w.one_of(f'{signal}.dim()', f'len({signal})', f'int({signal}.sum() > 0)', f'{signal}.dtype', repr('sum'))}:"
    ):
        for pattern in ("1 | 2", w.one_of("3", "0", "_ if " + w.condition(0))):
            with w.block(f"case {pattern}:"):
                w.line(w.one_of(f"{name} = {name} + 1", f"{name} = {w.floats(shape, 1)}", "pass", f"print({read(w)})"))


def ends_anyway(w: Writer) -> None:
    """`try` with a return, and what is done nevertheless."""
    signal, shape = w.signal()
    name = w.let(f"{signal} + 0", Tensor("float32", shape), "tried", "attempt")
    with w.block("try:"):
        w.line(
            w.one_of(
                f"if {w.condition()}: return {name}",
                f"{name} = {w.floats(shape, 1)}",
                f"if {w.truth()}: raise ValueError('bad')",
                f"{name}.add_({name}.mean())",
            )
        )
    if w.chance(0.4):
        with w.block("except (ValueError, RuntimeError):"):
            w.line(w.one_of(f"return {signal}", "pass", "raise", f"{name} = -{signal}"))
    with w.block("finally:"):
        w.line(
            w.one_of(
                "print('end')", f"print({name}.shape)", f"{name} = {name} * 2", f"print(round({name}.sum().item(), 1))"
            )
        )


def put_away(w: Writer) -> None:
    """Values in containers of containers, sorted, and taken out again."""
    first, second = read(w), read(w)
    name = w.let(
        w.one_of(
            f'[({first}, "a"), ({second}, "b")]',
            f'{{"x": [{first}], "y": {{"z": {second}}}}}',
            f"[[{first}], [{second}]]",
            f"({first}, [{second}])",
            f"set([{first}])",
            f"{{{first}: 1}}",
            f"np.array([{first}, {second}])",
            f"[{first}] * 2",
        ),
        Other(),
        "rows_of",
        "table_of",
    )
    w.let(
        w.one_of(
            f"sorted({name})" if w.chance(0.3) else f"repr({name})[:3]",
            f"len({name})",
            f"json.dumps({name})" if w.chance(0.5) else f"{name}",
            f"list({name})",
            f"{name} == {name}",
        ),
        Other(),
    )


def other_numbers(w: Writer) -> None:
    """Whole numbers, truths and other precisions that are read."""
    signal, shape = w.signal()
    mask = w.mask(shape)
    value = w.one_of(
        f"({mask}).sum().item()",
        f"({mask}).any().item()",
        f"bool(({mask}).all())",
        f"int(({mask}).sum())",
        f"{signal}.double().mean().item()",
        f"{signal}.half().sum().item()",
        f"float({signal}.double().sum())",
        f"{signal}.argmax().item()",
        f"({mask}).float().mean().item()",
        f"{signal}.numel() - int(({mask}).sum())",
        f"{signal}.to({w.torch}.bfloat16).max().item()",
        f"({mask}).sum() / {signal}.numel()",
        f"int({signal}.sum())",
    )
    name = w.let(value, Other(), "found_of", "hits", "ratio_of")
    w.let(
        w.one_of(
            f"{name} + 1",
            f"{name} / 3",
            f"isinstance({name}, int)",
            f"f'{{{name}}}'",
            f"[{name}]",
            f"{name} * 1.5",
            f"100 * {name}",
            f"max({name}, 2)",
            f"{name} if {w.condition(0)} else None",
        ),
        Other(),
    )


PHRASES = (
    stars,
    several_targets,
    several_targets,
    named_in_passing,
    yields,
    kept_outside,
    matched,
    ends_anyway,
    put_away,
    other_numbers,
)
