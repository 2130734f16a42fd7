"""docs/statuses.md says what the store does: every cell of its tables is tried."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import Conflict
from runner.store import CancelTask, ResolveTask, RetryTask, Settle, StartAttempt
from runner.store.transitions import settled
from runner.testing.conformance.actors import hire, new_task, submit
from runner_plugins import sqlite_store
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = (REPOSITORY / "docs" / "statuses.md").read_text()


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first column is called `heading`."""
    lines = PAGE.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in [lines[start], *lines[start + 2 :]]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


HEAD, *ROWS = table("status")
CELLS = [(row[0], command, cell) for row in ROWS for command, cell in zip(HEAD[1:], row[1:], strict=True)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    opened = sqlite_store.open_store(f"sqlite:///{tmp_path}/store.db", {})
    assert opened is not None
    yield opened
    opened.close()


def reach(store: Any, status: str) -> None:
    """A task `t` in this status."""
    if status == "blocked":
        submit(store, new_task("parent", type="nobody"))
    more: dict[str, Any] = {
        "planning": {"planning": True},
        "blocked": {"after": ("parent",)},
        "scheduled": {"not_before": time.time() + 999},
    }.get(status, {})
    submit(store, new_task("t", **more))
    worker = hire(store)
    if status == "cancelled":
        store.commit([CancelTask(task="t")])
    if status not in ("claimed", "in_progress", "needs_human", "done", "failed"):
        return
    from runner.store import ClaimTasks

    [[claim]] = store.commit([ClaimTasks(worker=worker, limit=1)])
    if status == "claimed":
        return
    store.commit([StartAttempt(fence=claim)])
    outcome = {"needs_human": "needs_human", "done": "ok", "failed": "check_failed"}.get(status)
    if outcome:
        store.commit([Settle(fence=claim, outcome=outcome)])


@pytest.mark.parametrize(("status", "command", "after"), CELLS)
def test_a_cell_of_the_table(store: Any, status: str, command: str, after: str) -> None:
    reach(store, status)
    assert store.queue.get("t").status == status
    word, _, to = command.partition(" ")
    op = {"cancel": CancelTask(task="t"), "retry": RetryTask(task="t"), "resolve": ResolveTask(task="t", to=to)}[word]
    epoch = store.queue.get("t").epoch
    if after == "-":
        with pytest.raises(Conflict):
            store.commit([op])
        assert store.queue.get("t").status == status
    else:
        assert store.commit([op]) == [after]
        assert store.queue.get("t").status == after
    assert store.queue.get("t").epoch == epoch


@pytest.mark.parametrize("row", table("outcome")[1:], ids=lambda row: row[0])
def test_a_row_of_the_outcomes(row: list[str]) -> None:
    outcome, status, spends = row
    first = settled(outcome, 0, 3, repairable=True)
    assert first.attempts == (1 if spends == "yes" else 0)
    words = re.findall(r"[a-z_]+", status)
    assert first.status == words[0]
    if "then" in words:
        assert settled(outcome, 2, 3, repairable=True).status == words[-1]
    if "failed" in words and "or" in words:
        assert settled(outcome, 0, 3, repairable=False).status == "failed"


def test_every_status_and_outcome_has_a_row() -> None:
    from runner.statuses import OUTCOMES, STATUSES

    assert [row[0] for row in ROWS] == list(STATUSES)
    assert {row[0] for row in table("outcome")[1:]} == set(OUTCOMES) - {"lost_claim"}
