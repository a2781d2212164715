"""The reader of dataset folders leaves out what upstream's loader leaves out, and tells what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from porter.runtime.training.dataset import FEATURES, SOUNDS, SPEAKERS, TEXTS, Clip, DatasetError, read_clips
from tests.tiny_dataset import HOP, RATE, write_dataset, write_sound


def test_clips_have_their_size_frames_and_phones(tmp_path: Path) -> None:
    reading = read_clips(write_dataset(tmp_path, [(50, 9), (2000, 70)]), HOP, RATE)
    assert reading.clips == (Clip("00.wav", 64044, 50, 9), Clip("01.wav", 2560044, 2000, 70))
    assert (reading.repeats, reading.missing, reading.left_out) == (50, (), {})


@pytest.mark.parametrize(("clips", "repeats"), [(1, 100), (40, 2), (60, 2), (99, 2), (100, 1), (101, 1)])
def test_few_clips_are_repeated_as_upstream_does(tmp_path: Path, clips: int, repeats: int) -> None:
    assert read_clips(write_dataset(tmp_path, [(50, 9)] * clips), HOP, RATE).repeats == repeats


def test_what_upstream_leaves_out_is_left_out_and_told(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [(29, 5), (31, 5), (2699, 5), (2701, 5), (100, 5), (100, 5), (100, 5)])
    (folder / SOUNDS / "04.wav").unlink()
    text = folder / TEXTS
    lines = text.read_text("utf-8").splitlines()
    lines[5] = lines[5].replace("a a", "a  a")
    lines[6] += "\tone more"
    text.write_text("\n\n".join([*lines, "nonsense"]), "utf-8")
    reading = read_clips(folder, HOP, RATE)
    assert [clip.name for clip in reading.clips] == ["01.wav", "02.wav"]
    assert reading.left_out == {
        f"in {TEXTS} but not in {SOUNDS}": ("04.wav",),
        "of 0.6 s or less": ("00.wav",),
        "of 54 s or more": ("03.wav",),
        "without a phone where one should be": ("05.wav",),
        f"with 5 columns in {TEXTS}, not 4": ("06.wav",),
        f"with 1 column in {TEXTS}, not 4": ("nonsense",),
    }


def test_missing_features_are_told_and_their_clips_left_out(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [(50, 9)] * 4)
    for number in (1, 2):
        (folder / FEATURES / f"0{number}.wav.pt").unlink()
    reading = read_clips(folder, HOP, RATE)
    assert [clip.name for clip in reading.clips] == ["00.wav", "03.wav"]
    with pytest.raises(DatasetError, match=r"4-cnhubert/01.wav.pt is missing \(and 1 more\)"):
        reading.refuse_missing()


def test_speakers_count_for_the_versions_that_read_them(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [(50, 9)] * 2, speakers=True)
    (folder / SPEAKERS / "00.wav.pt").unlink()
    read_clips(folder, HOP, RATE, "v2").refuse_missing()
    for version in ("v2Pro", "v2ProPlus"):
        with pytest.raises(DatasetError, match=r"7-sv_cn/00.wav.pt is missing: "):
            read_clips(folder, HOP, RATE, version).refuse_missing()


def test_a_folder_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no dataset folder .*nowhere"):
        read_clips(tmp_path / "nowhere", HOP, RATE)
    with pytest.raises(DatasetError, match=f"there is no .*{TEXTS}"):
        read_clips(tmp_path, HOP, RATE)
    (tmp_path / TEXTS).write_bytes(b"a\t\xff\t\t")
    with pytest.raises(DatasetError, match=f"{TEXTS} is not UTF-8: byte 2 "):
        read_clips(tmp_path, HOP, RATE)
    (tmp_path / TEXTS).write_text("00.wav\ta\t\t")
    with pytest.raises(DatasetError, match=f"there is no folder .*{SOUNDS}"):
        read_clips(tmp_path, HOP, RATE)
    write_dataset(tmp_path, [])
    with pytest.raises(DatasetError, match=r"no clip to train on: .* have no name in common"):
        read_clips(tmp_path, HOP, RATE)
    write_dataset(tmp_path, [(3, 3), (4, 3)])
    with pytest.raises(DatasetError, match=r"no clip to train on: 2 of 0.6 s or less"):
        read_clips(tmp_path, HOP, RATE)
    write_dataset(tmp_path, [(50, 3)])
    (tmp_path / FEATURES / "00.wav.pt").unlink()
    with pytest.raises(DatasetError, match=r"00.wav.pt is missing"):
        read_clips(tmp_path, HOP, RATE)


def test_a_sound_file_of_a_new_length_changes_the_reading(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [(50, 9)])
    write_sound(folder, "00.wav", 70)
    assert read_clips(folder, HOP, RATE).clips[0].frames == 70


def test_reading_and_planning_need_no_torch() -> None:
    code = (
        "import sys, porter.runtime.training.plan; print([m for m in ('torch', 'numpy', 'click') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
