"""Waves from spectra and from phases: inverse transforms, harmonic sources, filters, complex numbers in parts."""

from __future__ import annotations

from ..kinds import Other, Tensor
from ..writer import Writer


def phases(w: Writer) -> None:
    """Fractions of a turn are added up, for a sine or for what is left of a turn."""
    signal, shape = w.signal()
    if not shape:
        return
    axis = w.one_of("-1", str(len(shape) - 1), "0")
    turns = w.one_of(signal, f"{signal} * 0.1", f"{signal}.abs() / 8", f"({signal} / 7) % 1")
    summed = w.one_of(
        w.call(f"{w.torch}.cumsum", ("input", turns), ("dim", axis)),
        f"({turns}).cumsum({w.one_of('', 'dim=')}{axis})",
    )
    if w.chance(0.5):
        summed = w.let(summed, Other(), "phase", "phases", "turns")
    w.let(
        w.one_of(
            f"{w.torch}.sin({summed} * 2 * 3.14159)",
            f"({summed}).sin()",
            f"{w.torch}.cos(6.28 * ({summed}))",
            f"{summed} % 1",
            f"{w.torch}.remainder({summed}, 1)",
            f"{summed} * 2",
            f"{w.torch}.sin({summed}[..., 1:])",
        ),
        Other(),
        "wave",
        "source",
    )


def inverse(w: Writer) -> None:
    """A spectrum is changed and made a wave again."""
    signal, _shape = w.signal()
    n_fft, hop = w.one_of("8", "16"), w.one_of("2", "4")
    wave = w.let(f"{signal}.reshape(1, -1).repeat(1, 4)", Tensor("float32", ("1", "?")), "wave", "flat")
    window = w.let(f"{w.torch}.hann_window({n_fft}).to({signal}.device)", Tensor("float32", (n_fft,)), "window", "win")
    made = f"{w.torch}.stft({wave}, {n_fft}, {hop}, {n_fft}, window={window}, return_complex=True)"
    if w.chance(0.7):
        made = w.let(made, Other(), "spec", "s")
    changed = w.one_of(
        made,
        f"{made} * 0.5",
        f"{made}.abs() * {w.torch}.exp({made}.angle() * 1j)" if made.isidentifier() else made,
        f"{w.torch}.polar({made}.abs(), {made}.angle())" if made.isidentifier() else made,
        f"{w.torch}.complex({made}.real, {made}.imag)" if made.isidentifier() else made,
        f"{w.torch}.view_as_complex({w.torch}.view_as_real({made}))",
    )
    arguments = [
        ("input", changed),
        ("n_fft", n_fft),
        ("hop_length", hop),
        ("win_length", w.one_of(n_fft, "None")),
        ("window", window),
    ]
    tail = w.one_of("", "length=17", "center=True", "return_complex=False")
    w.let(w.call(f"{w.torch}.istft", *arguments, least=2, extra=tail), Other(), "again", "sound")


def parts(w: Writer) -> None:
    """Complex spectra are asked for their parts, after some arithmetic."""
    signal, _shape = w.signal()
    wave = w.let(f"{signal}.reshape(1, -1).repeat(1, 4)", Tensor("float32", ("1", "?")), "wave", "flat")
    name = w.let(f"{w.torch}.stft({wave}, 8, 2, return_complex=True)", Other(), "spec", "s")
    w.let(
        w.one_of(
            f"{name}.abs()",
            f"{w.torch}.abs({name})",
            f"{name}.angle()",
            f"{w.torch}.angle({name})",
            f"{name}.real ** 2 + {name}.imag ** 2",
            f"{w.torch}.view_as_real({name}).pow(2).sum(-1).sqrt()",
            f"({name}.abs() + 1e-5).log()",
            f"{w.torch}.cat([{name}.real, {name}.imag], 1)",
            f"{name}.abs(), {name}.angle()",
        ),
        Other(),
        "mag",
        "features",
    )


def low_pass(w: Writer) -> None:
    """A windowed sinc."""
    signal, _shape = w.signal()
    cut = w.one_of("0.25", "0.5", "1", w.number("float", 0))
    function = w.one_of(w.lib("torch") + ".sinc", w.lib("torch.special") + ".sinc")
    w.let(w.one_of(f"{function}({signal} * {cut})", f"2 * {cut} * {function}({signal})"), Other(), "kernel", "low")


PHRASES = (phases, inverse, parts, low_pass)
