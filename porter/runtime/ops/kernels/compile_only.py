"""The TPU compiler, compile-only: no TPU is needed, and none is touched where there is one.

What is started for it gets `environment()`, and opens `device(chip)`; nothing of jax is imported before. Worked with
jax 0.7.1 and libtpu 0.0.21, which torch_xla 2.9.0's extras bring, and with jax 0.10.2 and libtpu 0.0.52.
"""

import importlib
import os
from collections.abc import Mapping
from typing import Any

# One chip of each kind, as libtpu calls it. A v4 has two cores, which a TPU machine joins to one device.
TOPOLOGIES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "v4": ("v4:1x1x1", {"chip_config_name": "megacore"}),
    "v5e": ("v5e:1x1", {}),
    "v5p": ("v5p:1x1x1", {}),
    "v6e": ("v6e:1x1", {}),
}

# What libtpu asks a TPU machine for, answered, so that it opens compile-only; and several such processes at a time.
_ANSWERS: Mapping[str, str] = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "JAX_PLATFORMS": "cpu",
    "TPU_LOG_DIR": "disabled",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
}
# Flags for torch_xla's XLA may be none that jaxlib's knows, and it aborts on those. What is said of a machine with a
# TPU (TPU_...) is not meant for this process; libtpu 0.0.21 aborts for all but a v5e where the machine's type is told.
# Settings of the user's jax (JAX_...) are for another program.
_KEPT_AWAY = ("PJRT_DEVICE", "XLA_FLAGS")


def environment() -> dict[str, str]:
    """The environment of a process that compiles."""
    kept = {
        name: v for name, v in os.environ.items() if name not in _KEPT_AWAY and not name.startswith(("JAX_", "TPU_"))
    }
    return {**kept, **_ANSWERS}


def device(chip: str) -> Any:
    """The jax device to compile for: what a program runs on, on one chip of this kind."""
    name, more = TOPOLOGIES[chip]
    topologies = importlib.import_module("jax.experimental.topologies")
    found = topologies.get_topology_desc(platform="tpu", topology_name=name, chips_per_host_bounds=(1, 1, 1), **more)
    return found.devices[0]
