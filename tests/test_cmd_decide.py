"""`runner review`, `failures`, `resolve`, `cancel` and `retry`, called as a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pexpect
import pytest
from played import Played, add

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Runner

RED = {"ok": False, "summary": "weighs: 3, not 5", "evidence": {"check": "weighs", "value": 5}}


@pytest.fixture
def played(project: Path) -> Iterator[Played]:
    played = Played(project)
    yield played
    played.close()


def task(runner: Runner, id: str) -> dict[str, Any]:
    value: dict[str, Any] = runner.ok("show", id, "--format", "json").json
    return value


def waiting(project: Path, played: Played, question: str = "Rye or wheat?") -> str:
    """A task that waits for a person."""
    add(project)
    return played.run("needs_human", question=question)


# -- review and failures


def test_review_shows_questions_and_red_checks_with_the_commands_that_answer(
    project: Path, runner: Runner, played: Played
) -> None:
    asks = waiting(project, played)
    add(project)
    red = played.run("check_failed", {"summary": "too light", "verdicts": [RED], "branch": "runner/x"}, repairable=True)
    add(project)
    text = runner.ok("review").stdout
    assert "question  Rye or wheat?" in text
    assert f'runner resolve {asks} pending --answer "…"' in text
    assert "RED       weighs: 3, not 5" in text
    assert "branch    runner/x" in text
    assert f"runner resolve {red} done" in text
    items = runner.ok("review", "--format", "json").items
    assert [item["id"] for item in items] == [red, asks]
    assert (items[1]["reason"], items[1]["question"]) == ("Rye or wheat?", "Rye or wheat?")
    assert items[0]["commands"][1] == f"runner resolve {red} done"
    assert [item["id"] for item in runner.ok("review", asks[:8], "--format", "json").items] == [asks]


def test_nothing_to_review_is_said_on_stderr(project: Path, runner: Runner) -> None:
    said = runner.ok("review")
    assert (said.stdout, said.stderr) == ("", "Nothing waits for you.\n")
    assert runner.ok("failures").stderr == "Nothing failed.\n"
    assert runner.ok("failures", "--format", "json").items == []


def test_failures_show_the_error_and_how_to_queue_them_again(project: Path, runner: Runner, played: Played) -> None:
    add(project, agent="cook")
    id = played.run("check_failed", {"summary": "the oven is cold", "verdicts": [RED]})
    text = runner.ok("failures").stdout
    for part in (
        f"{id}  hello by cook: check_failed",
        "the oven is cold",
        "RED",
        f"runner retry {id}",
        f"runner logs {id}",
    ):
        assert part in text
    [item] = runner.ok("failures", "--format", "json").items
    assert (item["reason"], item["commands"][1]) == ("the oven is cold", f"runner retry {id}")


# -- resolve


def test_an_answer_queues_the_task_again_with_it(project: Path, runner: Runner, played: Played) -> None:
    id = waiting(project, played)
    assert runner.ok("resolve", id, "--answer", "Rye").stdout == f"Task {id} queued again\n"
    value = task(runner, id)
    assert (value["status"], value["answer"], value["attempts"]) == ("pending", "Rye", 0)


@pytest.mark.parametrize(
    ("words", "status"),
    [([], "done"), (["done"], "done"), (["completed"], "done"), (["failed"], "failed"), (["todo"], "pending")],
)
def test_a_decision_becomes_the_status(
    project: Path, runner: Runner, played: Played, words: list[str], status: str
) -> None:
    id = waiting(project, played)
    value = runner.ok("resolve", id, *words, "--notes", "by hand", "--format", "json").json
    assert (value["id"], value["status"]) == (id, status)
    assert "by hand" in runner.ok("why", id).stdout


def test_all_are_those_that_need_a_human(project: Path, runner: Runner, played: Played) -> None:
    ids = {waiting(project, played) for _ in range(3)}
    add(project)
    failed = played.run("check_failed")
    [pending] = add(project)
    items = runner.ok("resolve", "all", "pending", "--format", "json").items
    assert {item["id"] for item in items} == ids
    assert {item["status"] for item in items} == {"pending"}
    assert task(runner, failed)["status"] == "failed"
    assert task(runner, pending)["status"] == "pending"
    assert runner.ok("resolve", "all").stderr == "Nothing waits for you.\n"


def test_all_asks_on_a_terminal_and_a_no_changes_nothing(project: Path, runner: Runner, played: Played) -> None:
    id = waiting(project, played)
    child = pexpect.spawn(runner.argv[0], [*runner.argv[1:], "resolve", "all"], cwd=str(project), timeout=20)
    child.expect_exact("Accept all 1 tasks that need a human?")
    child.sendline("n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus != 0
    assert task(runner, id)["status"] == "needs_human"
    child = pexpect.spawn(runner.argv[0], [*runner.argv[1:], "resolve", "all", "--yes"], cwd=str(project), timeout=20)
    child.expect_exact(f"Task {id} done")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["dnoe"], "did you mean 'done'?"),
        (["running"], "is not a decision"),
        (["done", "--answer", "Rye"], "use --notes"),
    ],
)
def test_a_wrong_decision_is_exit_2_and_changes_nothing(
    project: Path, runner: Runner, played: Played, words: list[str], part: str
) -> None:
    id = waiting(project, played)
    ended = runner("resolve", id, *words)
    assert ended.code == 2
    assert part in ended.stderr
    assert task(runner, id)["status"] == "needs_human"


def test_a_task_that_waits_for_nobody_takes_no_decision(project: Path, runner: Runner) -> None:
    [id] = add(project)
    ended = runner("resolve", id, "done")
    assert (ended.code, ended.stdout) == (1, "")
    assert f"task {id} is pending" in ended.stderr


def test_a_parent_that_is_accepted_lets_its_child_go_on(project: Path, runner: Runner, played: Played) -> None:
    parent = waiting(project, played)
    [child] = add(project, after=(parent,))
    runner.ok("resolve", parent, "done")
    assert played.run() == child


# -- cancel and retry


def test_a_waiting_task_is_cancelled_at_once_and_can_be_retried(project: Path, runner: Runner) -> None:
    [id] = add(project)
    assert runner.ok("cancel", id[:9], "--reason", "no flour").stdout == f"Task {id} cancelled\n"
    assert task(runner, id)["status"] == "cancelled"
    assert "no flour" in runner.ok("why", id).stdout
    assert runner.ok("retry", id).stdout == f"Task {id} queued again\n"
    assert task(runner, id)["status"] == "pending"


def test_a_running_task_is_asked_to_end(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project)
    [claim] = played.claim()
    played.start(claim)
    assert runner.ok("cancel", id).stdout == f"Task {id} is being ended on box\n"
    value = task(runner, id)
    assert (value["status"], value["cancel_requested"]) == ("in_progress", True)
    ended = runner("retry", id)
    assert ended.code == 1
    assert f"hint: cancel it first: `runner cancel {id}`" in ended.stderr
    played.settle(claim, "cancelled")
    assert task(runner, id)["status"] == "cancelled"


def test_several_are_decided_one_by_one_and_an_error_stops_no_other(project: Path, runner: Runner) -> None:
    first, second, third = add(project, count=3)
    runner.ok("cancel", second)
    ended = runner("cancel", first, second, third, "--format", "json")
    assert ended.code == 1
    assert [item.get("status", item.get("error", {}).get("code")) for item in ended.items] == [
        "cancelled",
        "conflict",
        "cancelled",
    ]
    assert f"task {second} is already cancelled" in ended.stderr


def test_a_wrong_id_among_several_changes_nothing(project: Path, runner: Runner) -> None:
    [id] = add(project)
    ended = runner("cancel", id, "zzz")
    assert (ended.code, task(runner, id)["status"]) == (2, "pending")
    assert runner("cancel").code == 2


def test_the_same_task_named_twice_is_decided_once(project: Path, runner: Runner) -> None:
    [id] = add(project)
    assert runner.ok("cancel", id, id[:10]).stdout == f"Task {id} cancelled\n"


def test_a_retry_gives_all_attempts_back(project: Path, runner: Runner, played: Played) -> None:
    [id] = add(project, attempts=1)
    played.run("crashed", {"summary": "the oven exploded"})
    assert task(runner, id)["attempts"] == 1
    value = runner.ok("retry", id, "--anywhere", "--format", "json").json
    assert (value["status"], value["attempts"], value["interruptions"]) == ("pending", 0, 0)
