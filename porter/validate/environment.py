"""Whether this machine can run the judge: torch, torch_xla and the devices they find."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

from porter.errors import PortError
from porter.runtime.chips import tpu_chips

_EFFORT = "xla_backend_optimization_level"
_INSTALL = 'pip install "sovits-port[xla]"'
# glibc keeps what is freed: large tensors would go back to the system, and be cleared page by page, at each operation.
_ALLOCATION = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 25)}


def check_packages(device: str, command: str = "validate") -> dict[str, str]:
    """Versions of the packages that a run of `command` on `device` takes. PortError says what to install."""
    needed = ["torch", "numpy", "safetensors"] + ([] if device == "cpu" else ["torch_xla"])
    versions = {name: _version(name) for name in needed}
    missing = [name for name, version in versions.items() if not version]
    if missing:
        raise PortError(f"{command} needs {' and '.join(missing)}, not installed here; {_INSTALL}")
    if device != "cpu" and _series(versions["torch"]) != _series(versions["torch_xla"]):
        raise PortError(f"torch {versions['torch']} and torch_xla {versions['torch_xla']} are no pair; {_INSTALL}")
    return versions


def child_environment(device: str, *, quick: bool = False, forms: str = "auto") -> dict[str, str]:
    """Environment of the child processes: PJRT_DEVICE as the user set it, else TPU where there is one, else
    CPU; and the device that is meant where a port's code names none.

    `quick` halves the time that XLA's CPU compiler takes: LLVM optimises less, after all of XLA's own passes. On
    CUDA, what a reference needs to be repeatable. `forms`: "tpu" for a TPU's own forms of operations on any device.
    PortError for `tpu` on a machine without one.
    """
    result = {**_ALLOCATION, "OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # threads that spin starve each other
    result["SOVITS_PORT_FORMS"] = forms
    result["SOVITS_PORT_DEVICE"] = "xla" if device in ("xla", "tpu") else "cpu"  # for code that names CUDA
    if device == "cuda":
        result["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS adds in another order each time otherwise
        result["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # asking whether there is CUDA must not start it before a fork
    chosen = _pjrt_device(device, result.get("PJRT_DEVICE", ""))
    if chosen:
        result["PJRT_DEVICE"] = chosen
    flags = result.get("XLA_FLAGS", "")
    if quick and chosen == "CPU" and _EFFORT not in flags:
        result["XLA_FLAGS"] = f"{flags} --{_EFFORT}=0".strip()
    return result


def _pjrt_device(device: str, chosen: str) -> str:
    """PJRT_DEVICE for a device, where the user set it as `chosen`; "" for none. PortError as `child_environment`."""
    if device == "xla" and not chosen:
        return "TPU" if tpu_chips() else "CPU"
    if device != "tpu":
        return chosen
    if chosen not in ("", "TPU"):
        raise PortError(f"--device tpu, but PJRT_DEVICE is {chosen}; unset it")
    if not tpu_chips():
        raise PortError("--device tpu, but this machine has no TPU; --device xla runs on XLA's CPU device")
    return "TPU"


def cuda_device(needed: bool) -> str:
    """Name of the CUDA device, "" where there is none. PortError where it is `needed`."""
    told = _child("import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')")
    if needed and not told:
        raise PortError("--device cuda, but torch finds no CUDA device here; --device cpu records on the CPU")
    return told


def _child(program: str) -> str:
    """The last line that a Python program prints, "" where it fails."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program],
            env={**os.environ, "PJRT_DEVICE": "CPU"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[-1].strip() if done.returncode == 0 and lines else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _series(version: str) -> tuple[str, ...]:
    return tuple(version.split("+")[0].split(".")[:2])
