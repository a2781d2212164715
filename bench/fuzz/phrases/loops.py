"""Loops over the samples of a batch: windows, ranges, losses, and loops that only look like it."""

from __future__ import annotations

from ..kinds import ROWS, SAMPLES, SIGNAL, Other, Plain, Shape, Tensor
from ..writer import Writer


def _batch(w: Writer, name: str, shape: Shape) -> str:
    if w.chance(0.2):
        count = w.let(w.size_of(name, shape, 0), Plain("int"), "batch", "b", "size_b")
        return f"range({count})"
    if w.chance(0.15):
        names = [w.fresh(n) for n in (*("bs", "ch", "ts")[: len(shape) - 1], "tt")]
        w.line(f"{', '.join(names)} = {name}.{w.one_of('shape', 'size()')}")
        return f"range({names[0]})"
    return f"range({w.size_of(name, shape, 0)})"


def windows(w: Writer) -> None:
    """A window out of every sample, of two or of three axes."""
    shape = w.rng.choice((SIGNAL, SIGNAL, ROWS))
    x = w.parameter(Tensor("float32", shape), w.one_of("", "grad"), "x_in", "signal_in", "wave")
    starts = w.parameter(Tensor("int64", SAMPLES), "starts", "starts", "ids_str", "begin_ids")
    size = w.one_of("3", "2", w.parameter(Plain("int"), "", "segment_size", "seg"))
    middle = ":, " if shape == SIGNAL else ""
    out, i = w.fresh("out", "ret", "segments"), w.fresh("i", "b", "idx")
    width = w.one_of(size, size, size, size, "5") if size.isidentifier() else size
    cut = f"{x}[:, {middle}:{width}]"
    sizes = w.sizes(shape[:-1]) or "2"
    w.line(
        f"{out} = "
        + w.one_of(
            f"{w.torch}.zeros_like({cut})",
            f"{w.torch}.zeros_like({cut})",
            f"{x}.new_zeros({sizes}, {size})",
            f"{w.torch}.zeros({sizes}, {size}, device={x}.device)",
            f"{w.torch}.empty_like({cut})",
            f"{w.torch}.zeros({sizes}, {size}, dtype={x}.dtype, device={x}.device)",
            f"{w.torch}.zeros_like({cut}, dtype={w.torch}.float64)",
            f"{w.torch}.ones_like({cut})",
        )
    )
    with w.block(f"for {i} in {_batch(w, x, shape)}:"):
        first = f"{starts}[{i}]"
        if w.chance(0.5):
            first = w.let(
                w.one_of(first, first, f"int({first})", f"{first}.item()"), Other(), "idx_str", "begin", "first"
            )
        last = w.one_of(f"{first} + {size}", f"{first} + {size}", f"{size} + {first}", f"{first} + {size} - 1")
        if w.chance(0.4):
            last = w.let(last, Other(), "idx_end", "end", "last")
        source = w.one_of(x, x, x, x, f"{x}" if w.chance(0.5) else f"({x} * 2)")
        w.line(f"{out}[{i}{w.one_of('', '', ', :', ', ...')}] = {source}[{i}, {middle}{first}:{last}]")
        if w.chance(0.1):
            w.line(f"print({i})")
    w.env[out] = Other()
    if w.chance(0.1):
        w.let(f"{i}", Other())


def ranges(w: Writer) -> None:
    """The same range of every sample is copied or filled."""
    shape = w.rng.choice((SIGNAL, SIGNAL, ROWS))
    x = w.parameter(Tensor("float32", shape), w.one_of("", "grad"), "x_in", "prompt", "wave")
    lengths = w.parameter(Tensor("int64", SAMPLES), "lengths", "lengths", "prompt_lens", "lens")
    middle = ":, " if shape == SIGNAL else ""
    out, i = w.fresh("kept", "prompt_x", "filled"), w.fresh("i", "bib", "n")
    w.line(
        f"{out} = "
        + w.one_of(
            f"{w.torch}.zeros_like({x})",
            f"{x}.clone()",
            f"{x} * 2",
            f"{x} + 0",
            f"{w.torch}.zeros({w.sizes(shape) or '2'}, device={x}.device)",
            f"{x}.double()",
            f"{x}",
        )
    )
    bound = w.one_of(
        f": {lengths}[{i}]",
        f"{lengths}[{i}] :",
        f"1 : {lengths}[{i}] + 1",
        f": {lengths}[{i}] - 1",
        f"{lengths}[{i}] : {lengths}[{i}] + 2",
        f": 2 * {lengths}[{i}]",
        f": int({lengths}[{i}])",
        f"-{lengths}[{i}] :",
    )
    source = w.one_of(
        f"{x}[{i}, {middle}{bound}]",
        f"{x}[{i}, {middle}{bound}]",
        "0",
        "0.5",
        f"{x}[{i}, {middle}{bound}] * 2",
        w.number("float", 0),
        f"{x}[0, {middle}{bound}]",
        f"{w.scalar()}",
        "True",
        f"{i}",
    )
    other = w.one_of(bound, bound, bound, bound.replace("1 :", "2 :"))
    with w.block(f"for {i} in {_batch(w, x, shape)}:"):
        w.line(f"{out}[{i}, {middle}{other}] = {source}")
        if w.chance(0.3):
            w.line(f"{out}[{i}, {middle}: {lengths}[{i}]] {w.one_of('=', '=', '+=', '*=')} {w.one_of('0', '1.5')}")
    w.env[out] = Tensor("float32", shape)


