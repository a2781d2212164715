"""Decoding with shapes that never change: tokens one after another, and sound with lengths padded to buckets."""

from . import durations, flow, sound
from .driver import Decoded, decode, stream
from .network import Network
from .panel import attach
from .prompt import Row
from .sampling import Options

__all__ = ["Decoded", "Network", "Options", "Row", "attach", "decode", "durations", "flow", "sound", "stream"]
