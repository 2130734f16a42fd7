"""Many at once: processes that share the store, some of them killed, and queues of thousands."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from typing import Any

from runner.store import AppendEvent, AppendMessage, ClaimTasks, ClaimUnit, Op, Settle, StartAttempt, Store, SubmitTasks
from runner.testing import history
from runner.testing.conformance.actors import (
    PROJECT,
    OpenStore,
    StoreTests,
    bury,
    claim,
    do,
    eventually,
    hire,
    new_task,
    new_worker,
    settle,
    statuses,
    submit,
    take,
)

SPAWN = multiprocessing.get_context("spawn")


def _drain(open_store: OpenStore, number: int) -> None:
    """A process that works until nothing is pending; a third of its attempts crash."""
    store = open_store()
    worker, dice = new_worker(f"w{number}"), random.Random(number)
    settled: list[Op] = []
    while True:
        *_, claims = store.commit([*settled, ClaimTasks(worker=worker, limit=2)])
        if not claims and not statuses(store).get("pending"):
            break
        settled = []
        for held in claims:
            outcome = "crashed" if dice.random() < 0.33 else "ok"
            settled += [StartAttempt(fence=held), Settle(fence=held, outcome=outcome)]
    store.close()


def _write_forever(open_store: OpenStore, number: int) -> None:
    """A process whose every commit adds a task, an event and a message, until it is killed."""
    store = open_store()
    n = 0
    while True:
        task = new_task()
        store.commit(
            [
                SubmitTasks(tasks=(task,)),
                AppendEvent(kind="test.wrote", task=task.id),
                AppendMessage(stream="written", body={"task": task.id, "by": number, "n": n}),
            ]
        )
        n += 1


def _claim_and_hang(open_store: OpenStore, number: int) -> None:
    store = open_store()
    held = take(store, new_worker(f"w{number}", pid=os.getpid()), lease=1.0)
    do(store, StartAttempt(fence=held))
    signal.pause()


def _at_once(number: int, work: Any) -> list[Any]:
    """Call `work(n)` in `number` threads that start together → what each returned."""
    gate, results = threading.Barrier(number), [None] * number

    def run(n: int) -> None:
        gate.wait()
        results[n] = work(n)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class CrowdTests(StoreTests):
    def test_processes_share_the_work_and_nothing_is_done_twice(self, store: Store, open_store: OpenStore) -> None:
        tasks = [new_task(attempts=30) for _ in range(150)]
        submit(store, *tasks)
        processes = [SPAWN.Process(target=_drain, args=(open_store, n)) for n in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        assert [p.exitcode for p in processes] == [0] * 4
        assert statuses(store) == {"done": 150}
        report = history.check(history.gather(store), submitted=[t.id for t in tasks])
        assert report.violations == []
        assert report.settled == {"done": 150, "pending": report.claims - 150}

    def test_a_process_killed_at_any_moment_leaves_whole_commits(self, store: Store, open_store: OpenStore) -> None:
        dice = random.Random(1)
        processes = [SPAWN.Process(target=_write_forever, args=(open_store, number)) for number in range(4)]
        for process in processes:
            process.start()
        eventually(lambda: len(store.streams.read("written")) > 20, "the processes write", timeout=60)
        for process in processes:
            time.sleep(dice.random() / 5)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        eventually(lambda: _wrote_alike(store), "tasks, events and messages are as many")
        do(store, AppendMessage(stream="written", body={"task": "", "by": -1, "n": 0}))
        positions = [m.position for m in store.streams.read("written", limit=100_000)]
        assert positions == list(range(1, len(positions) + 1))

    def test_the_claim_of_a_killed_process_is_taken_back(self, store: Store, open_store: OpenStore) -> None:
        [task] = submit(store, new_task())
        process = SPAWN.Process(target=_claim_and_hang, args=(open_store, 1))
        process.start()
        eventually(lambda: statuses(store) == {"in_progress": 1}, "the process has started the task", timeout=60)
        process.kill()
        process.join()
        bury(store, new_worker("w1"))
        held = take(store, hire(store, "w2"))
        assert (held.key, held.epoch > 1) == (task.id, True)
        assert settle(store, held) == "done"
        assert history.check(history.gather(store)).violations == []

    def test_a_key_submitted_by_many_at_once_is_one_task(self, open_store: OpenStore) -> None:
        def work(_n: int) -> str:
            own = open_store()
            answer = submit(own, new_task(key="once"))[0].id
            own.close()
            return answer

        assert len(set(_at_once(6, work))) == 1

    def test_a_request_sent_by_many_at_once_is_applied_once(self, store: Store, open_store: OpenStore) -> None:
        submit(store, *(new_task() for _ in range(12)))
        worker = hire(store)

        def work(_n: int) -> Any:
            own = open_store()
            [claims] = own.commit([ClaimTasks(worker=worker, limit=2)], request_id="the-same")
            own.close()
            return tuple(claims)

        answers = _at_once(6, work)
        assert len(set(map(str, answers))) == 1
        assert statuses(store) == {"claimed": 2, "pending": 10}

    def test_a_unit_is_claimed_by_one_of_many(self, open_store: OpenStore) -> None:
        def work(n: int) -> bool:
            own = open_store()
            held = do(own, ClaimUnit(unit="u1", project=PROJECT, holder=f"h{n}"))
            own.close()
            return held is not None

        assert sum(_at_once(6, work)) == 1

    def test_a_claim_is_settled_by_one_of_many(self, store: Store, open_store: OpenStore) -> None:
        submit(store, new_task())
        held = take(store, hire(store))

        def work(n: int) -> str:
            own = open_store()
            answer: str = do(own, Settle(fence=held, outcome=("ok", "crashed")[n % 2]))
            own.close()
            return answer

        assert _at_once(6, work).count("refused") == 5
        assert history.check(history.gather(store), finished=False).violations == []

    def test_five_thousand_tasks_go_through(self, store: Store) -> None:
        for _ in range(5):
            submit(store, *(new_task() for _ in range(1000)))
        worker, seen = hire(store), 0
        settled: list[Op] = []
        while True:
            *_, claims = store.commit([*settled, ClaimTasks(worker=worker, limit=250)])
            if not claims:
                break
            seen += len(claims)
            settled = [Settle(fence=held, outcome="ok") for held in claims]
        assert seen == 5000
        assert statuses(store) == {"done": 5000}
        assert claim(store, worker) == []


def _wrote_alike(store: Store) -> bool:
    """Each commit's task, event and message are there, or none of them."""
    messages = {m.body["task"] for m in store.streams.read("written", limit=100_000)}
    events: set[str | None] = set()
    after = 0
    while page := store.queue.events(after=after):
        events |= {e.task for e in page if e.kind == "test.wrote"}
        after = page[-1].id
    assert messages == events
    return statuses(store) == {"pending": len(messages)}
