"""Workers that are killed and stopped at any moment: every task is done once, nothing is lost, no process is left."""

from __future__ import annotations

import functools
import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.testing import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.testing import postgres
    from tests.faults.conftest import Field


def test_tasks_survive_workers_that_are_killed(crowd_field: Field) -> None:
    _survive(crowd_field, tasks=120, folders=24, workers=3, kill_every=0.4, timeout=120)


def test_tasks_survive_workers_that_are_killed_and_stopped(crowd_field: Field) -> None:
    _survive(crowd_field, tasks=80, seconds=0.2, folders=24, workers=3, kill_every=0.7, stop_every=1.0, timeout=150)


@pytest.mark.soak
def test_two_thousand_tasks_survive_workers_that_are_killed_and_stopped(crowd_field: Field) -> None:
    _survive(crowd_field, tasks=2000, folders=60, workers=6, kill_every=0.2, stop_every=2.0, timeout=3000)


def _survive(
    field: Field,
    *,
    tasks: int,
    folders: int,
    workers: int,
    kill_every: float,
    timeout: float,
    stop_every: float = 0.0,
    seconds: float = 0.05,
    lease: float = 2.0,
) -> None:
    field.settings(lease=lease, renew=lease / 4, interruptions=20)
    field.submit(tasks, seconds=seconds, folders=folders)
    store = field.open()
    with field.crew(workers) as crew:
        torment = faults.Torment(
            crew,
            kill_every=kill_every,
            stop_every=stop_every,
            stop_seconds=lease * 1.7,
            stop_how=(_inside_a_write(field), None),
        )
        torment.until(lambda: not field.moving(store), timeout=timeout)
        codes = crew.close()
    assert set(codes) <= {0, -15}, crew.words()[-2000:]  # -15: the signal came before the program's first line
    report = field.proof(store, torment.stopped)
    assert report.reclaims + report.releases > 0, "nobody was interrupted: the test showed nothing"
    if stop_every:
        assert torment.stopped
    print(
        f"{report.claims} claims, {report.reclaims} reclaims, {len(crew.killed)} killed, {len(torment.stopped)} stopped"
    )


def _inside_a_write(field: Field) -> Callable[[int], bool]:
    """What stops a worker of this field in the middle of a write."""
    if field.server is not None:
        return functools.partial(_stop_in_transaction, server=field.server)
    return functools.partial(faults.stop_in_write, store=Path(field.url.removeprefix("sqlite:///")))


def _stop_in_transaction(pid: int, server: postgres.Server, tries: int = 60) -> bool:
    """SIGSTOP a worker so that the server waits for it inside a transaction; at last wherever it is."""
    for _ in range(tries):
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            return False
        if not faults.wait_stopped(pid):
            return False
        time.sleep(0.02)
        waiting = server.execute(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction'"
            " AND state_change < clock_timestamp() - interval '15 ms'"
        )
        if waiting:
            return True
        os.kill(pid, signal.SIGCONT)
        time.sleep(random.random() * 0.02)
    os.kill(pid, signal.SIGSTOP)
    return faults.wait_stopped(pid)
