"""Everything that talks to a backend, under one name: device, graph cuts, seeds, autocast, host copies, replicas.

Each topic is a file of the folder `backend`; beside it only `loops.py`, which builds a loop of XLA's, and the scan in
`ops/alignment.py` name torch_xla, so that a second target is one more folder like it.
Importing it needs torch alone and starts no device. Works with torch_xla 2.5 to 2.9.

Environment: `SOVITS_PORT_DEVICE` ("xla", "cpu"; default "xla" where torch_xla is there),
`SOVITS_PORT_GRAPH_BREAKS` ("off", "step", "component"; default "step"), `SOVITS_PORT_FORMS` (see `ops/forms.py`) and
`SOVITS_PORT_COMPILATION_CACHE` (where `start_replicas` keeps compiled graphs, and `ops/programs.py` kernels: a folder,
or "off"; default `sovits-port` in `$XDG_CACHE_HOME` or `~/.cache`).
"""

from .backend.accelerator import default_device, get_xla_device, on_tpu, tpu_kind
from .backend.cache import cache_folder
from .backend.checkpointing import checkpoint, kept_apart
from .backend.choice import use_device
from .backend.collectives import all_reduce, broadcast, get_rank, get_world_size, is_distributed
from .backend.mesh import devices, hosts
from .backend.optimizers import GradScaler, optimizer_step
from .backend.precision import autocast, autocast_for, precise_products
from .backend.programs import call_program, write_at
from .backend.replicas import (
    Replicated,
    launch,
    local_part,
    process_index,
    replica_batch,
    replicate,
    start_replicas,
    upload,
)
from .backend.steps import (
    after_step,
    compiles,
    graph_breaks,
    mark_step,
    print_values,
    run_pending,
    set_graph_breaks,
    value_for_log,
)
from .backend.transfers import computed_on_host, constant, content_id, on_device, on_host, to_host
from .backend.xla import manual_seed

__all__ = [
    "GradScaler",
    "Replicated",
    "after_step",
    "all_reduce",
    "autocast",
    "autocast_for",
    "broadcast",
    "cache_folder",
    "call_program",
    "checkpoint",
    "compiles",
    "computed_on_host",
    "constant",
    "content_id",
    "default_device",
    "devices",
    "get_rank",
    "get_world_size",
    "get_xla_device",
    "graph_breaks",
    "hosts",
    "is_distributed",
    "kept_apart",
    "launch",
    "local_part",
    "manual_seed",
    "mark_step",
    "on_device",
    "on_host",
    "on_tpu",
    "optimizer_step",
    "precise_products",
    "print_values",
    "process_index",
    "replica_batch",
    "replicate",
    "run_pending",
    "set_graph_breaks",
    "start_replicas",
    "to_host",
    "tpu_kind",
    "upload",
    "use_device",
    "value_for_log",
    "write_at",
]
