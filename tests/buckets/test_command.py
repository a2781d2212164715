"""`sovits-port buckets` on small folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from porter.buckets.symbols import read_symbols
from porter.inputs.upstream import open_upstream
from porter.runtime.training.dataset import FEATURES, SOUNDS, TEXTS, read_clips
from porter.runtime.training.plan import PLAN, plan_for, read_plan
from tests.tiny_dataset import HOP, RATE, write_dataset
from tests.tiny_upstream import run, run_json, tiny

CLIPS = [(frames, frames // 4) for frames in (40, 60, 90, 100, 101, 150, 250, 290, 310, 390, 450, 451)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is run is no upstream: it would be searched for a table of phones."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "clips", CLIPS)


def config(path: Path, **changes: Any) -> Path:
    told: dict[str, Any] = {
        "train": {"batch_size": 4, "segment_size": 20480},
        "data": {"sampling_rate": RATE, "hop_length": HOP, "filter_length": 2048},
        "model": {"version": "v2"},
    }
    for place, value in changes.items():
        part, _, key = place.partition("__")
        told[part][key] = value
    path.write_text(json.dumps(told))
    return path


def test_as_many_shapes_as_upstreams_boundaries_need(folder: Path) -> None:
    told = run_json("buckets", folder, "--batch-size", "4")
    assert told["upstream"]["boundaries"] == [32, 300, 400, 500]
    assert [row["clips"] for row in told["upstream"]["buckets"]] == [8, 2, 2]
    assert (told["clips"], told["repeats"]) == (12, 8)
    planned = told["planned"]
    assert planned["graphs"] == len(planned["buckets"]) == 3
    assert planned["frames"] < told["upstream"]["frames"]
    assert planned["wasted"] < told["upstream"]["wasted"]
    assert sum(row["clips"] for row in planned["buckets"]) == 12
    assert [row["graphs"] for row in told["trade_off"]] == [1, 2, 4]
    frames = [row["frames"] for row in told["trade_off"]]
    assert frames == sorted(frames, reverse=True)
    assert not (folder / PLAN).exists()


def test_a_written_plan_is_the_one_shown(folder: Path) -> None:
    result = run("buckets", folder, "--graphs", "2", "--write")
    assert result.exit_code == 0 and f"wrote {folder / PLAN}" in result.stderr
    plan = read_plan(folder / PLAN)
    assert f"planned: {','.join(map(str, plan.boundaries))}\n" in result.stdout
    assert len(plan.tokens) == 2
    assert plan == plan_for(read_clips(folder, HOP, RATE).clips, plan.boundaries, RATE, HOP, None)


def test_own_boundaries_lose_their_empty_buckets(folder: Path) -> None:
    told = run_json("buckets", folder, "--boundaries", "32,200,240,500,900", "--write")
    assert told["planned"]["boundaries"] == list(read_plan(folder / PLAN).boundaries) == [32, 200, 500]


def test_a_config_tells_rate_hop_batch_and_version(folder: Path, tmp_path: Path) -> None:
    file = config(tmp_path / "config.json", data__hop_length=320)
    told = run_json("buckets", folder, "--config", file, "--write")
    assert told["batch_size"] == 4
    assert told["upstream"]["boundaries"][-1] == 1000  # hops of half the length: twice as many frames
    assert (read_plan(folder / PLAN).hop_length, read_plan(folder / PLAN).version) == (320, "v2")
    assert run_json("buckets", folder, "--config", file, "--batch-size", "3", "--replicas", "2")["batch_size"] == 3


def test_v3_has_boundaries_of_its_own_and_no_estimate_of_memory(folder: Path, tmp_path: Path) -> None:
    write_dataset(folder, [*CLIPS, (1001, 30)])
    file = config(tmp_path / "config.json", model__version="v3")
    told = run_json("buckets", folder, "--config", file)
    assert told["upstream"]["too_long"] == 1
    assert told["planned"]["boundaries"][-1] >= 1001
    assert {row["memory_bytes"] for row in told["planned"]["buckets"]} == {None}
    text = run("buckets", folder, "--config", file).stdout
    assert "Clips of more than 1000 frames: 1. The trainer refuses them without a plan." in text
    assert "Memory was measured for no network of this version" in text


def test_the_table_names_what_the_estimate_is_from(folder: Path) -> None:
    result = run("buckets", folder, "--replicas", "4")
    assert "12 clips, each 8 times an epoch, batches of 32 on each of 4 replicas" in result.stdout
    for part in (
        "Clips of frames",
        "Padded to",
        "Padding",
        "Memory GB",
        "estimate",
        "upstream's boundaries: 32,300,400,500",
    ):
        assert part in result.stdout
    assert "\x1b" not in result.stdout


def test_no_figure_is_cut_on_a_narrow_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = run("buckets", folder).stdout.splitlines()
    assert "…" not in "".join(lines)
    last = run_json("buckets", folder)["planned"]["buckets"][-1]
    row = next(line for line in lines if line.strip().startswith(f"{last['above'] + 1}-{last['upto']} "))
    assert row.split()[1:4] == [str(last[key]) for key in ("frames", "tokens", "clips")]


def test_what_is_left_out_is_noted(folder: Path) -> None:
    write_dataset(folder, [*CLIPS, (3, 3), (4, 4), (31, 8)])
    (folder / SOUNDS / "00.wav").unlink()
    notes = run("buckets", folder).stderr
    assert "upstream leaves out 2 clips, 12.wav the first, of 0.6 s or less" in notes
    assert "upstream leaves out 00.wav in 2-name2text.txt but not in 5-wav32k" in notes
    assert "the sampler leaves out 1 not above the lowest boundary" in notes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--graphs", "0"), "--graphs is 1 or more, not 0"),
        (("--batch-size", "-1"), "--batch-size is 1 or more, not -1"),
        (("--replicas", "0"), "--replicas is 1 or more, not 0"),
        (("--boundaries", "32,400"), "11.wav has 451 frames, more than the last boundary, 400"),
        (("--boundaries", "32"), "boundaries are rising numbers of frames"),
        (("--boundaries", "400,32"), "boundaries are rising numbers of frames"),
        (("--boundaries", "-1,32"), "boundaries are rising numbers of frames"),
        (("--boundaries", "32,x"), "boundaries are rising numbers of frames"),
        (("--boundaries", "500,600"), "no clip of more than 500 frames"),
        (("--boundaries", "32,600", "--graphs", "2"), "give one of them"),
        (("--config", "nowhere.json"), "nowhere.json cannot be read"),
    ],
)
def test_unusable_options_are_told_in_a_sentence(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    refused(told, folder, *arguments)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"data": {"hop_length": "640"}}'])
def test_a_config_that_cannot_be_used_is_told_in_a_sentence(folder: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    refused("config.json", folder, "--config", str(tmp_path / "config.json"))


def test_a_folder_that_cannot_be_used_is_told_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    refused("no dataset folder", tmp_path / "nowhere")
    refused(TEXTS, tmp_path)
    (folder / FEATURES / "00.wav.pt").unlink()
    (folder / FEATURES / "02.wav.pt").unlink()
    refused("4-cnhubert/00.wav.pt is missing (and 1 more)", folder, "--write")
    (folder / TEXTS).write_bytes(b"\xff")
    refused("is not UTF-8", folder)
    assert not (folder / PLAN).exists()


def refused(told: str, *arguments: str | Path) -> None:
    result = run("buckets", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr
    assert result.stderr.startswith("sovits-port: error: ") and result.stderr.count("\n") == 1


SYMBOLS = """punctuation = ["!"]
punctuation.append("-")
c = ["a", "b"]
arpa = {"AH0", "HH"}
more = "xy"
symbols = ["_"] + c + punctuation + list(arpa)
symbols = sorted(set(symbols))
symbols += sorted(list(more))
if __name__ == "__main__":
    print(len(symbols))
