"""Dependencies: a task runs after its parents are done, however many there are and whatever happens to them."""

from __future__ import annotations

import threading

import pytest

from runner.errors import NotFound
from runner.store import CancelTask, ResolveTask, RetryTask, Store, Tick
from runner.testing.conformance.actors import (
    OpenStore,
    StoreTests,
    add,
    bury,
    claim,
    do,
    finish,
    hire,
    keys,
    new_task,
    read,
    settle,
    start,
    status,
    statuses,
    submit,
    take,
    tick,
)


class DependencyTests(StoreTests):
    def test_a_task_is_blocked_until_its_parent_is_done(self, store: Store) -> None:
        parent = add(store)
        child = add(store, after=(parent,))
        worker = hire(store)
        assert status(store, child) == "blocked"
        held = take(store, worker)
        assert claim(store, worker) == []
        start(store, held)
        tick(store)
        assert status(store, child) == "blocked"
        settle(store, held)
        tick(store)
        assert status(store, child) == "pending"
        assert take(store, worker).key == child

    def test_a_parent_that_is_done_already_holds_nothing_up(self, store: Store) -> None:
        parent = add(store)
        finish(store, hire(store))
        assert status(store, add(store, after=(parent,))) == "pending"

    def test_a_parent_that_failed_already_holds_its_child(self, store: Store) -> None:
        parent = add(store)
        finish(store, hire(store), "check_failed")
        child = add(store, after=(parent,))
        tick(store)
        assert status(store, child) == "blocked"

    def test_a_task_waits_for_all_its_parents(self, store: Store) -> None:
        parents = [add(store) for _ in range(3)]
        child = add(store, after=tuple(parents))
        worker = hire(store)
        for _ in parents:
            assert status(store, child) == "blocked"
            finish(store, worker)
            tick(store)
        assert status(store, child) == "pending"
        assert sorted(read(store, child).after) == sorted(parents)

    def test_a_parent_named_twice_counts_once(self, store: Store) -> None:
        parent = add(store)
        child = add(store, after=(parent, parent))
        finish(store, hire(store))
        tick(store)
        assert status(store, child) == "pending"

    def test_parents_settled_by_one_tick_release_their_child_once(self, store: Store) -> None:
        parents = [add(store) for _ in range(3)]
        child = add(store, after=tuple(parents))
        worker = hire(store)
        for held in claim(store, worker, limit=3):
            settle(store, held)
        tick(store)
        finish(store, worker)
        tick(store)
        assert statuses(store) == {"done": 4}
        assert len([e for e in store.queue.events(task=child) if e.kind == "task.claimed"]) == 1

    def test_a_diamond_runs_from_its_top_to_its_bottom(self, store: Store) -> None:
        top = add(store)
        left, right = add(store, after=(top,)), add(store, after=(top,))
        bottom = add(store, after=(left, right))
        worker, order = hire(store), []
        for _ in range(4):
            order.append(finish(store, worker).key)
            tick(store)
        assert order[0] == top
        assert set(order[1:3]) == {left, right}
        assert order[3] == bottom

    def test_a_long_chain_runs_in_its_order(self, store: Store) -> None:
        tasks = [new_task(str(n), after=(str(n - 1),) if n else ()) for n in range(40)]
        submit(store, *reversed(tasks))
        worker, order = hire(store), []
        for _ in tasks:
            order.append(finish(store, worker).key)
            tick(store)
        assert order == [task.id for task in tasks]

    def test_a_wide_fan_out_is_released_in_bounded_batches(self, store: Store) -> None:
        parent = add(store)
        submit(store, *(new_task(after=(parent,)) for _ in range(1200)))
        assert statuses(store) == {"pending": 1, "blocked": 1200}
        finish(store, hire(store))
        done = tick(store, batch=500)
        assert max(t.released for t in done) <= 500
        assert all(t.more for t in done[:-1])
        assert statuses(store) == {"done": 1, "pending": 1200}
        assert sum(t.released for t in done) <= 1200

    def test_a_wide_fan_in_waits_for_the_last(self, store: Store) -> None:
        parents = [new_task() for _ in range(300)]
        child = new_task(after=tuple(p.id for p in parents))
        submit(store, *parents, child)
        worker = hire(store)
        held = claim(store, worker, limit=300)
        for one in held[:-1]:
            settle(store, one)
        tick(store)
        assert status(store, child.id) == "blocked"
        settle(store, held[-1])
        tick(store)
        assert status(store, child.id) == "pending"

    @pytest.mark.parametrize("outcome", ["check_failed", "needs_human", "cancelled", "budget"])
    def test_a_parent_that_is_not_done_holds_its_child(self, store: Store, outcome: str) -> None:
        parent = add(store)
        child = add(store, after=(parent,))
        finish(store, hire(store), outcome)
        tick(store)
        assert status(store, child) == "blocked"
        [(id, of_parent)] = store.queue.facts(child).parents
        assert (id, of_parent) == (parent, status(store, parent))

    def test_a_cancelled_parent_holds_its_child(self, store: Store) -> None:
        parent = add(store)
        child = add(store, after=(parent,))
        do(store, CancelTask(task=parent))
        tick(store)
        assert status(store, child) == "blocked"

    @pytest.mark.parametrize("outcome", ["check_failed", "needs_human", "cancelled"])
    def test_a_retried_parent_that_gets_done_releases_its_child(self, store: Store, outcome: str) -> None:
        parent = add(store)
        child = add(store, after=(parent,))
        worker = hire(store)
        finish(store, worker, outcome)
        tick(store)
        assert do(store, RetryTask(task=parent)) == "pending"
        finish(store, worker)
        tick(store)
        assert status(store, child) == "pending"

    @pytest.mark.parametrize("outcome", ["check_failed", "needs_human"])
    def test_a_parent_resolved_as_done_releases_its_child(self, store: Store, outcome: str) -> None:
        parent = add(store)
        child = add(store, after=(parent,))
        finish(store, hire(store), outcome, repairable=outcome == "needs_human")
        tick(store)
        assert do(store, ResolveTask(task=parent, to="done")) == "done"
        tick(store)
        assert status(store, child) == "pending"

    def test_a_parent_that_is_tried_again_by_itself_still_blocks(self, store: Store) -> None:
        parent = add(store)
        child = add(store, after=(parent,))
        worker = hire(store)
        finish(store, worker, "crashed")
        take(store, worker)
        bury(store, worker)
        tick(store)
        assert (status(store, parent), status(store, child)) == ("pending", "blocked")
        finish(store, worker)
        tick(store)
        assert status(store, child) == "pending"

    def test_cancelling_a_child_leaves_its_parent_alone(self, store: Store) -> None:
        parent = add(store)
        child = add(store, after=(parent,))
        assert do(store, CancelTask(task=child)) == "cancelled"
        finish(store, hire(store))
        tick(store)
        assert (status(store, parent), status(store, child)) == ("done", "cancelled")

    def test_a_child_that_waits_for_a_parent_and_a_time_waits_for_both(self, store: Store) -> None:
        parent = add(store)
        child = add(store, after=(parent,), not_before=read(store, parent).created_at + 3600)
        finish(store, hire(store))
        tick(store)
        assert status(store, child) == "scheduled"
        assert claim(store, hire(store)) == []

    def test_an_unknown_parent_is_named(self, store: Store) -> None:
        parent = add(store)
        with pytest.raises(NotFound, match="ghost"):
            submit(store, new_task(after=(parent, "ghost")))

    def test_a_submit_that_races_with_the_settling_of_its_parent_is_never_forgotten(
        self, store: Store, open_store: OpenStore
    ) -> None:
        other = open_store()
        worker = hire(store)
        children = []
        for _ in range(30):
            parent = add(store)
            held = take(store, worker)
            child = new_task(after=(parent,), type="child")
            gate = threading.Barrier(2)

            def late(child: object = child, gate: threading.Barrier = gate) -> None:
                gate.wait()
                submit(other, child)  # type: ignore[arg-type]

            thread = threading.Thread(target=late)
            thread.start()
            gate.wait()
            settle(store, held)
            thread.join()
            children.append(child.id)
        other.close()
        tick(store)
        assert {status(store, child) for child in children} == {"pending"}

    def test_the_release_of_dependants_survives_the_holder_of_the_parent(
        self, store: Store, open_store: OpenStore
    ) -> None:
        parent = add(store)
        child = add(store, after=(parent,))
        first = open_store()
        finish(first, hire(first))
        first.close()
        do(store, Tick())
        assert keys(claim(store, hire(store, "w2"))) == [child]
