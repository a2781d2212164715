"""sovits-port: GPT-SoVITS from CUDA to TPU, by machine."""

__version__ = "0.2.0"
