"""Checkpoints: CPU tensors in torch's own format, whole files, several files at once, also after kill -9."""

from __future__ import annotations

import collections
import io
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from torch import nn

from porter.runtime import training
from tests import warm

from .graphs import device


class Pair(NamedTuple):
    first: torch.Tensor
    second: int


def number(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["number"])


def save_number(path: Path, value: int) -> None:
    training.save({"number": torch.tensor(value)}, path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leftovers(folder: Path) -> list[str]:
    return [name for name in names(folder) if name.startswith(".saving-")]


# --- what is written ------------------------------------------------------------------------------


@pytest.mark.xla
def test_tensors_of_a_device_are_saved_as_those_of_the_cpu(tmp_path: Path) -> None:
    network = nn.Linear(3, 2).to(device())
    shared = torch.ones(2, device=device())
    state = network.state_dict()
    training.save({"model": state, "list": [shared, (Pair(shared, 4),)], "x": "y"}, tmp_path / "a.pth")
    loaded = torch.load(tmp_path / "a.pth", weights_only=False)  # no map_location: nothing names another device
    fresh = nn.Linear(3, 2)
    fresh.load_state_dict(loaded["model"], strict=True)
    assert torch.equal(fresh.weight, network.weight.cpu())
    assert type(loaded["model"]) is collections.OrderedDict
    assert loaded["model"]._metadata == state._metadata  # type: ignore[attr-defined]
    assert loaded["list"][0] is loaded["list"][1][0].first
    assert loaded["list"][1][0].second == 4 and loaded["x"] == "y"


@pytest.mark.xla
def test_parameters_and_gradients_asked_for_stay_so(tmp_path: Path) -> None:
    values = [nn.Parameter(torch.ones(2, device=device())), torch.ones(2, device=device(), requires_grad=True)]
    training.save(values, tmp_path / "a.pth")
    parameter, leaf = torch.load(tmp_path / "a.pth", weights_only=False)
    assert isinstance(parameter, nn.Parameter) and parameter.requires_grad
    assert leaf.requires_grad and leaf.is_leaf


def test_what_is_on_the_cpu_is_saved_as_torch_saves_it(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    cycle: list[object] = [base]
    cycle.append(cycle)
    value = {"views": (base[:3], base[3:]), "odd": {1, 2}, "cycle": cycle, "size": base.shape}
    training.save(value, tmp_path / "a.pth")
    loaded = torch.load(tmp_path / "a.pth", weights_only=False)
    first, second = loaded["views"]
    assert first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()
    assert loaded["odd"] == {1, 2} and loaded["cycle"][1] is loaded["cycle"] and loaded["size"] == base.shape
    assert value["cycle"] is cycle and cycle[1] is cycle  # the value itself is as it was


def test_a_file_object_gets_the_bytes_there_and_then() -> None:
    file = io.BytesIO()
    with training.saved_together():
        training.save([torch.ones(2)], file)
        assert file.getvalue()[:2] == b"PK"
    file.seek(0)
    assert torch.equal(torch.load(file)[0], torch.ones(2))


def test_options_of_torch_are_passed_on(tmp_path: Path) -> None:
    training.save(torch.ones(2), tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert (tmp_path / "a.pth").read_bytes()[:2] != b"PK"
    assert torch.equal(torch.load(tmp_path / "a.pth"), torch.ones(2))


def test_names_of_any_script_and_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.pth").symlink_to(tmp_path / "folder" / "模型.pth")
    save_number(tmp_path / "link.pth", 5)
    assert (tmp_path / "link.pth").is_symlink() and number(tmp_path / "folder" / "模型.pth") == 5
    training.write(b"05 and more", tmp_path / "link.pth")
    assert (tmp_path / "folder" / "模型.pth").read_bytes() == b"05 and more"


HPARAMS = """
class HParams:
    def __init__(self, **values):
        self.__dict__.update(values)

    class Data:
        rate = 3
"""


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_configuration_is_saved_under_upstream_s_name_of_its_class(
    tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings_of_test.py").write_text(HPARAMS)
    ported = ModuleType("porter.runtime.trainers.settings_of_test")  # where the port has what stood beside module/
    monkeypatch.setitem(sys.modules, ported.__name__, ported)
    exec(HPARAMS, vars(ported))
    config = ported.HParams(rate=2, inner=ported.HParams(x=1), kind=ported.HParams.Data)
    training.save({"weight": torch.ones(2), "config": config}, tmp_path / "a.pth", pickle_protocol=protocol)
    script = (
        "import sys, torch; sys.path.insert(0, sys.argv[1])\n"
        "c = torch.load(sys.argv[1] + '/a.pth', weights_only=False)['config']\n"
        "print(type(c).__module__, c.rate, c.inner.x, c.kind.rate, 'porter' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert output.split() == ["settings_of_test", "2", "1", "3", "False"]


# --- one file, or several ------------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    save_number(tmp_path / "a.pth", 1)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        training.save({"number": lambda: 0}, tmp_path / "a.pth")
    with pytest.raises(FileNotFoundError):
        save_number(tmp_path / "gone" / "a.pth", 2)
    with pytest.raises(IsADirectoryError):
        save_number(tmp_path, 2)
    assert number(tmp_path / "a.pth") == 1 and names(tmp_path) == ["a.pth"]


def test_files_saved_together_appear_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [tmp_path / "G.pth", tmp_path / "D.pth", tmp_path / "other" / "W.pth"]
    with training.saved_together():
        for path in paths:
            save_number(path, 1)
        training.settle(tmp_path)  # of its own process: not taken for a dead one's
        save_number(paths[0], 2)
        assert not any(path.exists() for path in paths)
    assert [number(path) for path in paths] == [2, 1, 1]
    assert leftovers(tmp_path) == leftovers(tmp_path / "other") == []


def test_an_exception_in_the_block_shows_nothing(tmp_path: Path) -> None:
    save_number(tmp_path / "G.pth", 1)
    with pytest.raises(KeyError), training.saved_together():
        save_number(tmp_path / "G.pth", 2)
        save_number(tmp_path / "D.pth", 2)
        raise KeyError
    assert number(tmp_path / "G.pth") == 1 and names(tmp_path) == ["G.pth"]


def test_a_block_in_a_block_takes_back_its_own_only(tmp_path: Path) -> None:
    with training.saved_together():
        save_number(tmp_path / "G.pth", 1)
        with pytest.raises(KeyError), training.saved_together():
            save_number(tmp_path / "G.pth", 2)
            save_number(tmp_path / "D.pth", 2)
            raise KeyError
        with training.saved_together():
            save_number(tmp_path / "W.pth", 3)
        assert not (tmp_path / "W.pth").exists()
    assert (number(tmp_path / "G.pth"), number(tmp_path / "W.pth")) == (1, 3)
    assert names(tmp_path) == ["G.pth", "W.pth"]


def test_settling_a_folder_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    training.settle(tmp_path / "gone")
    training.settle(str(tmp_path))
    training.settle(tmp_path / "gone" / "*.pth")


def test_settling_a_pattern_settles_each_folder_that_it_looks_into(tmp_path: Path) -> None:
    folders = [tmp_path / "run_1", tmp_path / "run_[2]"]
    for folder in folders:
        folder.mkdir()
        (folder / ".saving-0123.0").write_text("torn")
        (folder / ".saving-0123.claim").write_text(str(folder))
    training.settle(f"{tmp_path}/run_[0-9]/*.pth")
    assert [names(folder) for folder in folders] == [[], [".saving-0123.0", ".saving-0123.claim"]]
    training.settle(folders[1])
    assert names(folders[1]) == []


# --- kill -9 --------------------------------------------------------------------------------------

# Forks a child for each system call that changes a folder, which kills itself there.
EACH_CALL = """
import os, signal, sys
from pathlib import Path
import torch
from porter.runtime import training

root = Path(sys.argv[1])
PATHS = [root / "G.pth", root / "D.pth", root / "other" / "W.pth"]
left = -1


def counted(function):
    def call(*args, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return call


def save(number):
    with training.saved_together():
        for path in PATHS:
            training.save({"number": torch.tensor(number)}, path)


def numbers():
    return {int(torch.load(path)["number"]) for path in PATHS}


def check(before, after):
    for folder in (root, root / "other") if after % 2 else (root / "other", root):
        training.settle(folder)
    found = numbers()
    assert found in ({before}, {after}), found
    assert not [n for f in (root, root / "other") for n in os.listdir(f) if n.startswith(".saving-")]
    return found.pop()


os.mkdir(root / "other")
save(0)
last, point, ways = 0, 0, set()
while True:
    point += 1
    child = os.fork()
    if child == 0:
        for name in ("replace", "unlink", "fsync", "open", "write"):
            setattr(os, name, counted(getattr(os, name)))
        left = point
        save(point)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    now = check(last, point)
    if status == 0:
        assert now == point
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    ways.add(now == point)
    last = now
assert ways == {True, False} and point > 20, point
print(point)
"""

LOOP = """
import itertools, os, sys
from pathlib import Path
import torch
from porter.runtime import training

root = Path(sys.argv[1])
for number in itertools.count(int(sys.argv[2])):
    with training.saved_together():
        for name in ("G.pth", "D.pth"):
            training.save({"number": torch.tensor(number), "bulk": torch.zeros(20000)}, root / name)
    print(number, flush=True)
"""


def test_killed_at_any_call_all_files_are_old_or_all_are_new(tmp_path: Path) -> None:
    done = warm.run(EACH_CALL, str(tmp_path), env=os.environ)
    assert done.returncode == 0, done.stderr


def test_killed_at_random_times_both_files_load_and_belong_together(tmp_path: Path) -> None:
    chance = random.Random(7)
    last = -1
    for _ in range(5):
        command = [sys.executable, "-c", LOOP, str(tmp_path), str(last + 1)]
        process = warm.popen(command, env=os.environ, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.random() * 0.2)
        os.kill(process.pid, signal.SIGKILL)
        said = [int(line) for line in process.stdout.read().split()]
        assert process.wait(60) == -signal.SIGKILL
        training.settle(tmp_path)
        assert number(tmp_path / "G.pth") == number(tmp_path / "D.pth") >= max(said, default=0)
        assert names(tmp_path) == ["D.pth", "G.pth"]
        last = number(tmp_path / "G.pth")


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    script = LOOP.replace("    print(number, flush=True)", "        print(number, flush=True), sys.stdin.readline()")
    command = [sys.executable, "-c", script, str(tmp_path), "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        assert leftovers(tmp_path)
        training.settle(tmp_path)
        save_number(tmp_path / "mine.pth", 3)
        assert leftovers(tmp_path) and not (tmp_path / "G.pth").exists()
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        assert number(tmp_path / "G.pth") == number(tmp_path / "D.pth") == 0
        process.kill()
    training.settle(tmp_path)
    assert names(tmp_path) == ["D.pth", "G.pth", "mine.pth"]
