"""Boolean tensors as indices, targets and factors; masks of lengths."""

from __future__ import annotations

from ..kinds import ROWS, SAMPLES, SIGNAL, Other, Tensor
from ..writer import Writer


def write(w: Writer) -> None:
    """Something is written where a mask is true."""
    signal, shape = w.signal()
    name = w.let(
        w.one_of(
            f"{signal}.clone()",
            f"{signal} * 1",
            f"{w.torch}.zeros_like({signal})",
            f"{signal}.detach().clone()",
            f"{signal} + 0",
        ),
        Tensor("float32", shape),
        "y_masked",
        "quiet",
        "written",
    )
    mask = w.mask(shape)
    if w.chance(0.6):
        mask = w.let(mask, Tensor("bool", shape), "far", "inside", "where_low")
    index = w.one_of(mask, mask, mask, f"{mask}, ..." if mask.isidentifier() else mask)
    number, scalar = w.number("float", 0), w.scalar()
    value = w.one_of(
        "0",
        "0.0",
        number,
        f"{signal}[{mask}]",
        f"{signal}[{mask}] * 2",
        f"{scalar}",
        "float('-inf')",
        "True",
        f"{name}[{mask}] + 1",
        f"-{signal}[{mask}]",
        f"{w.torch}.tensor(0.5)",
        f"{w.torch}.zeros(1)",
        f"{signal}.mean().item()",
        "1e10",
        "1",
    )
    w.line(
        w.one_of(
            f"{name}[{index}] = {value}",
            f"{name}[{index}] = {value}",
            f"{name}[{index}] = {value}",
            f"{name}[{mask}] += {number}",
            f"{name}[{mask}] *= 2",
            f"{name}.masked_fill_({mask}, {number})",
            f"{name}.masked_scatter_({mask}, {signal})",
            f"{name}[{mask}] -= {signal}[{mask}]",
        )
    )


def write_rows(w: Writer) -> None:
    """A mask of fewer axes than what is written to, and of whole numbers."""
    signal, shape = w.signal(SIGNAL)
    rows = w.parameter(Tensor("bool", ROWS), "", "keep", "row_mask", "valid")
    labels = w.parameter(Tensor("int64", SAMPLES), "labels", "labels", "ids", "codes")
    name = w.let(f"{signal}.clone()", Tensor("float32", shape), "y_rows", "changed")
    counts = w.let(f"{labels}.clone()", Tensor("int64", SAMPLES), "counts", "labels_kept")
    w.line(
        w.one_of(
            f"{counts}[{labels} == 1] = 7",
            f"{counts}[{labels} > 0] = -1",
            f"{counts}[{counts} == 0] = 2.7",
            f"{name}[{labels} > 1] = 0",
            f"{name}.transpose(1, 2)[{rows}] = 0.5",
            f"{name}[{rows}[:, :1].expand(-1, {name}.size(1))] = 3",
            f"{name}[:, 0][{rows}] = 9.0",
            f"{name}[{labels} == 2, :] = 1",
            f"{name}[{labels} == 2, 0] = 1",
            f"{counts}[{labels} != 3] *= 2",
            f"{name}[{rows}.any(1)] = {signal}[{rows}.any(1)]",
            f"{counts}[{rows}.any(-1)] = {labels}[{rows}.any(-1)]",
            f"{name}[0][{name}[0] > 0] = 0",
        )
    )


def select(w: Writer) -> None:
    """Elements under a mask, as many as there are."""
    signal, shape = w.signal()
    mask = w.mask(shape)
    if w.chance(0.5):
        mask = w.let(mask, Tensor("bool", shape), "chosen_mask", "hit")
    w.let(
        w.one_of(
            f"{signal}[{mask}]",
            f"{w.torch}.masked_select({signal}, {mask})",
            f"{signal}[{mask}].mean()",
            f"({mask}).nonzero()",
            f"{w.torch}.nonzero({mask}, as_tuple=True)[0]",
            f"{w.lib('torch.where')}({mask})[0]",
            f"({mask}).sum()",
            f"({mask}).float().mean()",
            f"{signal}[{mask}].numel()",
            f"int(({mask}).sum())",
            f"{w.torch}.unique(({mask}).long())",
            f"{w.torch}.count_nonzero({mask}).item()",
        ),
        Other(),
    )


