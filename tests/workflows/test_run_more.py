"""Further words of a step: budgets, clean retries, artifacts, limits, engines, notes; the run's folder; look-up."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from runner.app import App
from tests.workflows.flows import Flows


def warnings(flows: Flows, text: str) -> list[str]:
    return [str(one) for one in flows.problems(text) if one.warning]


def errors(flows: Flows, text: str) -> list[str]:
    return [str(one) for one in flows.problems(text) if not one.warning]


def test_a_steps_own_budget_ends_its_attempts(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    retries: 5
    budget: {tokens: 25}
    prompt: "[[usage: 10 5 0.1]] [[exit: 7]]"
"""
    )
    assert (ran.status, ran.task.outcome, len(ran.attempts)) == ("needs_human", "budget", 2)
    assert "30 of 25 tokens" in str(ran.task.question)


def test_a_clean_retry_finds_the_tree_as_the_first_attempt_did(trees: Flows) -> None:
    ran = trees.run(
        """
steps:
  - {id: first, command: "echo kept > first.txt"}
  - id: a
    agent: script
    retries: 1
    retry_from: clean
    prompt: |
      [[on-attempt 1: [[write: half.txt <<x]] [[exit: 7]] ]]
      [[on-attempt 2: [[run: cat first.txt]] [[write: whole.txt <<y]] ]]
  - {id: after, command: "cat first.txt whole.txt; test ! -e half.txt"}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert ran.outputs["after"] == "kept\ny"


def test_a_retry_can_go_on_in_the_old_session(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    retries: 1
    retry_session: resume
    expects: answer
    prompt: "[[on-attempt 1: [[remember: red]] [[exit: 7]] ]] [[on-attempt 2: [[recall]] ]]"
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert "red" in ran.outputs["a"]


def test_declared_artifacts_of_a_step_are_kept_and_a_missing_one_is_red(flows: Flows) -> None:
    text = 'steps: [{id: a, command: "mkdir shots; touch shots/1.png shots/2.png", artifacts: ["shots/*.png"]}]'
    ran = flows.run(text)
    app = App.open(start=flows.root)
    kept = app.store.records.artifacts(task=ran.task.id)
    app.close()
    assert sorted((one.name, one.step) for one in kept) == [("shots/1.png", "a"), ("shots/2.png", "a")]
    red = flows.run('steps: [{id: a, command: "true", artifacts: [none.txt]}]')
    assert (red.status, red.summary("a")) == ("failed", "the declared artifact 'none.txt' is not there")


def test_a_rate_limit_parks_the_run_and_spends_nothing(flows: Flows) -> None:
    text = """
pattern: dag
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[run: test -e free || exit 1]] LIMIT [[say: a]]"}
  - {id: b, command: echo b >> log}
"""
    ran = flows.run(text.replace("LIMIT", "[[rate-limit: 60]]"))
    assert (ran.status, ran.task.outcome) == ("scheduled", "rate_limited")
    assert ran.states == {"a": "waiting", "b": "done"}
    assert ran.task.not_before is not None
    assert 30 < ran.task.not_before - time.time() < 70
    more = flows.resume(ran, text.replace("LIMIT", ""))
    assert (more.status, (flows.root / "log").read_text()) == ("done", "b\n")


def test_a_conversation_is_told_to_be_one_prompt(flows: Flows) -> None:
    [told] = warnings(flows, "steps: [{id: a, agent: script, mode: interactive, prompt: x}]")
    assert "gets one prompt and gives one answer" in told


def test_names_that_nobody_brings_are_errors_with_places(flows: Flows) -> None:
    text = """
steps:
  - {id: a, agent: scirpt, prompt: x}
  - {id: b, task: run_scirpt}
  - {id: c, command: x, verify: [{file_exist: y}]}
  - {id: d, task: workflow, with: {workflow: x}}
  - {id: e, command: x, repairable: {agent: nobody}}
