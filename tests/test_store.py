"""A package is replaced whole or not at all, whenever the writer dies and whatever fails."""

from __future__ import annotations

import errno
import functools
import hashlib
import inspect
import json
import multiprocessing
import multiprocessing.util
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from porter.errors import PortError
from porter.package.store import ChangedMeanwhileError, Place, edited_files, is_ours, recover, state_of, write_package
from porter.package.store import transaction as transaction_module

_STEPS = ("open", "os.rename", "os.mkdir", "os.chmod", "os.remove", "os.rmdir", "shutil.rmtree")

_WRITER = """
from __future__ import annotations
import hashlib, json, sys, itertools
from pathlib import Path
from porter.package.store import Place, write_package, transaction
if sys.argv[2] == "rename":
    transaction.exchange = lambda first, second: False
{package}
print("ready", flush=True)
for version in itertools.count(1):
    write_package(Place(Path(sys.argv[1])), *package(version))
"""


def package(version: int) -> tuple[dict[str, bytes], bytes]:
    """Version `version` of a package, whose files differ in names and contents - and its manifest."""
    names = ["models", f"only_in_{version}", "deep/er"]
    files = {f"module/tpu/{name}.py": f"# {name} of {version}\n".encode() * 50 for name in names}
    files["module/__init__.py"] = f"# {version}\n".encode()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return files, json.dumps({"tool": "sovits-port", "version": version, "outputs": hashes}).encode()


def version_on_disk(place: Place) -> int:
    """The version that lies at `place`, after making sure that every file is of that version; 0 for none."""
    if not place.manifest.exists():
        assert not place.package_dir.exists()
        return 0
    manifest = json.loads(place.manifest.read_bytes())
    assert edited_files(place, manifest["outputs"]) == []
    return int(manifest["version"])


def leftovers(place: Place) -> list[str]:
    return sorted(path.name for path in place.root.glob(".port-*"))


# A process of its own forks, for the one that runs the tests has gigabytes in memory by now, and each fork copies its
# page tables.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__])
multiprocessing.util.get_temp_dir()  # deleted at the end of the process, after that of all tests' temporary files
_way = "exchange"  # how packages are swapped


def in_child(
    work: Callable[[], None], at_step: int, act: Callable[[], None], root: Path, die_at: int = 0
) -> tuple[int, bool]:
    """Run `work` in a process of its own, with `act` right before its step number `at_step` on files below `root`.

    At step `die_at` it is killed. Both are functions of a module. Returns the exit status, and whether it came as far
    as `at_step`.
    """
    reader, writer = _forks.Pipe(duplex=False)
    child = _forks.Process(target=_child, args=(work, at_step, act, str(root), die_at, _way, writer))
    child.start()
    writer.close()
    child.join()
    reached = os.read(reader.fileno(), 1) == b"x"
    reader.close()
    assert child.exitcode is not None
    return child.exitcode, reached


def _child(
    work: Callable[[], None],
    at_step: int,
    act: Callable[[], None],
    root: str,
    die_at: int,
    way: str,
    writer: Connection,
) -> None:
    count = 0
    handle = writer.fileno()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        # Names that rmtree removes are relative to a folder that it holds open.
        relative = event in ("os.remove", "os.rmdir") and "/" not in str(arguments[0])
        if event in _STEPS and (relative or str(arguments[0]).startswith(root)):
            count += 1
            if count == die_at:
                die()
            if count == at_step:
                os.write(handle, b"x")
                act()

    status = 0
    try:
        swap_by(way, pytest.MonkeyPatch())
        sys.addaudithook(hook)
        work()
    except PortError:
        status = 2
    except BaseException:
        status = 3
    os._exit(status)


def swap_by(way: str, patch: pytest.MonkeyPatch) -> None:
    """Swap names at once, or by one rename after the other.

    A kill loses nothing that the system was told, so the many small disk writes are not waited for.
    """
    patch.setattr(os, "fsync", lambda handle: None)
    if way == "rename":
        patch.setattr(transaction_module, "exchange", lambda first, second: False)


