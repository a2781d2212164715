"""Checks of values: that raise, that somebody catches, that report, and that only look like one."""

from __future__ import annotations

from ..kinds import SIGNAL, Many, Other, Plain, Tensor
from ..writer import Writer

_ERRORS = ("ValueError", "RuntimeError", "ArithmeticError", "TypeError")


def condition(w: Writer) -> str:
    """A condition of which at least a part asks a tensor."""
    truth = w.truth()
    roll = w.rng.random()
    if roll < 0.5:
        return truth
    other = w.condition(0) if w.chance(0.7) else w.truth()
    return w.one_of(
        f"{truth} and {other}",
        f"{other} and {truth}",
        f"({truth}) or {other}",
        f"{other} or {truth}",
        f"not ({truth})",
        f"({other} and {truth}) or {w.condition(0)}",
        f"{truth} and not ({other} or {w.truth()})",
    )


def reports(w: Writer, error: str) -> None:
    """What a check does."""
    signal, _ = w.signal()
    roll = w.rng.random()
    if roll < 0.55:
        w.line(
            w.one_of(
                f"raise {error}('bad value')",
                f"raise {error}(f'bad shape {{tuple({signal}.shape)}}')",
                f"raise {error}",
                f"raise {error}('a', 1)",
            )
        )
    elif roll < 0.75:
        w.line(
            w.one_of(
                "print('bad')",
                f"print('peak', {signal}.max())",
                f"print({w.scalar()})",
                f"print(f'{{{signal}.sum().item():.2f}}')",
            )
        )
    elif roll < 0.85:
        w.line(w.one_of("warnings.warn('bad value')", "print('low'); print('end')", "pass"))
    else:
        w.line(f"assert {w.one_of(condition(w), w.condition())}, 'inside'")


def check(w: Writer) -> None:
    """A check that may end the function."""
    error = w.rng.choice(_ERRORS)
    if w.chance(0.3):
        w.line(f"assert {condition(w)}" + w.one_of("", ", 'bad'", f", {w.size()}", f", f'low {{{w.scalar()}}}'"))
    elif w.chance(0.12):
        w.line(f"if {condition(w)}: raise {error}('short')")
    else:
        with w.block(f"if {condition(w)}:"):
            reports(w, error)
        if w.chance(0.15):
            with w.block(w.one_of("else:", f"elif {w.condition()}:", f"elif {condition(w)}:")):
                w.line(w.one_of("print('fine')", "pass", f"raise {error}('other')"))


def caught(w: Writer) -> None:
    """A check whose exception the function itself takes."""
    signal, shape = w.signal()
    error = w.rng.choice(_ERRORS)
    name = w.let(
        w.one_of(f"{signal}", f"{w.torch}.zeros_like({signal})", "None"),
        Tensor("float32", shape),
        "result",
        "safe",
        "kept_result",
    )
    with w.block("try:"):
        if w.chance(0.35):
            w.line(f"assert {condition(w)}" + w.one_of("", ", 'bad'"))
            error = w.one_of("AssertionError", "AssertionError", "Exception")
        else:
            with w.block(f"if {condition(w)}:"):
                w.line(w.one_of(f"raise {error}('bad')", f"raise {error}"))
            error = w.one_of(error, error, "Exception", f"({error}, KeyError)", "ValueError")
        w.line(f"{name} = {w.floats(shape, 1)}")
    with w.block(w.one_of(f"except {error}:", f"except {error} as e:")):
        w.line(
            w.one_of(
                f"{name} = {w.torch}.zeros_like({signal})",
                f"{name} = {signal} * 0 + 1",
                f"{name} = -{signal}",
                "print('skipped')",
            )
        )
    if w.chance(0.2):
        with w.block("else:"):
            w.line(f"{name} = {name} + 1")
    if w.chance(0.2):
        with w.block("finally:"):
            w.line(w.one_of("print('done')", f"{name} = {name} * 2"))


def skip(w: Writer) -> None:
    """Samples that a check skips."""
    many = w.parameter(Many(Tensor("float32", SIGNAL)), "", "batch", "outputs", "rows")
    item, kept, chosen = w.fresh("row", "item"), w.fresh("kept", "good"), w.fresh("chosen", "rest")
    w.line(f"{kept} = 0")
    w.line(f"{chosen} = []")
    with w.block(f"for {item} in {many}:"):
        with w.block("try:"):
            w.line(
                w.one_of(
                    f"assert {item}.sum() < 0.5",
                    f"assert not {w.torch}.isnan({item}).any(), 'NaN'",
                    f"assert ({item} < 1).all()",
                    f"assert {item}.max() > {item}.mean()",
                )
            )
        with w.block(
            w.one_of("except AssertionError:", "except Exception as e:", "except (AssertionError, ValueError):")
        ):
            w.line(w.one_of("continue", "continue", "break", f"{kept} -= 1"))
        w.line(f"{kept} += 1")
        w.line(f"{chosen}.append({item} * 2)")
    w.env[kept], w.env[chosen] = Plain("int"), Other()


