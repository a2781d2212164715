"""Operators that the runtime has its own form of, their arguments by place and by name."""

from __future__ import annotations

from ..kinds import CHANNELS, SAMPLES, SIGNAL, Other, Plain, Tensor
from ..writer import Writer

_F = "torch.nn.functional"


def interpolate(w: Writer) -> None:
    """Signals are stretched."""
    signal, shape = w.signal(SIGNAL)
    if len(shape) != 3:
        return
    function = w.lib(f"{_F}.interpolate") if w.chance(0.9) else w.lib(f"{_F}.upsample")
    mode = w.one_of("'nearest'", "'linear'", '"nearest"', "'nearest-exact'")
    tail: tuple[tuple[str, str], ...] = (("mode", mode),)
    if "linear" in mode and w.chance(0.5):
        tail += (("align_corners", w.one_of("True", "False", "None")),)
    if w.chance(0.5):
        made = w.call(
            function,
            ("input", signal),
            ("size", w.one_of("11", w.size(), "(7,)", "[4]", "1")),
            ("scale_factor", "None"),
            *tail,
        )
    else:
        rate = w.one_of("2", "0.5", "1.5", "2.0", "[2]", "3", "0.3", "(2.0,)", "4 / 3")
        made = w.call(function, ("input", signal), ("size", "None"), ("scale_factor", rate), *tail)
        if w.chance(0.2) and "upsample" not in function:
            made = f"{function}({signal}, scale_factor={rate}, mode={mode}, recompute_scale_factor={w.one_of('True', 'False')})"
    if w.chance(0.1):
        made = f"{function}({signal}.unsqueeze(2), scale_factor=(1, 2), mode={w.one_of('nearest', 'bilinear')!r})"
    w.let(made, Other(), "longer", "resampled")


def gate(w: Writer) -> None:
    """Halves that gate each other."""
    signal, shape = w.signal(SIGNAL)
    axis = w.one_of("1", "-2") if len(shape) == 3 else "0"
    function = w.lib(f"{_F}.glu")
    w.let(
        w.one_of(
            w.call(function, ("input", signal), ("dim", axis)),
            f"{function}({signal}.transpose(1, 2))" if len(shape) == 3 else f"{function}({signal}, 0)",
            f"{w.lib('torch.nn')}.GLU({w.one_of('', 'dim=')}{axis})({signal})",
        ),
        Other(),
        "gated",
    )


def spectrum(w: Writer) -> None:
    """Short-time transforms."""
    signal, _shape = w.signal()
    wave = w.let(f"{signal}.reshape(1, -1)", Tensor("float32", ("1", "?")), "wave", "flat")
    n_fft, hop = w.one_of("8", "16"), w.one_of("2", "4", "None")
    window = (
        w.let(f"{w.torch}.hann_window({n_fft})", Tensor("float32", (n_fft,)), "window", "win")
        if w.chance(0.5)
        else f"{w.torch}.hann_window({n_fft}).to({signal}.device)"
    )
    mode, center = w.one_of("'reflect'", "'constant'"), w.one_of("True", "False")
    arguments = [
        ("input", wave),
        ("n_fft", n_fft),
        ("hop_length", hop),
        ("win_length", w.one_of(n_fft, "None")),
        ("window", window),
        ("center", center),
        ("pad_mode", mode),
        ("normalized", w.one_of("False", "True")),
        ("onesided", "True"),
    ]
    kept = arguments[: w.rng.randint(5, len(arguments))]
    whole = w.chance(0.6)
    if len(kept) == len(arguments) and w.chance(0.5):
        made = w.call(f"{w.torch}.stft", *kept, ("return_complex", str(whole)), least=2)
    else:
        made = w.call(f"{w.torch}.stft", *kept, least=2, extra=f"return_complex={whole}")
    if not whole:
        name = w.let(made, Other(), "spec", "s")
        w.let(f"{w.torch}.sqrt({name}.pow(2).sum(-1) + 1e-6)", Other())
        return
    if w.chance(0.4):
        w.let(
            w.one_of(
                f"{made}.abs()",
                f"{w.torch}.view_as_real({made})",
                f"{w.torch}.view_as_real({made}).pow(2).sum(-1)",
                f"{made}.abs() ** 2",
                f"{w.torch}.abs({made})",
                f"{made}.real",
            ),
            Other(),
        )
        return
    name = w.let(made, Other(), "spec", "s")
    w.line(
        f"{name} = "
        + w.one_of(
            f"{w.torch}.view_as_real({name})",
            f"{name}.abs()",
            f"{name}.real + {name}.imag",
            f"{w.torch}.sqrt({w.torch}.view_as_real({name}).pow(2).sum(-1))",
        )
    )
    if w.chance(0.3):
        w.line(f"{name} = {name} + {name}.mean()")


