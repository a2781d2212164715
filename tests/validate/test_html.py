"""The page: whole, closed, and with everything that was found."""

from __future__ import annotations

import io
import re
import stat
import wave
import zlib
from base64 import b64decode
from collections import Counter
from dataclasses import replace
from pathlib import Path
from struct import unpack

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("jinja2", reason="needs jinja2 (the extra xla)")
pytest.importorskip("safetensors", reason="needs safetensors (the extra xla)")

from porter import __version__
from porter.cli import cli
from porter.errors import PortError
from porter.validate.html import check_place, render, write_page
from porter.validate.html.listening import listening
from porter.validate.html.media import png, wav
from porter.validate.html.plots import Value, bars, ratios
from porter.validate.html.spectrogram import palette, shades, spectrogram
from porter.validate.outcome import CaseOutcome, Outcome
from porter.validate.sound import sounds
from tests.html_reader import Page

from .made_up import RATE, STRANGE, outcome, sound
from .tiny import write_port, write_upstream


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(outcome()))


def test_nothing_comes_from_outside(page: Page) -> None:
    addresses = page.values("src") + page.values("href") + page.values("srcset") + page.values("xlink:href")
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    text = render(outcome())
    assert "://" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags["script"] == 0
    assert page.tags["link"] == 0


def test_links_lead_somewhere_and_ids_are_unique(page: Page) -> None:
    ids = Counter(page.values("id"))
    assert set(ids.values()) == {1}
    assert {address[1:] for address in page.values("href")} <= set(ids)


def test_every_case_and_failing_tensor_is_told(page: Page) -> None:
    for case in outcome().cases:
        assert case.name in page.text
        assert case.verdict in page.text
        assert all(finding in page.text for finding in case.findings)
        for report in case.tensors:
            if not report.passed:
                rows = page.text.split("as a part")  # the heading of each table of tensors
                assert any(f"{report.group} {report.name}" in row for row in rows[1:]), report.name
            assert any(f"{report.group} {report.name}: " in title for title in page.texts), report.name


def test_lines_are_told_with_rule_upstream_and_generated(page: Page) -> None:
    for told in ("TST001", "GPT_SoVITS/module/models.py:38", "models.py:40", "a reason", "aten::slice of [2, 17]"):
        assert told in page.text
    assert "2 compiles in step 3, where none may be" in page.text
    assert "1 classes and functions that no case ran: models.py:Forgotten" in page.text
    assert "data_utils.py:Collate : runs in the data loader" in page.text


def test_names_stay_text(page: Page) -> None:
    assert STRANGE in page.text
    strange = replace(outcome(), port=STRANGE, upstream=STRANGE, not_validated=(STRANGE,))
    other = Page(render(replace(strange, cases=tuple(replace(c, name=STRANGE) for c in strange.cases))))
    assert other.tags["script"] == 0
    assert any(STRANGE in value for value in other.values("aria-label"))


def test_a_run_of_nothing_is_a_page() -> None:
    empty = Outcome("u", "", "p", "cpu", "auto", "tiny", 0, {}, (CaseOutcome("old", "not in this upstream", ("why",)),))
    assert "0 of 0 cases pass, 1 not in this upstream" in Page(render(empty)).text


def test_media_of_the_page_decode(page: Page) -> None:
    sources = page.values("src")
    pictures = [b64decode(s.partition(",")[2]) for s in sources if s.startswith("data:image/png;base64,")]
    players = [b64decode(s.partition(",")[2]) for s in sources if s.startswith("data:audio/wav;base64,")]
    assert (len(pictures), len(players)) == (3, 2)
    for picture in pictures:
        pixels, _ = read_png(picture)
        assert pixels.shape[0] == 128
    for player in players:
        samples, rate = read_wav(player)
        assert rate == RATE
        assert samples.size == RATE // 4
        assert 0.85 < np.abs(samples).max() < 0.95  # louder than it was, and not cut


