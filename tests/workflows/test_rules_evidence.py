"""What counts as work: what is expected of a step, in which order that is judged, and isolated work that is merged."""

from __future__ import annotations

import time

import pytest

from tests.workflows.flows import Flows, Ran, git, lines


def outcome(ran: Ran, path: str = "a") -> str | None:
    return ran.tries(path)[-1].outcome


@pytest.mark.parametrize(
    "work",
    [
        "[[write: new.txt <<x]]",
        "[[append: a.txt <<x]]",
        "[[delete: a.txt]]",
        "[[run: chmod +x a.txt]]",
        "[[run: git add there.txt]]",
        "[[run: git commit -q --allow-empty -m x]]",
        "[[run: git checkout -q HEAD~0 && git commit -q --allow-empty -m y]]",
    ],
)
def test_a_change_is_one_of_the_head_the_index_or_the_files(repo: Flows, work: str) -> None:
    (repo.root / "there.txt").write_text("untracked before\n")
    ran = repo.run(f'steps: [{{id: a, agent: script, prompt: "{work}"}}]')
    assert outcome(ran) == "ok", ran.summary("a")


@pytest.mark.parametrize(
    "work",
    [
        "[[say: all tests pass]]",
        "[[run: touch a.txt]]",
        "[[run: printf one > other; rm other]]",
        "[[append: a.txt <<x]] [[run: git checkout -q a.txt]]",
        "[[print: a.txt changed]]",
    ],
)
def test_what_is_as_it_was_is_no_change(repo: Flows, work: str) -> None:
    (repo.root / "there.txt").write_text("untracked before\n")
    ran = repo.run(f'steps: [{{id: a, agent: script, prompt: "{work}"}}]')
    assert (ran.status, outcome(ran)) == ("failed", "no_op")


@pytest.mark.parametrize("check", ["exit_code: 0", "output_contains: did", "file_exists: a.txt", "command: 'true'"])
def test_no_check_stands_for_changes(repo: Flows, check: str) -> None:
    ran = repo.run(f'steps: [{{id: a, agent: script, verify: [{{{check}}}], prompt: "[[say: did it]]"}}]')
    assert outcome(ran) == "no_op"


