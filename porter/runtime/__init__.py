"""The runtime that generated code calls; emitted verbatim: `module/tpu/utils.py`, `ops` and `training`."""
