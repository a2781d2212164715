"""Bodies of functions: phrases, plain assignments, and control flow around them."""

from __future__ import annotations

from collections.abc import Callable

from .kinds import SCALAR, Other, Plain, Tensor
from .phrases import checks, devices, factories, loops, masks, operators, reads, sentences, sounds
from .writer import Writer

Phrase = Callable[[Writer], None]
FAMILIES: tuple[tuple[Phrase, ...], ...] = (
    reads.PHRASES,
    checks.PHRASES,
    factories.PHRASES,
    masks.PHRASES,
    loops.PHRASES,
    operators.PHRASES,
    devices.PHRASES,
    sentences.PHRASES,
    sounds.PHRASES,
)


def body(w: Writer, count: int, nested: int = 1) -> None:
    """Some statements; control flow at most `nested` deep."""
    for _ in range(count):
        roll = w.rng.random()
        if roll < 0.2:
            plain(w)
        elif roll < 0.4 and nested:
            around(w, nested)
        else:
            w.rng.choice(w.rng.choice(FAMILIES))(w)


def plain(w: Writer) -> None:
    """An assignment that hides nothing."""
    _, shape = w.signal()
    roll = w.rng.random()
    if roll < 0.6:
        w.let(w.floats(shape, 3), Tensor("float32", shape))
    elif roll < 0.7:
        w.let(w.mask(shape, 2), Tensor("bool", shape), "mask", "keep")
    elif roll < 0.8:
        w.let(w.scalar(2), Tensor("float32", SCALAR), "loss", "s")
    elif roll < 0.9:
        w.let(w.number("float", 2), Plain("float"), "scale", "ratio")
    else:
        w.let(w.number("int", 2), Plain("int"), "n", "count")


def around(w: Writer, nested: int) -> None:
    """A statement with a body of further ones."""
    form = w.rng.randrange(7)
    count = w.rng.randint(1, 2)
    if form == 0:
        with w.block(f"if {w.condition()}:"):
            body(w, count, nested - 1)
        for head in w.rng.choice(([], ["else:"], [f"elif {w.condition()}:", "else:"])):
            with w.block(head):
                body(w, 1, nested - 1)
    elif form == 1:
        i = w.fresh("i", "j", "turn", "_")
        with w.block(f"for {i} in range({w.one_of('2', '3', '1', w.number('int', 0))}):"):
            w.env[i] = Plain("int")
            body(w, count, nested - 1)
            if w.chance(0.3):
                w.line(f"if {w.condition(0)}: {w.one_of('break', 'continue')}")
        if w.chance(0.15):
            with w.block("else:"):
                body(w, 1, 0)
    elif form == 2:
        with w.block("try:"):
            body(w, count, nested - 1)
        handler = w.one_of(
            "except ValueError:",
            "except (ValueError, RuntimeError) as e:",
            "except Exception as e:",
            "except AssertionError as error:",
            "except RuntimeError:",
        )
        with w.block(handler):
            told = handler.rpartition(" as ")[2].rstrip(":") if " as " in handler else ""
            w.line(
                w.one_of("pass", "print('taken')", f"print(type({told}).__name__)" if told else "raise", "return None")
            )
        if w.chance(0.2):
            with w.block("finally:"):
                w.line("print('finally')")
    elif form == 3:
        mode = w.one_of("no_grad()", "device('cpu')", "no_grad()" if w.inference else "enable_grad()")
        with w.block(f"with {w.torch}.{mode}:"):
            body(w, count, nested - 1)
    elif form == 4:
        tries = w.fresh("turn", "left")
        w.line(f"{tries} = {w.one_of('2', '3')}")
        with w.block(w.one_of(f"while {tries} > 0:", f"while {tries}:")):
            w.line(f"{tries} -= 1")
            body(w, count, nested - 1)
    elif form == 5:
        many = w.names(lambda k: k == Tensor("float32", ("B", "C", "T")))
        if many:
            row = w.fresh("row", "sample")
            with w.block(f"for {row} in {many[0]}:"):
                w.env[row] = Tensor("float32", ("C", "T"))
                body(w, count, nested - 1)
    else:
        flag = w.parameter(Plain("bool"), "", "flag", "training", "strict", "verbose")
        with w.block(f"if {w.one_of(flag, f'not {flag}')}:"):
            body(w, count, nested - 1)
    if w.chance(0.1):
        w.let("1", Other())
