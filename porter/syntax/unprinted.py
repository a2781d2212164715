"""Lines that libcst does not print as they stand: it keeps most white space, but not that of `except E :` for one."""

from __future__ import annotations

from ..errors import PortError
from .alignment import matcher
from .backslashes import are_alike, is_alone
from .text import split_lines


def restored(path: str, original: str, printed: str, new: str) -> str:
    """`new`, made from `printed`, with the lines of `original` where nothing but libcst changed them.

    PortError where libcst's print has other lines altogether.
    """
    if original == printed:
        return new
    true, known, made = split_lines(original), split_lines(printed), list(split_lines(new))
    wrong = [line for line, (a, b) in enumerate(zip(true, known, strict=False)) if a != b]
    if len(true) != len(known):
        raise PortError(f"{path} is Python that libcst does not print as it stands (line {next(iter(wrong), 0) + 1})")
    blank = list(made)  # without the lines of a backslash alone, whose statement may be another now
    for start, at, size in matcher(known, made).get_matching_blocks():
        for line in set(wrong).intersection(range(start, start + size)):
            made[at + line - start] = true[line]
            if not is_alone(true[line]):
                blank[at + line - start] = true[line]
    whole = "".join(made)
    return whole if blank == made or are_alike(whole, "".join(blank)) else "".join(blank)
