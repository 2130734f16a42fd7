"""Runs that were interrupted: attempts nobody knows the end of, Ctrl-C between steps, a second call for one run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Runner


def until(there: Path, process: subprocess.Popen[str]) -> None:
    """Wait for a file that a step makes."""
    end = time.monotonic() + 60
    while not there.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def killed(project: Path, runner: Runner, text: str, *words: str) -> str:
    """A run whose process is killed once the file `started` is there → its id."""
    (project / "workflows").mkdir(exist_ok=True)
    (project / "workflows/flow.yaml").write_text(text)
    process = runner.start("workflow", "run", "flow", *words)
    until(project / "started", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return str(runner.ok("runs", "--format", "json").items[0]["run"])


STEP = """
steps:
  - {id: before, command: echo before >> log}
  - id: a
    command: "echo a >> log; test -e started && exit 0; touch started; sleep 60"
    KEY
  - {id: after, command: echo after >> log}
"""


def resumed(runner: Runner, run: str, code: int = 0) -> dict[str, Any]:
    ended = runner("workflow", "resume", run, "--format", "json")
    assert ended.code == code, (ended.stdout, ended.stderr)
    found: dict[str, Any] = ended.json
    return found


def test_an_attempt_nobody_knows_the_end_of_is_tried_again_and_listed(project: Path, runner: Runner) -> None:
    run = killed(project, runner, STEP.replace("KEY", ""))
    found = resumed(runner, run)
    assert (project / "log").read_text().split() == ["before", "a", "a", "after"]
    assert found["unknown"] == [{"path": "a", "attempt": 2, "then": "retry"}]
    assert "a was interrupted" in runner.ok("why", run).stdout or "attempt.unknown" in runner.ok("why", run).stdout


def test_hold_asks_a_person_first(project: Path, runner: Runner) -> None:
    run = killed(project, runner, STEP.replace("KEY", "on_unknown: hold"))
    found = resumed(runner, run, code=3)
    assert "nobody knows what it did" in found["question"]
    assert (project / "log").read_text().split() == ["before", "a"]
    runner.ok("resolve", run, "done", "--step", "a")
    assert resumed(runner, run)["status"] == "done"
    assert (project / "log").read_text().split() == ["before", "a", "after"]


@pytest.mark.parametrize(("made", "times"), [(True, 1), (False, 2)])
def test_verify_asks_the_checks_first(project: Path, runner: Runner, made: bool, times: int) -> None:
    text = STEP.replace("KEY", "on_unknown: verify\n    verify: [{file_exists: made}]")
    run = killed(project, runner, text)
    if made:
        (project / "made").write_text("")
    else:
        text = text.replace("started && exit 0", "started && touch made && exit 0")
        (project / "workflows/flow.yaml").write_text(text)
    found = resumed(runner, run)
    assert found["status"] == "done"
    assert (project / "log").read_text().split().count("a") == times


def test_an_agent_with_a_session_goes_on_in_it(project: Path, runner: Runner) -> None:
    subprocess.run(["git", "init", "-q", "."], cwd=project, check=True)
    text = """
steps:
  - id: a
    agent: script
    expects: answer
    prompt: "[[on-attempt 1: [[remember: red]] [[run: touch started]] [[sleep: 60]] ]] [[on-attempt 2: [[recall]] ]]"
"""
    run = killed(project, runner, text)
    found = resumed(runner, run)
    assert found["unknown"][0]["then"] == "resume"
    assert "red" in found["steps"][-1]["output"]


def test_ctrl_c_finishes_what_runs_and_begins_nothing_more(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text(
        "steps: [{id: a, command: 'touch started; sleep 1; echo a >> log'}, {id: b, command: 'echo b >> log'}]"
    )
    process = runner.start("workflow", "run", "flow")
    until(project / "started", process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert (project / "log").read_text().split() == ["a"]
    run = str(runner.ok("runs", "--format", "json").items[0]["run"])
    assert f"runner workflow resume {run}" in told
    assert resumed(runner, run)["status"] == "done"
    assert (project / "log").read_text().split() == ["a", "b"]


def test_two_ctrl_c_end_what_runs(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text("steps: [{id: a, command: 'touch started; sleep 60'}]")
    process = runner.start("workflow", "run", "flow")
    until(project / "started", process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate(timeout=40)
    assert process.returncode == 130
    assert time.monotonic() - began < 20


def test_one_run_is_worked_on_by_one_process(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text("steps: [{id: a, command: 'touch started; sleep 3'}]")
    process = runner.start("workflow", "run", "flow")
    until(project / "started", process)
    run = str(runner.ok("runs", "--format", "json").items[0]["run"])
    ended = runner("workflow", "resume", run)
    assert ended.code == 1 or ended.code == 2
    assert "has it" in ended.stderr
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_cancel_ends_a_run_and_its_processes(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text(
        "pattern: dag\nmax_concurrency: 2\n"
        "steps: [{id: a, command: 'touch started; sleep 60'}, {id: b, command: 'sleep 60'}]"
    )
    process = runner.start("workflow", "run", "flow")
    until(project / "started", process)
    run = str(runner.ok("runs", "--format", "json").items[0]["run"])
    runner.ok("cancel", run)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert runner.ok("show", run, "--format", "json").json["status"] == "cancelled"
