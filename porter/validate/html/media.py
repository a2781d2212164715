"""Pictures and sounds as `data:` URIs."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from base64 import b64encode

import numpy as np
import numpy.typing as npt

from porter.validate.sound import Wave

Pixels = npt.NDArray[np.uint8]


def png(pixels: Pixels, palette: Pixels) -> bytes:
    """A picture of indices (rows, columns) into `palette` (colours, 3), red, green and blue from 0 to 255."""
    rows, columns = pixels.shape
    lines = np.zeros((rows, columns + 1), np.uint8)  # each line starts with its filter: none
    lines[:, 1:] = pixels
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", np.ascontiguousarray(palette, np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def wav(samples: Wave, rate: int) -> bytes:
    """One channel of 16 bits; what is beyond full scale, 1.0, is cut."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    """`content` as an address that holds it."""
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
