"""Gates for people, decisions on red checks, budgets: what a run waits for, and how it goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runner.app import App
from runner.errors import UsageError
from tests.conftest import Runner
from tests.workflows.flows import Flows, lines

GATE = """
pattern: dag
steps:
  - {id: ask, gate: "Ship {{run_id}}?", options: [ship, stop], capture: said}
  - {id: beside, command: echo beside >> log}
  - {id: ship, command: "echo {{said}} >> log", needs: [ask], when: "steps.ask.answer == 'ship'"}
"""


def test_a_gate_parks_only_its_branch_then_the_run_waits_for_the_answer(flows: Flows) -> None:
    ran = flows.run(GATE)
    assert (ran.status, ran.states) == ("needs_human", {"ask": "waiting", "beside": "done", "ship": "pending"})
    assert ran.task.question == f"ask: Ship {ran.task.id}? (ship, stop)"
    with pytest.raises(UsageError, match="'shop' is no answer"):
        flows.resolve(ran, answer="shop")
    with pytest.raises(UsageError, match="--answer ship"):
        flows.resolve(ran)
    more = flows.resolve(ran, answer="ship")
    assert (more.status, lines(flows.root / "log")) == ("done", ["beside", "ship"])


def test_another_answer_takes_another_way(flows: Flows) -> None:
    more = flows.resolve(flows.run(GATE), answer="stop")
    assert (more.status, more.states["ship"]) == ("done", "skipped")


def test_a_run_that_goes_on_without_an_answer_asks_again(flows: Flows) -> None:
    ran = flows.resume(flows.run(GATE))
    assert (ran.status, ran.states["ask"]) == ("needs_human", "waiting")
    assert lines(flows.root / "log") == ["beside"]


def test_of_two_gates_each_is_answered_by_name(flows: Flows) -> None:
    ran = flows.run("pattern: dag\nsteps: [{id: a, gate: A?}, {id: b, gate: B?}]")
    assert [one["path"] for one in ran.result["waiting"]] == ["a", "b"]
    one = flows.resolve(ran, answer="yes", step="b")
    assert (one.status, one.states) == ("needs_human", {"a": "waiting", "b": "done"})
    assert flows.resolve(one, answer="too").status == "done"
    with pytest.raises(UsageError, match="step 'c' does not wait"):
        flows.resolve(ran, answer="x", step="c")


DEADLINE = """
steps:
  - {id: a, gate: A?, options: [x, y], deadline: TIME, default: y}
  - {id: b, command: "echo {{steps.a.answer}}"}
"""


def test_a_gate_whose_deadline_is_over_takes_its_default(flows: Flows) -> None:
    ran = flows.run(DEADLINE.replace("TIME", "0.2"))
    assert ran.status == "needs_human"
    time.sleep(0.3)
    more = flows.resume(ran)
    assert (more.status, more.outputs["b"]) == ("done", "y")


RED = """
steps:
  - id: make
    agent: script
    prompt: "[[say: made]]"
    expects: answer
    verify: [{file_exists: made.txt}]
    repairable: {attempts: 1}
  - {id: after, command: "echo '{{steps.make.output}}' >> log"}
"""


def test_red_checks_that_no_repair_mended_wait_for_a_person_with_a_report(flows: Flows) -> None:
    ran = flows.run(RED)
    assert (ran.status, ran.states["make"]) == ("needs_human", "waiting")
    assert [attempt.repair for attempt in ran.tries("make")] == [False, True]
    [waits] = ran.result["waiting"]
    assert waits["held"]
    assert "'made.txt' does not exist" in waits["question"]
    app = App.open(start=flows.root)
    names = [one.name for one in app.store.records.artifacts(task=ran.task.id)]
    app.close()
    assert "BLOCKED-make.md" in names


def test_a_person_accepts_the_work_and_that_is_recorded(flows: Flows) -> None:
    more = flows.resolve(flows.run(RED), "done", notes="good enough")
    assert (more.status, lines(flows.root / "log")) == ("done", ["made"])
    last = more.tries("make")[-1]
    assert last.result is not None
    assert (last.result["human"], last.result["by"], last.result["notes"]) == ("done", "ann", "good enough")


def test_a_person_gives_the_step_up(flows: Flows) -> None:
    more = flows.resolve(flows.run(RED), "failed", notes="no")
    assert (more.status, more.states["make"], more.states["after"]) == ("failed", "failed", "not_run")
    assert "given up by ann: no" in more.summary("make")


def test_a_person_lets_the_step_run_again_with_all_its_repairs(flows: Flows) -> None:
    ran = flows.run(RED)
    (flows.root / "made.txt").write_text("")
    more = flows.resolve(ran)
    assert more.status == "done"
    assert len(more.tries("make")) == 3


def test_an_agents_question_is_answered_to_it(flows: Flows) -> None:
    ran = flows.run('steps: [{id: a, agent: script, expects: answer, prompt: "[[ask: Which one?]] [[say: done]]"}]')
    assert ran.status == "needs_human", ran.result
    assert "Which one?" in str(ran.task.question)
    more = flows.resolve(ran, answer="the red one")
    assert more.status == "done", more.result["summary"]
    assert "the red one" in Path(str((more.tries("a")[-1].result or {})["folder"]), "prompt.md").read_text()


def test_a_spent_budget_stops_the_run_and_a_raised_one_goes_on(flows: Flows) -> None:
    text = """
budget: {usd: BUDGET}
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[usage: 10 5 0.6]] [[say: a]]"}
  - {id: b, agent: script, expects: answer, prompt: "[[usage: 10 5 0.6]] [[say: b]]"}
  - {id: c, agent: script, expects: answer, prompt: "[[usage: 10 5 0.6]] [[say: c]]"}
"""
    ran = flows.run(text.replace("BUDGET", "1"))
    assert (ran.status, ran.task.outcome) == ("needs_human", "budget")
    assert ran.states == {"a": "done", "b": "done", "c": "waiting"}
    assert "$1.20 of $1.00" in str(ran.task.question)
    more = flows.resume(ran, text.replace("BUDGET", "5"))
    assert more.status == "done"
    assert round(more.result["usage"]["cost_usd"], 2) == 1.8


def test_a_queued_runs_gate_takes_its_default_when_its_time_is_over(project: Path, runner: Runner) -> None:
    (project / "workflows").mkdir()
    (project / "workflows/flow.yaml").write_text(DEADLINE.replace("TIME", "1"))
    run = runner.ok("workflow", "run", "flow", "--queue").stdout.strip()
    assert runner("work", "--drain").code == 3
    assert runner.ok("show", run, "--format", "json").json["status"] == "needs_human"
    end = time.monotonic() + 30
    while runner.ok("show", run, "--format", "json").json["status"] != "done":
        assert time.monotonic() < end
        runner("work", "--drain")
    steps = {step["path"]: step for step in runner.ok("show", run, "--format", "json").json["result"]["steps"]}
    assert steps["b"]["output"] == "y"
