"""Pythons of tests that start with torch imported: forks of one process of the tests that has imported it.

Importing torch, and what upstream's modules import, takes seconds, and the tests start hundreds of Pythons: servers of
the judge, and programs of their own. What each does from there on is its own: arguments, environment, folder, streams.

    python -P -m tests.warm FD    forks for each order that arrives at the socket FD
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

ROOT = Path(__file__).parents[1]
SERVER = "porter.validate.worker"
AHEAD = ("torch", SERVER, "librosa.filters", "x_transformers", "torchmetrics.classification")
_READ_AT_START = ("OMP_", "MKL_", "KMP_", "TORCH", "PYTHONHASHSEED")  # by Python, torch and what they load


class Fork:
    """What `subprocess.Popen` is to the one who started a process, for a fork."""

    def __init__(self, pid: int, told: socket.socket, stdin: IO[bytes] | None, stdout: IO[bytes] | None) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None
        self._told = told

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            ready, _, _ = select.select([self._told], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired(SERVER, timeout or 0)
            self.returncode = int(self._told.recv(16) or b"-9")  # the one that forks was killed, and its forks with it
            self._told.close()
        return self.returncode


def popen(command: Sequence[str], **options: Any) -> Fork | subprocess.Popen[bytes]:
    """In the place of `subprocess.Popen`, for commands that run this Python.

    A server that imports torch_xla is a process: nothing of XLA survives a fork.
    """
    words = list(command)
    if words[1:5] == ["-P", "-m", SERVER, "--serve"]:
        if json.loads(words[5])["xla"]:
            return subprocess.Popen(command, **options)
        return _fork({"main": SERVER, "arguments": words[4:]}, **options)
    assert words[1] in ("-c", "-m")
    return _fork({words[1]: words[2], "arguments": words[3:]}, **options)


def run(code: str, *arguments: str, env: Mapping[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """What a Python prints that runs `code`, as `subprocess.run` gives it."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = _fork({"-c": code, "arguments": arguments}, env=env, stdout=output, stderr=errors)
        try:
            status = process.wait(timeout)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        told = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (output, errors)]
    return subprocess.CompletedProcess([code, *arguments], status, *told)


def instead() -> SimpleNamespace:
    """What a module finds for `subprocess` whose processes are to be forks."""
    names = ("PIPE", "DEVNULL", "STDOUT", "TimeoutExpired")
    return SimpleNamespace(Popen=popen, **{name: getattr(subprocess, name) for name in names})


def _fork(
    order: Mapping[str, Any],
    *,
    env: Mapping[str, str],
    cwd: str | Path = ".",
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    bufsize: int = -1,
    start_new_session: bool = True,
) -> Fork:
    with contextlib.ExitStack() as stack:

        def opened(stream: int | IO[bytes] | None, own: int) -> int:
            if stream == subprocess.DEVNULL:
                return stack.enter_context(Path(os.devnull).open("r+b")).fileno()
            return own if stream is None else stream if isinstance(stream, int) else stream.fileno()

        ours_in = ours_out = None
        if stdin == subprocess.PIPE:
            stdin, write = os.pipe()
            stack.callback(os.close, stdin)
            ours_in = os.fdopen(write, "wb", 0)
        if stdout == subprocess.PIPE:
            read, stdout = os.pipe()
            stack.callback(os.close, stdout)
            ours_out = os.fdopen(read, "rb", 0)
        output = opened(stdout, 1)
        error = output if stderr == subprocess.STDOUT else opened(stderr, 2)
        ours_told, theirs_told = socket.socketpair()
        stack.enter_context(theirs_told)
        content = json.dumps({**order, "environment": dict(env), "folder": str(Path(cwd).resolve())}).encode()
        channel = _forker(json.dumps({k: v for k, v in sorted(env.items()) if k.startswith(_READ_AT_START)}))
        handles = [opened(stdin, 0), output, error, theirs_told.fileno()]
        socket.send_fds(channel, [len(content).to_bytes(8, "big")], handles)
        channel.sendall(content)
        return Fork(int.from_bytes(_exactly(channel, 8), "big"), ours_told, ours_in, ours_out)


@functools.cache
def _forker(key: str) -> socket.socket:
    """The socket of a process that has imported everything, under these variables of the environment."""
    ours, theirs = socket.socketpair()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_READ_AT_START)} | json.loads(key)
    command = [sys.executable, "-P", "-m", "tests.warm", str(theirs.fileno())]
    process = subprocess.Popen(
        command, env={**environment, "PYTHONPATH": str(ROOT)}, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
    )
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)  # which ends it
    return ours


def _exactly(channel: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = channel.recv(size - len(content))
        if not part:
            raise EOFError
        content += part
    return content


def _serve(channel: socket.socket) -> None:
    """Fork for each order, and tell how each fork ended."""
    for name in AHEAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    importlib.import_module("torch").set_num_threads(1)  # a pool of threads does not survive a fork
    waking, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([channel.fileno(), waking], [], [])
        if waking in ready:
            os.read(waking, 4096)
            _tell(running)
        if channel.fileno() in ready:
            size, handles, _, _ = socket.recv_fds(channel, 8, 4)
            if not size:
                return
            order = json.loads(_exactly(channel, int.from_bytes(size, "big")))
            pid = os.fork()
            if not pid:
                _become(order, handles)
            late = time.monotonic() + 10
            while os.getpgid(pid) != pid and time.monotonic() < late:  # who gets the number may kill the group at once
                time.sleep(0.0005)
            *theirs, running[pid] = handles
            for handle in theirs:
                os.close(handle)
            channel.sendall(pid.to_bytes(8, "big"))


def _tell(running: dict[int, int]) -> None:
    """Tell of those that have ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            with contextlib.suppress(OSError):  # nobody is left to be told
                os.write(running[pid], str(os.waitstatus_to_exitcode(status)).encode())
            os.close(running.pop(pid))


def _become(order: Mapping[str, Any], handles: Sequence[int]) -> None:
    """Be the process that was ordered."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, handle in enumerate(handles[:3]):
            os.dup2(handle, number)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        search = order["environment"].get("PYTHONPATH", "")
        sys.path[:] = [*filter(None, search.split(os.pathsep)), *sys.path[1:]]
        sys.dont_write_bytecode = True
        status = _done(order)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _done(order: Mapping[str, Any]) -> int:
    """Do what was ordered: call a module's `main`, run a module, or run code; the exit status."""
    arguments = list(order["arguments"])
    if "main" in order:
        return int(importlib.import_module(order["main"]).main(arguments))
    warnings.simplefilter("ignore")
    sys.path.insert(0, order["folder"])
    sys.argv = ["-c", *arguments]
    if "-m" in order:
        runpy.run_module(order["-m"], run_name="__main__", alter_sys=True)
    else:
        exec(compile(order["-c"], "<string>", "exec"), {"__name__": "__main__"})
    return 0


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
