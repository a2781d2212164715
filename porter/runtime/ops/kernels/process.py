"""The process that lowers kernels to HLO, tries whether libtpu compiles them, and interprets them on tensors of a host.

`ops/programs.py` starts it. It is a process of its own so that jax, which settles on its platform for a whole process,
and compile-only libtpu stay away from a process that trains; and so that a compiler that dies takes nothing along.
Requests come as lines of JSON on stdin, a reply goes out for each on stdout:

    {"kernel": "residual", "backward": false, "plan": "Plan(batch=8, ...)", "chip": "v5e", "file": "FILE"}
    {"problem": ""} or {"problem": "why", "at": "import" or "lowering" or "compiler" or "compiling"}

The lowered kernel is in `file`, unless the problem is "import" or "lowering"; beside it `opened` appears before libtpu
is given the kernel. Without a chip it is interpreted, for a CPU. At "compiler", the compiler could not be asked.

With `"inputs": FILE`, the bytes of all arguments, the kernel is run instead: by Pallas's own interpreter, or with
`"interpreter": "tpu"` by that which does as a TPU does. `file` then has the bytes of all results, and the reply their
`shapes` and `dtypes`. What jax compiles for that stays in the folder `kept`, unless it is "".

The process ends with stdin, with its parent, after an idle minute, and when what was compiled has filled it; who asks
again starts another.
"""

import contextlib
import dataclasses
import functools
import importlib
import json
import math
import os
import select
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from math import inf, nan
from pathlib import Path
from typing import Any

_IDLE = 60.0  # seconds
_LOOK = 5.0  # how often to look whether the parent lives
_WORDS = 300  # characters of an error
_KEPT = 1 << 28  # bytes on disk for what was compiled to be interpreted
_PACKAGE = "sovits_port_kernels"
_MAPS, _MOST_MAPS = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")


class Problem(Exception):  # noqa: N818  # no error of the process
    """Why there is no kernel, and at what that showed."""

    def __init__(self, at: str, told: str) -> None:
        super().__init__(told)
        self.at = at


