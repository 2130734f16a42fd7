"""`runner artifact` and `runner store`, called as a program."""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from played import Played, add

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner


@pytest.fixture
def played(project: Path) -> Iterator[Played]:
    played = Played(project)
    yield played
    played.close()


def test_a_file_goes_up_is_listed_and_comes_back_the_same(project: Path, runner: Runner) -> None:
    data = os.urandom(100_000)
    (project / "shot.png").write_bytes(data)
    said = runner.ok("artifact", "upload", "shot.png", "--work-unit", "wu-1").stdout
    [item] = runner.ok("artifact", "list", "--format", "json").items
    assert said == f"Artifact {item['ref']} shot.png (97.7 KiB)\n"
    assert (item["name"], item["type"], item["size"]) == ("shot.png", "image/png", 100_000)
    assert (item["work_unit"], item["task"]) == ("wu-1", None)
    assert item["sha256"] == hashlib.sha256(data).hexdigest()
    assert item["ref"] in runner.ok("artifact", "list").stdout
    value = runner.ok("artifact", "download", item["ref"][:9], "--output", "back.png", "--format", "json").json
    assert (project / "back.png").read_bytes() == data
    assert value["path"] == str(project / "back.png")


def test_an_artifact_has_a_name_a_type_and_a_task(project: Path, runner: Runner) -> None:
    [id] = add(project, unit="wu-1")
    add(project)
    (project / "log").write_text("x")
    args = ("artifact", "upload", "log", "--name", "build/log.txt", "--type", "text/x-log", "--task", id[:9])
    item = runner.ok(*args, "--format", "json").json
    assert (item["name"], item["type"], item["task"], item["work_unit"]) == ("build/log.txt", "text/x-log", id, "wu-1")
    assert [a["ref"] for a in runner.ok("artifact", "list", "--task", id, "--format", "json").items] == [item["ref"]]
    assert runner.ok("artifact", "list", "--work-unit", "other", "--format", "json").items == []
    assert runner.ok("show", id, "--format", "json").json["artifacts"][0]["ref"] == item["ref"]
    assert runner.ok("queue", "--format", "json").items[1]["artifacts"][0]["name"] == "build/log.txt"


def test_a_download_takes_the_artifacts_own_name_but_no_file_of_that_name(project: Path, runner: Runner) -> None:
    (project / "a.txt").write_text("kept")
    ref = runner.ok("artifact", "upload", "a.txt", "--name", "deep/a.txt", "--format", "json").json["ref"]
    ended = runner("artifact", "download", ref)
    assert (ended.code, (project / "a.txt").read_text()) == (1, "kept")
    assert "is there already" in ended.stderr
    (project / "a.txt").unlink()
    runner.ok("artifact", "download", ref)
    assert (project / "a.txt").read_text() == "kept"
    (project / "into").mkdir()
    runner.ok("artifact", "download", ref, "--output", "into")
    assert (project / "into" / "a.txt").read_text() == "kept"


def test_a_download_may_go_to_standard_output(project: Path, runner: Runner) -> None:
    data = bytes(range(256)) * 9000
    (project / "a.bin").write_bytes(data)
    ref = runner.ok("artifact", "upload", "a.bin", "--format", "json").json["ref"]
    argv = [*runner.argv, "artifact", "download", ref, "--output", "-"]
    assert subprocess.run(argv, cwd=project, capture_output=True, check=True).stdout == data


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["upload", "none.txt"], "there is no file none.txt"),
        (["upload", "."], ". is not a file"),
        (["upload", "a.txt", "--task", "zzz"], "no task 'zzz'"),
        (["upload", "a.txt", "--name", "../up.txt"], "'..' part"),
        (["download", "zzz"], "no artifact 'zzz'"),
        (["download", ""], "no artifact ''"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(project: Path, runner: Runner, args: list[str], part: str) -> None:
    (project / "a.txt").write_text("a")
    ended = runner("artifact", *args)
    assert ended.code == 2
    assert part in ended.stderr
    assert runner.ok("artifact", "list", "--format", "json").items == []


def test_inside_a_task_an_upload_is_the_tasks_and_a_stale_holders_is_refused(
    project: Path, runner: Runner, played: Played
) -> None:
    [id] = add(project)
    [claim] = played.claim()
    n = played.start(claim)
    (project / "a.txt").write_text("a")
    env = {"RUNNER_TASK_ID": id, "RUNNER_EPOCH": str(claim.epoch), "RUNNER_WORK_UNIT_ID": id}
    item = runner.ok("artifact", "upload", "a.txt", "--format", "json", env=env).json
    assert (item["task"], item["attempt"], item["epoch"], item["by"]) == (id, n, claim.epoch, f"task:{id}")
    played.release(claim)
    played.claim()
    ended = runner("artifact", "upload", "a.txt", "--format", "json", env=env)
    assert (ended.code, ended.error["code"]) == (1, "lost_claim")
    assert len(runner.ok("artifact", "list", "--format", "json").items) == 1


def test_an_artifact_that_was_damaged_is_not_given_out(project: Path, runner: Runner, played: Played) -> None:
    (project / "a.txt").write_text("a" * 100)
    item = runner.ok("artifact", "upload", "a.txt", "--format", "json").json
    [blob] = [p for p in (played.project.state / "artifacts").rglob("*") if p.name.endswith(item["sha256"][2:])]
    blob.chmod(0o600)
    blob.write_text("b" * 100)
    ended = runner("artifact", "download", item["ref"], "--output", "back.txt")
    assert ended.code == 4
    assert "damaged" in ended.stderr
    assert not (project / "back.txt").exists()
    ended = runner("artifact", "download", item["ref"], "--output", "-")
    assert (ended.code, ended.stdout) == (4, "")


def test_a_store_tells_where_it_is_and_what_it_holds(project: Path, runner: Runner) -> None:
    add(project, count=3)
    value = runner.ok("store", "info", "--format", "json").json
    assert (value["tasks"], value["counts"], value["artifacts"]) == (3, {"pending": 3}, 0)
    assert value["url"].startswith("sqlite:///")
    assert value["bytes"] > 0
    assert "3 pending" in runner.ok("store", "info").stdout


def test_a_store_that_is_up_to_date_needs_no_upgrade(project: Path, runner: Runner) -> None:
    runner.ok("queue")
    assert runner.ok("store", "upgrade").stdout == "The store is up to date.\n"
    assert runner.ok("store", "upgrade", "--format", "json").json["applied"] == []
