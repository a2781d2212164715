"""Decoding with shapes that never change: tokens one after another, and sound with lengths padded to buckets."""

from porter.runtime.decoding import sound
from porter.runtime.decoding.driver import Decoded, decode, stream
from porter.runtime.decoding.network import Network
from porter.runtime.decoding.panel import attach
from porter.runtime.decoding.prompt import Row
from porter.runtime.decoding.sampling import Options

__all__ = ["Decoded", "Network", "Options", "Row", "attach", "decode", "sound", "stream"]