def main() -> int:
    """Answer requests until there are no more."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no reply
    parent, idle, waiting = os.getppid(), 0.0, b""
    while idle < _IDLE and os.getppid() == parent:
        if not select.select([0], [], [], _LOOK)[0]:
            idle += _LOOK
            continue
        read = os.read(0, 1 << 16)
        if not read:
            break
        *lines, waiting = (waiting + read).split(b"\n")
        for line in lines:
            try:
                reply = {"problem": "", "at": "", **_answer(json.loads(line))}
            except Problem as problem:
                reply = {"problem": str(problem), "at": problem.at}
            print(json.dumps(reply), file=replies, flush=True)
            idle = 0.0
        if is_full(_MAPS, _MOST_MAPS):
            break
    return 0


def is_full(maps: Path, most: Path) -> bool:
    """Whether a process has more than half of the memory maps that Linux allows it.

    LLVM asks for some hundred a program and gives none back; where it gets no more, it ends the process. No such files,
    on another system: False.
    """
    try:
        return maps.read_bytes().count(b"\n") > int(most.read_text()) // 2
    except (OSError, ValueError):
        return False


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    module = load_kernel(request["kernel"])
    backward, chip = bool(request["backward"]), request["chip"]
    made = {name: kind for name, kind in vars(module).items() if dataclasses.is_dataclass(kind)}
    plan = eval(request["plan"], {"__builtins__": {}, "inf": inf, "nan": nan, **made})
    given = module.arguments(plan, backward=backward)
    place = Path(request["file"])
    if "inputs" in request:
        build = module.backward if backward else module.forward
        _keep(request["kept"])
        return _interpreted(build, plan, given, Path(request["inputs"]), place, request["interpreter"])
    try:
        function, hlo = lowered(module, plan, given, backward=backward, chip=chip)
    except Exception as error:  # jax's are of many kinds
        raise Problem("lowering", _place(error)) from error
    place.write_bytes(hlo)
    if chip:
        compile_kernel(function, given, chip, place.with_name("opened"))
    return {}


def load_kernel(name: str) -> Any:
    """A file of kernels beside this one, without the package around it, which needs torch."""
    if _PACKAGE not in sys.modules:
        folder = Path(__file__).parent
        places = [str(folder)]
        spec = spec_from_file_location(_PACKAGE, folder / "__init__.py", submodule_search_locations=places)
        assert spec is not None
        sys.modules[_PACKAGE] = module_from_spec(spec)
    try:
        return importlib.import_module(f"{_PACKAGE}.{name}")
    except Exception as error:  # of an older jax, or a broken file
        raise Problem("import", _place(error)) from error


def lowered(module: Any, plan: Any, given: Any, *, backward: bool, chip: str) -> tuple[Any, bytes]:
    """A kernel as a function of jax, and as HLO for a chip, or interpreted for a CPU.

    For a chip it is lowered for export. Only so has its Mosaic module a form that the libtpu reads which is as old as
    jax: else jax asks a TPU that it has, and takes the newest form where it has none.
    """
    jax = importlib.import_module("jax")
    export = importlib.import_module("jax.export")
    build = module.backward if backward else module.forward
    function = jax.jit(build(plan, interpret=not chip), keep_unused=True)
    if chip:
        # What pins arguments to HBM is a custom call, which jax does not promise to keep for long.
        pins = export.DisabledSafetyCheck.custom_call("annotate_device_placement")
        exported = export.export(function, platforms=["tpu"], disabled_checks=[pins])(*given)
        function = jax.jit(exported.call, keep_unused=True)
    lowered = function.trace(*given).lower(lowering_platforms=("tpu" if chip else "cpu",))
    return function, lowered.compiler_ir("hlo").as_serialized_hlo_module_proto()


def compile_kernel(function: Any, given: Any, chip: str, opened: Path) -> Any:
    """Compile a lowered kernel for one chip. Problem where that is not to be.

    The file `opened` tells, should libtpu end this process, that it was over a kernel and not while it was opened.
    """
    jax = importlib.import_module("jax")
    compile_only = load_kernel("compile_only")
    try:
        sharding = jax.sharding.SingleDeviceSharding(compile_only.device(chip))
    except Exception as error:  # no libtpu, or one that does not open compile-only
        raise Problem("compiler", _one_line(error)) from error
    opened.touch()
    placed = [jax.ShapeDtypeStruct(one.shape, one.dtype, sharding=sharding) for one in given]
    try:
        return jax.jit(function, keep_unused=True).lower(*placed).compile()
    except Exception as error:
        raise Problem("compiling", _one_line(error)) from error


def _interpreted(build: Any, plan: Any, given: Any, source: Path, target: Path, interpreter: str) -> dict[str, Any]:
    """Run a kernel on the arguments in a file."""
    numpy = importlib.import_module("numpy")
    whole, arrays, start = source.read_bytes(), [], 0
    try:
        for one in given:
            count = math.prod(one.shape)
            arrays.append(numpy.frombuffer(whole, one.dtype, count, start).reshape(one.shape))
            start += count * one.dtype.itemsize
        found = [numpy.asarray(result) for result in _interpreter(build, plan, interpreter)(*arrays)]
    except Exception as error:
        if interpreter == "tpu":
            importlib.import_module("jax.experimental.pallas.tpu").reset_tpu_interpret_mode_state()
        raise Problem("lowering", _place(error)) from error
    if interpreter == "tpu" and _races_found():
        raise Problem("lowering", f"{build.__name__} has a race: {plan}")
    target.write_bytes(b"".join(one.tobytes() for one in found))
    return {"shapes": [one.shape for one in found], "dtypes": [str(one.dtype) for one in found]}


@functools.cache
def _keep(folder: str) -> None:
    """Have jax keep what it compiles at `folder`: that takes a second and more for each plan, and runs in no time."""
    if folder:
        config = importlib.import_module("jax").config
        config.update("jax_compilation_cache_dir", folder)
        config.update("jax_compilation_cache_max_size", _KEPT)
        config.update("jax_persistent_cache_min_compile_time_secs", 0)
        config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@functools.lru_cache(maxsize=256)
def _interpreter(build: Any, plan: Any, interpreter: str) -> Any:
    jax = importlib.import_module("jax")
    how: Any = True
    if interpreter == "tpu":
        tpu = importlib.import_module("jax.experimental.pallas.tpu")
        how = tpu.InterpretParams(detect_races=True, uninitialized_memory="nan")
    return jax.jit(build(plan, interpret=how), compiler_options=_options())


@functools.cache
def _options() -> dict[str, Any] | None:
    """How XLA compiles an interpreted kernel: a third sooner, to what runs as fast. None for an XLA that cannot."""
    jax = importlib.import_module("jax")
    options = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except Exception:  # another XLA has no such option
        return None
    return options


def _races_found() -> bool:
    """Whether the interpreter of a TPU found that memory is read and written at once."""
    # The place of jax 0.10.2, then that of 0.7.1.
    for name in ("jax._src.pallas.mosaic.interpret.interpret_pallas_call", "jax._src.pallas.mosaic.interpret"):
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            found = getattr(module, "races", None)
            if found is not None:
                return bool(found.races_found)
    raise AssertionError("this jax does not tell of races")


def _place(error: Exception) -> str:
    """An error, and the line of these files where it came up, if it did there."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent == Path(__file__).parent]
    where = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own and own[-1].filename != __file__ else ""
    return f"{_one_line(error)}{where}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    for end in (" The MLIR operation involved", " Please report", " --- "):
        text = text.partition(end)[0]
    return f"{type(error).__name__}: {text}"[:_WORDS] if text else type(error).__name__


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        sys.exit(main())
