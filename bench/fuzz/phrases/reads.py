"""Values that leave the device: read, added up, formatted, stored, printed."""

from __future__ import annotations

from ..kinds import SCALAR, SIGNAL, Many, Other, Plain, Tensor
from ..writer import Writer

_FLOAT = Plain("float")
_READS = (
    "{s}.item()",
    "float({s})",
    "{s}.detach().cpu().item()",
    "{s}.cpu().item()",
    "{s}.tolist()",
    "{s}.detach().item()",
    "float({s}.detach())",
    "{s}.detach().cpu().numpy().item()",
    "float({s}.cpu().detach().numpy())",
    'getattr({s}, "item")()',
)


def read(w: Writer) -> str:
    """An expression that reads a float from a tensor."""
    scalar = w.scalar()
    return w.one_of(*_READS[:5], *_READS).replace("{s}", f"({scalar})")


def read_value(w: Writer) -> None:
    """A value that is read, and may be computed with."""
    scalar = w.tensor_name(SCALAR) if w.chance(0.5) else None
    scalar = scalar or w.let(w.scalar(), Tensor("float32", SCALAR), "loss", "s", "share", "m")
    value = w.one_of(*_READS[:3], *_READS).replace("{s}", scalar)
    if w.chance(0.4):
        value = w.one_of(
            f"{value} / {w.number('int', 0)}" if w.chance(0.1) else f"{value} / 7",
            f"100 * {value}",
            f"{value} + {value}",
            f"-{value}",
            f"round({value}, 3)",
            f"max({value}, 0.25)",
            f"abs({value})",
            f"({value} + 1) ** 2",
            f"min(1e6, {value})",
            f"sum([{value}, 0.1])",
            f"{value} * {w.number('float', 0)}",
            f"{value} if {w.condition(0)} else 0.0",
            f"math.floor({value})" if w.chance(0.2) else f"{value} - 1",
        )
    w.let(value, _FLOAT, "value", "share", "loss_value", "mean", "v", "part")
    if w.chance(0.3):
        scalar_is_written(w, scalar)


def scalar_is_written(w: Writer, scalar: str) -> None:
    """The tensor that was read changes afterwards."""
    w.line(
        w.one_of(
            f"{scalar} = {scalar} + 1", f"{scalar} += 1", f"{scalar} = {scalar}.clone().mul_(2)", f"{scalar} *= 0.5"
        )
    )


def read_integer(w: Writer) -> None:
    """A whole number that is read, for an index or a size."""
    lengths = w.parameter(Tensor("int64", ("B",)), "lengths", "lengths", "x_lengths", "lens")
    value = w.one_of(
        "{l}.max().item()",
        "int({l}.max())",
        "{l}.sum().item()",
        "int({l}.float().mean())",
        "{l}.min().cpu().item()",
        "int({l}.max().item())",
        "len({l}.unique())",
        "int({torch}.max({l}))",
        "{l}.max().long().item() + 1",
    )
    name = w.let(value.replace("{l}", lengths).replace("{torch}", w.torch), Plain("int"), "longest", "n", "most", "top")
    signal, shape = w.signal(SIGNAL)
    if w.chance(0.6) and len(shape) == 3:
        w.let(
            w.one_of(
                f"{signal}[:, :, :{name}]",
                f"{signal}[..., -{name}:]",
                f"{signal}[:, :, : min({name}, 3)]",
                f"{signal}.narrow(2, 0, {name})",
            ),
            Other(),
        )


def add_up(w: Writer) -> None:
    """Python adds read values up, in float64."""
    many = w.parameter(Many(Tensor("float32", SIGNAL)), w.one_of("", "grad"), "outputs", "parts", "rows")
    total, item = w.fresh("total", "sums", "acc"), w.fresh("part", "o", "piece")
    w.line(f"{total} = {w.one_of('0', '0.0', '16777216.0', '1e-3')}")
    w.env[total] = _FLOAT
    heads = [f"for {item} in {many}:", f"for _, {item} in enumerate({many}):", f"for {item} in {many}[::-1]:"]
    with w.block(w.rng.choice(heads)):
        w.env[item] = Tensor("float32", SIGNAL)
        value = w.one_of(*_READS).replace(
            "{s}", w.one_of(f"{item}.sum()", f"{item}.mean()", f"({item}**2).mean()", f"{item}.max()")
        )
        w.line(
            w.one_of(
                f"{total} += {value}",
                f"{total} = {total} + {value}",
                f"{total} -= {value}",
                f"{total} = max({total}, {value})",
            )
        )
    if w.chance(0.5):
        w.let(
            w.one_of(
                f"{total} / len({many})",
                f"round({total}, 2)",
                f'"{{:.4f}}".format({total})',
                f"'%.3f' % {total}",
                f"f'{{{total}:.2f}}'",
                f"{total} > 1",
            ),
            Other(),
        )


