"""Limits by type and account, and parked accounts: how many tasks may be held at once."""

from __future__ import annotations

import threading
import time

from runner.store import ClaimTasks, PutLimits, Settle, Store, Tick
from runner.testing.conformance.actors import (
    PROJECT,
    OpenStore,
    StoreTests,
    add,
    bury,
    claim,
    do,
    eventually,
    finish,
    hire,
    keys,
    new_task,
    new_worker,
    settle,
    start,
    status,
    statuses,
    submit,
    take,
)


def set_limits(store: Store, **limits: int | None) -> None:
    """`type_job=2` is the limit `type:job`."""
    do(store, PutLimits(limits={name.replace("_", ":", 1): most for name, most in limits.items()}, project=PROJECT))


class LimitTests(StoreTests):
    def test_no_more_tasks_of_a_type_are_held_than_its_limit(self, store: Store) -> None:
        set_limits(store, type_job=2)
        submit(store, *(new_task() for _ in range(5)))
        assert len(claim(store, hire(store, "w1"), limit=5)) == 2
        assert claim(store, hire(store, "w2"), limit=5) == []
        assert statuses(store) == {"claimed": 2, "pending": 3}

    def test_no_more_tasks_of_an_account_are_held_than_its_limit(self, store: Store) -> None:
        set_limits(store, account_a=1)
        first, _second, free = add(store, account="a"), add(store, account="a"), add(store, account="b")
        assert keys(claim(store, hire(store), limit=5)) == [first, free]

    def test_what_others_hold_of_an_account_counts(self, store: Store) -> None:
        set_limits(store, account_a=2)
        submit(store, *(new_task(account="a") for _ in range(4)), *(new_task(account="b") for _ in range(2)))
        first = take(store, hire(store, "w1"))
        assert [c.task.account for c in claim(store, hire(store, "w2"), limit=9) if c.task] == ["a", "b", "b"]
        assert claim(store, hire(store, "w3"), limit=9) == []
        settle(store, first)
        assert len(claim(store, hire(store, "w3"), limit=9)) == 1

    def test_a_saturated_type_leaves_room_for_others_in_the_same_claim(self, store: Store) -> None:
        set_limits(store, type_job=1)
        ids = [add(store), add(store), add(store, type="other"), add(store, type="other")]
        worker = hire(store, types=("job", "other"))
        assert keys(claim(store, worker, limit=3)) == [ids[0], ids[2], ids[3]]

    def test_type_and_account_limits_hold_together(self, store: Store) -> None:
        set_limits(store, type_job=3, account_a=1)
        submit(store, *(new_task(account=("a", "b")[n % 2]) for n in range(10)))
        held = claim(store, hire(store), limit=10)
        accounts = [str(c.task.account) for c in held if c.task]
        assert sorted(accounts) == ["a", "b", "b"]

    def test_a_started_task_counts_and_a_settled_one_does_not(self, store: Store) -> None:
        set_limits(store, type_job=1)
        add(store)
        second = add(store)
        worker = hire(store)
        held = take(store, worker)
        start(store, held)
        assert claim(store, worker) == []
        settled, claims = store.commit([Settle(fence=held, outcome="ok"), ClaimTasks(worker=worker, limit=5)])
        assert (settled, keys(claims)) == ("done", [second])

    def test_a_limit_of_zero_pauses_a_type(self, store: Store) -> None:
        set_limits(store, type_job=0)
        add(store)
        assert claim(store, hire(store)) == []

    def test_a_limit_that_is_removed_binds_no_longer(self, store: Store) -> None:
        set_limits(store, type_job=1)
        submit(store, *(new_task() for _ in range(3)))
        worker = hire(store)
        assert len(claim(store, worker, limit=5)) == 1
        set_limits(store, type_job=None)
        assert len(claim(store, worker, limit=5)) == 2

    def test_a_limit_counts_what_was_held_before_it_was_set(self, store: Store) -> None:
        submit(store, *(new_task() for _ in range(4)))
        worker = hire(store)
        first, second = claim(store, worker, limit=2)
        set_limits(store, type_job=1)
        assert claim(store, worker) == []
        settle(store, first)
        assert claim(store, worker) == []
        settle(store, second)
        assert len(claim(store, worker, limit=5)) == 1

    def test_other_limits_stay_when_one_is_set(self, store: Store) -> None:
        set_limits(store, type_job=1)
        set_limits(store, type_other=1)
        submit(store, *(new_task(type=type) for type in ("job", "job", "other", "other")))
        assert len(claim(store, hire(store, types=("job", "other")), limit=9)) == 2

    def test_a_dead_holder_is_rescued_though_its_type_is_saturated(self, store: Store) -> None:
        set_limits(store, type_job=1)
        id = add(store)
        dead = hire(store, "dead")
        take(store, dead)
        assert claim(store, hire(store, "w2")) == []
        bury(store, dead)
        assert status(store, id) == "pending"
        assert take(store, hire(store, "w2")).key == id

    def test_a_limit_holds_for_claimers_at_the_same_time(self, store: Store, open_store: OpenStore) -> None:
        set_limits(store, type_job=3, account_a=2)
        submit(store, *(new_task(account="a" if n % 2 else None) for n in range(60)))
        lock, most, now, errors = threading.Lock(), [0, 0], [0, 0], []

        def work(number: int) -> None:
            own, worker = open_store(), new_worker(f"w{number}")
            try:
                while True:
                    claims = claim(own, worker, limit=2)
                    accounts = [int(c.task is not None and c.task.account == "a") for c in claims]
                    with lock:
                        now[0] += len(claims)
                        now[1] += sum(accounts)
                        most[:] = max(most[0], now[0]), max(most[1], now[1])
                    if not claims and not statuses(own).get("pending"):
                        return
                    for held, of_account in zip(claims, accounts, strict=True):
                        with lock:  # counted down before the store does: `most` is never too high
                            now[0] -= 1
                            now[1] -= of_account
                        settle(own, held)
            except BaseException as error:
                errors.append(error)
            finally:
                own.close()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert statuses(store) == {"done": 60}
        assert most[0] <= 3, f"{most[0]} tasks were held at once"
        assert most[1] <= 2, f"{most[1]} tasks of the account were held at once"

    def test_a_rate_limited_account_is_parked_for_every_worker(self, store: Store) -> None:
        add(store, account="a")
        waiting, other = add(store, account="a"), add(store, account="b")
        until = time.time() + 3600
        limited = finish(store, hire(store, "w1"), "rate_limited", retry_at=until)
        assert status(store, limited.key) == "scheduled"
        assert keys(claim(store, hire(store, "w2"), limit=5)) == [other]
        assert status(store, waiting) == "pending"
        parked = store.queue.facts(waiting).parked_until
        assert parked is not None
        assert abs(parked - until) < 1

    def test_a_parked_account_is_free_again_at_its_time(self, store: Store) -> None:
        add(store, account="a")
        second = add(store, account="a")
        worker = hire(store)
        first = finish(store, worker, "rate_limited", retry_at=time.time() + 1)
        assert claim(store, worker, limit=5) == []

        def is_due() -> bool:
            do(store, Tick())
            return status(store, first.key) == "pending"

        eventually(is_due, "the rate-limited task is pending again")
        assert sorted(keys(claim(store, worker, limit=5))) == sorted([first.key, second])