def helper_raises(w: Writer) -> None:
    """A helper of the file checks; whether somebody takes the exception is up to the caller."""
    name, error = w.top_name("checked"), w.rng.choice(_ERRORS[:2])
    note = w.one_of("", f": {w.torch}.Tensor")
    test = w.one_of(
        "{torch}.isnan(v).any()",
        "v.max() > 1",
        "(v < -0.5).any()",
        "v.min() < low or v.dim() == 2",
        "v.sum() != v.sum()",
        "limit and v.mean() > 0",
    )
    test = test.replace("{torch}", w.torch)
    extra = "low=-0.75" if "low" in test else "limit=True" if "limit" in test else ""
    body = [
        f"    if {test}:",
        f"        raise {error}('bad value')",
        "    return " + w.one_of("v", "v * 2", f"{w.torch}.tanh(v)"),
    ]
    if w.chance(0.4):
        body = [f"    assert not ({test}), 'bad value'", "    return v + 1"]
        error = "AssertionError"
    w.before += [f"def {name}(v{note}{', ' + extra if extra else ''}):", *body, "", ""]
    signal, shape = w.signal()
    if w.chance(0.5):
        result = w.let(f"{signal} * 1", Tensor("float32", shape), "result", "safe")
        with w.block("try:"):
            w.line(f"{result} = {name}({signal})")
        with w.block(w.one_of(f"except {error}:", "except Exception:", f"except {error} as problem:")):
            w.line(
                w.one_of(
                    f"{result} = {w.torch}.zeros_like({signal})",
                    "print('taken')",
                    f"{result} = None" if w.chance(0.2) else "pass",
                )
            )
        w.env[result] = Tensor("float32", shape)
    else:
        w.let(f"{name}({signal})", Tensor("float32", shape))


def look_alike(w: Writer) -> None:
    """A condition that does more than report."""
    signal, shape = w.signal()
    name = w.let(f"{signal} * 1", Tensor("float32", shape), "adjusted", "fixed")
    with w.block(f"if {condition(w)}:"):
        w.line(
            w.one_of(
                f"{name} = {name} - {signal}.min()", f"{name} *= 2", f"{name} = {w.floats(shape, 1)}", f"{name}.zero_()"
            )
        )
        if w.chance(0.3):
            w.line(w.one_of("print('low')", f"print({w.scalar()})"))
    if w.chance(0.3):
        with w.block("else:"):
            w.line(f"{name} = {name} + 1")


def early_return(w: Writer) -> None:
    """The function ends early, if a value says so."""
    signal, _ = w.signal()
    test = condition(w) if w.chance(0.6) else w.condition()
    if w.chance(0.3):
        w.line(f"if {test}: return {w.one_of(signal, 'None', f'{signal} * 2, 1')}")
        return
    with w.block(f"if {test}:"):
        w.line(f"return {w.one_of(signal, 'None', f'{signal} * 0', f'({signal}, 1)')}")


def while_value(w: Writer) -> None:
    """A loop whose end a value decides, a few times at most."""
    signal, shape = w.signal()
    name = w.let(f"{signal} * 1", Tensor("float32", shape), "shrunk", "current")
    tries = w.fresh("tries", "turn")
    w.line(f"{tries} = 0")
    w.env[tries] = Plain("int")
    test = w.one_of(f"{name}.abs().max() > 1", f"({name} > 0.5).any()", f"{name}.sum() > 0.1")
    with w.block(w.one_of(f"while {tries} < 4 and {test}:", f"while ({test}) and {tries} < 3:", f"while {tries} < 3:")):
        w.line(f"{name} = {name} / 2")
        w.line(f"{tries} += 1")
        if w.chance(0.3):
            w.line(f"if {w.torch}.isnan({name}).any(): break")
    if w.chance(0.2):
        with w.block("else:"):
            w.line(w.one_of("print('ended')", f"{name} = {name} + 1"))


PHRASES = (check, check, caught, caught, skip, helper_raises, look_alike, early_return, while_value)