def within(w: Writer) -> None:
    """A helper that treats every element alike, applied inside a range only."""
    helper = w.top_name(w.one_of("curve", "spline", "bent"))
    form = w.one_of(
        "{t}.sqrt(1 - v**2 * 0.9)",
        "v * 2 + k",
        "{t}.exp(v)",
        "{t}.tanh(v) * k",
        "v / (v.abs() + k)",
        "v - v.mean()",
        "v.cumsum(-1)",
        "{t}.where(v > 0, v, -v * k)",
        "v * len(v)",
        "{t}.log(v + 2)",
        "v.clamp(-k, k)",
        "v[0] + v",
    )
    w.before += [f"def {helper}(v, k=1.5):", f"    out = {form.replace('{t}', w.torch)}", "    return out", "", ""]
    signal, shape = w.signal()
    low, high = w.one_of("-0.5", "-1.0", "0"), w.one_of("0.5", "1", "0.75")
    inside = w.let(
        w.one_of(
            f"({signal} >= {low}) & ({signal} <= {high})",
            f"({signal} <= {high}) & ({signal} >= {low})",
            f"({signal} > {low}) & ({signal} < {high})",
            f"{signal}.abs() < {high}",
        ),
        Tensor("bool", shape),
        "inside",
        "within",
    )
    out = w.let(
        w.one_of(f"{w.torch}.zeros_like({signal})", f"{signal}.clone()", f"{signal} * 3"),
        Tensor("float32", shape),
        "outputs_of",
        "bent_of",
    )
    if w.chance(0.3):
        w.line(f"{out}[~{inside}] = {signal}[~{inside}]")
    extra = w.one_of(
        "", ", k=2.0", ", 0.5", f", k={w.number('float', 0)}", f", {signal}[{inside}]" if w.chance(0.2) else ""
    )
    w.line(
        f"{out}[{inside}] = {helper}({w.one_of('', 'v=') if not extra or 'k=' in extra else ''}{signal}[{inside}]{extra})"
    )


def mask_of_lengths(w: Writer) -> None:
    """A mask of the padding, with the length given or not."""
    lengths = w.parameter(Tensor("int64", SAMPLES), "lengths", "lengths", "x_lengths", "lens")
    if w.chance(0.5):
        helper = w.top_name("sequence_mask")
        top = w.one_of(
            "length.max()", "{t}.max(length)", "int(length.max())", "length.max().item()", "{t}.max(length).item()"
        ).replace("{t}", w.torch)
        ramp = w.one_of(
            "{t}.arange(max_length, dtype=length.dtype, device=length.device)",
            "{t}.arange(max_length, device=length.device)",
            "{t}.arange(0, max_length).to(length.device)",
            "{t}.arange(max_length).type_as(length)",
            "{t}.arange(end=max_length, device=length.device)",
        )
        w.before += [
            f"def {helper}(length, max_length=None):",
            "    if max_length is None:",
            f"        max_length = {top}",
            f"    x = {ramp.replace('{t}', w.torch)}",
            "    return "
            + w.one_of(
                "x.unsqueeze(0) < length.unsqueeze(1)", "x[None] < length[:, None]", "x[None, :] >= length[:, None]"
            ),
            "",
            "",
        ]
        signal, shape = w.signal(SIGNAL)
        given = w.one_of(
            "",
            "",
            f", {w.size_of(signal, shape, len(shape) - 1) if shape else '4'}",
            f", max_length={w.size()}",
            ", None",
            f", {lengths}.max()",
        )
        name = w.let(f"{helper}({lengths}{given})", Other(), "x_mask", "padding")
    else:
        longest = w.let(
            w.one_of(
                f"{lengths}.max()",
                f"{w.torch}.max({lengths})",
                f"int({lengths}.max())",
                f"{lengths}.max().item()",
                f"{lengths}.max(dim=0)[0]",
                f"{lengths}.amax()",
            ),
            Other(),
            "longest",
            "most",
        )
        name = w.let(
            w.one_of(
                f"{w.torch}.arange({longest}, device={lengths}.device).unsqueeze(0) < {lengths}.unsqueeze(1)",
                f"{w.torch}.arange({longest})[None] < {lengths}[:, None]",
                f"{w.torch}.zeros(2, {longest})",
                f"{w.torch}.ones({longest}, {longest}, device={lengths}.device).tril()",
                f"{w.torch}.arange({longest} + 1)",
                f"{w.torch}.zeros({longest}, dtype={w.torch}.long)",
                f"{w.torch}.arange(0, {longest}, 2)",
                f"{w.torch}.full((2, {longest}), 0.5)",
            ),
            Other(),
            "x_mask",
            "padding",
        )
        if w.chance(0.3):
            w.let(
                w.one_of(
                    f"int({longest}) + 1",
                    f"{longest} / 2",
                    f"{longest} == {lengths}.max()",
                    f"'{{}}'.format({longest})",
                    f"{longest} * 1.5",
                ),
                Other(),
            )
    w.let(
        w.one_of(
            f"{name}.float()", f"{name}.sum(-1)", f"{name}.shape[-1]", f"({name} > 0).long()", f"{name}.unsqueeze(1)"
        ),
        Other(),
    )