def count(w: Writer) -> None:
    """Labels are counted, of which a bound is known or not."""
    labels = w.parameter(Tensor("int64", SAMPLES), "labels", "labels", "codes", "ids")
    signal, shape = w.signal(SIGNAL)
    least = w.one_of("4", "2", "1", "0", w.number("int", 0), "7")
    n = w.one_of("3", "5", w.parameter(Plain("int"), "", "n_classes", "bins"))
    bounded: list[tuple[str, str]] = [
        (f"{labels} % {n}", n),
        (f"({signal} > 0.5).long().flatten()", "2"),
        (f"{labels}.clamp(0, 3)", w.one_of("4", "3")),
        (f"{labels}.remainder({n})", n),
    ]
    if len(shape) == 3:
        bounded.append((f"{signal}.mean(-1).argmax(-1)", w.one_of(f"{signal}.shape[1]", f"{signal}.size(1)", "2")))
    counted, size = w.rng.choice(bounded) if w.chance(0.6) else (labels, least)
    if w.chance(0.3):
        counted = w.let(counted, Other(), "best", "codes_of", "which")
        if w.chance(0.2):
            w.line(f"{counted} = {counted} + 1")
    weights = (
        w.one_of("", "", f"{labels}.float()", f"{labels} * 0.5")
        if ">" not in counted and "argmax" not in counted
        else ""
    )
    made = w.call(
        f"{w.torch}.bincount",
        ("input", counted),
        *((("weights", weights),) if weights else ()),
        extra=f"minlength={size}",
    )
    if w.chance(0.3):
        made = w.one_of(
            f"{w.torch}.bincount({counted}, None, {size})",
            f"({counted}).bincount(minlength={size})",
            f"{w.torch}.bincount({counted})",
        )
    name = w.let(made, Other(), "counts", "histogram")
    w.let(f"{name}.{w.one_of('sum()', 'shape', 'dtype', 'float().mean()', 'argmax()')}", Other())


def distances(w: Writer) -> None:
    """Distances between all pairs."""
    signal, shape = w.signal(SIGNAL)
    if len(shape) != 3:
        return
    p = w.one_of("2", "2.0", "1", "2.0", "1.5", "float('inf')", "0")
    arguments = [("x1", signal), ("x2", w.one_of(signal, w.floats(shape, 1), f"{signal}[:, :2]", f"{signal} * 2"))]
    if w.chance(0.6):
        arguments.append(("p", p))
        if w.chance(0.3):
            arguments.append(("compute_mode", "'donot_use_mm_for_euclid_dist'"))
    w.let(w.call(f"{w.torch}.cdist", *arguments, least=2), Other(), "apart", "dist_of")


def small_matrices(w: Writer) -> None:
    """Inverses and determinants."""
    signal, _shape = w.signal(SIGNAL)
    matrix = w.let(
        f"{w.torch}.eye({4}) * 2 + 0.1 * {w.torch}.tanh({signal}.sum()).nan_to_num()",
        Tensor("float32", (CHANNELS, CHANNELS)),
        "weight",
        "mix",
    )
    w.let(
        w.one_of(
            f"{w.torch}.logdet({matrix})",
            f"{w.torch}.inverse({matrix})",
            f"{matrix}.inverse()",
            f"{matrix}.logdet()",
            f"{w.torch}.linalg.inv({matrix})",
            f"{w.torch}.slogdet({matrix})[1]",
            f"{w.torch}.inverse(input={matrix})",
            f"{w.torch}.logdet({matrix}.expand(2, 4, 4))",
            f"{w.torch}.linalg.inv(A={matrix})",
            f"{w.torch}.det({matrix})",
            f"{w.torch}.inverse({matrix}.double()).float()",
            f"{w.torch}.linalg.inv(-{matrix})",
            f"{w.torch}.logdet(-{matrix}[:3, :3])",
        ),
        Other(),
    )


