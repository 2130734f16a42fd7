"""Steps that work in one tree, sub-workflows with rules of their own, what is left of steps that did not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.model import Attempt
from tests.conftest import Runner
from tests.workflows.flows import Flows, git


def session(attempt: Attempt) -> object:
    return (attempt.result or {}).get("session")


def test_a_retry_of_a_step_that_goes_on_in_a_session_takes_a_new_one(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - {id: a, agent: script, expects: answer, prompt: "[[say: x]]"}
  - id: b
    agent: script
    session: resume
    retries: 1
    expects: answer
    prompt: "[[on-attempt 1: [[exit: 7]] ]] [[say: x]]"
"""
    )
    first, failed, retried = map(session, ran.attempts)
    assert failed == first
    assert retried not in (None, first)


def test_a_clean_retry_in_ones_own_folder_is_told_to_be_none(repo: Flows) -> None:
    ran = repo.run('steps: [{id: a, agent: script, retry_from: clean, expects: answer, prompt: "[[say: x]]"}]')
    assert ran.result["warnings"] == ["a: `retry_from: clean` has no effect in your own folder; run it with --worktree"]


def test_a_seal_is_not_broken_by_who_may_edit_the_tests_at_the_same_time(repo: Flows) -> None:
    (repo.root / "test_a.py").write_text("def test_a(): assert True\n")
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-qm", "tests")
    text = """
pattern: dag
steps:
  - id: tests
    agent: script
    touches: ["test_*.py"]
    may_edit: ["test_*.py"]
    prompt: "[[sleep: 0.3]] [[write: test_a.py <<def test_a(): pass]]"
  - id: code
    agent: script
    touches: [src/**]
    prompt: "[[write: src/x.py <<X = 1]] [[sleep: 0.8]] CHEATS"
    verify: [{command: python3 -m pytest -q}]
"""
    ran = repo.run(text.replace("CHEATS", ""))
    assert ran.states == {"tests": "done", "code": "done"}, ran.result["summary"]
    # What nobody beside it may edit is sealed as ever.
    git(repo.root, "checkout", "-q", "--", ".")
    git(repo.root, "clean", "-fdq", "src")
    ran = repo.run(text.replace("CHEATS", "[[write: conftest.py <<x = 1]]"))
    assert ran.states["code"] == "waiting"


def test_what_another_step_changed_is_not_this_ones_work(repo: Flows) -> None:
    ran = repo.run(
        """
pattern: dag
steps:
  - {id: a, agent: script, touches: [src/**], prompt: "[[write: src/a <<x]]"}
  - id: b
    agent: script
    touches: [docs/**]
    expects: answer
    prompt: "[[sleep: 0.5]] [[say: I did it]]"
    verify: [{git_changed: "*"}]
"""
    )
    assert ran.states == {"a": "done", "b": "failed"}


def test_work_elsewhere_than_it_touches_is_told_to_be_none(repo: Flows) -> None:
    ran = repo.run(
        """
pattern: dag
steps:
  - {id: a, agent: script, touches: [inside/**], prompt: "[[write: outside.txt <<x]]"}
  - {id: b, agent: script, touches: [other/**], prompt: "[[write: other/x <<x]]"}
"""
    )
    assert (ran.states["a"], ran.summary("a")) == ("failed", "nothing that it touches (inside/**) was changed")


@pytest.mark.parametrize("kind", ["loop: {max: 1},", "", "loop: {over: [a], as: v},"])
def test_what_a_skipped_container_would_have_captured_is_empty(flows: Flows, kind: str) -> None:
    ran = flows.run(
        f"""
steps:
  - {{id: a, when: "false", {kind} steps: [{{id: x, command: echo v, capture: got}}]}}
  - {{id: b, command: "echo [{{{{got}}}}]"}}
"""
    )
    assert ran.outputs["b"] == "[]", ran.summary("b")
    assert ran.result["warnings"] == ["a was skipped: 'got' is empty"]


@pytest.mark.parametrize(
    "box",
    [
        "loop: {over: 'none*', as: v}, steps: [{id: x, command: echo v, capture: got}]",
        "continue_on_failure: true, steps: [{id: y, command: 'false'}, {id: x, command: echo v, capture: got}]",
        "loop: {max: 2}, steps: [{id: y, command: 'true', break_if: success}, {id: x, command: echo v, capture: got}]",
    ],
)
def test_what_did_not_run_and_need_not_leaves_its_capture_empty(flows: Flows, box: str) -> None:
    ran = flows.run(f'steps: [{{id: a, {box}}}, {{id: b, command: "echo [{{{{got}}}}]"}}]')
    assert (ran.status, ran.outputs.get("b")) == ("done", "[]"), ran.result["summary"]


def test_the_output_of_every_step_has_a_file(flows: Flows) -> None:
    ran = flows.run(
        """
steps:
  - {id: a, command: echo hello}
  - {id: b, agent: script, expects: answer, prompt: "[[say: hi]]"}
  - {id: c, command: "cat -- {{steps.a.path}} {{steps.b.path}}"}
"""
    )
    assert ran.outputs["c"] == "hello\nhi", ran.summary("c")


