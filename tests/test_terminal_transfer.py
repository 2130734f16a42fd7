"""Progress of uploads and downloads: a line on a terminal while they last, nothing elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.terminal import Terminal

SLOW = """\
import time

from runner import hookimpl
from runner_plugins.artifacts_local import LocalArtifacts


class Slow(LocalArtifacts):
    def put(self, source):
        return super().put(Held(source))

    def get(self, sha256):
        return Held(super().get(sha256))


class Held:
    def __init__(self, stream):
        self.stream = stream

    def read(self, size=-1):
        time.sleep(0.1)
        return self.stream.read(size)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stream.close()


@hookimpl
def open_artifact_store(url):
    if url.startswith("slow://"):
        from pathlib import Path

        return Slow(Path(url.removeprefix("slow://")))
"""
MIB = 1 << 20


@pytest.fixture
def slow(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose artifact store takes a tenth of a second for a MiB, and a file of 20 MiB."""
    (tmp_path / "slowly.py").write_text(SLOW)
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "runner"
    config.mkdir()
    (config / "config.yaml").write_text(f"plugins: [slowly]\nartifacts: slow://{tmp_path}/blobs\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (project / "a big one.zip").write_bytes(os.urandom(20 * MIB))
    return project


@pytest.mark.parametrize("columns", [80, 200])
def test_a_person_sees_how_far_it_is(runner: Runner, slow: Path, columns: int) -> None:
    ref = ""
    for words in (["upload", "a big one.zip"], ["download", "REF", "--output", "back"]):
        argv = [*runner.argv, "artifact", *(ref if word == "REF" else word for word in words)]
        with Terminal(argv, slow, columns) as terminal:
            terminal.until(lambda: bool(re.search(r"^a big one\.zip .*━.* \d+\.\d/20\.0 MiB .*MiB/s", terminal.text)))
            assert len(terminal.lines) == 1
            assert len(terminal.lines[0]) < columns
            before = len(terminal.raw)
            terminal.read(1.0)
            assert 2 <= terminal.raw[before:].count(b"MiB/s") <= 8
            assert terminal.wait() == 0
            assert terminal.cursor_is_shown
            assert "MiB/s" not in terminal.text
            if not ref:
                match = re.fullmatch(r"Artifact (\S+) a big one\.zip \(20\.0 MiB\)", terminal.text)
                assert match
                ref = match[1]
    assert (slow / "back").read_bytes() == (slow / "a big one.zip").read_bytes()


@pytest.mark.parametrize("words", [["-q"], ["--format", "json"]])
def test_nobody_sees_it_who_does_not_want_it(runner: Runner, slow: Path, words: list[str]) -> None:
    with Terminal([*runner.argv, "artifact", "upload", "a big one.zip", *words], slow) as terminal:
        assert terminal.wait() == 0
        assert b"\x1b" not in terminal.raw
        assert b"MiB/s" not in terminal.raw


def test_a_pipe_sees_nothing(runner: Runner, slow: Path) -> None:
    assert runner.ok("artifact", "upload", "a big one.zip").stderr == ""


def test_ctrl_c_leaves_no_line_and_no_file(runner: Runner, slow: Path) -> None:
    with Terminal([*runner.argv, "artifact", "upload", "a big one.zip"], slow) as terminal:
        terminal.until("MiB/s")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "MiB/s" not in terminal.text
        assert terminal.lines[-1].endswith("interrupted")
    assert runner.ok("artifact", "list", "--format", "json").items == []


def test_a_worker_shows_how_far_an_upload_is(runner: Runner, slow: Path) -> None:
    (slow / ".gitignore").write_text("*.zip\n.runner/\n")
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run(["git", *words], cwd=slow, check=True)
    script = '{"script": "head -c 12000000 /dev/urandom > big.bin"}'
    runner.ok("submit", "--type", "run_script", "--payload", script, "--artifact", "big.bin")
    with Terminal([*runner.argv, "work"], slow) as terminal:
        terminal.until(lambda: bool(re.search(r"run_script  storing +\d:\d\d  big\.bin: [1-9]\d %", terminal.text)))
        assert terminal.wait() == 0
