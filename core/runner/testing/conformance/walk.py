"""A random walk over every operation, with the rules that must hold after each step."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from runner.errors import Conflict
from runner.statuses import HELD, TERMINAL
from runner.store import (
    REFUSED,
    CancelTask,
    PutLimits,
    Release,
    ResolveTask,
    RetryTask,
    Settle,
    StartAttempt,
    Store,
    TaskFilter,
)
from runner.testing import history
from runner.testing.conformance.actors import (
    PROJECT,
    StoreTests,
    bury,
    claim,
    do,
    hire,
    new_task,
    read,
    submit,
    tick,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.model import Claim, Task

STEPS = 150
LIMIT = 3
OUTCOMES = ("ok", "ok", "ok", "no_op", "crashed", "timeout", "check_failed", "rate_limited", "needs_human", "cancelled")
ACTIVE = HELD | {"pending"}


class Walk:
    """Some workers, some people, and what each claim and epoch was."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.dice = random.Random(seed)
        self.workers = [hire(store, f"w{n}", types=("job", "limited")) for n in range(3)]
        self.held: dict[str, tuple[Claim, str]] = {}
        self.lost: list[Claim] = []
        self.epochs: dict[str, int] = {}
        do(store, PutLimits(limits={"type:limited": LIMIT}, project=PROJECT))

    def step(self) -> None:
        moves: list[Callable[[], None]] = [self.submit, self.claim, self.claim, self.settle, self.settle, self.decide]
        moves += [self.release, self.bury, self.haunt]
        self.dice.choice(moves)()
        tick(self.store)

    def submit(self) -> None:
        known = self.tasks()
        for _ in range(self.dice.randint(1, 3)):
            parents = self.dice.sample(sorted(known), min(len(known), self.dice.choice((0, 0, 0, 1, 2))))
            submit(
                self.store,
                new_task(
                    type=self.dice.choice(("job", "limited")),
                    limit_key=self.dice.choice((None, None, "k1", "k2")),
                    unit=self.dice.choice((None, None, "u1", "u2")),
                    after=tuple(parents),
                    priority=self.dice.choice((0, 0, 1, -1)),
                    attempts=2,
                    interruptions=2,
                ),
            )

    def claim(self) -> None:
        worker = self.dice.choice(self.workers)
        for held in claim(self.store, worker, limit=self.dice.randint(1, 3)):
            assert held.key not in self.held, f"{held.key} has two holders"
            assert held.epoch > self.epochs.get(held.key, 0)
            self.epochs[held.key] = held.epoch
            self.held[held.key] = held, worker.id

    def settle(self) -> None:
        if self.held:
            held, _ = self.held.pop(self.dice.choice(sorted(self.held)))
            self.lost.append(held)
            if self.dice.random() < 0.7:
                do(self.store, StartAttempt(fence=held))
            # A rate limit that is over already: `scheduled` until the tick.
            result = do(self.store, Settle(fence=held, outcome=self.dice.choice(OUTCOMES), retry_at=time.time() - 1))
            assert result != REFUSED

    def release(self) -> None:
        if self.held:
            held, _ = self.held.pop(self.dice.choice(sorted(self.held)))
            self.lost.append(held)
            assert do(self.store, Release(fence=held)) != REFUSED

    def bury(self) -> None:
        if self.dice.random() < 0.3:
            worker = self.dice.choice(self.workers)
            bury(self.store, worker)
            for key in [key for key, (_, holder) in self.held.items() if holder == worker.id]:
                self.lost.append(self.held.pop(key)[0])

    def haunt(self) -> None:
        """A holder that lost its claim long ago comes back."""
        if self.lost:
            assert do(self.store, Settle(fence=self.dice.choice(self.lost), outcome="ok")) == REFUSED

    def decide(self) -> None:
        task = self.dice.choice(list(self.tasks().values()) or [None])
        if task is None or task.status == "done":  # its children may run: a retry would be a new question
            return
        op = self.dice.choice(
            (CancelTask(task=task.id), RetryTask(task=task.id), ResolveTask(task=task.id, to="pending"))
        )
        try:
            do(self.store, op)
        except Conflict:
            return

    def tasks(self) -> dict[str, Task]:
        return {task.id: read(self.store, task.id) for task in self.store.queue.find(TaskFilter(project=PROJECT))}

    def check(self) -> None:
        tasks = self.tasks()
        held = {task.id for task in tasks.values() if task.status in HELD}
        assert held == set(self.held)
        for task in tasks.values():
            assert (task.holder is not None) == (task.status in HELD), task
            assert task.attempts <= task.attempts_max
            assert task.interruptions <= task.interruptions_max
            if task.status in ACTIVE:
                assert all(tasks[parent].status == "done" for parent in task.after), f"{task} runs before its parents"
            if task.status == "blocked":
                assert self.has_reason(task, tasks), f"nothing is in the way of {task}"
        for name in ("limit_key", "unit"):
            for value in {getattr(task, name) for task in tasks.values()} - {None}:
                active = [t.id for t in tasks.values() if getattr(t, name) == value and t.status in ACTIVE]
                assert len(active) <= 1, f"{name} {value} has {active} at once"
        limited = [task for task in tasks.values() if task.type == "limited" and task.status in HELD]
        assert len(limited) <= LIMIT

    @staticmethod
    def has_reason(task: Task, tasks: dict[str, Task]) -> bool:
        return any(tasks[parent].status != "done" for parent in task.after) or any(
            other.status in ACTIVE
            and other.id != task.id
            and ((task.limit_key and other.limit_key == task.limit_key) or (task.unit and other.unit == task.unit))
            for other in tasks.values()
        )

    def finish(self) -> None:
        """Let everything come to its end: nothing may be left that nobody can move."""
        for _ in range(10_000):
            tick(self.store)
            self.claim()
            for held, _ in list(self.held.values()):
                assert do(self.store, Settle(fence=held, outcome="ok")) != REFUSED
            if not self.held:
                stuck = [t for t in self.tasks().values() if t.status in {"needs_human", "failed", "cancelled"}]
                if not stuck:
                    break
                for task in stuck:
                    do(self.store, RetryTask(task=task.id))
            self.held.clear()


class WalkTests(StoreTests):
    @pytest.mark.parametrize("seed", [*range(4), *(pytest.param(n, marks=pytest.mark.soak) for n in range(4, 60))])
    def test_the_rules_hold_after_every_step(self, store: Store, seed: int) -> None:
        walk = Walk(store, seed)
        for _ in range(STEPS):
            walk.step()
            walk.check()
        walk.finish()
        walk.check()
        left = {task.id: task.status for task in walk.tasks().values() if task.status != "done"}
        assert left == {}, "tasks that nobody can move"
        assert {task.status for task in walk.tasks().values()} <= TERMINAL
        assert history.check(history.gather(store)).violations == []