def test_a_sub_workflow_goes_on_after_failures_when_it_says_so(flows: Flows) -> None:
    inner = "RULE\npattern: dag\nsteps: [{id: a, command: 'false'}, {id: c, command: 'true'}]"
    text = "max_concurrency: 1\nTOP\npattern: dag\nsteps: [{id: s, workflow: inner}, {id: t, command: 'true'}]"
    for rule, top, states in (
        ("on_error: continue", "", ("done", "not_run")),
        ("", "", ("not_run", "not_run")),
        ("", "on_error: continue", ("done", "done")),
        ("on_error: fail-fast", "on_error: continue", ("not_run", "done")),
    ):
        flows.write(inner.replace("RULE", rule), "inner")
        ran = flows.run(text.replace("TOP", top))
        assert (ran.status, ran.states["s"]) == ("failed", "failed")
        assert (ran.states["s/c"], ran.states["t"]) == states, (rule, top)


def test_a_run_that_failed_waits_for_nobody(flows: Flows) -> None:
    ran = flows.run(
        """
pattern: dag
steps:
  - {id: a, gate: "Go?", options: [x]}
  - {id: bad, command: "false"}
  - {id: c, needs: [a], command: "true"}
"""
    )
    assert (ran.status, ran.states) == ("failed", {"a": "not_run", "bad": "failed", "c": "not_run"})
    assert flows.resume(ran, text=None).states["a"] == "not_run"


def test_what_is_shown_beforehand_is_what_can_run(flows: Flows) -> None:
    text = """
steps:
  - {id: a, command: echo a}
  - {id: b, command: echo b, when: "1 == 1"}
  - {id: l, loop: {max: 3}, steps: [{id: s, command: echo s}]}
"""
    ran = flows.run(text)
    assert flows.preview(ran, text.replace("1 == 1", "1 == 2"))[1] == {}
    assert flows.preview(ran, text.replace("max: 3", "max: 2"))[1] == {}
    renamed = text.replace("id: b", "id: c").replace("echo a", "echo A")
    assert flows.preview(ran, renamed)[1] == {"a": "definition changed", "c": "not started", "l": "not started"} | {
        f"l[{n}]/s": "an input changed" for n in (1, 2, 3)
    }


def test_a_run_from_the_middle_of_one_from_the_middle_has_the_results_of_both(
    project: Path, runner: Runner, flows: Flows
) -> None:
    flows.write(
        "steps: [{id: a, command: echo A}, {id: b, command: echo B},"
        " {id: c, command: 'echo {{steps.a.output}}{{steps.b.output}}'}]"
    )
    runner.ok("workflow", "run", "flow")
    runner.ok("workflow", "run", "flow", "--from", "b")
    last = runner.ok("workflow", "run", "flow", "--from", "c", "--format", "json").json
    assert [step["output"] for step in last["steps"] if step["path"] == "c"] == ["AB"]


def test_what_did_not_run_and_containers_that_failed_say_so_in_json(flows: Flows) -> None:
    ran = flows.run("steps: [{id: box, steps: [{id: a, command: 'false'}]}, {id: b, command: 'true'}]")
    assert {path: step["outcome"] for path, step in ran.steps.items()} == {
        "box": "failed",
        "box/a": "check_failed",
        "b": None,
    }


def test_a_worktree_needs_a_commit_and_leaves_out_what_is_not_committed(runner: Runner, flows: Flows) -> None:
    flows.write("steps: [{id: a, command: 'cat b.txt'}]")
    refused = runner("workflow", "run", "flow", "--worktree")
    assert (refused.code, refused.stdout) == (2, "")
    assert "--worktree needs a git repository with a commit" in refused.stderr
    git(flows.root, "init", "-q")
    (flows.root / "b.txt").write_text("one\n")
    git(flows.root, "add", "-A")
    git(flows.root, "commit", "-qm", "first")
    (flows.root / "b.txt").write_text("two\n")
    ran = runner.ok("workflow", "run", "flow", "--worktree", "--format", "json")
    assert ran.json["steps"][0]["output"] == "one"
    assert "changes that are not committed are not in it" in ran.stderr


@pytest.mark.parametrize(
    ("check", "says", "state"),
    [
        ("git_changed", "[[say: x]]", "failed"),
        ("git_changed", "[[write: own.txt <<x]]", "done"),
        ("git_changed: new.txt", "[[write: new.txt <<other]]", "done"),
        ("git_changed: new.txt", "[[delete: new.txt]]", "done"),
        ('git_changed: {paths: "*", untracked: false}', "[[write: own.txt <<x]]", "failed"),
        ('git_changed: {paths: "*", untracked: false}', "[[write: a.txt <<x]]", "done"),
        ("no_diff: ['*']", "[[say: x]]", "done"),
        ("no_diff: ['*']", "[[write: new.txt <<other]]", "failed"),
    ],
)
def test_in_ones_own_folder_what_was_there_before_is_no_change(repo: Flows, check: str, says: str, state: str) -> None:
    (repo.root / "a.txt").write_text("changed by a person\n")
    ran = repo.run(
        f"""
steps:
  - {{id: a, command: "echo x > new.txt"}}
  - {{id: b, agent: script, expects: answer, prompt: "[[say: done]] {says}", verify: [{{{check}}}]}}
""".replace("[{git_changed}]", "[git_changed]")
    )
    assert ran.states["b"] == state, ran.result["summary"]
    assert git(repo.root, "diff", "--cached", "--name-only") == ""


def test_a_group_in_a_loop_goes_on_in_the_session_of_the_iteration_before(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: rounds
    loop: {max: 3}
    steps:
      - id: box
        steps:
          - {id: work, agent: script, session: resume, expects: answer, prompt: "[[say: x]]"}
          - {id: note, command: "true"}
"""
    )
    sessions = {session(attempt) for attempt in ran.attempts if attempt.step.endswith("work")}
    assert (ran.status, len(sessions)) == ("done", 1)
