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
    if own:
        assert git(repo.root, "show", f"runner/{ran.task.id}:b.txt") == "from b"
    assert git(repo.root, "log", "--format=%s", "main") == "first"
    assert git(repo.root, "status", "--porcelain", "--", "a.txt") == ("" if own else "M a.txt")


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
