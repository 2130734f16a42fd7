"""The history checker finds every kind of forged history, and nothing in an honest one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runner.model import Attempt, Event
from runner.testing import history
from runner.testing.history import Effect, History

if TYPE_CHECKING:
    from pathlib import Path


class Forger:
    """Writes a history line by line; each method adds what an honest store and task would have written."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.attempts: list[Attempt] = []
        self.effects: list[Effect] = []
        self.statuses: dict[str, str] = {}
        self._ids = itertools.count(1)

    def event(self, kind: str, epoch: int = 0, task: str = "t", **data: Any) -> None:
        self.events.append(Event(next(self._ids), 0.0, kind, task, epoch, "", data))

    def submit(self, task: str = "t") -> None:
        self.event("task.submitted", task=task)
        self.statuses[task] = "pending"

    def claim(self, epoch: int, worker: str = "w1") -> None:
        self.event("task.claimed", epoch, worker=worker, machine="m")

    def start(self, epoch: int, n: int, worker: str = "w1") -> None:
        self.event("attempt.started", epoch, n=n, worker=worker)
        self.attempts.append(Attempt("t", "main", n, epoch, None, worker, 0.0, None, None, None, None))
        self.effects.append(Effect("start", "t", epoch, n, 1))

    def end(self, epoch: int, n: int) -> None:
        self.effects.append(Effect("end", "t", epoch, n, 1))

    def settle(self, epoch: int, worker: str = "w1", outcome: str = "ok", status: str = "done") -> None:
        self.event("task.settled", epoch, outcome=outcome, status=status, worker=worker)
        self.statuses["t"] = status

    def done(self, epoch: int = 1, n: int = 1, worker: str = "w1") -> None:
        self.claim(epoch, worker)
        self.start(epoch, n, worker)
        self.end(epoch, n)
        self.settle(epoch, worker)

    @property
    def history(self) -> History:
        return History(self.events, self.statuses, self.attempts, self.effects)

    def rules(self, **settings: Any) -> list[str]:
        return [violation.rule for violation in history.check(self.history, **settings).violations]


@pytest.fixture
def forger() -> Forger:
    forger = Forger()
    forger.submit()
    return forger


def test_an_honest_history_has_no_violation(forger: Forger) -> None:
    forger.claim(1)
    forger.start(1, 1)
    forger.event("task.reclaimed", 1, worker="w1", why="dead")
    forger.claim(3, "w2")
    forger.event("task.released", 3, reason="drained", worker="w2")
    forger.claim(4, "w2")
    forger.start(4, 2, "w2")
    forger.event("attempt.finished", 4, n=2, outcome="check_failed", worker="w2")
    forger.start(4, 3, "w2")
    forger.end(4, 3)
    forger.settle(4, "w2")
    report = history.check(forger.history, submitted=["t"])
    assert report.violations == []
    assert (report.claims, report.reclaims, report.releases, report.settled) == (3, 1, 1, {"done": 1})


def test_a_task_that_is_queued_again_by_a_person_may_be_done_again(forger: Forger) -> None:
    forger.done()
    forger.event("task.retried", 1)
    forger.done(epoch=2, n=2)
    assert forger.rules() == []


def test_a_reclaim_may_name_the_ended_epoch_or_the_grown_one(forger: Forger) -> None:
    forger.claim(1)
    forger.event("task.reclaimed", 2, worker="w1")
    forger.done(epoch=3)
    assert forger.rules() == []


def test_two_owners_at_once_are_found(forger: Forger) -> None:
    forger.claim(1, "w1")
    forger.done(epoch=2, worker="w2")
    assert forger.rules() == ["two_owners"]


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_epoch_that_does_not_grow_is_found(forger: Forger, epoch: int) -> None:
    forger.claim(2)
    forger.event("task.released", 2, worker="w1")
    forger.done(epoch=epoch)
    assert "epoch" in forger.rules()


def test_an_epoch_that_does_not_grow_at_a_reclaim_is_found(forger: Forger) -> None:
    forger.claim(1)
    forger.event("task.reclaimed", 2, worker="w1")
    forger.done(epoch=2)
    assert forger.rules() == ["epoch"]


def test_a_lost_task_is_found(forger: Forger) -> None:
    forger.done()
    assert forger.rules(submitted=["t", "gone"]) == ["lost"]


def test_a_task_that_never_ended_is_found(forger: Forger) -> None:
    assert forger.rules() == ["unfinished"]
    assert forger.rules(finished=False) == []
    forger.claim(1)
    assert forger.rules() == ["unfinished"]


def test_a_task_finished_twice_is_found(forger: Forger) -> None:
    forger.done()
    forger.settle(1)
    assert forger.rules() == ["finished_twice"]


def test_a_task_claimed_after_it_was_finished_is_found(forger: Forger) -> None:
    forger.done()
    forger.done(epoch=2, n=2)
    assert forger.rules() == ["claimed_finished"]


def test_a_settle_by_a_stale_epoch_is_found(forger: Forger) -> None:
    forger.claim(1)
    forger.start(1, 1)
    forger.event("task.reclaimed", 1, worker="w1")
    forger.claim(3, "w2")
    forger.settle(1)
    assert "stale" in forger.rules()


def test_a_settle_by_another_worker_is_found(forger: Forger) -> None:
    forger.claim(1, "w1")
    forger.start(1, 1)
    forger.end(1, 1)
    forger.settle(1, worker="w2")
    assert "stale" in forger.rules()


