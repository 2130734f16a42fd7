"""Records, artifacts, and removing what is old."""

from __future__ import annotations

import dataclasses
import time

import pytest

from runner.model import Artifact
from runner.store import (
    DeleteRecord,
    Prune,
    Published,
    PutArtifact,
    PutRecord,
    Store,
)
from runner.testing.conformance.actors import (
    PROJECT,
    StoreTests,
    add,
    do,
    finish,
    hire,
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


def _artifact(name: str, **fields: object) -> Artifact:
    base = Artifact(name=name, type="text/plain", size=2, sha256="ab" * 32, ref=f"ref-{name}", project=PROJECT)
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]


def _finished(store: Store, count: int) -> list[str]:
    ids = [add(store, type="old") for _ in range(count)]
    worker = hire(store, "old", types=("old",))
    for _ in ids:
        finish(store, worker)
    return ids


def _soon() -> float:
    return time.time() + 60


class RecordTests(StoreTests):
    def test_a_record_is_inserted_and_replaced(self, store: Store) -> None:
        assert store.records.get("note", "a") is None
        assert do(store, PutRecord(kind="note", id="a", data={"n": 1, "old": True}, project=PROJECT)) is None
        do(store, PutRecord(kind="note", id="a", data={"n": 2}, project=PROJECT))
        record = store.records.get("note", "a")
        assert record is not None
        assert record["n"] == 2
        assert "old" not in record

    def test_records_are_found_by_kind_and_project_in_order(self, store: Store) -> None:
        for id, project in (("b", PROJECT), ("a", PROJECT), ("c", "p2")):
            do(store, PutRecord(kind="note", id=id, data={"x": id}, project=project))
        do(store, PutRecord(kind="other", id="z", data={}, project=PROJECT))
        assert [(r["id"], r["x"]) for r in store.records.find("note")] == [("a", "a"), ("b", "b"), ("c", "c")]
        assert [r["id"] for r in store.records.find("note", project=PROJECT)] == ["a", "b"]
        assert store.records.find("nothing") == []

    def test_a_record_is_removed_once(self, store: Store) -> None:
        do(store, PutRecord(kind="note", id="a", data={}))
        assert do(store, DeleteRecord(kind="note", id="a")) is True
        assert do(store, DeleteRecord(kind="note", id="a")) is False
        assert store.records.get("note", "a") is None

    def test_an_artifact_is_written_down_with_where_it_came_from(self, store: Store) -> None:
        id = add(store, unit="u1")
        held = take(store, hire(store))
        start(store, held)
        given = _artifact("out.txt", task=id, unit="u1", step="main", attempt=1, epoch=held.epoch, by="w1")
        recorded = do(store, PutArtifact(fence=held, artifact=given))
        assert recorded.created_at > 0
        assert dataclasses.replace(recorded, created_at=0.0) == given
        assert store.records.artifact("ref-out.txt") == recorded
        assert store.records.artifact("ref-nothing") is None

    def test_artifacts_are_found_by_project_unit_and_task(self, store: Store) -> None:
        one, two = add(store), add(store, unit="u1")
        do(store, PutArtifact(artifact=_artifact("a", task=one)))
        do(store, PutArtifact(artifact=_artifact("b", task=two, unit="u1")))
        do(store, PutArtifact(artifact=_artifact("c", project="p2")))
        names = [
            sorted(a.name for a in found)
            for found in (
                store.records.artifacts(),
                store.records.artifacts(project=PROJECT),
                store.records.artifacts(unit="u1"),
                store.records.artifacts(task=one),
                store.records.artifacts(project="p2", task=one),
            )
        ]
        assert names == [["a", "b", "c"], ["a", "b"], ["b"], ["a"], []]

    def test_one_name_may_have_many_artifacts(self, store: Store) -> None:
        do(store, PutArtifact(artifact=_artifact("log", ref="r1")))
        do(store, PutArtifact(artifact=_artifact("log", ref="r2")))
        assert len(store.records.artifacts(project=PROJECT)) == 2

    def test_nothing_is_pruned_unless_something_is_said(self, store: Store) -> None:
        _finished(store, 3)
        assert do(store, Prune()) == 0
        assert statuses(store) == {"done": 3}

    def test_finished_tasks_are_pruned_by_age(self, store: Store) -> None:
        old = _finished(store, 3)
        time.sleep(0.05)
        border = time.time()
        time.sleep(0.05)
        new = _finished(store, 2)
        assert do(store, Prune(before=border)) == 3
        assert [store.queue.get(id) for id in old] == [None] * 3
        assert {status(store, id) for id in new} == {"done"}

    def test_finished_tasks_are_pruned_beyond_the_newest(self, store: Store) -> None:
        ids = []
        for _ in range(6):
            ids += _finished(store, 1)
            time.sleep(0.01)
        assert do(store, Prune(keep=2)) == 4
        assert [store.queue.get(id) is not None for id in ids] == [False] * 4 + [True] * 2
        assert do(store, Prune(keep=2)) == 0

    def test_pruning_goes_in_bounded_batches(self, store: Store) -> None:
        _finished(store, 7)
        assert [do(store, Prune(before=_soon(), batch=3)) for _ in range(4)] == [3, 3, 1, 0]

    @pytest.mark.parametrize("outcome", ["ok", "check_failed", "cancelled"])
    def test_every_finished_status_is_pruned(self, store: Store, outcome: str) -> None:
        id = add(store)
        finish(store, hire(store), outcome)
        assert do(store, Prune(before=_soon())) == 1
        assert store.queue.get(id) is None
        assert store.queue.attempts(id) == []

    def test_unfinished_tasks_are_never_pruned(self, store: Store) -> None:
        add(store, type="human")
        finish(store, hire(store, "w0", types=("human",)), "needs_human")
        add(store, planning=True)
        add(store, not_before=time.time() + 3600)
        parent = add(store)
        add(store, after=(parent,))
        submit(store, new_task(), new_task())
        worker = hire(store)
        take(store, worker)
        start(store, take(store, worker))
        before = statuses(store)
        assert before == {
            "needs_human": 1,
            "planning": 1,
            "scheduled": 1,
            "blocked": 1,
            "pending": 1,
            "claimed": 1,
            "in_progress": 1,
        }
        assert do(store, Prune(before=_soon(), keep=0)) == 0
        assert statuses(store) == before

    def test_a_parent_stays_while_a_child_is_unfinished(self, store: Store) -> None:
        parent = add(store)
        child = add(store, after=(parent,))
        worker = hire(store)
        finish(store, worker, "check_failed")
        assert do(store, Prune(before=_soon())) == 0
        assert status(store, parent) == "failed"
        assert status(store, child) == "blocked"

    def test_a_family_that_is_finished_is_pruned(self, store: Store) -> None:
        parent = add(store)
        add(store, after=(parent,))
        worker = hire(store)
        finish(store, worker)
        tick(store)
        finish(store, worker)
        pruned = [do(store, Prune(before=_soon())) for _ in range(3)]
        assert sum(pruned) == 2
        assert statuses(store) == {}

    def test_a_task_with_artifacts_stays(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        do(store, PutArtifact(fence=held, artifact=_artifact("out", task=id)))
        settle(store, held)
        assert do(store, Prune(before=_soon())) == 0
        assert status(store, id) == "done"

    def test_a_task_that_is_not_published_stays(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        settle(store, held, publish={"ref": "x"}, home="m-w1")
        assert do(store, Prune(before=_soon())) == 0
        do(store, Published(task=id, epoch=held.epoch))
        assert do(store, Prune(before=_soon())) == 1

    def test_a_pruned_key_is_free(self, store: Store) -> None:
        add(store, key="k", key_forever=True)
        finish(store, hire(store))
        assert do(store, Prune(before=_soon())) == 1
        assert submit(store, new_task(key="k", payload={"new": 1}))[0].created

    def test_a_pruned_parent_is_unknown(self, store: Store) -> None:
        [id] = _finished(store, 1)
        do(store, Prune(before=_soon()))
        assert store.queue.get(id) is None
        survivor = add(store)
        assert read(store, survivor).after == ()
