"""What a file alone tells is told before anything runs: sessions that could be two, editors at once, names, places."""

from __future__ import annotations

import pytest

from runner.errors import ConfigError
from tests.workflows.flows import Flows

SCRIPT = "agent: script, expects: answer, prompt: x"
TWO = f"{{id: a, {SCRIPT}}}, {{id: b, {SCRIPT}}}"
RESUMES = f"{{id: c, {SCRIPT}, session: resume"


def errors(flows: Flows, text: str) -> list[str]:
    return [str(one) for one in flows.problems(text) if not one.warning]


def warnings(flows: Flows, text: str) -> list[str]:
    return [str(one) for one in flows.problems(text) if one.warning]


# Sessions


CONTAINERS = {
    "a group": (f"[{{id: g, pattern: dag, steps: [{TWO}]}}, {RESUMES}}}]", "'g/a' and 'g/b'"),
    "a loop": (
        f"[{{id: g, pattern: dag, loop: {{over: [p], as: v}}, steps: [{TWO}]}}, {RESUMES}}}]",
        "'g/a' and 'g/b'",
    ),
    "the iteration before": (
        f"[{{id: g, pattern: dag, loop: {{max: 2}}, steps: [{TWO}, {RESUMES}}}]}}]",
        "'a' and 'b'",
    ),
}


@pytest.mark.parametrize("where", CONTAINERS)
def test_two_sessions_that_are_equally_near_are_refused_inside_of_containers_too(flows: Flows, where: str) -> None:
    steps, names = CONTAINERS[where]
    [error] = errors(flows, f"max_concurrency: 1\nsteps: {steps}")
    assert "flow.yaml:2:" in error
    assert f"step 'c': {names}" in error
    assert "have a session each" in error


def group(first: str, second: str) -> str:
    return f"{{id: g, pattern: dag, steps: [{{id: a, {first}}}, {{id: b, {second}}}]}}"


ONE = {
    "the last of steps that follow each other": f"{{id: g, steps: [{TWO}]}}",
    "one session by its name": group(f"session: desk, {SCRIPT}", f"session: desk, {SCRIPT}"),
    "the nearest of those outside": f"{group(SCRIPT, SCRIPT)}, {{id: d, {SCRIPT}}}",
    "that of the other agent": group(SCRIPT, "agent: claude, expects: answer, prompt: x"),
}


@pytest.mark.parametrize("which", ONE)
def test_a_session_that_is_the_only_nearest_one_is_no_mistake(flows: Flows, which: str) -> None:
    found = flows.problems(f"max_concurrency: 1\nsteps: [{ONE[which]}, {RESUMES}}}]")
    assert [one for one in found if "session" in one.message] == []


