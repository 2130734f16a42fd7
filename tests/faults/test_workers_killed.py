"""Workers that are killed and stopped at any moment: every task is done once, nothing is lost, no process is left."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.testing import faults

if TYPE_CHECKING:
    from tests.faults.conftest import Field


def test_tasks_survive_workers_that_are_killed(sqlite_field: Field) -> None:
    _survive(sqlite_field, tasks=120, folders=24, workers=3, kill_every=0.4, lease=2, timeout=120)


def test_tasks_survive_workers_that_are_killed_and_stopped(sqlite_field: Field) -> None:
    _survive(sqlite_field, tasks=60, folders=24, workers=3, kill_every=0.8, stop_every=1.0, lease=2, timeout=120)


@pytest.mark.soak
def test_two_thousand_tasks_survive_workers_that_are_killed_and_stopped(sqlite_field: Field) -> None:
    _survive(sqlite_field, tasks=2000, folders=60, workers=6, kill_every=0.2, stop_every=2.0, lease=2, timeout=3000)


def _survive(
    field: Field,
    *,
    tasks: int,
    folders: int,
    workers: int,
    kill_every: float,
    lease: float,
    timeout: float,
    stop_every: float = 0.0,
) -> None:
    field.settings(lease=lease, renew=lease / 4, interruptions=20)
    field.submit(tasks, seconds=0.05, folders=folders)
    store = field.open()
    path = Path(field.url.removeprefix("sqlite:///"))
    with field.crew(workers) as crew:
        torment = faults.Torment(
            crew,
            kill_every=kill_every,
            stop_every=stop_every,
            stop_seconds=lease * 1.7,
            stop_how=(functools.partial(faults.stop_in_write, store=path), None),
        )
        torment.until(lambda: not field.moving(store), timeout=timeout)
        codes = crew.close()
    assert set(codes) <= {0, -15}, crew.words()[-2000:]  # -15: the signal came before the program's first line
    report = field.proof(store, torment.stopped)
    assert report.reclaims + report.releases > 0, "nobody was interrupted: the test showed nothing"
    if stop_every:
        assert torment.stopped
