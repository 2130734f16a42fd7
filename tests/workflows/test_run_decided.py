"""What people are offered to decide about a run, that the program takes just that, and what is told of it later."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from runner.app import App
from runner.errors import Conflict
from runner.statuses import PENDING
from runner.workflows.decisions import decision
from tests.conftest import Runner

OPTIONS = 'steps: [{id: q, gate: "Ship?", options: ["yes", "not now"]}]'
TEXT = 'steps: [{id: q, gate: "Which?"}]'
ASKS = 'steps: [{id: q, agent: script, expects: answer, prompt: "[[ask: Which?]] [[say: done]]"}]'
RED = """
steps:
  - id: q
    agent: script
    expects: answer
    prompt: "[[say: made]]"
    verify: [{file_exists: x}]
    repairable: {attempts: 1}
"""
SPENT = """
budget: {usd: 1}
steps:
  - {id: p, agent: script, expects: answer, prompt: "[[usage: 10 5 1.5]] [[say: p]]"}
  - {id: q, agent: script, expects: answer, prompt: "[[say: q]]"}
"""
SEVERAL = """
pattern: dag
steps:
  - {id: q1, gate: "One?", options: ["yes", "no"]}
  - {id: q2, gate: "Two?"}
  - {id: after, command: "echo {{steps.q1.answer}} {{steps.q2.answer}} >> log", needs: [q1, q2]}
