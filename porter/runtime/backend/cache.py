"""Folders in which compiled graphs and kernels are kept between runs."""

import os
import warnings
from pathlib import Path
from typing import Any


def cache_folder(kind: str) -> Path | None:
    """Where compiled graphs ("xla") or kernels ("kernels") are kept between runs; None where they are not.

    They are not where there is no home folder either.
    """
    chosen = os.environ.get("SOVITS_PORT_COMPILATION_CACHE", "").strip()
    if chosen.lower() == "off":
        return None
    if chosen:
        folder = Path(chosen).expanduser()
        return folder if kind == "xla" else folder / kind
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(home, "sovits-port", kind)


def keep_compiled_graphs(xla: Any, runtime: Any) -> None:
    """Have torch_xla keep compiled graphs on disk, where SOVITS_PORT_COMPILATION_CACHE says."""
    folder = cache_folder("xla")
    if folder is None or "XLA_PERSISTENT_CACHE_PATH" in os.environ:
        return
    if xla.__version__.startswith(("2.8.", "2.9.")):  # what they write no PJRT client of theirs reads back
        warnings.warn(
            f"torch_xla {xla.__version__} cannot read compiled graphs back from disk (2.5 to 2.7 can), so every "
            "start compiles them again. SOVITS_PORT_COMPILATION_CACHE=off silences this.",
            stacklevel=3,
        )
        return
    if runtime.process_count() > 1:  # hosts that share a disk must not write the same file
        folder = folder / f"process-{runtime.process_index()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        warnings.warn(f"compiled graphs are not kept: {error}", stacklevel=3)
        return
    if not xla._XLAC._xla_computation_cache_is_initialized():
        runtime.initialize_cache(str(folder), readonly=False)