def test_nothing_done_is_told_before_any_check_is_asked_and_is_not_repaired(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - id: a
    agent: script
    repairable: {attempts: 2}
    verify: [{command: "touch looked; false"}]
    prompt: "[[say: did it]]"
"""
    )
    assert [one.outcome for one in ran.attempts] == ["no_op"]
    assert not (repo.root / "looked").exists()


def test_a_declared_artifact_that_git_ignores_is_work(repo: Flows) -> None:
    (repo.root / ".gitignore").write_text("out/\n")
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-qm", "ignore")
    work = "[[write: out/report.txt <<x]]"
    ran = repo.run(f'steps: [{{id: a, agent: script, artifacts: out/report.txt, prompt: "{work}"}}]')
    assert outcome(ran) == "ok"
    (repo.root / "out/report.txt").unlink()
    assert outcome(repo.run(f'steps: [{{id: a, agent: script, prompt: "{work}"}}]')) == "no_op"


@pytest.mark.parametrize(("expects", "wanted"), [("none", "ok"), ("answer", "no_op"), ("changes", "no_op")])
def test_what_is_expected_can_be_said(repo: Flows, expects: str, wanted: str) -> None:
    (repo.root / "runner.yaml").write_text("agents: {mute: {program: 'true', argv: ['{prompt}']}}\n")
    ran = repo.run(f"steps: [{{id: a, agent: mute, expects: {expects}, prompt: hello}}]")
    assert outcome(ran) == wanted


def test_in_a_worktree_a_check_of_changes_sees_those_of_its_own_step(trees: Flows) -> None:
    ran = trees.run(
        """
steps:
  - {id: a, command: "echo x > new.txt; echo y >> a.txt"}
  - {id: b, agent: script, expects: answer, prompt: "[[say: x]]", verify: [{git_changed: "*"}]}
"""
    )
    assert (ran.states["b"], outcome(ran, "b")) == ("failed", "check_failed")


def test_steps_in_different_containers_may_have_the_same_id(flows: Flows) -> None:
    flows.write("steps: [{id: a, command: echo sub}]", "inner")
    ran = flows.run(
        """
steps:
  - {id: a, command: echo top}
  - {id: g, steps: [{id: a, command: echo group}, {id: b, command: "echo {{steps.a.output}}"}]}
  - {id: l, loop: {max: 2}, steps: [{id: a, command: echo loop}]}
  - {id: s, workflow: inner}
  - {id: b, command: "echo {{steps.a.output}}"}
"""
    )
    assert ran.outputs["g/b"] == "group"
    assert ran.outputs["b"] == "top"
    assert set(ran.order) == {"a", "g/a", "g/b", "l[1]/a", "l[2]/a", "s/a", "b"}


def test_what_waits_takes_no_place_of_what_could_run(flows: Flows) -> None:
    ran = flows.run("pattern: dag\nmax_concurrency: 1\nsteps: [{id: a, gate: A?}, {id: b, command: echo b >> log}]")
    assert (ran.states, lines(flows.root / "log")) == ({"a": "waiting", "b": "done"}, ["b"])


def test_the_time_of_the_run_does_not_go_on_while_a_limit_lasts(flows: Flows) -> None:
    text = (
        "timeout: 1.5s\nsteps: [{id: a, agent: script, expects: answer, prompt: 'HERE'}, {id: b, command: sleep 0.2}]"
    )
    ran = flows.run(text.replace("HERE", "[[rate-limit: 1]]"))
    time.sleep(1.6)
    more = flows.resume(ran, text.replace("HERE", "[[say: x]]"))
    assert more.status == "done", more.result["summary"]


@pytest.mark.parametrize(
    ("retry", "keys"), [("retries: 9", "[[exit: 7]]"), ("repairable: {attempts: 9}", "[[say: x]]")]
)
def test_a_spent_budget_of_the_run_ends_retries_and_repairs(flows: Flows, retry: str, keys: str) -> None:
    ran = flows.run(
        f"""
budget: {{tokens: 20}}
steps:
  - id: a
    agent: script
    expects: answer
    {retry}
    verify: [{{file_exists: never}}]
    prompt: "[[usage: 10 5 0]] {keys}"
"""
    )
    assert (ran.status, ran.task.outcome, len(ran.attempts)) == ("needs_human", "budget", 2)


# Isolated


def test_an_isolated_step_begins_with_what_the_one_before_it_did(repo: Flows) -> None:
    ran = repo.run(
        """
steps:
  - {id: a, agent: script, writes: isolated, prompt: "[[write: c.txt <<from a]]"}
  - {id: b, agent: script, writes: isolated, prompt: "[[run: cat c.txt > d.txt]]"}
  - {id: z, command: "cat d.txt"}
"""
    )
    assert ran.outputs["z"] == "from a", ran.result["summary"]


def test_nothing_of_an_isolated_step_that_is_red_is_merged(repo: Flows) -> None:
    ran = repo.run(
        """
on_error: continue
pattern: dag
steps:
  - {id: a, agent: script, writes: isolated, prompt: "[[write: b.txt <<x]]", verify: [{file_exists: never}]}
  - {id: b, command: "test ! -e b.txt", needs: [a], when: always()}
"""
    )
    assert ran.states == {"a": "failed", "b": "done"}
    assert git(repo.root, "log", "--format=%s") == "first"


def test_an_isolated_step_needs_a_repository(flows: Flows) -> None:
    ran = flows.run("steps: [{id: a, agent: script, writes: isolated, prompt: '[[write: x <<y]]'}]")
    assert (ran.status, "is in no git repository" in ran.summary("a")) == ("failed", True)