"""


def started(project: Path, runner: Runner, text: str, *words: str) -> dict[str, Any]:
    """A run that waits → its JSON."""
    (project / "workflows").mkdir(exist_ok=True)
    (project / "workflows/flow.yaml").write_text(text)
    ended = runner("workflow", "run", "flow", *words, "--format", "json")
    assert ended.code == 3, ended.stderr
    found: dict[str, Any] = ended.json
    return found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OPTIONS, "--answer yes|'not now'"),
        (TEXT, "--answer TEXT"),
        (ASKS, "--answer TEXT"),
        (RED, "done | failed | pending"),
    ],
)
def test_what_is_offered_is_what_can_be_said(project: Path, runner: Runner, text: str, words: str) -> None:
    found = started(project, runner, text)
    run = found["run"]
    command = f"runner resolve {run} {words}"
    assert [one["command"] for one in found["waiting"]] == [command]
    [item] = runner.ok("review", "--format", "json").items
    assert item["commands"] == [command]
    assert [one["command"] for one in item["waiting"]] == [command]
    assert f"  $ {command}   # " in runner.ok("review").stdout
    assert f"  {command}   # " in runner.ok("why", run).stdout
    told = runner("workflow", "resume", run).stderr
    assert f"decide: {command}; then: runner workflow resume {run}\n" in told
    for one in words.replace("--answer", "").replace("|", " | ").split(" | "):
        [word] = shlex.split(one)
        another = started(project, runner, text)["run"]
        said = runner.ok("resolve", another, *(["--answer"] if "--answer" in words else []), word).stdout
        assert said == f"Decided; go on with: runner workflow resume {another}\n"


def test_of_a_spent_budget_it_is_said_that_it_has_to_be_raised(project: Path, runner: Runner) -> None:
    run = started(project, runner, SPENT)["run"]
    [item] = runner.ok("review", "--format", "json").items
    assert item["commands"] == [f"runner workflow resume {run}"]
    assert f"decide: raise it, then: runner workflow resume {run}\n" in runner("workflow", "resume", run).stderr
    runner.ok("resolve", run, "failed")
    assert runner("workflow", "resume", run, "--format", "json").json["status"] == "failed"


def test_of_several_that_wait_each_is_shown_with_its_path(project: Path, runner: Runner) -> None:
    found = started(project, runner, SEVERAL)
    run = found["run"]
    commands = [f"runner resolve {run} --step q1 --answer yes|no", f"runner resolve {run} --step q2 --answer TEXT"]
    assert [one["command"] for one in found["waiting"]] == commands
    text = runner.ok("review").stdout
    assert "question  q1: One? (yes, no)\n  question  q2: Two?\n" in text
    assert all(f"$ {command}" in text for command in commands)
    why = runner.ok("why", run)
    assert "q2: Two?" in why.stdout
    assert runner.ok("why", run, "--format", "json").json["commands"] == commands
    told = runner("workflow", "resume", run).stderr
    assert f"decide: {commands[0]}   # One?\ndecide: {commands[1]}   # Two?\nthen: runner workflow resume" in told


def test_gates_that_wait_at_once_are_answered_one_after_the_other(project: Path, runner: Runner) -> None:
    run = started(project, runner, SEVERAL)["run"]
    assert runner.ok("resolve", run, "--step", "q2", "--answer", "two").stdout == (
        f"Decided; still to be decided:\n  runner resolve {run} --step q1 --answer yes|no\n"
        f"then go on with: runner workflow resume {run}\n"
    )
    again = runner("resolve", run, "--step", "q2", "--answer", "three")
    assert (again.code, "step 'q2' is decided already" in again.stderr) == (2, True)
    assert f"runner resolve {run} --answer yes|no" in runner.ok("why", run).stdout
    assert runner.ok("resolve", run, "--answer", "yes").stdout == f"Decided; go on with: runner workflow resume {run}\n"
    ended = runner("resolve", run, "--answer", "no")
    assert (ended.code, "nothing is left to decide" in ended.stderr) == (1, True)
    runner.ok("workflow", "resume", run)
    assert (project / "log").read_text() == "yes two\n"
    story = runner.ok("why", run).stdout
    assert "q2: answered by " in story
    decisions = runner.ok("why", run, "--format", "json").json["decisions"]
    assert [(one["step"], one["answer"]) for one in decisions if one["step"]] == [("q2", "two"), ("q1", "yes")]


def test_two_people_who_decide_at_once_undo_nothing(project: Path, runner: Runner) -> None:
    run = started(project, runner, SEVERAL)["run"]
    app = App.open(start=project)
    try:
        task = app.store.queue.get(run)
        assert task is not None
        app.store.commit([decision(task, PENDING, answer="yes", step="q1")])
        with pytest.raises(Conflict, match="somebody else has just decided"):
            app.store.commit([decision(task, PENDING, answer="two", step="q2")])
    finally:
        app.close()
    runner.ok("resolve", run, "--answer", "two")
    runner.ok("workflow", "resume", run)
    assert (project / "log").read_text() == "yes two\n"


def test_of_a_run_in_the_queue_a_worker_goes_on(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text(TEXT)
    run = runner.ok("workflow", "run", "flow", "--queue").stdout.strip()
    assert runner("work", "--drain").code == 3
    assert runner.ok("resolve", run, "--answer", "x").stdout == f"Decided; a worker goes on with run {run}\n"
    runner.ok("work", "--drain")


@pytest.mark.parametrize("words", [["done"], ["pending"], []])
def test_a_gate_is_answered_by_an_answer_only(project: Path, runner: Runner, words: list[str]) -> None:
    run = started(project, runner, OPTIONS)["run"]
    ended = runner("resolve", run, *words)
    assert (ended.code, ended.stderr) == (
        2,
        f"error: q asks: Ship?\nhint: runner resolve {run} --answer yes|'not now'\n",
    )


def test_a_gate_is_given_up(project: Path, runner: Runner) -> None:
    run = started(project, runner, OPTIONS)["run"]
    runner.ok("resolve", run, "failed", "--notes", "never")
    found = runner("workflow", "resume", run, "--format", "json").json
    assert (found["status"], found["steps"][0]["status"]) == ("failed", "failed")
    assert "given up by" in found["steps"][0]["summary"]
    assert ": never" in runner.ok("why", run, "q").stdout


def test_work_that_a_person_accepted_is_not_told_as_the_agents(project: Path, runner: Runner) -> None:
    run = started(project, runner, RED)["run"]
    runner.ok("resolve", run, "done", "--notes", "good enough")
    assert "q: accepted by " in runner.ok("why", run).stdout
    found = runner.ok("workflow", "resume", run, "--format", "json").json
    assert found["steps"][0]["summary"].startswith("accepted by ")
    step = runner.ok("why", run, "q").stdout
    assert step.startswith("q is done: accepted by ")
    last = step.splitlines()[-1]
    assert "attempt 3 of q: accepted by " in last
    assert last.endswith(": good enough")
    story = runner.ok("why", run).stdout
    assert "resolved: pending" not in story
    assert "after 1 attempt and 1 repair" in story
    [decided] = [one for one in runner.ok("why", run, "--format", "json").json["decisions"] if one["step"]]
    assert (decided["step"], decided["status"], decided["notes"]) == ("q", "done", "good enough")


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_report_that_can_not_be_written_is_told_before_anything_runs(
    project: Path, runner: Runner, command: str
) -> None:
    text = 'steps: [{id: a, command: "echo a >> log"}, {id: b, command: "test -e ok"}]'
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text(text)
    words = ["run", "flow"]
    if command == "resume":
        words = ["resume", runner("workflow", "run", "flow", "--format", "json").json["run"], "--from", "a"]
    before = (project / "log").read_text() if command == "resume" else ""
    ended = runner("workflow", *words, "--junit", "/nonexist/x.xml")
    assert (ended.code, "can't be written" in ended.stderr) == (2, True)
    assert ((project / "log").read_text() if (project / "log").exists() else "") == before
