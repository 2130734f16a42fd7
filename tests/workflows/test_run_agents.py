"""Agents as steps: what counts as done, checks, repair or retry, seals, sessions; with the scripted agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflows.flows import Flows, git


def test_a_native_agent_step_that_changes_nothing_is_no_op_however_it_boasts(repo: Flows) -> None:
    ran = repo.run('steps: [{id: a, agent: script, prompt: "[[say: all done, tests green]]"}]')
    assert (ran.status, ran.steps["a"]["outcome"]) == ("failed", "no_op")


@pytest.mark.parametrize(
    "more", ["preset: reviewer", "preset: analyst", "permission: read-only", "mode: headless", "expects: answer"]
)
def test_who_only_answers_has_done_its_work_with_an_answer(repo: Flows, more: str) -> None:
    ran = repo.run(f'steps: [{{id: a, agent: script, {more}, prompt: "[[say: looks fine]]"}}]')
    assert (ran.status, ran.outputs["a"]) == ("done", "looks fine")


def test_an_earlier_steps_change_is_not_this_ones(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - {id: a, agent: script, prompt: "[[write: new.txt <<x]]"}
  - {id: b, agent: script, prompt: "[[say: me too]]"}
"""
    )
    assert {path: one["outcome"] for path, one in ran.steps.items()} == {"a": "ok", "b": "no_op"}


def test_a_commit_alone_is_a_change(repo: Flows) -> None:
    ran = repo.run('steps: [{id: a, agent: script, prompt: "[[run: git commit -q --allow-empty -m x]]"}]')
    assert ran.status == "done", ran.result["summary"]


def test_the_final_message_is_passed_whole(flows: Flows) -> None:
    long = "x" * 5000
    ran = flows.run(
        f'steps: [{{id: a, agent: script, expects: answer, prompt: "[[say: {long}]]"}}, '
        "{id: b, command: \"printf '%s' '{{steps.a.output}}' | wc -c\"}]"
    )
    assert ran.outputs["b"].strip() == "5000"


# Retry or repair