"""
    found = "\n".join(errors(flows, text))
    for words in (
        "3:5: step 'a': no agent is called 'scirpt' (did you mean 'script'?)",
        "4:5: step 'b': no task type is called 'run_scirpt' (did you mean 'run_script'?)",
        "5:34: step 'c': no check is called 'file_exist' (did you mean 'file_exists'?)",
        "6:5: step 'd': a workflow is no task of its own here (write `workflow: NAME`)",
        "7:5: step 'e': no agent is called 'nobody'",
    ):
        assert words in found


def test_sessions_that_can_not_be_meant_are_told_at_load(flows: Flows) -> None:
    two = """
pattern: dag
max_concurrency: 1
steps:
  - {id: a, agent: script, expects: answer, prompt: x}
  - {id: b, agent: script, expects: answer, prompt: x}
  - {id: c, agent: script, session: resume, expects: answer, prompt: x, needs: [a, b]}
"""
    [error] = errors(flows, two)
    assert "step 'c': 'a' and 'b' have a session each" in error
    assert (
        errors(
            flows,
            two.replace(
                "agent: script, expects: answer, prompt: x}\n  - {id: c",
                "agent: claude, expects: answer, prompt: x}\n  - {id: c",
            ),
        )
        == []
    )
    [error] = errors(flows, "steps: [{id: a, agent: script, session: inherit, prompt: x}]")
    assert "nothing calls this workflow" in error
    told = warnings(flows, "steps: [{id: a, agent: script, session: resume, prompt: x}]")
    assert any("there is no session of 'script' before it" in one for one in told)


def test_the_runs_folder_is_for_people_and_their_tools(flows: Flows) -> None:
    ran = flows.run('steps: [{id: a, command: "echo x"}, {id: b, command: "exit 1"}]')
    app = App.open(start=flows.root)
    folder = app.project.state / "runs" / ran.task.id
    app.close()
    assert "id: a" in (folder / "workflow.yaml").read_text()
    assert json.loads((folder / "plan.json").read_text())["waves"] == [["a"], ["b"]]
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [(one["path"], one["status"]) for one in events] == [
        ("a", "running"),
        ("a", "done"),
        ("b", "running"),
        ("b", "failed"),
    ]
    assert (folder / "steps/a/1/stdout.log").read_text() == "x\n"
    assert not (folder / "steps/a/1/stderr.log").exists() or (folder / "steps/a/1/stderr.log").read_text() == ""


def test_names_are_looked_up_in_the_project_and_in_ones_own_folder_the_newest_version_first(
    flows: Flows, isolated: Path
) -> None:
    own = isolated / "config/runner/workflows"
    own.mkdir(parents=True)
    (own / "mine-v1.2.yaml").write_text("steps: [{id: a, command: echo old}]")
    (own / "mine-v1.10.yaml").write_text("steps: [{id: a, command: echo new}]")
    from runner.workflows.payload import library

    app = App.open(start=flows.root, code=True)
    try:
        found = library(app, flows.root)
        assert found.find("mine").name == "mine-v1.10.yaml"
        hidden = flows.root / ".runner/workflows"
        hidden.mkdir()
        (hidden / "mine.yaml").write_text("steps: [{id: a, command: echo here}]")
        assert found.find("mine") == hidden / "mine.yaml"
    finally:
        app.close()


def test_extended_workflows_run(flows: Flows) -> None:
    flows.write(
        "params: [{name: who, default: you}]\n"
        "steps: [{id: a, command: 'echo a {{who}}'}, {id: b, command: 'echo b'}]\n",
        "base",
    )
    ran = flows.run(
        """
extends: base.yaml
override: {b: {command: "echo B {{steps.a.output}}"}}
insert: [{after: b, steps: [{id: c, command: echo c}]}]
"""
    )
    assert ran.status == "done"
    assert ran.outputs == {"a": "a you", "b": "B a you", "c": "c"}


@pytest.mark.parametrize("count", [300])
def test_a_wide_run_is_flat_and_whole(flows: Flows, count: int) -> None:
    steps = "\n".join(f"  - {{id: s{n}, command: 'echo {n}'}}" for n in range(count))
    ran = flows.run(f"pattern: dag\nmax_concurrency: 4\nsteps:\n{steps}\n")
    assert ran.status == "done"
    assert [ran.outputs[f"s{n}"] for n in range(count)] == [str(n) for n in range(count)]