def write_version(place: Place, version: int) -> None:
    write_package(place, *package(version))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(params=["exchange", "rename"])
def swapping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of swapping, here and in children."""
    monkeypatch.setattr(sys.modules[__name__], "_way", request.param)
    swap_by(request.param, monkeypatch)
    return str(request.param)


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes that are not waited for, swapped as this system can."""
    swap_by("exchange", monkeypatch)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where the system has one: thousands of small writes would wait for a disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "generated")


def test_a_package_is_written_with_its_manifest_and_nothing_else(place: Place, swapping: str) -> None:
    write_package(place, *package(1))
    assert version_on_disk(place) == 1
    write_package(place, *package(2))
    assert version_on_disk(place) == 2
    assert not (place.package_dir / "only_in_1.py").exists()
    assert sorted(path.name for path in place.out.iterdir()) == ["module", "port.json"]


def test_files_have_the_same_modes_under_any_umask(place: Place) -> None:
    before = os.umask(0o077)
    try:
        write_package(place, *package(1))
    finally:
        os.umask(before)
    for path in [place.manifest, *place.package_dir.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)
    assert stat.S_IMODE(place.package_dir.stat().st_mode) == 0o755


def test_other_files_in_the_output_folder_are_left_alone(place: Place) -> None:
    place.out.mkdir()
    (place.out / "README.md").write_text("mine")
    (place.out / "module").mkdir()
    (place.out / "module" / "notes.txt").write_text("mine too")
    write_package(place, *package(1))
    write_package(place, *package(2))
    assert (place.out / "README.md").read_text() == "mine"
    assert (place.out / "module" / "notes.txt").read_text() == "mine too"


def test_a_checkout_gets_the_package_inside_its_module_folder(tmp_path: Path) -> None:
    (tmp_path / "GPT_SoVITS" / "module").mkdir(parents=True)
    (tmp_path / "GPT_SoVITS" / "module" / "__init__.py").write_text("# upstream's\n")
    place = Place(tmp_path, "GPT_SoVITS/module/tpu")
    write_package(place, {"module/tpu/models.py": b"x = 1\n"}, package(1)[1])
    assert (tmp_path / "GPT_SoVITS" / "port.json").exists()
    assert (tmp_path / "GPT_SoVITS" / "module" / "tpu" / "models.py").read_bytes() == b"x = 1\n"
    assert (tmp_path / "GPT_SoVITS" / "module" / "__init__.py").read_text() == "# upstream's\n"


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("module/tpu/mine.py", "x", "no port.json"),
        ("port.json", "{}", "not a manifest"),
        ("port.json", '{"tool": "another"}', "not a manifest"),
        ("port.json", "[" * 100_000, "not a manifest"),
        ("module/tpu", "a file", "is a file"),
        ("module/__init__.py", "import mine\n", "not written by"),
    ],
)
def test_what_is_not_ours_is_never_replaced(place: Place, path: str, content: str, told: str) -> None:
    foreign = place.out / path
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_text(content)
    with pytest.raises(PortError, match=told):
        write_package(place, *package(1))
    assert [found for found in place.out.rglob("*") if found.is_file()] == [foreign]
    assert foreign.read_text() == content


def test_an_output_that_is_a_file_is_refused(place: Place) -> None:
    place.out.write_text("mine")
    with pytest.raises(PortError, match="is a file"):
        write_package(place, *package(1))
    with pytest.raises(PortError):
        write_package(Place(place.out / "below"), *package(1))
    assert place.out.read_text() == "mine"


@pytest.mark.parametrize("linked", ["module", "module/tpu", "port.json"])
def test_nothing_is_written_through_a_symbolic_link(place: Place, tmp_path: Path, linked: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (place.out / linked).parent.mkdir(parents=True)
    (place.out / linked).symlink_to(elsewhere)
    with pytest.raises(PortError, match="symbolic link"):
        write_package(place, *package(1))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["../escape.py", "/absolute.py", "module/tpu/../../../x.py", "module//x.py"])