def test_a_crash_is_tried_again_with_the_error_in_the_prompt_and_the_tree_as_it_is(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    retries: 2
    prompt: "[[on-attempt 1: [[write: half.txt <<x]] [[exit: 7]] ]] [[on-attempt 2: [[append: half.txt <<y]] ]]"
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert [attempt.outcome for attempt in ran.tries("a")] == ["crashed", "ok"]
    assert (repo.root / "half.txt").read_text().split() == ["x", "y"]
    prompt = Path(str((ran.tries("a")[1].result or {})["folder"]), "prompt.md").read_text()
    assert "crashed" in prompt


def test_a_red_check_is_repaired_and_not_tried_again(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    retries: 5
    repairable: {attempts: 2}
    prompt: "[[on-first: [[write: b.txt <<x]] ]] [[on-repair: [[write: ok.txt <<x]] ]]"
    verify: [{file_exists: ok.txt}]
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert [(attempt.outcome, attempt.repair) for attempt in ran.tries("a")] == [("check_failed", False), ("ok", True)]


def test_without_a_repairer_a_red_check_fails(repo: Flows) -> None:
    text = 'steps: [{id: a, agent: script, retries: 5, prompt: "[[write: b <<x]]", verify: [{file_exists: no}]}]'
    ran = repo.run(text)
    assert (ran.status, ran.steps["a"]["outcome"], len(ran.attempts)) == ("failed", "check_failed", 1)


def test_attempts_are_at_most_one_and_retries_and_repairs(repo: Flows) -> None:
    ran = repo.run(
        """
on_error: {retry: {max: 2}}
steps:
  - {id: a, agent: script, prompt: "[[exit: 7]]"}
"""
    )
    assert (ran.status, len(ran.attempts)) == ("failed", 3)


def test_the_steps_word_on_retries_goes_before_the_agents_and_the_workflows(repo: Flows) -> None:
    text = """
on_error: {retry: {max: 3}}
agents: {impl: {cli: script, retries: 2}}
steps: [{id: a, agent: impl, MORE prompt: "[[exit: 7]]"}]
"""
    assert len(repo.run(text.replace("MORE", "retries: 1,")).attempts) == 2
    assert len(repo.run(text.replace("MORE", "")).attempts) == 3


def test_a_shell_gate_is_repaired_by_the_workflows_repairer_then_runs_again(repo: Flows) -> None:
    ran = repo.run(
        """
agents: {lead: {cli: script}}
repairable: {agent: lead, attempts: 2}
steps:
  - {id: gate, command: "echo run >> log; test -e fixed || { echo '[[write: fixed <<x]]'; exit 1; }"}
  - {id: after, command: "true"}
"""
    )
    assert ran.status == "done", ran.result
    assert [(a.outcome, a.agent) for a in ran.tries("gate")] == [("check_failed", None), ("ok", "script"), ("ok", None)]


def test_without_a_name_the_agent_of_the_nearest_need_repairs(repo: Flows) -> None:
    ran = repo.run(
        """
repairable: true
steps:
  - {id: make, agent: script, prompt: "[[write: made <<x]]"}
  - {id: gate, command: "test -e fixed || { echo '[[write: fixed <<x]]'; exit 1; }"}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    assert [attempt.agent for attempt in ran.tries("gate")] == [None, "script", None]


# Seals

EDITS = {
    "the protected test": "[[edit: test_a.py :: 1 == 2 :: 1 == 1]]",
    "the check's script": "[[write: check.sh <<exit 0]]",
    "a conftest.py": "[[write: conftest.py <<def pytest_collection_modifyitems(items): items.clear()]]",
    "sitecustomize.py": "[[write: sitecustomize.py <<import os; os._exit(0)]]",
    "the hooks of git": (
        "[[run: printf '#!/bin/sh\\nexit 0\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit]]"
    ),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("when", ["first", "repair"])
def test_an_agent_that_edits_the_gate_is_caught(repo: Flows, edit: str, when: str) -> None:
    (repo.root / "test_a.py").write_text("def test_a():\n    assert 1 == 2\n")
    (repo.root / "check.sh").write_text("python3 -m pytest -q test_a.py\n")
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-qm", "tests")
    first = "[[write: work.txt <<x]]" + (EDITS[edit] if when == "first" else "")
    prompt = f"[[on-first: {first} ]] [[on-repair: {EDITS[edit]} ]]".replace("\\", "\\\\").replace('"', '\\"')
    ran = repo.run(
        f"""
steps:
  - id: a
    agent: script
    repairable: {{attempts: 1}}
    prompt: "{prompt}"
    verify: [{{command: sh check.sh}}, {{git_changed: "*"}}]
"""
    )
    assert ran.status == "needs_human", ran.result["summary"]
    assert "the gate was edited" in str(ran.task.question)


def test_a_program_put_before_the_real_one_on_the_path_changes_no_verdict(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    prompt: "[[run: mkdir -p bin; printf '#!/bin/sh\\\\nexit 0\\\\n' > bin/false; chmod +x bin/false]]"
    env: {PATH: "bin:/usr/bin:/bin"}
    verify: [{command: "false"}]
"""
    )
    assert (ran.status, ran.steps["a"]["outcome"]) == ("failed", "check_failed")


def test_adding_a_test_is_not_punished(repo: Flows) -> None:
    (repo.root / "test_a.py").write_text("def test_a():\n    assert True\n")
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-qm", "tests")
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    prompt: "[[write: test_b.py <<def test_b(): assert True]]"
    verify: [{command: python3 -m pytest -q}]
"""
    )
    assert ran.status == "done", ran.result["summary"]


def test_may_edit_exempts_the_step_whose_job_it_is_and_no_later_one(repo: Flows) -> None:
    (repo.root / "test_a.py").write_text("def test_a():\n    assert False\n")
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-qm", "tests")
    text = """
steps:
  - id: tests
    agent: script
    prompt: "[[write: test_a.py <<def test_a(): assert True]]"
    may_edit: ["test_*.py"]
    verify: [{command: python3 -m pytest -q}]
  - id: code
    agent: script
    prompt: "[[write: test_a.py <<def test_a(): pass]]"
    verify: [{command: python3 -m pytest -q}]
"""
    ran = repo.run(text)
    assert ran.states == {"tests": "done", "code": "waiting"}
    assert "the gate was edited" in str(ran.task.question)


# Sessions


def test_a_step_begins_a_new_session_by_default(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[remember: red]] [[say: a]]"}
  - {id: b, agent: script, expects: answer, prompt: "[[recall]]"}
"""
    )
    one, two = ((ran.tries(name)[0].result or {})["session"] for name in ("a", "b"))
    assert one != two


def test_resume_goes_on_in_the_nearest_session_along_the_needs(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[remember: red]] [[say: a]]"}
  - {id: sh, command: "true"}
  - {id: b, agent: script, session: resume, expects: answer, prompt: "[[recall]]"}
"""
    )
    assert ran.status == "done", ran.result["summary"]
    one, two = ((ran.tries(name)[0].result or {})["session"] for name in ("a", "b"))
    assert one == two
    assert "red" in ran.outputs["b"]


def test_resume_in_a_counted_loop_goes_on_in_the_iteration_before_in_a_for_each_never(repo: Flows) -> None:
    body = '{id: a, agent: script, session: resume, expects: answer, prompt: "[[say: x]]"}'
    counted = repo.run(f"steps:\n  - id: l\n    loop: {{max: 3}}\n    steps: [{body}]\n")
    assert len({(a.result or {})["session"] for a in counted.attempts}) == 1
    each = repo.run(f"steps:\n  - id: l\n    loop: {{over: [a, b], as: v}}\n    steps: [{body}]\n")
    found = [(a.result or {}).get("session") for a in each.attempts]
    assert len(set(found)) == 2
    assert any("begins a new one" in warning for warning in each.result["warnings"])


def test_inherit_goes_on_in_the_calling_workflows_session(repo: Flows) -> None:
    repo.write(
        'steps: [{id: a, agent: script, session: inherit, expects: answer, prompt: "[[recall]]"}]',
        "inner",
    )
    ran = repo.run(
        """
steps:
  - {id: first, agent: script, expects: answer, prompt: "[[remember: blue]] [[say: x]]"}
  - {id: sub, workflow: inner}
"""
    )
    assert "blue" in ran.outputs["sub/a"]


def test_a_named_session_is_one_for_the_run_with_one_writer_at_a_time(repo: Flows) -> None:
    prompt = "[[run: echo + >> log; sleep 0.2; echo - >> log]] [[say: x]]"
    step = f'{{id: ID, agent: script, session: desk, expects: answer, prompt: "{prompt}"}}'
    steps = ", ".join(step.replace("ID", f"s{n}") for n in range(3))
    ran = repo.run(f"pattern: dag\nmax_concurrency: 3\nsteps: [{steps}]")
    assert ran.status == "done", ran.result["summary"]
    assert len({(a.result or {})["session"] for a in ran.attempts}) == 1
    assert (repo.root / "log").read_text().split() == ["+", "-"] * 3


def test_a_session_can_be_given_from_outside(repo: Flows) -> None:
    first = repo.run('steps: [{id: a, agent: script, expects: answer, prompt: "[[remember: green]] [[say: x]]"}]')
    session = (first.attempts[0].result or {})["session"]
    ran = repo.run(
        """
steps:
  - {id: sh, command: "true"}
  - {id: b, agent: script, session: resume, expects: answer, prompt: "[[recall]]"}
""",
        _session=session,
    )
    assert "green" in ran.outputs["b"]