"""


class TestPhones:
    """Clips with a phone that upstream's table lacks are left out, as its loader does."""

    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        later = SYMBOLS.replace('"b"', '"c"')
        return tiny(tmp_path / "up", {"GPT_SoVITS/text/symbols.py": SYMBOLS, "GPT_SoVITS/text/symbols2.py": later})

    def test_they_are_those_of_the_version(self, checkout: Path) -> None:
        first = {"!", "-", "a", "b", "AH0", "HH", "x", "y", "_"}
        snapshot = open_upstream(str(checkout))
        assert read_symbols(snapshot, "v1") == first
        assert read_symbols(snapshot, "v2Pro") == read_symbols(snapshot, None) == first - {"b"} | {"c"}

    def test_a_clip_with_another_is_left_out(self, folder: Path, checkout: Path, tmp_path: Path) -> None:
        texts = folder / TEXTS
        texts.write_text(texts.read_text().replace("\ta", "\tb", 1))
        told = run_json("buckets", folder, "--upstream", checkout)
        assert told["clips"] == 11
        assert told["left_out"] == {"with the phone 'b', which upstream's table of symbols lacks": ["00.wav"]}
        first = config(tmp_path / "s2.json", model__version="v1")
        assert run_json("buckets", folder, "--upstream", checkout, "--config", first)["clips"] == 12

    def test_the_folder_that_it_is_run_in_is_taken(
        self, folder: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts = folder / TEXTS
        texts.write_text(texts.read_text().replace("\ta", "\tb", 1))
        monkeypatch.chdir(checkout)
        assert run_json("buckets", folder)["clips"] == 11
        monkeypatch.chdir(folder)
        assert "phones are not looked at, --upstream names where" in run("buckets", folder).stderr

    @pytest.mark.parametrize(
        "text", ["symbols = open('x').read()\n", "symbols = 1\n", "x = 1\n", "def f(:\n", "for x in 'a':\n    0\n"]
    )
    def test_a_table_that_is_more_than_lists_is_told(self, folder: Path, tmp_path: Path, text: str) -> None:
        root = tiny(tmp_path / "up", {"GPT_SoVITS/text/symbols.py": text})
        result = run("buckets", folder, "--upstream", root)
        assert result.exit_code == 2 and "GPT_SoVITS/text/symbols.py cannot be read" in result.stderr
