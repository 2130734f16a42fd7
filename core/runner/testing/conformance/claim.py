"""Claiming: who may take what, in which order, and what the claim says."""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING

from runner.store import ClaimTasks, Settle, Store, TaskFilter
from runner.testing.conformance.actors import (
    PROJECT,
    OpenStore,
    StoreTests,
    add,
    bury,
    claim,
    finish,
    hire,
    keys,
    new_task,
    new_worker,
    read,
    settle,
    start,
    status,
    statuses,
    submit,
    take,
)

if TYPE_CHECKING:
    from runner.model import Claim


class ClaimTests(StoreTests):
    def test_a_claim_carries_its_task_and_names_its_holder(self, store: Store) -> None:
        id = add(store, payload={"script": "make"})
        worker = hire(store)
        held = take(store, worker, lease=60)
        assert (held.id, held.epoch, held.lease) == (f"task:{id}", 1, 60)
        assert held.task is not None
        assert (held.task.id, held.task.status, held.task.epoch) == (id, "claimed", 1)
        assert held.task.payload == {"script": "make"}
        task = read(store, id)
        assert task.status == "claimed"
        assert task.holder is not None
        assert (task.holder.worker, task.holder.machine, task.holder.epoch) == (worker.id, worker.machine, 1)
        assert 30 < task.holder.lease_left <= 60

    def test_a_claimed_task_is_given_to_nobody_else(self, store: Store) -> None:
        add(store)
        take(store, hire(store, "w1"))
        assert claim(store, hire(store, "w2")) == []
        assert claim(store, hire(store, "w1")) == []

    def test_of_named_tasks_and_lanes_only_what_fits_the_worker_is_taken(self, store: Store) -> None:
        far, near, other = add(store, machine="elsewhere"), add(store), add(store)
        worker = hire(store)
        lanes = tuple(lane.id for lane in store.queue.lanes())
        held = claim(store, worker, limit=9, lanes=lanes, only=(far, near))
        assert keys(held) == [near]
        assert [status(store, id) for id in (far, other)] == ["pending", "pending"]
        assert keys(claim(store, worker, limit=9, only=(far,))) == [far]

    def test_a_named_task_goes_before_one_of_its_gate_that_is_not_named(self, store: Store) -> None:
        for gate in ({"limit_key": "one"}, {"unit": "u1"}):
            first, second, third = (add(store, **gate) for _ in range(3))
            worker = hire(store)
            lanes = tuple(lane.id for lane in store.queue.lanes())
            [held] = claim(store, worker, limit=9, lanes=lanes, only=(second, third))
            assert held.key == second
            assert claim(store, worker, limit=9, lanes=lanes, only=(second, third, first)) == []
            settle(store, held)
            [held] = claim(store, worker, limit=9, lanes=lanes, only=(third,))
            assert held.key == third
            settle(store, held)
            assert take(store, worker).key == first

    def test_a_claim_takes_no_more_than_its_limit_and_no_more_than_there_is(self, store: Store) -> None:
        submit(store, *(new_task() for _ in range(5)))
        worker = hire(store)
        assert claim(store, worker, limit=0) == []
        assert len(claim(store, worker, limit=3)) == 3
        assert len(claim(store, worker, limit=10)) == 2
        assert claim(store, worker, limit=10) == []

    def test_tasks_are_claimed_in_the_order_they_were_submitted(self, store: Store) -> None:
        ids = [a.id for a in submit(store, *(new_task() for _ in range(30)))]
        ids += [add(store) for _ in range(5)]
        worker = hire(store)
        taken = keys(claim(store, worker, limit=20))
        while len(taken) < len(ids):
            taken.append(take(store, worker).key)
        assert taken == ids

    def test_the_order_holds_across_lanes(self, store: Store) -> None:
        types = ("job", "other", "third")
        ids = [add(store, type=types[n % 3], account=f"a{n % 2}") for n in range(12)]
        worker = hire(store, types=types)
        assert keys(claim(store, worker, limit=5)) == ids[:5]
        assert keys(claim(store, worker, limit=20)) == ids[5:]

    def test_a_point_of_priority_is_ten_minutes_head_start(self, store: Store) -> None:
        low, normal, high = add(store, priority=-2), add(store), add(store, priority=1)
        ranks = [read(store, id).rank for id in (low, normal, high)]
        ages = [read(store, id).created_at for id in (low, normal, high)]
        assert abs((ranks[0] - ranks[1]) - (ages[0] - ages[1]) - 1200) < 0.01
        assert abs((ranks[1] - ranks[2]) - (ages[1] - ages[2]) - 600) < 0.01
        assert keys(claim(store, hire(store), limit=3)) == [high, normal, low]

    def test_a_task_keeps_its_place_when_it_comes_back(self, store: Store) -> None:
        first, _second = add(store), add(store)
        worker = hire(store)
        held = take(store, worker)
        assert settle(store, held, "crashed") == "pending"
        assert take(store, worker).key == first

    def test_a_machine_is_known_by_its_name_and_its_aliases(self, store: Store) -> None:
        named, aliased, elsewhere = add(store, machine="mac"), add(store, machine="ios"), add(store, machine="pc")
        worker = hire(store, machine="mac", names=("mac", "ios"))
        assert keys(claim(store, worker, limit=5)) == [named, aliased]
        assert status(store, elsewhere) == "pending"

    def test_a_worker_takes_only_types_it_can_run(self, store: Store) -> None:
        add(store, type="ios_build")
        job = add(store)
        assert keys(claim(store, hire(store), limit=5)) == [job]
        assert claim(store, hire(store, "w2", types=()), limit=5) == []

    def test_a_worker_takes_only_what_its_capabilities_cover(self, store: Store) -> None:
        both = add(store, requires=("os:linux", "gpu"))
        one = add(store, requires=("os:linux",))
        none = add(store)
        assert keys(claim(store, hire(store, "w0"), limit=5)) == [none]
        assert keys(claim(store, hire(store, "w1", capabilities=("os:linux", "x")), limit=5)) == [one]
        assert keys(claim(store, hire(store, "w2", capabilities=("gpu", "x", "os:linux")), limit=5)) == [both]

    def test_a_worker_takes_only_tasks_of_its_project(self, store: Store) -> None:
        add(store, project="p2")
        mine = add(store)
        assert keys(claim(store, hire(store), limit=5)) == [mine]

    def test_what_a_worker_can_run_is_what_its_claim_says_now(self, store: Store) -> None:
        id = add(store, requires=("agent:claude",))
        assert claim(store, hire(store)) == []
        assert keys(claim(store, hire(store, capabilities=("agent:claude",)))) == [id]

    def test_excluded_accounts_are_left_out(self, store: Store) -> None:
        add(store, account="a")
        other, none = add(store, account="b"), add(store)
        worker = hire(store)
        assert keys(claim(store, worker, limit=5, excluded_accounts=("a",))) == [other, none]
        assert len(claim(store, worker, limit=5)) == 1

    def test_a_claim_may_be_narrowed_to_lanes(self, store: Store) -> None:
        job, other = add(store), add(store, type="other")
        worker = hire(store, types=("job", "other"))
        [lane] = [lane for lane in store.queue.lanes() if lane.type == "other" and lane.project == PROJECT]
        assert claim(store, worker, limit=5, lanes=()) == []
        assert keys(claim(store, worker, limit=5, lanes=(lane.id,))) == [other]
        assert keys(claim(store, worker, limit=5)) == [job]

    def test_lanes_never_widen_what_fits_a_worker(self, store: Store) -> None:
        add(store, type="other")
        [lane] = store.queue.lanes()
        assert claim(store, hire(store), limit=5, lanes=(lane.id,)) == []

    def test_a_lane_says_what_its_tasks_need(self, store: Store) -> None:
        add(store, machine="mac", account="a", requires=("x", "y"))
        add(store, machine="mac", account="a", requires=("y", "x"))
        [lane] = store.queue.lanes()
        assert (lane.project, lane.machine, lane.type, lane.account) == (PROJECT, "mac", "job", "a")
        assert sorted(lane.requires) == ["x", "y"]

    def test_the_epoch_grows_at_each_claim_and_reclaim(self, store: Store) -> None:
        id = add(store, attempts=10)
        worker = hire(store)
        epochs = []
        for turn in range(3):
            held = take(store, worker)
            epochs.append(held.epoch)
            if turn == 1:
                bury(store, worker)
                epochs.append(read(store, id).epoch)
            else:
                settle(store, held, "crashed")
        assert epochs == sorted(epochs)
        assert len(set(epochs)) == len(epochs), f"an epoch came twice: {epochs}"

    def test_settle_and_the_next_claim_are_one_commit(self, store: Store) -> None:
        first, second = add(store), add(store)
        worker = hire(store)
        held = take(store, worker)
        start(store, held)
        settled, claims = store.commit([Settle(fence=held, outcome="ok"), ClaimTasks(worker=worker, limit=1)])
        assert settled == "done"
        assert keys(claims) == [second]
        assert (status(store, first), status(store, second)) == ("done", "claimed")

    def test_claimers_at_the_same_time_get_different_tasks(self, store: Store, open_store: OpenStore) -> None:
        submit(store, *(new_task() for _ in range(120)))
        taken: list[Claim] = []
        lock = threading.Lock()

        def work(number: int) -> None:
            own, worker = open_store(), new_worker(f"w{number}")
            while claims := claim(own, worker, limit=3):
                with lock:
                    taken.extend(claims)
            own.close()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 120
        assert len({held.id for held in taken}) == 120
        assert statuses(store) == {"claimed": 120}

    def test_one_store_may_be_used_by_many_threads(self, store: Store) -> None:
        errors: list[BaseException] = []

        def use(number: int) -> None:
            try:
                worker = hire(store, f"w{number}")
                for _ in range(10):
                    add(store)
                    finish(store, worker)
                    store.queue.count(TaskFilter(project=PROJECT))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert statuses(store) == {"done": 40}

    def test_tasks_that_nobody_can_take_cost_a_claim_nothing(self, store: Store) -> None:
        def cost(worker_id: str) -> float:
            worker, times = hire(store, worker_id), []
            submit(store, *(new_task(priority=-5) for _ in range(30)))
            for _ in range(30):
                began = time.perf_counter()
                take(store, worker)
                times.append(time.perf_counter() - began)
            return statistics.median(times)

        small = cost("w1")
        for _ in range(10):  # all of them ahead by rank: unroutable, blocked, not due, or planned
            submit(
                store,
                *(new_task(type="nobody", priority=9) for _ in range(500)),
                *(new_task(limit_key="one", machine="nowhere", priority=9) for _ in range(500)),
                *(new_task(not_before=time.time() + 9999, priority=9) for _ in range(500)),
                *(new_task(planning=True, priority=9) for _ in range(500)),
            )
        large = cost("w2")
        assert large < 4 * small + 0.01, (
            f"{small * 1000:.2f} ms a claim before, {large * 1000:.2f} ms with 20,000 ahead"
        )