def activations(w: Writer) -> None:
    """Activations and products, in their ways."""
    signal, shape = w.signal()
    lrelu = w.lib(f"{_F}.leaky_relu")
    made = w.one_of(
        w.call(lrelu, ("input", signal), ("negative_slope", w.one_of("0.1", "0.2"))),
        w.call(lrelu, ("input", signal), ("negative_slope", "0.1"), ("inplace", "False")),
        f"{w.lib(_F)}.relu({w.one_of('', 'input=')}{signal})",
        f"{w.torch}.relu(input={signal})",
        f"{lrelu}({signal} * 1, 0.3, True)",
        f"{w.lib(_F)}.relu({signal} + 0, inplace=True)",
        f"{w.lib('torch.nn')}.LeakyReLU(0.2)({signal})",
        f"{w.lib('torch.nn')}.ReLU()({signal})",
        f"{w.torch}.relu_({signal} * 2)",
        f"{w.torch}.matmul({signal}, {signal}.transpose(-1, -2))"
        if len(shape) > 1
        else f"{w.torch}.matmul({signal}, {signal})",
        f"{lrelu}(negative_slope=0.5, input={signal})",
    )
    w.let(made, Other() if "matmul" in made else Tensor("float32", shape))


def attention(w: Writer) -> None:
    """Attention that is written out, and torch's own."""
    signal, shape = w.signal(SIGNAL)
    if len(shape) != 3:
        return
    q = w.let(w.one_of(f"{signal}.transpose(1, 2)", f"{signal}", f"{signal} * 0.5"), Other(), "q", "query")
    v = w.let(w.one_of(f"{q} + 1", f"{q} * 2", f"{w.torch}.tanh({q})"), Other(), "v", "value")
    k = w.one_of(q, v)
    if w.chance(0.4):
        function = w.lib(f"{_F}.scaled_dot_product_attention")
        arguments = [("query", q), ("key", k), ("value", v)]
        if w.chance(0.6):
            arguments.append(
                (
                    "attn_mask",
                    w.one_of(
                        "None",
                        f"{w.torch}.ones({q}.size(1), {k}.size(1), dtype={w.torch}.bool).tril()",
                        f"{w.torch}.zeros({q}.size(1), {k}.size(1))",
                    ),
                )
            )
            if w.chance(0.6):
                arguments.append(("dropout_p", "0.0"))
        extra = "is_causal=True" if len(arguments) == 3 and w.chance(0.3) else w.one_of("", "", "scale=0.3")
        w.let(w.call(function, *arguments, least=2, extra=extra), Other())
        return
    scores = w.let(
        w.one_of(
            f"{w.torch}.matmul({q} / math.sqrt({q}.size(-1)), {k}.transpose(-2, -1))",
            f"{q} @ {k}.mT * 0.5",
            f"{w.torch}.bmm({q}, {k}.transpose(1, 2))",
            f"{q}.matmul({k}.transpose(-1, -2))",
        ),
        Other(),
        "scores",
        "near",
    )
    if w.chance(0.5):
        w.line(
            w.one_of(
                f"{scores} = {scores}.masked_fill({scores} > 2, -1e4)",
                f"{scores} = {scores} - 1e4 * ({scores} > 1).float()",
                f"{scores}.masked_fill_({scores} > 2, -1e4)",
                f"{scores} = {scores} + {scores}.mean()",
            )
        )
    weights = w.let(
        w.one_of(
            f"{w.lib(_F)}.softmax({scores}, dim=-1)",
            f"{w.torch}.softmax({scores}, -1)",
            f"{scores}.softmax(-1)",
            f"{w.lib(_F)}.dropout({w.lib(_F)}.softmax({scores}, dim=-1), 0.1, False)",
        ),
        Other(),
        "weights",
        "p_attn",
    )
    w.let(
        w.one_of(
            f"{w.torch}.matmul({weights}, {v})",
            f"{weights} @ {v}",
            f"{w.torch}.bmm({weights}, {v})",
            f"{weights}.matmul({v})",
        ),
        Other(),
    )
    if w.chance(0.3):
        w.let(w.one_of(f"{weights}.sum(-1)", f"{scores}.shape", f"{scores} * 1"), Other())


