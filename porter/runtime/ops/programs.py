"""Kernels as HLO programs: lowered by jax and tried with the TPU compiler, once, in a process of their own.

What came of a kernel is kept on disk, in `kernels` where compiled graphs are kept (`SOVITS_PORT_COMPILATION_CACHE`), by
its plan, the files of kernels, and the versions of jax, jaxlib and libtpu.
"""

import atexit
import contextlib
import functools
import hashlib
import importlib.util
import json
import math
import os
import re
import secrets
import selectors
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import torch

from .. import utils
from .kernels import compile_only

_FOLDER = Path(compile_only.__file__).parent
_LAYOUT = 1  # of what is kept
_SECONDS = 600.0  # that one kernel may take
_HELD = 1024  # programs in memory at a time: some ten shapes of a network, 0.1 MB each; others are read from disk
_OLD = 90 * 24 * 3600.0  # seconds after which what was not used is forgotten

_NAME = re.compile(r"[0-9a-f]{64}(\.\w+)?")  # of what is kept

# Pairs of jax and libtpu, and the chips for which they were seen to compile all kernels of the port's own graphs
# (bench/kernels.py): what is known where the compiler cannot be asked.
_TRIED = {
    ("0.7.1", "0.0.21"): ("v4", "v5e", "v5p", "v6e"),
    ("0.10.2", "0.0.52"): ("v4", "v5e", "v5p", "v6e"),
}


@dataclass(frozen=True)
class Program:
    """What came of a kernel."""

    hlo: bytes  # a serialized HloModuleProto; empty where jax does not lower it
    problem: str = ""  # why it cannot be had, in a clause
    lasting: bool = True  # whether that would be the same if asked again


def program(kernel: str, plan: Any, *, backward: bool, chip: str) -> Program:
    """A kernel of the file `kernel` for a chip, or interpreted on a CPU where `chip` is ""."""
    about, key = _asked(kernel, plan, backward, chip, os.environ.get("LIBTPU_INIT_ARGS", "") if chip else "")
    with _one_at_a_time:
        found = _held.get(key)
        if found is None:
            kept = _kept_at(key)
            found = _read(kept) if kept is not None else None
            if found is None:
                found = _made(about)
                if kept is not None and found.lasting:
                    _write(kept, found, about)
            _held[key] = found
            while kept is not None and len(_held) > _HELD:
                _held.popitem(last=False)
        _held.move_to_end(key)
        return found