def test_names_that_leave_the_package_are_refused(place: Place, tmp_path: Path, name: str) -> None:
    with pytest.raises(PortError, match="unsafe name"):
        write_package(place, {name: b""}, package(1)[1])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_hand_edits_are_found_and_compiled_files_are_none(place: Place) -> None:
    files, manifest = package(1)
    hashes = json.loads(manifest)["outputs"]
    write_package(place, files, manifest)
    (place.package_dir / "__pycache__").mkdir()
    (place.package_dir / "__pycache__" / "models.pyc").write_bytes(b"compiled")
    assert edited_files(place, hashes) == []
    (place.package_dir / "models.py").write_text("edited")
    (place.package_dir / "added.py").write_text("added")
    (place.package_dir / "deep" / "er.py").unlink()
    (place.package_dir / "only_in_1.py").unlink()
    (place.package_dir / "only_in_1.py").symlink_to("models.py")
    changed = ["module/tpu/added.py", "module/tpu/models.py", "module/tpu/only_in_1.py"]
    assert edited_files(place, hashes, missing=False) == changed
    assert edited_files(place, hashes) == sorted([*changed, "module/tpu/deep/er.py"])


def test_a_manifest_of_ours_says_so() -> None:
    assert is_ours(b'{"tool": "sovits-port"}')
    assert not any(map(is_ours, (b"", b"\xff", b"[]", b'"sovits-port"', b'{"tool": 1}')))


@pytest.mark.parametrize("old", [0, 1])
def test_a_kill_at_any_step_leaves_the_old_package_or_the_new(memory: Path, swapping: str, old: int) -> None:
    seen = set()
    for step in range(1, 1000):
        place = Place(memory / str(step))
        place.out.mkdir()
        if old:
            write_package(place, *package(old))
        status, reached = in_child(functools.partial(write_version, place, 2), step, die, place.out)
        assert status == (-signal.SIGKILL if reached else 0)
        # A recovery that is killed as well has to be recovered from.
        in_child(functools.partial(recover, place), 2, die, place.out)
        recover(place)
        assert leftovers(place) == []
        seen.add(version_on_disk(place))
        shutil.rmtree(place.out)
        if not reached:
            break
    assert seen == {old, 2}
    assert step > 20


@pytest.mark.parametrize("old", [0, 1])
def test_a_full_disk_at_any_step_keeps_the_old_package(memory: Path, swapping: str, old: int) -> None:
    refused = 0
    for step in range(1, 1000):
        place = Place(memory / str(step))
        place.out.mkdir()
        if old:
            write_package(place, *package(old))
        status, reached = in_child(functools.partial(write_version, place, 2), step, fail, place.out)
        assert status in (0, 2)
        refused += status == 2
        recover(place)
        assert version_on_disk(place) == (2 if status == 0 else old)
        assert leftovers(place) == []
        if not reached:
            break
    assert refused > 15


def test_a_kill_while_a_failed_write_is_undone_leaves_a_whole_package(memory: Path, swapping: str) -> None:
    seen, killed = set(), 0
    place = Place(memory / "generated")
    write_package(place, *package(1))
    shutil.copytree(place.out, memory / "first")
    reached, failing = True, 18
    while reached:
        for later in (1, 2, 4):
            write = functools.partial(write_version, place, 2)
            status, reached = in_child(write, failing, fail, place.out, failing + later)
            killed += status == -signal.SIGKILL
            recover(place)
            assert leftovers(place) == []
            seen.add(version_on_disk(place))
            shutil.rmtree(place.out)
            shutil.copytree(memory / "first", place.out)
        failing += 1
    assert seen == {1, 2}
    assert killed > 20


def test_forty_kills_at_random_moments_leave_a_whole_package(memory: Path) -> None:
    chance = random.Random(20250606)
    place = Place(memory / "generated")
    code = _WRITER.replace("{package}", inspect.getsource(package))
    root = str(Path(__file__).parents[1])
    interrupted, versions = 0, set()
    for number in range(40):
        way = ("exchange", "rename")[number % 2]
        command = [sys.executable, "-c", code, str(place.out), way]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0.0, 0.04))
            writer.kill()
        interrupted += bool(leftovers(place))
        recover(place)
        assert leftovers(place) == []
        versions.add(version_on_disk(place))
    assert interrupted > 5
    assert max(versions) > 0


