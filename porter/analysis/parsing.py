"""How a file of upstream becomes a tree, and by which names imports find it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import libcst as cst

from ..errors import PortError
from ..inputs.sources.depth import deepest
from ..syntax.backslashes import with_blank_lines

_LEVELS = 100_000  # that fit on the stack of `with_room`, with room to spare
_FLAT = re.compile(r"\b(?:and|or)\b")  # one level in Python's own tree, however many there are in a row


def parse_file(path: str, text: str) -> cst.Module:
    """The tree of a file that Python itself can parse. PortError, with file and line, where libcst cannot."""
    if len(text) > _LEVELS and len(_FLAT.findall(text)) > _LEVELS:
        levels, line = deepest(text)
        if levels > _LEVELS:
            raise PortError(f"{path} nests too deeply for libcst to parse (line {line})")
    try:
        with _unchecked():
            return cst.parse_module(with_blank_lines(text))
    except cst.ParserSyntaxError as error:
        raise PortError(
            f"{path} is Python that libcst cannot parse: {error.message.splitlines()[0]} "
            f"(line {error.raw_line}, column {error.raw_column + 1})"
        ) from None


@contextmanager
def _unchecked() -> Iterator[None]:
    """Let libcst make nodes as its parser found them: whether they go together is asked of each, and takes a sixth of
    the time, which nodes made by hand need and parsed ones do not.
    """
    check = cst.CSTNode.__post_init__
    cst.CSTNode.__post_init__ = lambda self: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        cst.CSTNode.__post_init__ = check  # type: ignore[method-assign]


def import_names_below(path: str, base: str) -> tuple[str, ...]:
    """The dotted names under which imports that start from the folder `base` find a file of upstream."""
    if base and not path.startswith(f"{base}/"):
        return ()
    parts = PurePosixPath(path.removeprefix(f"{base}/") if base else path).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    if not base and parts[0] in ("module", "f5_tts"):  # upstream's folder GPT_SoVITS itself was given
        return name, f"GPT_SoVITS.{name}"
    return (name,) if name else ()


def import_names(path: str) -> tuple[str, ...]:
    """The dotted names under which a file of upstream can be imported: from the root and from its first folder."""
    parts = PurePosixPath(path).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    names = [".".join(parts), ".".join(parts[1:])]
    if parts and parts[0] in ("module", "f5_tts"):  # upstream's folder GPT_SoVITS itself was given
        names = [names[0], f"GPT_SoVITS.{names[0]}"]
    return tuple(n for n in names if n)
