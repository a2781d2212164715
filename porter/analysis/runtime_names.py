"""What the emitted runtime's functions return, as far as kinds of values go."""

from __future__ import annotations

from ..syntax.values import Kind, Value

_HOST = {
    "ops.bucket", "ops.static_max", "utils.on_host", "utils.get_rank", "utils.get_world_size", "utils.is_distributed",
    "utils.get_xla_device", "utils.default_device", "utils.mark_step", "utils.print_values", "utils.autocast",
    "utils.manual_seed", "utils.optimizer_step", "utils.start_replicas", "utils.process_index", "utils.launch",
    "utils.replica_batch", "utils.after_step", "utils.GradScaler", "ops.wants_tpu_form", "ops.keep_in_place",
}  # fmt: skip
_MODULES = {
    "ops.weight_norm", "ops.remove_weight_norm", "ops.Upsample", "ops.GLU", "ops.LSTM", "ops.Conv1d", "ops.Conv2d",
    "ops.Dropout", "ops.parametrized_weight_norm", "ops.parametrized_spectral_norm", "utils.Replicated",
    "utils.replicate",
}  # fmt: skip


def runtime_result(name: str) -> Value | None:
    """The kind of what `ops.x` or `utils.x` (given that way) returns; None for other names."""
    if not name.startswith(("ops.", "utils.")):
        return None
    if name in _HOST:
        return Kind.HOST
    return Kind.MODULE if name in _MODULES else Kind.TENSOR