def log_losses(w: Writer) -> None:
    """The loop of a loss: tensors are added, and values go into a list for the log."""
    many = w.parameter(
        Many(Tensor("float32", SIGNAL)), w.one_of("", "grad", "grad"), "outputs", "disc_outputs", "fmaps"
    )
    total, log, item = (
        w.fresh("loss", "total"),
        w.fresh("log", "parts", "history", "r_losses"),
        w.fresh("o", "dg", "out"),
    )
    w.line(f"{total} = 0")
    w.line(f"{log} = []")
    with w.block(f"for {item} in {many}:"):
        w.env[item] = Tensor("float32", SIGNAL)
        part = w.let(
            w.one_of(f"{w.torch}.mean((1 - {item}) ** 2)", f"{item}.abs().mean()", f"{w.torch}.mean({item}**2)"),
            Tensor("float32", SCALAR),
            "part",
            "r_loss",
            "l",
        )
        value = w.one_of(*_READS[:4]).replace("{s}", w.one_of(part, part, f"({part} + 0.5)"))
        kept = w.one_of(
            value, value, value, f"round({value}, 4)", f"{value} / 2", f"({value}, 1)", f"[{value}]", f"str({value})"
        )
        w.line(
            w.one_of(
                f"{log}.append({kept})",
                f"{log}.append({kept})",
                f"{log} += [{kept}]",
                f"{log}.insert(0, {kept})",
                f"{log}.extend([{kept}])",
            )
        )
        w.line(f"{total} += {part}")
    w.env[total], w.env[log] = Tensor("float32", SCALAR), Other()
    if w.chance(0.4):
        w.let(
            w.one_of(
                f"json.dumps({log})",
                f"sum({log})",
                f"max({log})",
                f"np.mean({log})",
                f"sorted({log})",
                f"len({log})",
                f"repr({log})",
                f"[round(v, 3) for v in {log}]",
                f"{w.torch}.tensor({log})",
                f"tuple({log})",
                f"{log}[-1]",
            ),
            Other(),
        )


def keep_in_dict(w: Writer) -> None:
    """Values under names, as a log wants them."""
    first, second = read(w), read(w)
    name = w.let(
        w.one_of(
            f'{{"a": {first}, "b": {second}}}',
            f"dict(a={first}, b={second})",
            f"{{'loss': {first}, 'n': 1, 'b': {second}}}",
        ),
        Other(),
        "stats",
        "info",
        "scalars",
    )
    w.line(f'{name}["c"] = {read(w)}')
    if w.chance(0.6):
        w.let(
            w.one_of(
                f"json.dumps({name})",
                f"sorted({name}.items())",
                f"sum({name}.values())",
                f"{name}['c'] * 2",
                f"'{{a}}'.format(**{name})",
            ),
            Other(),
        )


def comprehend(w: Writer) -> None:
    """Values read in a comprehension or by `map`."""
    many = w.parameter(Many(Tensor("float32", SIGNAL)), "", "outputs", "parts", "rows")
    item = w.one_of("p", "t0", "row")
    value = w.one_of(*_READS[:4]).replace("{s}", f"{item}.mean()")
    made = w.one_of(
        f"[{value} for {item} in {many}]",
        f"{{i: {value} for i, {item} in enumerate({many})}}",
        f"sum({value} for {item} in {many})",
        f"list(map(lambda {item}: {value}, {many}))",
        f"[float(v) for v in {w.torch}.stack([p.sum() for p in {many}])]",
        f"[{value} for {item} in {many} if {item}.sum() > 0]",
        f"max([{value} for {item} in {many}])",
        f"min({item}.mean() for {item} in {many})",
        f"sum({item}.sum() for {item} in {many})",
        f"sorted({item}.mean() for {item} in {many})",
        f"tuple(float({item}.sum()) for {item} in {many})",
    )
    w.let(made, Other(), "values", "means")


