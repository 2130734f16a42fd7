"""Artifacts: names are data, globs stay in the workspace, media types are the same everywhere."""

from __future__ import annotations

import os
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.artifacts import check_name, collect, media_type
from runner.errors import UsageError
from runner.globs import matcher

if TYPE_CHECKING:
    from pathlib import Path

BAD = [
    "",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a//b",
    "./a",
    "a/.",
    "a\0b",
    "a\nb",
    "a\x1b[31mb",
    "a\\..\\b",
    "x" * 256,
    "/".join(["abcdefgh"] * 200),
    "a\u202egnp.exe",
    "a\u200bb",
    "\uff0e\uff0e/x",
    "\u2024\u2024/x",
    "a\u2215b",
    "a\uff0fb",
    "a\uff3cb",
    "bad\udcff",
]


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_that_could_be_a_path_out_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(name)
    assert str(caught.value).startswith("artifact name ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "name", ["out.txt", "a/b/c.png", ".hidden", "...", "été.txt", "日本語.md", "a b'c\"$(x).txt", "-rf"]
)
def test_an_ordinary_name_is_kept(name: str) -> None:
    assert check_name(name) == unicodedata.normalize("NFC", name)


def test_two_spellings_of_one_name_are_one_name() -> None:
    assert check_name("e\u0301.txt") == check_name("\u00e9.txt")


@given(st.text(max_size=40))
def test_an_accepted_name_always_stays_in_its_folder(name: str) -> None:
    try:
        kept = check_name(name)
    except UsageError:
        return
    assert os.path.normpath(os.path.join("/base", kept)).startswith("/base/")
    assert "\0" not in kept


@pytest.mark.parametrize(
    ("name", "type"),
    [("a.txt", "text/plain"), ("a.PNG", "image/png"), ("r.md", "text/markdown"), ("noext", "application/octet-stream")],
)
def test_the_media_type_comes_from_the_name(name: str, type: str) -> None:
    assert media_type(name) == type


def tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def names(root: Path, *patterns: str) -> list[str]:
    return [found.name for found in collect(patterns, root).files]


def test_globs_mean_the_files_that_a_person_expects(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "out.txt",
        "a.png",
        "shots/1.png",
        "shots/deep/2.png",
        "dist/x/y.js",
        ".hidden",
        ".cache/z",
        ".git/HEAD",
    )
    assert names(tmp_path, "out.txt") == ["out.txt"]
    assert names(tmp_path, "shots/*.png") == ["shots/1.png"]
    assert names(tmp_path, "**/*.png") == ["a.png", "shots/1.png", "shots/deep/2.png"]
    assert names(tmp_path, "shots/**") == ["shots/1.png", "shots/deep/2.png"]
    assert names(tmp_path, "dist") == ["dist/x/y.js"]
    assert names(tmp_path, "*") == ["a.png", "out.txt"]
    assert names(tmp_path, ".h*", "./out.txt") == [".hidden", "out.txt"]
    assert names(tmp_path, ".cache/") == [".cache/z"]
    assert names(tmp_path, ".git/*", "**/HEAD") == []
    assert names(tmp_path, "[ab].png", "shots/?.png") == ["a.png", "shots/1.png"]


def test_a_glob_with_no_match_is_named(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt")
    found = collect(["a.txt", "b.txt", "c/**"], tmp_path)
    assert found.missing == ("b.txt", "c/**")


def test_a_link_out_of_the_workspace_is_refused_with_its_name(tmp_path: Path) -> None:
    root = tmp_path / "w"
    tree(root, "real.txt", "in/x.txt")
    (tmp_path / "secret").write_text("s")
    (root / "leak.txt").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path)
    (root / "inside.txt").symlink_to("real.txt")
    (root / "gone.txt").symlink_to("nowhere")
    found = collect(["*", "up/secret", "up"], root)
    assert [f.name for f in found.files] == ["inside.txt", "real.txt"]
    assert any("'leak.txt' is a symbolic link that leaves" in s for s in found.refused)
    assert any("'up' is a symbolic link that leaves" in s for s in found.refused)
    assert any("'gone.txt' can't be read" in s for s in found.refused)


def test_git_internals_are_not_reached_through_a_link(tmp_path: Path) -> None:
    tree(tmp_path, ".git/config")
    (tmp_path / "c").symlink_to(".git/config")
    assert collect(["c"], tmp_path).files == ()


def test_a_pipe_is_refused_and_nothing_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.txt")
    assert collect(["*.txt"], tmp_path).refused == ("'p.txt' is not a regular file",)


def test_limits_of_count_and_size_are_told(tmp_path: Path) -> None:
    tree(tmp_path, *[f"{n:03}.txt" for n in range(20)])
    (tmp_path / "big").write_bytes(b"x" * 2000)
    found = collect(["*"], tmp_path, max_files=5, max_size=1000)
    assert len(found.files) == 5
    assert "more than 5 files match" in found.refused[-1]
    assert collect(["big"], tmp_path, max_size=1000).refused == ("'big' has 2000 bytes (at most 1000)",)


@pytest.mark.parametrize("pattern", ["../*", "/etc/passwd", "a/../../b", ""])
def test_a_glob_that_leaves_the_workspace_is_an_error(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="does not stay in the workspace"):
        collect([pattern], tmp_path)


def test_a_name_with_control_characters_is_refused_not_stored(tmp_path: Path) -> None:
    (tmp_path / "a\nb.txt").write_text("x")
    found = collect(["*.txt"], tmp_path)
    assert found.files == ()
    assert "control character U+000A" in found.refused[0]


@pytest.mark.parametrize(
    ("pattern", "path", "hit"),
    [
        ("conftest.py", "a/b/conftest.py", True),
        ("*.py", "a/b.py", True),
        ("/a.py", "b/a.py", False),
        ("tests/*.py", "tests/a.py", True),
        ("tests/*.py", "tests/x/a.py", False),
        ("tests/**", "tests/x/a.py", True),
        ("tests/**", "tests", False),
        ("tests", "a/tests/x", True),
        ("tests/", "tests/x/y", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[!a]x", "bx", True),
        ("[!a]x", "ax", False),
        ("a[b", "a[b", True),
        ("**", "a/b", True),
        ("a.c", "abc", False),
    ],
)
def test_one_rule_for_globs(pattern: str, path: str, hit: bool) -> None:
    assert matcher([pattern])(path) is hit


def test_no_glob_matches_nothing() -> None:
    assert not matcher([])("x")


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_no_pattern_breaks_the_matcher(pattern: str, path: str) -> None:
    matcher([pattern])(path)
