"""A client that is stopped in the middle of a commit (SIGSTOP, a lid that is closed) holds nobody up for long."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from runner.model import Claim
from runner.store import REFUSED, AppendMessage, ClaimTasks, PutLimits, Settle, TaskFilter
from runner.testing import history
from runner.testing.conformance.actors import (
    PROJECT,
    claim,
    do,
    eventually,
    hire,
    new_task,
    new_worker,
    outlast,
    settle,
    statuses,
    submit,
)
from runner_plugins import postgres_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.testing import postgres

SPAWN = multiprocessing.get_context("spawn")
OPTIONS = {"timeout": 2.0}
"""A stopped client loses its locks after half of it."""

TASKS = 300

STATE = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'victim'"


def opened(url: str) -> Any:
    store = postgres_store.open_store(url, OPTIONS)
    assert store is not None
    return store


def _work(url: str, answers: Any) -> None:
    """Claims, settles, and says what the store answered, until nothing is left. Each commit ends with a message."""
    store, worker = opened(url), new_worker("victim")
    held: list[Any] = []
    for n in range(TASKS):
        ops: list[Any] = [Settle(fence=one, outcome="ok") for one in held]
        ops += [ClaimTasks(worker=worker, limit=2, lease=1.0), AppendMessage(stream="x", body={"n": n})]
        *settled, claims, position = store.commit(ops, request_id=f"v{n}")
        assert position == n + 1
        for one, answer in zip(held, settled, strict=True):
            answers.put((one.key, one.epoch, answer))
        held = claims
        if not held:
            break
    answers.put(None)
    store.close()


@pytest.fixture
def store(postgres_url: str) -> Iterator[Any]:
    store = opened(postgres_url)
    # With a limit each claim locks the limit's row: whoever is stopped there stops all other claims.
    do(store, PutLimits(limits={"type:job": 1000}, project=PROJECT))
    submit(store, *(new_task() for _ in range(TASKS)))
    yield store
    store.close()


@pytest.fixture
def victim(store: Any, postgres_url: str) -> Iterator[tuple[Any, Any]]:
    answers = SPAWN.Queue()
    process = SPAWN.Process(target=_work, args=(f"{postgres_url}&application_name=victim", answers))
    process.start()
    yield process, answers
    if process.is_alive():
        process.kill()
    process.join()


def stop_inside(pid: int, server: postgres.Server, url: str) -> None:
    """Stop the process within a commit, while it holds the lock on the limits."""
    with psycopg.connect(url) as other:
        eventually(lambda: _message_locked(other), "there is a message")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        eventually(lambda: server.execute(waiting, url) == [(1,)], "the victim waits to write its message")
        os.kill(pid, signal.SIGSTOP)
        other.rollback()
    eventually(lambda: server.execute(STATE, url) == [("idle in transaction",)], "the victim's session is left alone")
    assert _limits_locked(url)


def _message_locked(other: psycopg.Connection[Any]) -> bool:
    return other.execute("SELECT 1 FROM streams WHERE name = 'x' FOR UPDATE").fetchone() is not None


def _limits_locked(url: str) -> bool:
    with psycopg.connect(url) as connection:
        try:
            connection.execute("SELECT 1 FROM limits FOR UPDATE NOWAIT")
        except psycopg.errors.LockNotAvailable:
            return True
    return False


def test_others_go_on_and_the_stopped_one_comes_back_to_the_truth(
    store: Any, victim: tuple[Any, Any], postgres_server: postgres.Server, postgres_url: str
) -> None:
    process, answers = victim
    stop_inside(process.pid, postgres_server, postgres_url)
    worker = hire(store, "other")
    began = time.monotonic()
    mine = claim(store, worker, limit=1)
    assert time.monotonic() - began < 3, "the claim waited for the client that is stopped"
    assert len(mine) == 1
    assert settle(store, mine[0]) == "done"

    lost = _held_by(store, "victim")
    assert lost
    for task in lost:
        outlast(store, task)
    os.kill(process.pid, signal.SIGCONT)
    told = list(iter(lambda: answers.get(timeout=60), None))
    process.join()
    assert process.exitcode == 0
    refused = [(key, epoch) for key, epoch, answer in told if answer == REFUSED]
    assert sorted(refused) == sorted((one.key, one.epoch) for one in lost)
    assert statuses(store) == {"done": TASKS}
    assert history.check(history.gather(store)).violations == []


def _held_by(store: Any, worker: str) -> list[Claim]:
    held = store.queue.find(TaskFilter(statuses=("claimed", "in_progress")))
    return [Claim(f"task:{t.id}", t.epoch, 1.0) for t in held if t.holder and t.holder.worker == worker]
