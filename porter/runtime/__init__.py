"""The runtime that generated code calls; emitted verbatim as `module/tpu/utils.py` and `module/tpu/ops`."""