def losses(w: Writer) -> None:
    """The loss of each sample's own range."""
    shape = w.rng.choice((SIGNAL, SIGNAL, ROWS))
    p = w.parameter(Tensor("float32", shape), "grad", "pred", "p_in", "estimate")
    t = w.parameter(Tensor("float32", shape), "", "target", "t_in")
    ends = w.parameter(Tensor("int64", SAMPLES), "lengths", "lengths", "x_lens", "ends")
    middle = ":, " if shape == SIGNAL else ""
    total, i = w.fresh("loss", "total"), w.fresh("i", "bib")
    w.line(f"{total} = {w.one_of('0', '0.0', '0')}")
    cut = w.one_of(f": {ends}[{i}]", f"1 : {ends}[{i}] + 1", f": {ends}[{i}]", f"{ends}[{i}] :")
    name = w.one_of("mse_loss", "l1_loss", "mse_loss", "smooth_l1_loss")
    extra = w.one_of("", "", "", "", ", reduction='sum'", ", reduction='mean'")
    call = f"{w.lib('torch.nn.functional')}.{name}({p}[{i}, {middle}{cut}], {t}[{i}, {middle}{cut}]{extra})"
    with w.block(f"for {i} in {_batch(w, p, shape)}:"):
        w.line(
            w.one_of(
                f"{total} += {call}", f"{total} += {call}", f"{total} = {total} + {call}", f"{total} += {call} * 2"
            )
        )
    w.env[total] = Other()
    if w.chance(0.5):
        w.line(f"{total} = {total} / {w.one_of(f'len({p})', '2', f'max({p}.size(0), 1)')}")


def by_index(w: Writer) -> None:
    """Loops over positions, rows and pieces."""
    signal, shape = w.signal(SIGNAL)
    if len(shape) != 3:
        return
    i, out = w.fresh("i", "step", "k"), w.fresh("collected", "pieces", "seen")
    w.line(f"{out} = []")
    head = w.one_of(
        f"for {i} in range({signal}.size(2)):",
        f"for {i} in range(len({signal})):",
        f"for {i} in range(3):",
        f"for {i}, row in enumerate({signal}):",
        f"for {i} in range({w.number('int', 0)}):",
    )
    with w.block(head):
        if w.chance(0.3):
            w.line(w.one_of(f"if {i} == 2: break", f"if {i} % 2: continue", f"if {i} > {w.size()}: break"))
        w.line(
            f"{out}.append("
            + w.one_of(
                f"{signal}[:, :, {i} : {i} + 2].sum()",
                f"{signal}.mean() * {i}",
                f"{signal}[..., -1 - {i} % 2]",
                f"{signal}[{i} % max(len({signal}), 1)]" if w.chance(0.4) else f"{signal} + {i}",
                f"({signal}.sum() > {i})",
            )
            + ")"
        )
    if w.chance(0.25):
        with w.block("else:"):
            w.line("print('all')")
    w.env[out] = Other()
    if w.chance(0.4):
        w.let(
            w.one_of(f"{w.torch}.stack({out}).sum()", f"len({out})", f"{out}[::-1]", f"{w.torch}.stack({out})"), Other()
        )


def grow(w: Writer) -> None:
    """A tensor grows in a loop."""
    signal, _shape = w.signal(SIGNAL)
    name, i = w.let(f"{signal}", Tensor("float32", ("?", "?", "?")), "grown", "ys"), w.fresh("i", "idx")
    with w.block(f"for {i} in range({w.one_of('2', '3', w.number('int', 0))}):"):
        w.line(
            f"{name} = {w.torch}.cat([{name}, {signal}[..., {w.one_of(':1', '-1:')}]], dim=-1)"
            if w.chance(0.5)
            else f"{name} = {w.torch}.cat({w.one_of('', 'tensors=')}({name}, {signal} * {i}))"
            if w.chance(0.5)
            else f"{name} = {w.torch}.cat([{name}, {signal}], 0)"
        )
        if w.chance(0.4):
            w.line(
                w.one_of(
                    f"if {name}.size(-1) > 8: break",
                    f"if {name}.sum() > 5: break",
                    f"if {w.torch}.argmax({name}) == 0: break",
                    f"if ({name} > 2).any().item():\n{'    ' * (w.depth + 1)}break",
                )
            )


PHRASES = (windows, windows, windows, ranges, ranges, losses, losses, by_index, grow)
