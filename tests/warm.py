"""Servers of the judge that start with torch imported: forks of one process of the tests that has imported it.

Importing torch, and what upstream's modules import, takes seconds, and the tests start some hundred servers. What a
server does from there on is its own: arguments, environment, folder, pipes, and its jobs, each in a fork of its own.

    python -P -m tests.warm FD    forks for each order that arrives at the socket FD
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]
SERVER = "porter.validate.worker"
AHEAD = ("torch", SERVER, "librosa.filters", "x_transformers", "torchmetrics.classification")
_READ_AT_START = ("OMP_", "MKL_", "KMP_", "TORCH", "PYTHONHASHSEED")  # by Python, torch and what they load


class Fork:
    """What `subprocess.Popen` is to the one who started a server, for a fork."""

    def __init__(self, pid: int, told: socket.socket, stdin: IO[bytes], stdout: IO[bytes]) -> None:
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
    """In the place of `subprocess.Popen`: a fork for a server that imports no torch_xla, else a process."""
    if list(command[:5]) != [sys.executable, "-P", "-m", SERVER, "--serve"] or json.loads(command[5])["xla"]:
        return subprocess.Popen(command, **options)
    environment = options["env"]
    key = json.dumps({k: v for k, v in sorted(environment.items()) if k.startswith(_READ_AT_START)})
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    ours_told, theirs_told = socket.socketpair()
    order = {"arguments": command[4:], "environment": environment, "folder": str(options["cwd"])}
    channel = _forker(key)
    content = json.dumps(order).encode()
    handles = [theirs_in, theirs_out, options["stderr"].fileno(), theirs_told.fileno()]
    socket.send_fds(channel, [len(content).to_bytes(8, "big")], handles)
    channel.sendall(content)
    os.close(theirs_in)
    os.close(theirs_out)
    theirs_told.close()
    pid = int.from_bytes(_exactly(channel, 8), "big")
    return Fork(pid, ours_told, os.fdopen(ours_in, "wb", 0), os.fdopen(ours_out, "rb", 0))


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
    """Be the server that was ordered."""
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
        sys.path[:] = [*order["environment"]["PYTHONPATH"].split(os.pathsep), *sys.path[1:]]
        sys.dont_write_bytecode = True
        status = importlib.import_module(SERVER).main(order["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
