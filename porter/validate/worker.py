"""The processes that run cases.

    python -P -m porter.validate.worker JOB.json        one job
    python -P -m porter.validate.worker --serve FIRST   one job for each line of standard input, each in a fork

Importing torch and torch_xla takes seconds, and a run has a hundred jobs: the server imports once, and forks. A fork is
a process of its own, so an abort or a hang still costs one case. `FIRST` is a JSON object with `search`, `package`,
`xla` and `cases`, what to import before the first job, `anew`, whether each job imports the package itself, from
wherever its own `search` finds it, and `at_once`, how many jobs share the cores. For each job the server writes
`started PID JOB.json`, then `ended STATUS JOB.json`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch

from porter.estimate.lowering import lowered
from porter.validate import roles
from porter.validate.cases import load_case
from porter.validate.cases.base import Library, Unavailable
from porter.validate.cases.standins import standing
from porter.validate.cuda import cuda_is_the_host
from porter.validate.forks import serve_lines
from porter.validate.former import CALLED, former_calls
from porter.validate.job import Job, Told
from porter.validate.lifetime import die_with_parent
from porter.validate.stacks import write_stacks
from porter.validate.tree import PORT_PACKAGE

_ROLES = {
    "reference": roles.reference,
    "exact": roles.exact,
    "port": roles.port,
    "port_exact": roles.port_exact,
    "budget": roles.budget,
    "checkpoint": roles.checkpoint,
    "unported": roles.unported,
    "ported": roles.ported,
    "lowered": lowered,
}
_OF_UPSTREAM = frozenset({"reference", "exact", "checkpoint", "unported"})


def main(arguments: list[str]) -> int:
    """Run one job, or serve."""
    die_with_parent()
    warnings.simplefilter("ignore")  # upstream's use of old APIs is not what is judged
    if arguments[0] == "--serve":
        return _serve(json.loads(arguments[1]))
    return run(Job.load(Path(arguments[0])))


def run(job: Job) -> int:
    """Run one job; whatever goes wrong is written to its report."""
    sys.path[:0] = [entry for entry in job.search if entry not in sys.path]
    started = time.perf_counter()
    try:
        upstreams = job.role in _OF_UPSTREAM
        host = cuda_is_the_host() if upstreams and job.device != "cuda" else contextlib.nullcontext()
        with host, former_calls(of_port=not upstreams):
            told = _ROLES[job.role](job)
    except Unavailable as reason:
        told = Told(unavailable=str(reason))
    except Exception as error:
        traceback.print_exc()
        told = Told(error=_one_line(error), where=_place(error, job.roots))
    told = replace(told, seconds=time.perf_counter() - started, former=tuple(sorted(CALLED)))
    told.save(job.path(f"{job.role}.json"))
    return 0


def _serve(first: dict[str, object]) -> int:
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # upstream may print while it is imported
    at_once = first.get("at_once", 1)
    assert isinstance(at_once, int)
    threads = max(1, torch.get_num_threads() // at_once)
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    search = first["search"]
    assert isinstance(search, list)
    sys.path[:0] = search
    with contextlib.suppress(Exception):  # a job will meet the same error, and report it
        if first["xla"]:
            importlib.import_module("torch_xla")
            importlib.import_module("torch_xla.debug.metrics")
        names = first.get("cases", ())
        assert isinstance(names, list)
        _import_ahead(str(first["package"]), names, search)
        # For as long as the process lives: what is imported now keeps what it finds.
        former_calls(of_port=first["package"] == PORT_PACKAGE).__enter__()
        if not first["anew"]:
            Library(str(first["package"])).module("models")
    gc.collect()
    gc.freeze()  # a fork's own collections would copy every page of what is here
    serve_lines(channel, lambda line: _run_forked(Path(line), threads))
    return 0


def _import_ahead(package: str, names: Sequence[str], search: Sequence[str]) -> None:
    """Import what the parts of these cases import from elsewhere: librosa, which one of them takes, costs seconds.

    The side's own modules and what stood in for packages are dropped again: a job shows what its case takes.
    """
    importlib.import_module("torch._dynamo")  # as the first optimizer of a process does, which takes seconds too
    modules = {"models", *(part.module for name in names for part in load_case(name).parts)}
    for module in sorted(modules):
        with contextlib.suppress(Exception):
            Library(package).module(module)
    places = tuple(f"{Path(entry).resolve()}/" for entry in search)
    own = [name for name, module in sys.modules.items() if any(p.startswith(places) for p in _files(module))]
    for name in [*own, *standing()]:
        del sys.modules[name]


def _files(module: ModuleType) -> list[str]:
    """Where a module is: its file, or the folders of a package without one."""
    file = getattr(module, "__file__", None)
    return [str(file)] if file else [f"{folder}/" for folder in getattr(module, "__path__", ())]


def _run_forked(job: Path, threads: int) -> int:
    """The whole life of a fork; its exit status."""
    os.setsid()
    die_with_parent()
    told = Job.load(job)
    log = os.open(told.path(f"{told.role}.log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    write_stacks()
    os.chdir(told.folder)
    torch.set_num_threads(threads)
    return run(told)


def _place(error: BaseException, roots: tuple[str, ...]) -> str:
    """file:line of the innermost frame below `roots`."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for root in roots:
            if frame.filename.startswith(f"{root}/"):
                return f"{frame.filename.removeprefix(f'{root}/')}:{frame.lineno}"
    return ""


def _one_line(error: BaseException) -> str:
    if isinstance(error, ImportError) and error.name in standing():  # a name of it is imported, which no stand-in has
        return f"{error.name} is not installed"
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}"[:500] if text else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
