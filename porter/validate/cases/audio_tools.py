"""tools/my_utils.py: sound files, paths and folders that its users give, on the host.

Programs and packages that a machine may lack are the judge's own: a command `ffmpeg` that reads WAV files, the package
that calls it upstream, and what warns on a page.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

from porter.validate.cases.base import Batch, Part, host_case
from porter.validate.cases.files import told
from porter.validate.settings import Settings

_RATE = 32000
# It takes every SECOND sample where it is asked for half the rate, and says what else it was asked for.
_FFMPEG = f"""#!{sys.executable}
import array, sys, wave
asked = sys.argv[1:]
with wave.open(asked[asked.index("-i") + 1]) as file:
    samples = array.array("h", file.readframes(file.getnframes()))[:: file.getnchannels()]
step = {_RATE} // int(asked[asked.index("-ar") + 1])
sys.stdout.buffer.write(array.array("f", (sample / 32768 for sample in samples[::step])).tobytes())
sys.stderr.write(" ".join(sorted(asked)))
"""


def _inputs(subject: Any, settings: Settings, generator: torch.Generator) -> Batch:
    return {"samples": torch.randint(-9000, 9000, (settings.frames * 8,), generator=generator).short()}


class _Asked:
    """What stands for the package ffmpeg-python: it runs the command with its options in the order of their names."""

    def __init__(self, file: str, **given: object) -> None:
        self._file, self._before, self._after = file, given, [""]

    def output(self, place: str, **options: object) -> _Asked:
        """Where the result goes, and how."""
        names = {"format": "f"}
        pairs = [(f"-{names.get(name, name)}", str(value)) for name, value in sorted(options.items())]
        self._after = [*(part for pair in pairs for part in pair), place]
        return self

    def run(self, cmd: list[str], capture_stdout: bool = False, capture_stderr: bool = False) -> tuple[bytes, bytes]:
        """Standard output and error; RuntimeError where the command fails."""
        before = [part for name, value in self._before.items() for part in (f"-{name}", str(value))]
        command = [*cmd, *before, "-i", self._file, *self._after]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError("ffmpeg")
        return done.stdout, done.stderr


def _write(path: Path, samples: torch.Tensor, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(samples[: len(samples) // channels * channels].numpy().tobytes())


@contextlib.contextmanager
def _around(function: Callable[..., Any], folder: Path) -> Iterator[list[str]]:
    """The judge's programs and packages in the place of others; what is warned of."""
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(_FFMPEG, encoding="utf-8")
    program.chmod(0o755)
    module: Any = sys.modules[function.__module__]
    warned: list[str] = []
    stands = {
        "ffmpeg": SimpleNamespace(input=_Asked),
        "gr": SimpleNamespace(Warning=lambda words: warned.append(words.replace(str(folder), ""))),
        "pd": SimpleNamespace(read_csv=lambda path, **options: Path(path).read_text().splitlines()[1:]),
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, {"PATH": str(program.parent)}))
        for name in stands.keys() & vars(module).keys():
            stack.enter_context(patch.object(module, name, stands[name]))
        yield warned


def _in_folder(run: Callable[[Any, Batch, Path], object]) -> Callable[[Any, Batch], object]:
    def call(function: Any, given: Batch) -> object:
        with tempfile.TemporaryDirectory(prefix="tools-") as name:
            folder = Path(name).resolve()
            with _around(function, folder) as warned:
                found = run(function, given, folder)
            return {"found": told(found), "warned": told(warned)}

    return call


def _load(load: Any, given: Batch, folder: Path) -> object:
    """What is read of files by their paths as people paste them, and the kinds of errors."""
    _write(folder / "one.wav", given["samples"])
    _write(folder / "two.wav", given["samples"], 2)
    found: dict[str, object] = {
        f"{name} {rate}": load(f' "{folder / name}"\n', rate)
        for name in ("one.wav", "two.wav") for rate in (_RATE, _RATE // 2)
    }  # fmt: skip
    (folder / "none.wav").write_bytes(b"no sound")
    for name in ("absent.wav", "none.wav"):
        try:
            found[name] = load(str(folder / name), _RATE)
        except Exception as error:  # whose words are the package's upstream, and the runtime's in a port
            found[name] = type(error).__name__
    return found


def _clean(clean: Any, given: Batch, folder: Path) -> object:
    return [clean(text) for text in ("a/b", " 'a/b/' ", '"a\\b"', "a//", "\u202aa/b\n", "a b/c\\\\", "")]


def _exist(check: Any, given: Batch, folder: Path) -> object:
    """Lists of paths, some of which are there, in each of the three ways."""
    kept = [folder / "kept", folder / "more"]
    for path in kept:
        path.mkdir()
    (kept[0] / "2-name2text.txt").write_text("x")
    lists = ([*kept], [kept[0], folder / "absent"], [folder / "absent", kept[1]], [""])
    ways: tuple[dict[str, bool], ...] = ({}, {"is_train": True}, {"is_dataset_processing": True})
    found = [check(list(map(str, paths)), **way) for paths in lists for way in ways]
    for name in ("3-bert", "4-cnhubert", "5-wav32k", "6-name2semantic.tsv"):
        (kept[0] / name).mkdir()
        found.append(check([str(kept[0])], is_train=True))
    return found


def _details(check: Any, given: Batch, folder: Path) -> object:
    """A list of recordings, and a folder to train from, whole and each time with something missing."""
    data, listed = folder / "data", folder / "clips.list"
    data.mkdir()
    (data / "a.wav").write_bytes(b"x")
    listed.write_text(f"{folder}/elsewhere/a.wav|speaker|en|words\n", encoding="utf-8")
    for path, audio in ((listed, data), (listed, ""), (listed, folder / "absent"), (data / "a.wav", data)):
        check([str(path), str(audio)], is_dataset_processing=True)
    listed.write_text(f"{data}/a.wav|speaker|en|words\n", encoding="utf-8")
    check([str(listed), ""], is_dataset_processing=True)
    for name in ("4-cnhubert", "5-wav32k"):
        (data / name).mkdir()
        (data / name / "x").write_text("x")
    texts = {"2-name2text.txt": "x", "6-name2semantic.tsv": "head\nline"}
    for empty in (None, *texts):
        for name, text in texts.items():
            (data / name).write_text("head" if name == empty and "tsv" in name else "" if name == empty else text)
        check([str(data)], is_train=True)
    for name in ("4-cnhubert", "5-wav32k"):
        (data / name / "x").unlink()
        check([str(data)], is_train=True)
    return None


CASES = (
    host_case(
        "files.tools",
        *(
            Part("tools.my_utils", name, _inputs, call=_in_folder(run))
            for name, run in {
                "load_audio": _load,
                "clean_path": _clean,
                "check_for_existance": _exist,
                "check_details": _details,
            }.items()
        ),
    ),
)