@pytest.mark.parametrize("kind", ["task.settled", "task.released", "attempt.started", "attempt.finished"])
def test_what_is_done_to_a_task_that_nobody_holds_is_found(forger: Forger, kind: str) -> None:
    forger.event(kind, 1, n=1, worker="w1", status="pending")
    assert "not_held" in forger.rules()


def test_a_reclaim_of_a_task_that_nobody_holds_is_found(forger: Forger) -> None:
    forger.event("task.reclaimed", 1, worker="w1")
    assert "not_held" in forger.rules()


def test_a_reclaim_of_another_epoch_is_found(forger: Forger) -> None:
    forger.claim(5)
    forger.event("task.reclaimed", 3, worker="w1")
    assert "stale" in forger.rules()


def test_a_decision_about_a_held_task_is_found(forger: Forger) -> None:
    forger.claim(1)
    forger.event("task.retried", 1)
    forger.done(epoch=2)
    assert forger.rules() == ["two_owners"]


def test_a_number_of_an_attempt_that_comes_twice_is_found(forger: Forger) -> None:
    forger.claim(1)
    forger.start(1, 1)
    forger.event("task.released", 1, worker="w1")
    forger.done(epoch=2, n=1)
    assert "attempt_number" in forger.rules()


def test_an_attempt_that_ended_and_never_started_is_found(forger: Forger) -> None:
    forger.claim(1)
    forger.event("attempt.finished", 1, n=4, worker="w1")
    forger.start(1, 5)
    forger.end(1, 5)
    forger.settle(1)
    assert forger.rules() == ["attempt_number"]


def test_a_task_submitted_twice_or_never_is_found(forger: Forger) -> None:
    forger.submit()
    forger.done()
    assert forger.rules() == ["submitted_twice"]
    stranger = Forger()
    stranger.done()
    assert "unsubmitted" in stranger.rules()


def test_a_status_that_the_log_does_not_tell_is_found(forger: Forger) -> None:
    forger.done()
    forger.statuses["t"] = "pending"
    assert forger.rules() == ["disagree"]
    forger.statuses = {"t": "done", "ghost": "done"}
    assert forger.rules() == ["unlogged"]


def test_events_out_of_order_are_found(forger: Forger) -> None:
    forger.done()
    forger.events.append(replace(forger.events[-1], kind="test.note"))
    assert forger.rules() == ["order"]


def test_attempts_that_the_log_does_not_tell_are_found(forger: Forger) -> None:
    forger.done()
    forger.attempts.append(replace(forger.attempts[0], n=2))
    assert forger.rules() == ["attempts_disagree"]
    forger.attempts = []
    assert forger.rules() == ["attempts_disagree"]
    forger.attempts = [Attempt("t", "main", 1, 7, None, "w1", 0.0, None, None, None, None)]
    assert forger.rules() == ["attempts_disagree"]


def test_a_process_that_no_record_announced_is_found(forger: Forger) -> None:
    forger.done()
    forger.effects.insert(0, Effect("start", "t", 1, 9, 1))
    assert forger.rules() == ["effect_unrecorded"]
    forger.effects[0] = Effect("start", "nobody", 1, 1, 1)
    assert forger.rules() == ["effect_unrecorded"]


def test_a_process_that_ran_twice_is_found(forger: Forger) -> None:
    forger.done()
    forger.effects.append(forger.effects[0])
    assert forger.rules() == ["effect_twice"]


def test_a_task_that_is_done_without_an_effect_is_found(forger: Forger) -> None:
    forger.done()
    forger.effects.pop()
    assert forger.rules() == ["effect_missing"]


def _overtaken(forger: Forger) -> None:
    forger.claim(1, "w1")
    forger.start(1, 1, "w1")
    forger.event("task.reclaimed", 1, worker="w1")
    forger.claim(3, "w2")
    forger.start(3, 2, "w2")
    forger.end(1, 1)
    forger.end(3, 2)
    forger.settle(3, "w2")


def test_a_process_that_goes_on_beside_the_next_holders_is_found(forger: Forger) -> None:
    _overtaken(forger)
    assert forger.rules() == ["overlap"]


def test_a_process_of_a_stopped_worker_may_go_on_beside_the_next_holders(forger: Forger) -> None:
    _overtaken(forger)
    report = history.check(forger.history, stopped={"w1"})
    assert report.violations == []
    assert [overlap.rule for overlap in report.overlaps] == ["overlap"]
    assert [v.rule for v in history.check(forger.history, stopped={"w2"}).violations] == ["overlap"]


def test_the_effects_of_a_script_are_read_back(tmp_path: Path) -> None:
    import os
    import subprocess

    log = tmp_path / "effects log"
    environment = {**os.environ, "RUNNER_TASK_ID": "t", "RUNNER_EPOCH": "3", "RUNNER_ATTEMPT": "2"}
    for _ in range(2):
        subprocess.run(["/bin/sh", "-c", history.effect_lines(log, 0.01)], env=environment, check=True)
    start, end, again, _ = history.read_effects(log)
    assert (start.what, start.task, start.epoch, start.attempt) == ("start", "t", 3, 2)
    assert (end.what, end.pid) == ("end", start.pid)
    assert again.pid != start.pid
    assert history.read_effects(tmp_path / "nothing") == []