def test_two_writers_at_once_take_turns(place: Place) -> None:
    root = str(Path(__file__).parents[1])
    code = _WRITER.replace("{package}", inspect.getsource(package)).replace("itertools.count(1)", "range(1, 16)")
    command = [sys.executable, "-c", code, str(place.out), "rename"]
    writers = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root}) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert version_on_disk(place) == 15
    assert leftovers(place) == []


def test_when_the_second_item_cannot_be_swapped_the_first_goes_back(
    place: Place, swapping: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(place, *package(1))
    swap = transaction_module._Item.swap
    calls = []

    def fails_once(self: transaction_module._Item) -> None:
        calls.append(self.target.name)
        if len(calls) == 2:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        swap(self)

    monkeypatch.setattr(transaction_module._Item, "swap", fails_once)
    with pytest.raises(PortError, match="what was there is kept"):
        write_package(place, *package(2))
    assert version_on_disk(place) == 1
    assert leftovers(place) == []


def test_a_change_that_can_neither_end_nor_be_undone_is_finished_by_the_next_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(place, *package(1))
    swap = transaction_module._Item.swap
    calls = []

    def breaks(self: transaction_module._Item) -> None:
        calls.append(self.target.name)
        if len(calls) > 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        swap(self)

    with monkeypatch.context() as broken:
        broken.setattr(transaction_module._Item, "swap", breaks)
        with pytest.raises(PortError, match="next run"):
            write_package(place, *package(2))
    recover(place)
    assert version_on_disk(place) == 2
    assert leftovers(place) == []


def test_an_edit_made_between_a_kill_and_the_recovery_survives(place: Place, swapping: str) -> None:
    write_package(place, *package(1))
    for step in range(1, 1000):
        in_child(functools.partial(write_version, place, 2), step, die, place.out)
        if (place.package_dir / "only_in_2.py").exists() and leftovers(place):
            break
        recover(place)
        write_package(place, *package(1))
    (place.package_dir / "models.py").write_text("by hand")
    recover(place)
    manifest = json.loads(place.manifest.read_bytes())
    assert manifest["version"] == 2
    assert edited_files(place, manifest["outputs"]) == ["module/tpu/models.py"]


def half_done(place: Place, until: Callable[[], bool]) -> None:
    """A write of version 2 over version 1 that was killed at the first step after which `until` is true."""
    for step in range(1, 1000):
        write_package(place, *package(1))
        in_child(functools.partial(write_version, place, 2), step, die, place.out)
        if until():
            return
        recover(place)
    raise AssertionError


def decided(place: Place) -> bool:
    return any(place.out.glob(".port-*/journal.json"))


def test_an_edit_made_after_a_kill_that_came_before_the_swap_survives(place: Place, swapping: str) -> None:
    half_done(place, lambda: decided(place) and (place.package_dir / "only_in_1.py").exists())
    (place.package_dir / "models.py").write_text("by hand")
    recover(place)
    manifest = json.loads(place.manifest.read_bytes())
    assert manifest["version"] == 1
    assert edited_files(place, manifest["outputs"]) == ["module/tpu/models.py"]
    assert leftovers(place) == []


def test_an_edit_of_the_part_that_is_still_old_brings_the_other_parts_back(place: Place, swapping: str) -> None:
    half_done(place, lambda: decided(place) and (place.package_dir / "only_in_2.py").exists())
    (place.out / "module/__init__.py").write_text("by hand")
    recover(place)
    manifest = json.loads(place.manifest.read_bytes())
    assert manifest["version"] == 1
    assert edited_files(place, manifest["outputs"]) == ["module/__init__.py"]
    assert leftovers(place) == []


@pytest.mark.usefixtures("unsynced")
def test_edits_of_an_old_part_and_of_a_new_one_are_both_kept_and_told(place: Place) -> None:
    half_done(place, lambda: decided(place) and (place.package_dir / "only_in_2.py").exists())
    (place.out / "module/__init__.py").write_text("by hand")
    (place.package_dir / "models.py").write_text("by hand too")
    for _ in range(2):
        with pytest.raises(PortError, match="changed by hand"):
            recover(place)
        assert (place.out / "module/__init__.py").read_text() == "by hand"
        assert (place.package_dir / "models.py").read_text() == "by hand too"
        assert decided(place)


def test_an_edit_in_the_last_instant_before_the_swap_survives(
    place: Place, swapping: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(place, *package(1))
    swap = transaction_module._Item.swap

    def late(self: transaction_module._Item) -> None:
        if self.target == place.package_dir and not (self.target / "only_in_2.py").exists():
            (self.target / "models.py").write_text("by hand")
        swap(self)

    monkeypatch.setattr(transaction_module._Item, "swap", late)
    with pytest.raises(ChangedMeanwhileError):
        write_package(place, *package(2))
    manifest = json.loads(place.manifest.read_bytes())
    assert manifest["version"] == 1
    assert edited_files(place, manifest["outputs"]) == ["module/tpu/models.py"]
    assert leftovers(place) == []


@pytest.mark.parametrize("name", ["module/tpu/models.py", "module/tpu/new.py", "module/__init__.py", "port.json"])
def test_a_package_that_is_no_longer_as_it_was_seen_is_not_written(place: Place, name: str) -> None:
    write_package(place, *package(1))
    seen = state_of(place, ("module/__init__.py", "port.json"))
    with (place.out / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ChangedMeanwhileError):
        write_package(place, *package(2), seen)
    assert (place.out / name).read_bytes().endswith(b" ")
    assert (place.package_dir / "only_in_1.py").exists()
    assert leftovers(place) == []
    write_package(place, *package(2), state_of(place, ("module/__init__.py", "port.json")))
    assert version_on_disk(place) == 2


@pytest.mark.usefixtures("unsynced")
def test_a_journal_of_an_older_version_is_finished(place: Place) -> None:
    half_done(place, lambda: decided(place))
    (journal,) = place.out.glob(".port-*/journal.json")
    items = json.loads(journal.read_bytes())["items"]
    journal.write_text(json.dumps({"items": [[name, wanted] for name, wanted, _ in items]}))
    recover(place)
    assert version_on_disk(place) == 2


def test_a_planted_journal_cannot_reach_outside(place: Place, tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("safe")
    planted = place.out / ".port-write-evil"
    planted.mkdir(parents=True)
    (planted / "0").write_text("overwritten")
    digest = hashlib.sha256(b"overwritten").hexdigest()
    (place.out / "link").symlink_to(tmp_path)
    for name in ("../victim.txt", str(victim), "link/victim.txt"):
        (planted / "journal.json").write_text(json.dumps({"items": [[name, digest]]}))
        try:
            recover(place)
        except PortError as error:
            assert "symbolic link" in str(error)
        assert victim.read_text() == "safe"
        planted.mkdir(exist_ok=True)
        (planted / "0").write_text("overwritten")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB, where this machine lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full_keeps_the_old_package(small_disk: Path) -> None:
    place = Place(small_disk / "generated")
    write_package(place, *package(1))
    files, manifest = package(2)
    with pytest.raises(PortError, match="No space left"):
        write_package(place, {**files, "module/tpu/big.py": b"#" * 500_000}, manifest)
    assert version_on_disk(place) == 1
    assert leftovers(place) == []
    write_package(place, files, manifest)
    assert version_on_disk(place) == 2


def refused_as_nobody(place: Place) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)
    with pytest.raises(PortError, match="Permission denied"):
        write_package(place, *package(2))


def test_a_folder_without_write_permission_is_told_in_a_sentence() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "generated")
        write_package(place, *package(1))
        Path(folder).chmod(0o755)
        place.out.chmod(0o555)
        assert in_child(functools.partial(refused_as_nobody, place), 0, die, place.out)[0] == 0
        assert version_on_disk(place) == 1
        place.out.chmod(0o755)