def sized_by_value(w: Writer) -> None:
    """Sizes and slices that a value decides."""
    lengths = w.parameter(Tensor("int64", SAMPLES), "lengths", "lengths", "x_lengths", "lens")
    signal, shape = w.signal(SIGNAL)
    if len(shape) != 3:
        return
    w.let(
        w.one_of(
            f"{signal}[:, :, :{lengths}.max()]",
            f"{signal}[:, :, : int({lengths}.max())]",
            f"{signal}[0, :, {lengths}[0] :]" if w.chance(0.5) else f"{signal}[..., {lengths}.min() :]",
            f"{w.lib('torch.nn.functional')}.pad({signal}, (0, int({lengths}.max())))",
            f"{lengths}.new_zeros(int({lengths}.sum()))",
            f"{w.torch}.arange({lengths}.sum())",
            f"{w.torch}.repeat_interleave({signal}, {lengths}, dim=0)",
            f"{w.lib('torch.nn.functional')}.one_hot({lengths})",
            f"{w.torch}.zeros({lengths}.max() + 1)",
            f"{signal}.split(2, -1)[0]",
            f"{w.torch}.arange({lengths}.max() - 1)",
            f"{w.torch}.ones(int({lengths}.max().item()), 2)",
        ),
        Other(),
    )


def shortcut(w: Writer) -> None:
    """Nothing is done where a mask is empty."""
    signal, shape = w.signal()
    mask = w.let(w.mask(shape), Tensor("bool", shape), "dead", "empty")
    test = w.one_of(f"not {w.torch}.any({mask})", f"not {mask}.any()", f"{mask}.sum() == 0", f"{mask}.any()")
    with w.block(f"if {test}:"):
        w.line(w.one_of("return", f"return {signal}", "return None", "print('none')"))


def blend(w: Writer) -> None:
    """Masks as factors."""
    signal, shape = w.signal()
    mask = w.mask(shape)
    w.let(
        w.one_of(
            f"{signal} * {mask}",
            f"{signal}.masked_fill({mask}, 0)",
            f"{signal} * ({mask}).float()",
            f"{signal} * ({mask}).to({signal}.dtype)",
            f"{w.lib('torch.where')}({mask}, {signal}, 0.0)",
            f"{w.lib('torch.where')}(condition={mask}, input={signal}, other={w.torch}.zeros_like({signal}))",
            f"{signal} - 1e4 * (1 - ({mask}).float())",
            f"{signal}.where({mask}, {signal}.mean())",
        ),
        Tensor("float32", shape),
    )
    w.let(
        w.one_of(
            f"{signal}.abs().max() if {signal}.numel() else 0",
            f"({mask}).any(-1)" if shape else f"{mask}",
            f"({mask}).long().sum()",
        ),
        Other(),
    )


PHRASES = (
    write,
    write,
    write,
    write_rows,
    select,
    within,
    mask_of_lengths,
    mask_of_lengths,
    sized_by_value,
    shortcut,
    blend,
)