def test_the_last_session_of_a_group_is_that_of_the_step_that_ran_last(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: g
    pattern: dag
    steps:
      - {id: second, needs: [first], agent: script, expects: answer, prompt: "[[remember: two]] [[say: x]]"}
      - {id: first, agent: script, expects: answer, prompt: "[[remember: one]] [[say: x]]"}
  - {id: c, agent: script, expects: answer, session: resume, prompt: "[[recall]]"}
"""
    )
    assert (ran.status, ran.outputs["c"]) == ("done", "two")


INNER = f"steps: [{{id: x, {SCRIPT}, session: inherit}}]"


def test_two_sessions_that_the_caller_could_mean_are_refused_for_inherit_too(flows: Flows) -> None:
    flows.write(INNER, "inner")
    text = f"pattern: dag\nmax_concurrency: 1\nsteps: [{TWO}, {{id: c, workflow: inner, needs: [a, b]}}]"
    [error] = errors(flows, text)
    assert "inner.yaml:1:" in error
    assert "step 'x': 'a' and 'b' have a session each before its caller 'c'" in error
    assert errors(flows, text.replace("needs: [a, b]", "needs: [a]")) == []


def test_a_session_that_is_not_there_is_told_inside_of_a_sub_workflow_too(flows: Flows) -> None:
    flows.write(INNER.replace("inherit", "resume"), "inner")
    [told] = warnings(
        flows, f"steps: [{{id: before, {SCRIPT}}}, {{id: s, workflow: inner}}, {{id: t, workflow: inner}}]"
    )
    assert "inner.yaml:1:" in told
    assert "step 'x': there is no session of 'script' before it to resume" in told
    flows.write(INNER, "inner")
    [told] = warnings(flows, "steps: [{id: s, workflow: inner}]")
    assert "there is no session of 'script' before its caller 's' to inherit" in told


def test_a_step_that_names_no_agent_has_the_default_one(flows: Flows) -> None:
    (flows.root / "runner.yaml").write_text("defaults: {agent: script}\n")
    text = f"steps: [{{id: a, {SCRIPT}}}, {{id: b, expects: answer, prompt: x, session: resume}}]"
    assert flows.problems(text) == []


# Editors at once


EDITORS = {
    "a repair by a named agent": ("{id: g, command: x, repairable: {agent: script}}", "a repair of step 'g'"),
    "a repair of a script": ("{id: g, script: x.py, repairable: {agent: script}}", "a repair of step 'g'"),
    "a task that is an agent's": ("{id: g, task: agent_run, agent: script, with: {prompt: x}}", "'g'"),
    "a repair of an agent that may only read": (
        "{id: g, agent: script, preset: reviewer, prompt: x, verify: [{command: x}], repairable: {agent: script}}",
        "a repair of step 'g'",
    ),
}
EDITS = "{id: b, agent: script, prompt: x}"


@pytest.mark.parametrize("which", EDITORS)
def test_whatever_lets_an_agent_edit_is_kept_apart_from_an_agent_that_edits(repo: Flows, which: str) -> None:
    (repo.root / "workflows/x.py").write_text("")
    step, told = EDITORS[which]
    text = "pattern: dag\nmax_concurrency: 2\nsteps:\n  - STEP\n  - " + EDITS
    [error] = errors(repo, text.replace("STEP", step))
    assert f"flow.yaml:5:5: step 'b' may edit the same files as {told} at the same time" in error
    for apart in ("writes: isolated", "touches: [docs/**]", "needs: [b]"):
        other = text.replace("prompt: x", "prompt: x, touches: [src/**]")
        assert errors(repo, other.replace("STEP", f"{step[:-1]}, {apart}}}")) == []


def test_a_step_that_the_agent_before_it_repairs_is_an_editor_too(repo: Flows) -> None:
    text = """
pattern: dag
max_concurrency: 2
steps:
  - {id: a, agent: script, prompt: x}
  - {id: b, agent: script, prompt: x, needs: [a]}
  - {id: test, command: x, repairable: true, needs: [a]}
"""
    [error] = errors(repo, text)
    assert "7:5: a repair of step 'test' may edit the same files as 'b' at the same time" in error
    assert errors(repo, text.replace("repairable: true", "repairable: false")) == []


@pytest.mark.parametrize(
    "step",
    [
        "{id: g, command: x}",
        "{id: g, command: x, repairable: true}",
        "{id: g, command: x, repairable: {agent: reader}}",
        "{id: g, task: agent_run, agent: script, with: {prompt: x, permission: read-only}}",
        "{id: g, task: agent_run, agent: script, expects: answer, with: {prompt: x}}",
        "{id: g, agent: script, preset: reviewer, prompt: x, verify: [{command: x}], repairable: true}",
    ],
)
def test_what_lets_no_agent_edit_may_run_beside_one_that_does(repo: Flows, step: str) -> None:
    head = "agents: {reader: {cli: script, permission: read-only}}\npattern: dag\nmax_concurrency: 2\n"
    assert errors(repo, f"{head}steps: [{step}, {EDITS}]") == []


# Names


def test_an_engine_that_no_plugin_brings_is_refused_with_its_place_and_the_nearest_name(flows: Flows) -> None:
    text = "engine: {type: opnspec}\nsteps: [{id: a, command: x}]"
    [error] = errors(flows, text)
    assert "flow.yaml:1:10: no plugin brings the engine 'opnspec' (did you mean 'openspec'?)" in error
    flows.write(text, "inner")
    [error] = errors(flows, "steps: [{id: s, workflow: inner}, {id: t, workflow: inner}]")
    assert "inner.yaml:1:10: no plugin brings the engine 'opnspec'" in error


def test_an_engine_is_called_as_its_plugin_or_as_a_check_of_it(flows: Flows) -> None:
    (flows.root / "plugins").mkdir()
    (flows.root / "plugins/engine_house.py").write_text(
        """
from runner import hookimpl
from runner.model import CheckSpec, Verdict


@hookimpl
def enrich_prompt(step, context):
    return None


@hookimpl
def register_checks():
    return {"style": CheckSpec("it is in the style")}


@hookimpl
def verify(check, step, context):
    return Verdict(True, "it is")
"""
    )
    for name in ("house", "style", "engine_house"):
        assert flows.problems(f"engine: {{type: {name}}}\nsteps: [{{id: a, command: x}}]") == []
    [error] = errors(flows, "engine: {type: hous}\nsteps: [{id: a, command: x}]")
    assert "did you mean 'house'?" in error


# Places


BASE = 'steps:\n  - {id: a, command: one}\n  - {id: b, command: "two {{someone}}"}\n'


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("{prompt: x}", "flow.yaml:2:12: a step does one thing; this has prompt and command"),
        ("{command: null}", "flow.yaml:2:12: nothing says what the step does"),
        ("{command: 'echo {{nobody}}'}", "flow.yaml:2:12: command: 'nobody' is not defined here"),
        ("{command: x, when: '{{nobody}}'}", "flow.yaml:2:"),
        ("{command: x, env: {A: '{{nobody}}'}}", "flow.yaml:2:"),
        ("{command: x, session: resume}", "flow.yaml:2:"),
        ("{command: null, agent: nobody, prompt: x}", "flow.yaml:2:12: step 'b': no agent is called 'nobody'"),
        ("{timeout: 5s}", "base.yaml:3:13: command: 'someone' is not defined here"),
    ],
)
def test_a_mistake_is_told_where_it_was_written_in_the_override_or_in_the_base(
    flows: Flows, change: str, told: str
) -> None:
    flows.write(BASE, "base")
    text = f"extends: base.yaml\noverride: {{b: {change}}}"
    try:
        found = errors(flows, text)
    except ConfigError as error:
        found = [str(error)]
    assert len(found) == 1
    assert told in found[0]