def arrays(w: Writer) -> None:
    """Tensors as lists and as arrays."""
    signal, _ = w.signal()
    made = w.one_of(
        f"{signal}.tolist()",
        f"{signal}.detach().cpu().numpy()",
        f"{signal}.detach().numpy().astype(np.float64).sum()",
        f"np.asarray({signal}.detach()).mean()",
        f"float(np.abs({signal}.detach().cpu().numpy()).sum())",
        f"{signal}.detach().flatten()[:3].tolist()",
        f"[round(v, 2) for v in {signal}.detach().flatten().tolist()]",
        f"json.dumps({signal}.detach().sum(-1).tolist())",
        f"{w.torch}.from_numpy({signal}.detach().numpy() * 2)",
        f"list({signal}.shape)",
        f"{signal}.detach().numpy().shape",
        f"{signal}.sum().tolist()",
        f"np.sqrt({signal}.detach().abs())",
    )
    w.let(made, Other(), "array", "data", "listed")


def show(w: Writer) -> None:
    """Something is printed or formatted."""
    signal, _ = w.signal()
    value, scalar = read(w), w.scalar()
    numbers = w.names(lambda k: k == _FLOAT)
    if numbers and w.chance(0.4):
        value = w.rng.choice(numbers)
    w.line(
        w.one_of(
            f"print({scalar})",
            f"print('mean', {scalar})",
            f"print('loss:', {value})",
            f"print(f'{{{value}:.3f}}')",
            f"print({signal}.shape)",
            f"print('%.3f' % {value})",
            f"print({scalar}, {value}, sep=' | ')",
            f"print({signal}.sum(-1), end='\\n\\n')",
            f"print('{{:.2f}}'.format({value}))",
            f"print(str({scalar}))",
            f"print([{value}, {scalar}])",
            f"print({signal} > 0)",
            f"print(*[{value}])",
            f"print(round({value}, 2))",
            f"print({{'a': {value}}})",
            f"print('a', {scalar}, flush=True)",
        )
    )


def keep_text(w: Writer) -> None:
    """A text that has values in it."""
    value = read(w)
    w.let(
        w.one_of(
            f"f'{{{value}:.3f}}'",
            f"'%.2f' % {value}",
            f"'%d' % {value}",
            f"'{{:.2e}}'.format({value})",
            f"str({value})",
            f"repr({value})",
            f"f'loss {{{w.scalar()}}}'",
            f"'a' * int(abs({value}) < 1)",
            f"f'{{{w.scalar()}:.4f}}'",
            f"format({value}, '.2f')",
        ),
        Plain("str"),
        "text",
        "label",
    )


def choose_by_value(w: Writer) -> None:
    """A number that is read decides what is done."""
    value = w.let(read(w), _FLOAT, "level", "peak", "value")
    signal, shape = w.signal()
    form = w.one_of(
        f"{value} > 0.5",
        f"{value} < 1 and {w.condition(0)}",
        f"not {value}",
        f"0 < {value} < 2",
        f"int({value}) == 0",
        f"{value} in (0.0, 1.0)",
        f"isinstance({value}, float)",
    )
    if w.chance(0.5):
        w.let(f"{signal} * 2 if {form} else {signal} - 1", Tensor("float32", shape))
    else:
        name = w.let(f"{signal}", Tensor("float32", shape), "chosen", "picked")
        with w.block(f"if {form}:"):
            w.line(f"{name} = {signal} / {w.one_of(value, f'(abs({value}) + 1)', '2')}")


def scale_by_value(w: Writer) -> None:
    """A number that is read goes back into tensors."""
    value = w.let(read(w), _FLOAT, "gain", "factor", "value")
    signal, shape = w.signal()
    w.let(
        w.one_of(
            f"{signal} * {value}",
            f"{signal} + {value} / 3",
            f"{w.torch}.full_like({signal}, {value})",
            f"{signal}.clamp(max={value})",
            f"{signal}.masked_fill({signal} > 0, {value})",
            f"{value} - {signal}",
            f"{signal} ** {value}" if w.chance(0.2) else f"{signal} / {value}",
            f"{w.torch}.where({signal} > {value}, {signal}, {value})",
            f"{signal} * round({value}, 1)",
        ),
        Tensor("float32", shape),
    )


PHRASES = (
    read_value,
    read_value,
    read_integer,
    add_up,
    log_losses,
    keep_in_dict,
    comprehend,
    arrays,
    show,
    keep_text,
    choose_by_value,
    scale_by_value,
)
