"""`runner logs`, called as a program while somebody else writes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import IO, TYPE_CHECKING

import pytest
from played import Played, add

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner

    from runner.model import Claim


@pytest.fixture
def played(project: Path) -> Iterator[Played]:
    played = Played(project)
    yield played
    played.close()


def attempt(played: Played, id: str) -> tuple[Claim, int, Path]:
    """A started attempt: its claim, number and folder."""
    [claim] = played.claim()
    n = played.start(claim)
    return claim, n, played.folder(id, n)


def read(stream: IO[bytes], part: bytes, seconds: float = 20) -> bytes:
    """What a stream gives until `part` is in it."""
    data = b""
    end = time.monotonic() + seconds
    os.set_blocking(stream.fileno(), False)
    while part not in data:
        assert time.monotonic() < end, data
        data += stream.read() or b""
        time.sleep(0.02)
    return data


def test_a_task_that_has_not_started_has_no_logs_and_that_is_no_error(project: Path, runner: Runner) -> None:
    [id] = add(project)
    said = runner.ok("logs", id)
    assert said.stdout == ""
    assert f"Task {id} has not started: it is pending" in said.stderr
    assert runner.ok("logs", id, "--format", "json").json["attempt"] is None


def test_the_last_attempts_output_is_printed_byte_for_byte(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    claim, _, folder = attempt(played, id)
    (folder / "stdout.log").write_bytes(b"first\n")
    played.settle(claim, "crashed")
    _, _, folder = attempt(played, id)
    (folder / "stdout.log").write_bytes(b"a\xff\x1b[1mb\r\nno end")
    (folder / "stderr.log").write_bytes(b"oops\n")
    done = subprocess.run([*runner.argv, "logs", id], cwd=project, capture_output=True, check=True)
    assert done.stdout == b"a\xff\x1b[1mb\r\nno end"
    assert runner.ok("logs", id, "--attempt", "1").stdout == "first\n"
    assert runner.ok("logs", id, "--stderr").stdout == "oops\n"
    value = runner.ok("logs", id, "--attempt", "1", "--format", "json").json
    assert (value["attempt"], value["log"], value["bytes"], value["outcome"]) == (1, "first\n", 6, "crashed")
    ended = runner("logs", id, "--attempt", "9")
    assert (ended.code, ended.stderr) == (2, f"error: task {id} has no attempt 9\nhint: it has 2\n")


@pytest.mark.parametrize(("lines", "first"), [(1, "line 99999"), (3, "line 99997"), (200_000, "line 0")])
def test_a_tail_is_the_last_lines(project: Path, runner: Runner, played: Played, lines: int, first: str) -> None:
    [id] = add(project)
    _, _, folder = attempt(played, id)
    (folder / "stdout.log").write_text("".join(f"line {n}\n" for n in range(100_000)))
    said = runner.ok("logs", id, "--tail", str(lines)).stdout.splitlines()
    assert said[0] == first
    assert len(said) == min(lines, 100_000)


def test_json_holds_the_end_of_a_long_log_and_its_path(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    _, _, folder = attempt(played, id)
    (folder / "stdout.log").write_text("x" * (3 << 20) + "the end")
    value = runner.ok("logs", id, "--format", "json").json
    assert (len(value["log"]), value["bytes"]) == (1 << 20, (3 << 20) + 7)
    assert value["log"].endswith("the end")
    assert value["path"] == str(folder / "stdout.log")


def test_logs_of_another_machine_are_said_to_be_there(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    [claim] = played.claim()
    played.start(claim)
    ended = runner("logs", id)
    assert ended.code == 2
    assert "not on this machine" in ended.stderr
    assert "played-1" in ended.stderr


def test_follow_prints_as_it_comes_and_ends_with_the_task(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    argv = [*runner.argv, "logs", id, "-f"]
    with subprocess.Popen(argv, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert follower.stderr is not None
        read(follower.stderr, b"has not started")
        claim, _, folder = attempt(played, id)
        with open(folder / "stdout.log", "wb", buffering=0) as log:
            log.write(b"one\n")
            read(follower.stdout, b"one\n")
            log.write(b"two")
            read(follower.stdout, b"two")
            log.write(b", at the end\n")
        played.settle(claim)
        assert read(follower.stdout, b"end\n") == b", at the end\n"
        assert follower.wait(20) == 0
        assert b"is done" in read(follower.stderr, b"done")


def test_follow_goes_on_with_the_next_attempt_and_loses_nothing(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    claim, _, folder = attempt(played, id)
    (folder / "stdout.log").write_bytes(b"first attempt\n")
    argv = [*runner.argv, "logs", id, "-f", "--format", "jsonl"]
    with subprocess.Popen(argv, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        data = read(follower.stdout, b"first")
        with open(folder / "stdout.log", "ab") as log:
            log.write(b"its last words\n")
        played.settle(claim, "crashed")
        claim, _, folder = attempt(played, id)
        (folder / "stdout.log").write_bytes(b"second attempt\nno end")
        played.settle(claim, "needs_human", question="Now?")
        data += follower.communicate(timeout=20)[0]
        assert follower.returncode == 0
    lines = [json.loads(line) for line in data.decode().splitlines()]
    assert lines == [
        {"attempt": 1, "stream": "stdout", "line": "first attempt"},
        {"attempt": 1, "stream": "stdout", "line": "its last words"},
        {"attempt": 2, "stream": "stdout", "line": "second attempt"},
        {"attempt": 2, "stream": "stdout", "line": "no end"},
    ]


def test_following_a_finished_task_prints_it_and_ends(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    claim, _, folder = attempt(played, id)
    (folder / "stdout.log").write_text("all of it\nand more\n")
    played.settle(claim)
    assert runner.ok("logs", id, "-f").stdout == "all of it\nand more\n"
    assert runner.ok("logs", id, "-f", "--tail", "1").stdout == "and more\n"


def test_following_one_attempt_ends_with_it(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    claim, _, folder = attempt(played, id)
    (folder / "stdout.log").write_text("first\n")
    played.settle(claim, "crashed")
    attempt(played, id)
    assert runner.ok("logs", id, "-f", "--attempt", "1").stdout == "first\n"


def test_a_big_log_is_printed_in_flat_memory(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    _, _, folder = attempt(played, id)
    with open(folder / "stdout.log", "wb") as log:
        log.truncate(300 << 20)
    script = (
        "import os, resource, sys\nfrom runner.cli.main import run\n"
        f"code = run(['logs', {id!r}])\n"
        # On Linux ru_maxrss counts what the parent held when it forked.
        "most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "if os.path.exists('/proc/self/status'):\n"
        "    most = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "sys.stderr.write(str(most))\n"
        "sys.exit(code)\n"
    )
    argv = [runner.argv[0], "-c", script]
    done = subprocess.run(argv, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    assert int(done.stderr) < 100_000, "KiB of memory for a log of 300 MiB"


def test_an_attempt_without_output_shows_its_handlers_log(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    claim, _, folder = attempt(played, id)
    (folder / "log.txt").write_text("10:00:00 Traceback: boom\n")
    for args in ((), ("--stderr",)):
        said = runner.ok("logs", id, *args)
        assert said.stdout == "10:00:00 Traceback: boom\n"
        assert "its handler's log" in said.stderr
    value = runner.ok("logs", id, "--format", "json").json
    assert (value["stream"], value["path"]) == ("log", str(folder / "log.txt"))
    played.settle(claim, "check_failed")
    followed = runner.ok("logs", id, "-f")
    assert followed.stdout == "10:00:00 Traceback: boom\n"
    lines = runner.ok("logs", id, "-f", "--format", "jsonl").stdout
    assert json.loads(lines) == {"attempt": 1, "stream": "log", "line": "10:00:00 Traceback: boom"}


def test_the_handlers_log_can_be_asked_for_beside_the_output(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    _, _, folder = attempt(played, id)
    (folder / "log.txt").write_text("said\n")
    (folder / "stdout.log").write_text("written\n")
    assert runner.ok("logs", id).stdout == "written\n"
    assert runner.ok("logs", id, "--log").stdout == "said\n"
    assert runner("logs", id, "--log", "--stderr").code == 2
