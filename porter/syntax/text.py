"""Bytes of a Python file to text and back, with its own codec, byte order mark and line ends."""

from __future__ import annotations

import codecs
import io
import tokenize
from typing import overload

from ..errors import PortError


def decode(path: str, content: bytes) -> tuple[str, str]:
    """Text and codec of a Python file, as PEP 263 says. PortError names a file that is not text."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise PortError(f"{path} is not text that Python can read: {error_text(error)}") from None
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PortError(
            f"{path} is not {encoding.upper()} text: the byte 0x{content[error.start]:02x} in line {line}"
        ) from None
    except LookupError:  # such as rot13, which makes text of text
        raise PortError(f"{path} names the codec {encoding}, which is none for text") from None
    if "\0" in text:
        raise PortError(f"{path} is not Python: it holds a null byte")
    if text.encode(encoding) != content:
        # Some codecs read several byte sequences as the same letter; what is not touched must stay as it is.
        raise PortError(f"{path} is {encoding.upper()} text that cannot be written back byte for byte")
    return text, "utf-8" if codecs.lookup(encoding).name == "ascii" else encoding


@overload
def split_lines(text: str) -> tuple[str, ...]: ...
@overload
def split_lines(text: bytes) -> tuple[bytes, ...]: ...
def split_lines(text: str | bytes) -> tuple[str, ...] | tuple[bytes, ...]:
    """Lines with their ends, as Python and diff count them: form feeds and the like end none."""
    if isinstance(text, str):
        return tuple(io.StringIO(text, newline="\n"))
    return tuple(io.BytesIO(text))


def error_text(error: SyntaxError | UnicodeDecodeError) -> str:
    """What an error says, without a place."""
    return error.msg if isinstance(error, SyntaxError) else error.reason
