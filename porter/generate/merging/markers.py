"""The lines that mark a conflict in a file, as git and editors know them."""

from __future__ import annotations

START = b"<<<<<<< edited by hand"
BEFORE = b"||||||| generated before"
MIDDLE = b"======="
END = b">>>>>>> generated now"


def marked_lines(content: bytes) -> list[int]:
    """Lines, from 1, where a marked conflict starts; where only a later marker is left, the line of that."""
    found: list[int] = []
    inside = False
    for number, line in enumerate(content.splitlines(), 1):
        text = line.removeprefix(b"\xef\xbb\xbf").rstrip()
        if text == START or (text in (BEFORE, END) and not inside):
            found.append(number)
        if text in (START, BEFORE, END):
            inside = text != END
    return found
