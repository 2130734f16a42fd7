"""Agents at the same time: refused in one tree unless they keep apart, isolated in worktrees, merged at the join."""

from __future__ import annotations

import pytest

from tests.workflows.flows import Flows, git

TWO = """
pattern: dag
max_concurrency: 2
steps:
  - {id: a, agent: script, A prompt: "[[write: a.txt <<from a]]"}
  - {id: b, agent: script, B prompt: "[[write: FILE <<from b]]"}
"""


def two(a: str = "", b: str = "", file: str = "b.txt") -> str:
    return TWO.replace("A prompt", f"{a} prompt", 1).replace("B prompt", f"{b} prompt", 1).replace("FILE", file)


def errors(flows: Flows, text: str) -> list[str]:
    return [str(one) for one in flows.problems(text) if not one.warning]


def test_two_agents_that_may_edit_the_same_files_at_once_are_refused(repo: Flows) -> None:
    [error] = errors(repo, two())
    assert "6:5: step 'b' may edit the same files as 'a' at the same time" in error


@pytest.mark.parametrize(
    "keys",
    [
        ("writes: isolated,", ""),
        ("touches: [src/**],", "touches: [docs/**],"),
        ("permission: read-only,", ""),
        ("preset: reviewer,", ""),
        ("writes: none,", ""),
        ("", "needs: [a],"),
    ],
)
def test_agents_that_keep_apart_may_run_at_once(repo: Flows, keys: tuple[str, str]) -> None:
    assert errors(repo, two(*keys)) == []


def test_globs_that_meet_do_not_keep_agents_apart(repo: Flows) -> None:
    assert errors(repo, two("touches: [src/**],", 'touches: ["src/a/*"],')) != []


def test_one_at_a_time_needs_no_word_on_it(repo: Flows) -> None:
    assert errors(repo, two().replace("max_concurrency: 2", "max_concurrency: 1")) == []


@pytest.mark.parametrize("own", [False, True], ids=["in the folder", "in a worktree"])
def test_isolated_steps_are_merged_at_the_join(repo: Flows, own: bool) -> None:
    repo.worktree = own
    ran = repo.run(
        two("writes: isolated,", "writes: isolated,") + '  - {id: join, needs: [a, b], command: "cat a.txt b.txt"}\n'
    )
    assert ran.status == "done", ran.result["summary"]
    assert ran.outputs["join"] == "from a\nfrom b"
    if not own:
        assert git(repo.root, "status", "--porcelain", "--untracked-files=no") == ""
        assert git(repo.root, "rev-parse", "--abbrev-ref", "HEAD") == "main"


def test_a_conflict_is_a_red_verdict_and_leaves_the_tree_as_it_was(repo: Flows) -> None:
    ran = repo.run(two("writes: isolated,", "writes: isolated,", file="a.txt"))
    states = sorted(ran.states.values())
    assert (ran.status, states) == ("failed", ["done", "failed"])
    assert "can't be merged: a.txt" in str(ran.result["summary"])
    assert git(repo.root, "status", "--porcelain", "--untracked-files=no") == ""


def test_a_conflict_can_be_repaired_in_the_steps_own_worktree(repo: Flows) -> None:
    mend = "[[on-repair: [[run: git merge -q -X ours $(git -C ROOT rev-parse HEAD)]] ]]".replace("ROOT", str(repo.root))
    text = f"""
pattern: dag
max_concurrency: 2
repairable: {{attempts: 2}}
steps:
  - {{id: a, agent: script, writes: isolated, prompt: "[[on-first: [[write: a.txt <<A]] ]] {mend}"}}
  - {{id: b, agent: script, writes: isolated, prompt: "[[on-first: [[write: a.txt <<B]] ]] {mend}"}}
"""
    ran = repo.run(text)
    assert ran.status == "done", ran.result["summary"]
    assert len(ran.attempts) == 3


def test_an_isolated_step_needs_a_repository_without_open_changes(repo: Flows, flows: Flows) -> None:
    (repo.root / "a.txt").write_text("changed\n")
    ran = repo.run(two("writes: isolated,", "needs: [a],"))
    assert "has changes that are not committed" in ran.summary("a")


def test_what_a_step_touches_is_its_evidence(repo: Flows) -> None:
    ran = repo.run(
        """
pattern: dag
max_concurrency: 2
steps:
  - {id: a, agent: script, touches: [src/**], prompt: "[[run: mkdir -p src]] [[write: src/a <<x]]"}
  - {id: b, agent: script, touches: [docs/**], prompt: "[[sleep: 0.5]] [[say: I did it]]"}
"""
    )
    assert ran.steps["a"]["outcome"] == "ok"
    assert ran.steps["b"]["outcome"] == "no_op"
