"""What is told of a run before it has come to anything: in progress, interrupted, cancelled, not begun."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.workflows.test_run_interrupted import until

FLOW = """
name: slow
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[usage: 10 5 0.5]] [[say: done]]"}
  - id: each
    loop: {over: [x/y, z], as: one}
    steps: [{id: work, command: "echo {{one}}; touch started; until test -e go; do sleep 0.1; done"}]
  - id: group
    steps: [{id: b, command: echo b}]
"""


@pytest.fixture
def process(project: Path, runner: Runner) -> Iterator[subprocess.Popen[str]]:
    """A run that is in its loop until there is a file `go`."""
    (project / "workflows").mkdir()
    (project / "workflows/file.yaml").write_text(FLOW)
    process = runner.start("workflow", "run", "workflows/file.yaml", "--format", "json")
    try:
        until(project / "started", process)
        yield process
    finally:
        (project / "go").write_text("")
        process.communicate(timeout=60)


def test_a_run_in_progress_has_a_name_steps_and_a_cost(
    project: Path, runner: Runner, process: subprocess.Popen[str]
) -> None:
    [item] = runner.ok("runs", "--workflow", "slow", "--format", "json").items
    assert (item["workflow"], item["status"]) == ("slow", "in_progress")
    assert item["counts"] == {"done": 1, "running": 1, "pending": 1}
    assert item["usage"] == {"cost_usd": 0.5, "tokens": 15, "turns": 0}
    table = runner.ok("runs").stdout
    assert "1/3" in table
    assert "$0.50" in table
    assert "each[x/y]/work  shell  running" in runner.ok("show", item["run"]).stdout
    why = runner.ok("why", item["run"], "group/b")
    assert why.stdout == "group/b is pending\n  it has not begun\n"
    assert runner.ok("why", item["run"], "group/b", "--format", "json").json["status"] == "pending"
    assert runner.ok("why", item["run"], "each[x/y]/work").stdout.startswith("each[x/y]/work is running\n")
    ended = runner("why", item["run"], "group/c")
    assert (ended.code, "has no step 'group/c'" in ended.stderr) == (2, True)
    ended = runner("resolve", item["run"], "--answer", "x")
    assert (ended.code, "wait until it asks again" in ended.stderr) == (1, True)


def test_an_interrupted_run_tells_what_it_came_to_and_how_to_go_on(
    project: Path, runner: Runner, process: subprocess.Popen[str]
) -> None:
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    (project / "go").write_text("")
    out, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    [item] = runner.ok("runs", "--format", "json").items
    assert item["counts"] == {"done": 2, "pending": 1}
    import json

    found = json.loads(out)
    assert [(one["path"], one["status"]) for one in found["steps"]] == [
        ("a", "done"),
        ("each[x/y]/work", "done"),
        ("group/b", "pending"),
    ]
    assert (found["workflow"], found["usage"]["cost_usd"]) == ("slow", 0.5)
    why = runner.ok("why", item["run"], "--format", "json").json
    assert why["commands"] == [f"runner workflow resume {item['run']}", f"runner cancel {item['run']}"]
    assert "runner run" not in why["summary"]
    assert runner.ok("workflow", "resume", item["run"], "--format", "json").json["status"] == "done"


def test_a_cancelled_run_tells_what_it_came_to(project: Path, runner: Runner, process: subprocess.Popen[str]) -> None:
    [item] = runner.ok("runs", "--format", "json").items
    runner.ok("cancel", item["run"])
    process.communicate(timeout=60)
    [item] = runner.ok("runs", "--format", "json").items
    assert (item["status"], item["counts"]) == ("cancelled", {"done": 1, "cancelled": 1, "not_run": 1})
    assert runner.ok("why", item["run"], "--format", "json").json["commands"] == [
        f"runner workflow resume {item['run']}"
    ]


def test_a_run_that_nobody_has_begun_has_its_name_and_steps(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/file.yaml").write_text(FLOW)
    runner.ok("workflow", "run", "file", "--queue")
    [item] = runner.ok("runs", "--workflow", "slow", "--format", "json").items
    assert (item["status"], item["counts"]) == ("pending", {"pending": 2})


def test_steps_that_run_again_are_told_as_they_are_now(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    text = 'steps: [{id: a, command: "test -e ok"}, {id: b, command: "touch started; sleep 2"}]'
    (project / "workflows/flow.yaml").write_text(text)
    run = runner("workflow", "run", "flow", "--format", "json").json["run"]
    (project / "ok").write_text("")
    process = runner.start("workflow", "resume", run)
    until(project / "started", process)
    [item] = runner.ok("runs", "--format", "json").items
    assert item["counts"] == {"done": 1, "running": 1}
    process.communicate(timeout=60)
