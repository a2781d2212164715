"""Decoding of one token after another with shapes that never change: a graph a prompt's bucket, and one for a token."""

from .driver import Decoded, decode, stream
from .network import Network
from .panel import attach
from .prompt import Row
from .sampling import Options

__all__ = ["Decoded", "Network", "Options", "Row", "attach", "decode", "stream"]