def interpreted(
    kernel: str, plan: Any, tensors: Sequence[torch.Tensor], *, backward: bool, as_tpu: bool = False
) -> list[torch.Tensor]:
    """What a kernel makes of tensors on the CPU. RuntimeError where that does not work.

    `as_tpu`: by Pallas's interpreter of a TPU, where memory that was not written yet is NaN, and where races and reads
    out of bounds are errors.
    """
    with tempfile.TemporaryDirectory(prefix="sovits-port-") as folder:
        source, target = Path(folder, "inputs"), Path(folder, "outputs")
        with source.open("wb") as sink:
            for tensor in tensors:
                sink.write(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        reply = _process.ask(
            {
                "kernel": kernel,
                "backward": backward,
                "plan": repr(plan),
                "chip": "",
                "file": str(target),
                "inputs": str(source),
                "interpreter": "tpu" if as_tpu else "",
                "kept": str(utils.cache_folder("interpreted") or ""),
            },
            _SECONDS,
        )
        if reply["problem"]:
            raise RuntimeError(f"the kernel {kernel} cannot be interpreted: {reply['problem']}")
        whole = bytearray(target.read_bytes())
    found, start = [], 0
    for shape, dtype in zip(reply["shapes"], reply["dtypes"], strict=True):
        kind: torch.dtype = getattr(torch, dtype)
        count = math.prod(shape)
        found.append(torch.frombuffer(whole, dtype=kind, count=count, offset=start).reshape(shape).clone())
        start += count * kind.itemsize
    return found


def forget() -> None:
    """Drop what is held in memory, and end the process."""
    _held.clear()
    _asked.cache_clear()
    _process.close()


def versions() -> dict[str, str]:
    """Versions of jax, jaxlib and libtpu; "" for what is not installed."""
    return {name: _version(name) for name in ("jax", "jaxlib", "libtpu")}


_held: OrderedDict[str, Program] = OrderedDict()
_one_at_a_time = threading.Lock()  # the backward pass has a thread of its own


# --- asking ---------------------------------------------------------------------------------------


class _EndedError(Exception):
    """The process had nothing to do for long, and ended."""


class _Process:
    """The process of `kernels/process.py`, started when something is asked."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._log: IO[bytes] | None = None
        self._replies = b""
        self._one_at_a_time = threading.Lock()

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Its reply. RuntimeError, in a clause, where it dies or takes too long."""
        with self._one_at_a_time:
            return self._ask(json.dumps(request).encode() + b"\n", seconds)

    def _ask(self, line: bytes, seconds: float) -> dict[str, Any]:
        for last in (False, True):
            running = self._start()
            assert running.stdin is not None
            try:
                running.stdin.write(line)
                running.stdin.flush()
                return self._reply(running, seconds)
            except (BrokenPipeError, _EndedError) as error:  # idle for long, it may just be ending
                self.close()
                if last:
                    raise RuntimeError("the process that tries kernels does not start") from error
            except BaseException:  # its reply must not be taken for another's
                self.close()
                raise
        raise AssertionError

    def close(self) -> None:
        """End it."""
        running, self._running = self._running, None
        if running is not None and self._owner == os.getpid():
            assert running.stdin is not None and running.stdout is not None
            running.kill()
            running.wait()
            for pipe in (running.stdin, running.stdout, self._log):
                with contextlib.suppress(OSError):  # what was not sent is sent now, to nobody
                    if pipe is not None:
                        pipe.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        running = self._running
        if running is not None and self._owner == os.getpid() and running.poll() is None:
            return running
        self.close()
        self._owner, self._replies = os.getpid(), b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # it is read when the process has died
        environment = compile_only.environment()
        if "TPU_LIBRARY_PATH" in os.environ:  # the compiler that torch_xla runs
            environment["TPU_LIBRARY_PATH"] = os.environ["TPU_LIBRARY_PATH"]
        # It has to find the jax that this process finds.
        spec = None
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec("jax")
        if spec is not None and spec.origin is not None:
            places = [environment.get("PYTHONPATH", ""), str(Path(spec.origin).parent.parent)]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
        self._running = subprocess.Popen(
            [sys.executable, "-P", str(_FOLDER / "process.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        return self._running

    def _reply(self, running: "subprocess.Popen[bytes]", seconds: float) -> dict[str, Any]:
        assert running.stdout is not None
        late = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(running.stdout, selectors.EVENT_READ)
            while b"\n" not in self._replies:
                left = late - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise RuntimeError(f"it was not compiled after {seconds:.0f} s")
                read = os.read(running.stdout.fileno(), 1 << 16)
                if not read:
                    status = running.wait()
                    if status == 0:
                        raise _EndedError
                    raise RuntimeError(f"the compiler ended with status {status}{self._last_words()}")
                self._replies += read
        line, _, self._replies = self._replies.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _last_words(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if "Check failed" in line or line[:2] in ("F0", "F1")] or lines[-1:]
        return f": {' '.join(telling[0].split())[:300]}" if telling else ""


_process = _Process()
atexit.register(_process.close)


def _made(about: Mapping[str, Any]) -> Program:
    try:
        with tempfile.TemporaryDirectory(prefix="sovits-port-") as folder:
            place = Path(folder, "hlo")
            try:
                reply = _process.ask({**about, "file": str(place)}, _SECONDS)
            except RuntimeError as error:
                if not place.exists() or place.with_name("opened").exists():
                    return Program(b"", str(error), lasting=False)
                reply = {"at": "compiler", "problem": str(error)}  # it never came to the kernel
            hlo = place.read_bytes() if place.exists() else b""
    except (OSError, ValueError) as error:  # no room for files or for a process
        return Program(b"", f"it cannot be tried: {error}", lasting=False)
    return _judged(hlo, reply["at"], reply["problem"], about["chip"])


def _judged(hlo: bytes, at: str, problem: str, chip: str) -> Program:
    """What to make of a reply."""
    found = versions()
    jax, libtpu = found["jax"] or "none", found["libtpu"] or "none"
    if not at and hlo:
        return Program(hlo)
    if at == "import":  # what did not reach the compiler is soon asked again
        return Program(b"", f"its file cannot be imported with jax {jax}: {problem}", lasting=False)
    if at in ("", "lowering"):
        return Program(b"", f"jax {jax} does not lower it: {problem or 'it gives nothing'}", lasting=False)
    if at == "compiling":
        return Program(b"", f"libtpu {libtpu} with jax {jax} does not compile it: {problem}")
    if chip in _TRIED.get((jax, libtpu), ()):
        return Program(hlo, lasting=False)
    told = f"libtpu {libtpu} cannot be asked whether it compiles it ({problem})"
    return Program(b"", f"{told}, and with jax {jax} nobody has tried", lasting=False)


# --- keeping --------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=_HELD)  # every step asks again
def _asked(kernel: str, plan: Any, backward: bool, chip: str, flags: str) -> tuple[Mapping[str, Any], str]:
    """What is asked, and the name under which it is kept."""
    about = {"kernel": kernel, "backward": backward, "plan": repr(plan), "chip": chip}
    whole = json.dumps([_LAYOUT, about, flags, _tools(bool(chip))])
    return about, hashlib.sha256(whole.encode()).hexdigest()


@functools.cache
def _tools(compiled: bool) -> list[str]:
    """What has a say in a program: the files of kernels, versions, and another libtpu than the installed one."""
    files = hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(_FOLDER.glob("*.py")))).hexdigest()
    found = versions()
    tools = [files, *(found[name] for name in ("jax", "jaxlib", *["libtpu"] * compiled))]
    library = os.environ.get("TPU_LIBRARY_PATH")
    if compiled and library:
        with contextlib.suppress(OSError):
            tools.append(f"libtpu of {Path(library).stat().st_size} bytes")
    return tools


def _kept_at(key: str) -> Path | None:
    folder = _folder()
    return None if folder is None else folder / key


@functools.cache
def _folder() -> Path | None:
    """Where programs are kept; None where they are not."""
    folder = utils.cache_folder("kernels")
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return None
    for path in there:
        with contextlib.suppress(OSError):  # of somebody else, or just gone
            if path.stat().st_mtime < time.time() - _OLD:
                path.unlink()
    return folder


def _read(path: Path) -> Program | None:
    """What is kept at `path`; None where that is nothing, or damaged."""
    found = kept_program(path)
    return found and found[1]


def kept_program(path: Path) -> tuple[dict[str, Any], Program] | None:
    """What was asked (kernel, backward, plan, chip), and what came of it, from a file; None where it is damaged."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    digest, rest = whole[:32], whole[32:]
    if hashlib.sha256(rest).digest() != digest:
        return None
    head, _, hlo = zlib.decompress(rest).partition(b"\0")
    about: dict[str, Any] = json.loads(head)
    found = Program(hlo, about.pop("problem"))
    if hlo:  # it is used: a refusal gets old, and is asked again then
        with contextlib.suppress(OSError):
            os.utime(path)
    return about, found


def _write(path: Path, program: Program, about: Mapping[str, Any]) -> None:
    """Keep a program, whole or not at all; a full disk is no trouble."""
    head = json.dumps({**about, "problem": program.problem}).encode()
    rest = zlib.compress(head + b"\0" + program.hlo)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        draft.write_bytes(hashlib.sha256(rest).digest() + rest)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()


@functools.cache
def _version(name: str) -> str:
    for called in (name, f"{name}-nightly"):  # as libtpu is called beside torch_xla 2.5
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(called)
    return ""