def read_png(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and palette of a picture whose chunks are whole."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(content):
        (size,) = unpack(">I", content[at : at + 4])
        name, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        assert unpack(">I", content[at + 8 + size : at + 12 + size]) == (zlib.crc32(name + body),)
        chunks[name] = body
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, depth, kind = unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, kind) == (8, 3)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)


def read_wav(content: bytes) -> tuple[np.ndarray, int]:
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767, file.getframerate()


def test_picture_and_sound_come_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 64, (5, 9), dtype=np.uint8)
    read, colours = read_png(png(pixels, palette("viridis")))
    assert np.array_equal(read, pixels)
    assert np.array_equal(colours, palette("viridis"))
    samples = np.array([0.0, 0.5, -1.0, 3.0])
    read, rate = read_wav(wav(samples, 24000))
    assert rate == 24000
    assert np.allclose(read, [0, 0.5, -1, 1], atol=1e-4)


@pytest.mark.parametrize("size", [1, 100, 512, 5120, 100_000])
def test_a_sine_is_in_its_row(size: int) -> None:
    levels = spectrogram(np.sin(2 * np.pi * 4000 * np.arange(size) / RATE))
    assert levels.shape[0] == 128
    assert 1 <= levels.shape[1] <= 321
    if size > 1000:
        inside = levels[:, levels.shape[1] // 2]
        assert abs(int(inside.argmax()) - 31) <= 1  # 4 of 16 kHz
        assert abs(inside.max()) < 1  # full scale
        assert inside[80:].max() < -60
        top = shades(levels, -80, 0)
        assert top.max() == 63
        assert abs(int(top[:, top.shape[1] // 2].argmax()) - 96) <= 1  # the highest frequency is the first row


def test_what_is_told_of_a_sound() -> None:
    told = listening(sound(0.99e-6))
    assert [picture.title for picture in told.pictures] == ["upstream", "the port", "difference"]
    assert "at most −80 dB" in told.pictures[2].note
    assert "sample 2 of 2" in told.about
    assert "80 dB" in told.about
    same = listening(sound(0.0))
    assert same.pictures[2].uri == ""
    assert "equal" in same.pictures[2].note
    lost = listening(sound(None))
    assert [player.title for player in lost.players] == ["upstream"]
    quiet = listening(replace(sound(0.0), upstream=np.zeros(100), port=np.zeros(100)))
    assert quiet.pictures[0].note == "silence"


def test_sounds_are_picked_by_name_and_by_distance() -> None:
    old = np.zeros((2, 1, 50), np.float32)
    new = old.copy()
    new[1, 0, 3] = np.nan
    new[1, 0, 4] = 0.5
    (found,) = sounds({"net.0": 100, "net.9": 100}, {"net.0": old, "net.1": old}, {"net.0": new})
    assert (found.sample, found.batch, found.rate) == (1, 2, 100)
    assert found.port is not None
    assert found.port[3:5].tolist() == [0, 0.5]
    (alone,) = sounds({"net.0": 100}, {"net.0": old[0, 0]}, {})
    assert alone.port is None
    assert alone.upstream.shape == (50,)
    (other,) = sounds({"net.0": 100}, {"net.0": old}, {"net.0": old[:1, :, :40]})
    assert other.difference is None
    assert sounds({"net.0": 100}, {"net.0": old[:, :, :0]}, {"net.0": old}) == ()


def test_marks_stand_on_their_side_of_the_limit() -> None:
    values = [Value("results", "", ratio, 110, ratio is None or ratio >= 110) for ratio in (None, 120.0, 110.0, 99.0)]
    plot = ratios([*values, Value("gradients", "", -np.inf, 85, False)], "tensors")
    assert plot is not None
    assert "5 tensors, 2 of them" in plot.summary
    limit = plot.limits[0].y
    equal, above, at, below, lost = (mark.y for mark in plot.marks)
    assert equal < above < at == limit < below < lost
    assert [mark.x for mark in plot.marks] == sorted(mark.x for mark in plot.marks)
    assert [(line.start, line.end) for line in plot.limits] == [(0, plot.borders[0]), (plot.borders[0], 100)]
    assert ratios([], "tensors") is None


def test_bars_above_their_limit_are_marked_and_seen() -> None:
    first, second, third = bars([70, 0, 1], [70, 0, 0], "graphs compiled")
    assert (first.within, second.within, third.within) == (True, True, False)
    assert first.y < third.y < second.y == 100
    assert third.title == "step 3: 1 graphs compiled, where none may be"


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Path, target: Path) -> Path:
        raise OSError("no")

    place = tmp_path / "page.html"
    assert check_place(place) == place
    assert list(tmp_path.iterdir()) == []
    write_page("one", place)
    link = tmp_path / "link.html"
    link.symlink_to(place)
    write_page("two", link)
    assert link.is_symlink()
    assert place.read_text() == "two"
    assert stat.S_IMODE(place.stat().st_mode) & 0o400
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", broken)
        with pytest.raises((PortError, OSError)):
            write_page("three", place)
    assert place.read_text() == "two"
    write_page("a\ud800\x1b[31m", place)
    assert "\x1b" not in place.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "page.html"]


def test_places_that_cannot_hold_a_page(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for place in (
        tmp_path,
        tmp_path / "nowhere" / "page.html",
        tmp_path / "file" / "page.html",
        loop,
        Path("/dev/null"),
    ):
        with pytest.raises(PortError, match=re.escape(str(place))):
            check_place(place)


def test_the_command_writes_a_page_of_what_it_ran(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch (the extra xla)")
    upstream = write_upstream(tmp_path / "upstream")
    port = write_port(upstream, tmp_path / "port", "self.drop(y) * mask", "self.drop(y)")
    place = tmp_path / "page.html"
    options = ["--device", "cpu", "--preset", "tiny", "--steps", "0", "--case", "synthesizer.v2"]
    done = CliRunner().invoke(cli, ["validate", str(upstream), str(port), *options, "--html", str(place)])
    assert done.exit_code == 1, done.output
    assert str(tmp_path) not in place.read_text()
    page = Page(place.read_text())
    assert "first difference: SynthesizerTrn.mix.0 (Mixer)" in page.text
    assert "Sound: SynthesizerTrn.0" in page.text
    assert page.tags["audio"] == 2
    assert page.tags["img"] == 3


def test_a_page_that_cannot_be_written_stops_the_command_at_once(tmp_path: Path) -> None:
    place = tmp_path / "nowhere" / "page.html"
    done = CliRunner().invoke(cli, ["validate", "no upstream at all", "--html", str(place)])
    assert done.exit_code == 2
    assert done.stderr == f"sovits-port: error: {place} cannot be written: No such file or directory\n"


def test_the_overview_tells_which_case_is_which() -> None:
    names = ("a.one", "a.two", "b", "c", "d.one", "e", "f")
    told = replace(outcome(), cases=tuple(CaseOutcome(name, "pass") for name in names))
    text = render(told)
    (axis,) = re.findall(r'<svg class="names upright".*?</div>', text, re.DOTALL)
    assert re.findall(r">(\w+)</text>", axis) == ["a", "b", "c", "d", "e", "f"]
    places = [float(x) for x in re.findall(r'<svg x="([\d.]+)%"', axis)]
    assert places == sorted(places) and len(set(places)) == 6


def test_xla_has_its_columns_and_the_page_its_day_and_version(page: Page) -> None:
    assert {"compiles", "fallbacks", "host syncs", "down", "up", "step s", "total s"} <= set(page.values("data-name"))
    assert re.search(rf"sovits-port {re.escape(__version__)}, \d{{4}}-\d\d-\d\d", page.text)
    (dear,) = (row for row in re.findall(r"<tr>.*?</tr>", render(outcome()), re.DOTALL) if ">dear</a>" in row)
    assert re.search(r'data-name="compiles" class="figure bad">1 / 2<', dear)
    assert re.search(r'data-name="fallbacks" class="figure">0 / 0<', dear)