def distributions(w: Writer) -> None:
    """Distributions, whose parameters torch checks."""
    signal, shape = w.signal()
    d = f"{w.torch}.distributions"
    scale = w.one_of(
        f"{signal}.abs() + 0.1",
        f"{signal}.exp()",
        f"{w.torch}.ones_like({signal})",
        signal if w.chance(0.3) else f"{signal} ** 2 + 1",
    )
    first = w.one_of(
        f"{d}.Normal({signal}, {scale})",
        f"{d}.Normal(loc={signal}, scale={scale})",
        f"{d}.Normal({signal}, 1.0)",
        f"{d}.Laplace({signal}, {scale})",
        f"{d}.Normal({signal}, {scale}, validate_args=False)",
        f"{d}.Normal({signal}, {scale}, False)",
        f"{d}.Normal(0.0, 1.0)",
        f"{d}.Uniform({signal} - 1, {signal} + 1)",
    )
    name = w.let(first, Other(), "posterior", "dist_of")
    del w.env[name]
    value = f"{signal} * 0.5" if "Uniform" not in first else f"{signal} + 0.25"
    w.let(
        w.one_of(
            f"{name}.log_prob({value})",
            f"{name}.log_prob({value}).sum()",
            f"{name}.mean",
            f"{name}.entropy()",
            f"{name}.rsample()",
            f"{name}.stddev",
            f"{d}.Categorical(logits={signal}).entropy()" if shape else f"{name}.mean",
            f"{d}.kl_divergence({d}.Normal({signal}, {scale}), {d}.Normal(0.0, 1.0))",
            f"{d}.Bernoulli(probs={w.torch}.sigmoid({signal})).mean",
        ),
        Other(),
    )


def pads(w: Writer) -> None:
    """Pads, folds and other shapes."""
    signal, shape = w.signal(SIGNAL)
    if len(shape) != 3:
        return
    pad = f"{w.lib(_F)}.pad"
    w.let(
        w.one_of(
            w.call(pad, ("input", signal), ("pad", w.one_of("(1, 1)", "[0, 2]", "(2, -1)", "(1, 0, 0, 1)"))),
            w.call(
                pad, ("input", signal), ("pad", "(1, 2)"), ("mode", w.one_of("'constant'", "'reflect'", "'replicate'"))
            ),
            w.call(pad, ("input", signal), ("pad", "(0, 1)"), ("mode", "'constant'"), ("value", "0.5")),
            f"{signal}.unfold(2, 2, 1)",
            f"{signal}.permute(0, 2, 1).contiguous()",
            f"{signal}.view({signal}.size(0), -1)",
            f"{signal}.reshape(-1, {signal}.shape[-1])",
            f"{signal}.expand(2, -1, -1, -1)",
            f"{signal}.chunk(2, dim=1)",
            f"{w.torch}.split({signal}, 2, dim=1)[0]",
            f"{signal}.topk(2, dim=1)[0]",
            f"{signal}.gather(2, {signal}.argsort(2))",
            f"{w.lib(_F)}.avg_pool1d({signal}, 2, 1)",
            f"{w.lib(_F)}.one_hot(({signal} > 0).long().sum(-1), 12)",
            f"{w.torch}.einsum('bct,bdt->bcd', {signal}, {signal})",
            f"{signal}.repeat(1, 2, 1)",
        ),
        Other(),
    )


PHRASES = (
    interpolate,
    interpolate,
    gate,
    spectrum,
    spectrum,
    count,
    distances,
    small_matrices,
    activations,
    attention,
    distributions,
    pads,
)
