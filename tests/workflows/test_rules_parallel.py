"""Agents that could edit the same files at once are found wherever they stand; what a person decides about a gate."""

from __future__ import annotations

import pytest

from tests.workflows.flows import Flows, git, lines

A = "{id: a, agent: script, prompt: x}"
B = "{id: b, agent: script, prompt: x}"
AT_ONCE = {
    "in two groups": f"[{{id: g, steps: [{A}]}}, {{id: h, steps: [{B}]}}]",
    "in a sub-workflow and beside it": f"[{{id: g, workflow: inner}}, {B}]",
    "in a loop and beside it": f"[{{id: g, loop: {{max: 2}}, steps: [{A}]}}, {B}]",
    "in one iteration": f"[{{id: g, pattern: dag, loop: {{max: 2}}, steps: [{A}, {B}]}}]",
    "of which one says what it touches": f"[{{id: a, agent: script, prompt: x, touches: [src/a.py]}}, {B}]",
    "of which one is isolated and two are not": f"[{{id: i, agent: script, prompt: x, writes: isolated}}, {A}, {B}]",
}


@pytest.mark.parametrize("where", AT_ONCE)
def test_two_agents_that_may_edit_at_once_are_found(repo: Flows, where: str) -> None:
    repo.write(f"steps: [{A}]", "inner")
    text = f"pattern: dag\nmax_concurrency: 2\nsteps: {AT_ONCE[where]}"
    [said] = [str(one) for one in repo.problems(text) if not one.warning]
    assert "may edit the same files as" in said
    assert ".yaml:3:" in said


APART = {
    "groups that follow each other": f"[{{id: g, steps: [{A}]}}, {{id: h, needs: [g], steps: [{B}]}}]",
    "a need between them": f"[{A}, {{id: c, command: x, needs: [a]}}, {B[:-1]}, needs: [c]}}]",
    "iterations of a loop": f"[{{id: g, loop: {{over: [p, q], as: v}}, steps: [{A}, {B}]}}]",
    "one that only reads": f"[{A}, {{id: b, agent: script, preset: analyst, prompt: x}}]",
}


@pytest.mark.parametrize("how", APART)
def test_what_keeps_them_apart_is_understood(repo: Flows, how: str) -> None:
    text = f"pattern: dag\nmax_concurrency: 2\nsteps: {APART[how]}"
    assert [str(one) for one in repo.problems(text) if not one.warning] == []


def test_an_edited_gate_that_a_person_wants_tried_again_is_still_compared_with_the_first(repo: Flows) -> None:
    (repo.root / "check.sh").write_text("test -e ok\n")
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-qm", "gate")
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    prompt: "[[write: ok <<x]] [[on-attempt 1: [[write: check.sh <<true]] ]]"
    verify: [{command: sh check.sh}]
"""
    )
    again = repo.resolve(ran)
    assert (again.status, "the gate was edited" in str(again.task.question)) == ("needs_human", True)
    git(repo.root, "checkout", "-q", "check.sh")
    assert repo.resolve(again).status == "done"


def test_a_gate_that_is_given_up_can_be_tolerated(flows: Flows) -> None:
    text = 'steps: [{id: a, gate: "Go?", KEY}, {id: b, command: echo b >> log}]'
    ran = flows.resolve(flows.run(text.replace(", KEY", "")), "failed")
    assert (ran.status, ran.states) == ("failed", {"a": "failed", "b": "not_run"})
    ran = flows.resolve(flows.run(text.replace("KEY", "continue_on_failure: true")), "failed")
    assert (ran.status, ran.states, lines(flows.root / "log")) == ("done", {"a": "failed", "b": "done"}, ["b"])


def test_an_agents_message_of_more_than_a_mebibyte_is_refused_with_its_path(flows: Flows) -> None:
    ran = flows.run(
        """
params: [{name: big}]
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[say: {{big}}]]"}
  - {id: size, command: "wc -c < {{steps.a.path}}"}
  - {id: b, command: "printf '%s' {{steps.a.output}}"}
""",
        {"big": "y" * 1_200_000},
    )
    assert (ran.states["size"], ran.states["b"]) == ("done", "failed")
    assert int(ran.outputs["size"]) >= 1_200_000
    assert "too many for a text" in ran.summary("b")


def test_values_that_agents_see_again_hold_no_secret_before_and_after_going_on(
    flows: Flows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "supersecretvalue123")
    ran = flows.run(
        """
steps:
  - {id: a, command: "echo $MY_API_TOKEN", capture: got}
  - {id: b, command: "printf '%s' {{got}} >> log; test -e ok"}
"""
    )
    (flows.root / "ok").write_text("")
    flows.resume(ran)
    assert (flows.root / "log").read_text() == "[redacted]" * 2
