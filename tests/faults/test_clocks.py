"""Workers whose wall clocks are an hour off, or jump: who owns a task does not change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from runner.testing import faults, history

if TYPE_CHECKING:
    from tests.faults.conftest import Field


def test_wrong_clocks_change_nothing(crowd_field: Field) -> None:
    _survive(crowd_field, tasks=60, folders=20, workers=3, kill_every=1.0, timeout=120)


@pytest.mark.soak
def test_wrong_clocks_change_nothing_in_a_thousand_tasks(crowd_field: Field) -> None:
    _survive(crowd_field, tasks=1000, folders=40, workers=6, kill_every=0.3, timeout=2000)


def _survive(field: Field, *, tasks: int, folders: int, workers: int, kill_every: float, timeout: float) -> None:
    field.settings(lease=2, renew=0.5, interruptions=20)
    field.submit(tasks, seconds=0.05, folders=folders)
    store = field.open()
    clocks = [faults.skewed(field.tmp, 3600), faults.skewed(field.tmp, -3600), faults.skewed(field.tmp, 3600, flip=2)]
    with field.crew(workers, clocks=clocks) as crew:
        faults.Torment(crew, kill_every=kill_every).until(lambda: not field.moving(store), timeout=timeout)
        crew.close()
    field.proof(store)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_worker_with_a_wrong_clock_keeps_its_claim_beside_one_with_a_right_one(
    crowd_field: Field, hours: int
) -> None:
    field = crowd_field
    field.settings(lease=2, renew=0.5, interruptions=10)
    field.submit(1, seconds=5, folders=1)
    store = field.open()
    with field.crew(2, clocks=[faults.skewed(field.tmp, hours * 3600), {}]) as crew:
        faults.Torment(crew, kill_every=1e9).until(lambda: not field.moving(store), timeout=60)
        crew.close()
    report = field.proof(store)
    assert (report.claims, report.reclaims) == (1, 0), "a claim that was renewed in time was taken away"
    assert len(history.read_effects(field.effects)) == 2


def test_a_task_whose_worker_was_killed_is_taken_back_though_the_clock_of_the_next_is_behind(
    crowd_field: Field,
) -> None:
    field = crowd_field
    field.settings(lease=4, renew=1, interruptions=10)
    field.submit(1, seconds=1, folders=1)
    store = field.open()
    with field.crew(1, clocks=[{}, faults.skewed(field.tmp, -3600)]) as crew:
        crew.fill()
        while not history.read_effects(field.effects):
            time.sleep(0.05)
        crew.kill()
        began = time.monotonic()
        faults.Torment(crew, kill_every=1e9).until(lambda: not field.moving(store), timeout=60)
        assert time.monotonic() - began < 30
        crew.close()
    report = field.proof(store)
    assert (report.claims, report.reclaims) == (2, 1)
