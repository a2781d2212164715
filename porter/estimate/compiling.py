"""The process that compiles one graph for a TPU, compile-only: no TPU is needed, and none is touched.

    python -P -m porter.estimate.compiling FOLDER GRAPH CHIP

FOLDER gets `compiled.json`: the figures of a `Compiled`, or `error`, with `needs` where there was too little HBM.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from porter.estimate import traffic
from porter.estimate.chips import CHIPS, Chip
from porter.validate.lifetime import die_with_parent

REPORT = "compiled.json"
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_WORDS = 400  # characters of an error
_NEEDS = re.compile(r"\(([\d.]+)([KMGT])i?B?\) exceeds available|Used ([\d.]+)([KMGT]) of [\d.]+[KMGT] hbm")


def main(arguments: list[str]) -> int:
    """Compile; whatever goes wrong is written to the report."""
    die_with_parent()
    folder, graph, chip = Path(arguments[0]), Path(arguments[1]), CHIPS[arguments[2]]
    told: dict[str, Any]
    try:
        told = figures(graph.read_bytes(), chip)
    except Exception as error:  # jaxlib's are of many kinds
        told = {"error": _one_line(error)}
        needs = needed(str(error))
        if needs is not None:
            told["needs"] = needs
    draft = folder / f"{REPORT}.new"
    draft.write_text(json.dumps(told), encoding="utf-8")
    draft.replace(folder / REPORT)
    return 0


def figures(graph: bytes, chip: Chip) -> dict[str, Any]:
    """What the compiler says of StableHLO bytecode on one device of `chip`: FLOPs, bytes, seconds."""
    started = time.perf_counter()
    executable = _compiled(graph, chip)
    seconds = time.perf_counter() - started
    cost, memory = executable.cost_analysis(), executable.get_compiled_memory_stats()
    (program,) = executable.hlo_modules()
    moved = traffic.moved(program.to_string())
    return {
        "flops": float(cost.get("flops", 0.0)),
        "accessed": float(cost.get("bytes accessed", 0.0)),
        "temporary": memory.temp_size_in_bytes,
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "aliased": memory.alias_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "seconds": seconds,
        "moved": moved.total,
        "repeated": moved.repeated,
    }


def needed(error: str) -> int | None:
    """Bytes of HBM that the compiler says a program would need, where that was the trouble; 0 where it tells none."""
    found = _NEEDS.search(error)
    if found is None:
        return 0 if "RESOURCE_EXHAUSTED" in error and "hbm" in error.lower() else None
    number, unit = found[1] or found[3], found[2] or found[4]
    return int(float(number) * _UNITS[unit])


def _compiled(graph: bytes, chip: Chip) -> Any:
    numpy = importlib.import_module("numpy")
    mlir = importlib.import_module("jax._src.interpreters.mlir")
    client = importlib.import_module("jax._src.lib").xla_client
    stablehlo = importlib.import_module("jaxlib.mlir.dialects.stablehlo")
    device = compile_only().device(chip.name)
    options = client.CompileOptions()
    options.num_replicas = options.num_partitions = 1
    build = options.executable_build_options
    build.num_replicas = build.num_partitions = 1
    build.device_assignment = client.DeviceAssignment.create(numpy.array([[device.id]]))
    context = mlir.make_ir_context()
    with context:
        module = stablehlo.deserialize_portable_artifact(context, graph)
        devices = client.DeviceList((device,))
        try:
            return device.client.compile(module, devices, options)
        except TypeError:  # that of jaxlib 0.7.1 takes bytes
            return device.client.compile(mlir.module_to_bytecode(module), devices, options)


def compile_only() -> Any:
    """The runtime's file about the compiler; the rest of the runtime, and torch, is not imported."""
    place = Path(__file__).parent.parent / "runtime/ops/kernels/compile_only.py"
    spec = spec_from_file_location("compile_only", place)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_WORDS] if text else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
