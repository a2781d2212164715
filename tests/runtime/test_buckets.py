from collections.abc import Iterator
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porter.runtime import ops


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SOVITS_PORT_BUCKETS", raising=False)
    yield
    ops.set_buckets(None)
    ops.use_pads(None)


def test_the_default_series_has_four_steps_an_octave() -> None:
    assert ops.buckets() is None
    series = sorted({ops.bucket(length) for length in range(1, 513)})
    assert series[:11] == [2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28]
    assert series[11:] == [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512]


@given(st.integers(1, 10**6))
def test_a_bucket_holds_its_length_wastes_little_and_is_its_own_bucket(length: int) -> None:
    boundary = ops.bucket(length)
    assert length <= boundary <= max(length * 1.25, length + 1)
    assert ops.bucket(boundary) == boundary
    assert boundary % (8 if boundary >= 32 else 2) == 0
    assert boundary <= ops.bucket(length + 1)


def test_explicit_boundaries_round_up_and_refuse_what_is_longer() -> None:
    ops.set_buckets([400, 320])
    assert ops.buckets() == (320, 400)
    assert [ops.bucket(length) for length in (0, 320, 321, 400)] == [320, 320, 400, 400]
    with pytest.raises(ValueError, match="401 is beyond the last bucket boundary, 400"):
        ops.bucket(401)
    with pytest.raises(ValueError, match="negative"):
        ops.bucket(-1)
    with pytest.raises(ValueError, match="at least 1"):
        ops.set_buckets([0, 4])


def test_the_environment_sets_boundaries_or_switches_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOVITS_PORT_BUCKETS", "320, 400")
    assert ops.bucket(330) == 400
    monkeypatch.setenv("SOVITS_PORT_BUCKETS", "off")
    assert ops.buckets() == ()
    assert ops.bucket(331) == 331
    monkeypatch.setenv("SOVITS_PORT_BUCKETS", "many")
    with pytest.raises(ValueError, match="SOVITS_PORT_BUCKETS='many'"):
        ops.bucket(3)
    ops.set_buckets([])
    assert ops.bucket(77) == 77


def test_pads_give_a_bucket_one_length_of_frames_of_samples_and_of_text() -> None:
    ops.use_pads(ops.Pads(304, 640, 80))
    assert {ops.bucket(length) for length in (1, 34, 302, 304)} == {304}
    assert {ops.bucket(length) for length in (32 * 640, 300 * 640 + 123, 304 * 640)} == {304 * 640}
    assert {ops.bucket(length, tokens=True) for length in (1, 79, 80)} == {80}
    ops.use_pads(None)
    assert (ops.bucket(34), ops.bucket(34, tokens=True)) == (40, 40)


@pytest.mark.parametrize(
    ("length", "tokens", "told"),
    [
        (305, False, "305 is beyond the frames of its bucket, 304"),
        (1000, False, "1000 is beyond the frames of its bucket, 304"),
        (304 * 640 + 1, False, "beyond the samples of its bucket, 194560"),
        (81, True, "81 tokens is beyond those of its bucket, 80"),
    ],
)
def test_a_length_beyond_its_pad_is_refused(length: int, tokens: bool, told: str) -> None:
    ops.use_pads(ops.Pads(304, 640, 80))
    with pytest.raises(ValueError, match=told):
        ops.bucket(length, tokens=tokens)


def test_text_has_boundaries_where_pads_know_none_of_it() -> None:
    ops.use_pads(ops.Pads(304, 640))
    assert (ops.bucket(34), ops.bucket(34, tokens=True)) == (304, 40)


def test_pads_are_those_of_one_thread() -> None:
    ops.use_pads(ops.Pads(304, 640, 80))
    found: list[int] = []
    thread = Thread(target=lambda: found.append(ops.bucket(34)))
    thread.start()
    thread.join()
    assert found == [40]
