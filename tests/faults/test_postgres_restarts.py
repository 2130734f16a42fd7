"""A PostgreSQL that is restarted again and again: nothing is lost or done twice, and no task that runs is ended."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import time
from typing import TYPE_CHECKING

import pytest

from runner.errors import StoreError, StoreUnavailable
from runner.store import AppendMessage, ClaimTasks, Register, Settle, StartAttempt
from runner.testing import faults, history
from runner.testing.conformance.actors import new_task, new_worker, submit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.store import Op, Store
    from runner.testing import postgres
    from tests.faults.conftest import Field


@contextlib.contextmanager
def restarted(server: postgres.Server, every: float) -> Iterator[list[str]]:
    """The server is stopped (crashed, then in order, in turn) every so often, for half a second."""
    over, done, errors = threading.Event(), [], []

    def restart() -> None:
        try:
            for mode in itertools.cycle(("immediate", "fast")):
                if over.wait(every):
                    return
                server.restart(mode, pause=0.5)
                done.append(mode)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()
    assert errors == []


def test_a_task_that_runs_through_restarts_is_not_ended_by_them(postgres_field: Field) -> None:
    field = postgres_field
    field.settings(lease=30, renew=1, interruptions=10)
    field.submit(4, seconds=8, folders=4)
    assert field.server is not None
    with field.crew(2, argv=(*faults.WORK, "--slots", "2")) as crew:
        crew.fill()
        while len(history.read_effects(field.effects)) < 4:
            time.sleep(0.1)
        with restarted(field.server, every=1.5) as restarts:
            _until_done(field, crew, 90)
        assert crew.close() == [0, 0], crew.words()
    report = field.proof(field.open())
    assert len(restarts) >= 2
    assert (report.claims, report.reclaims, report.releases) == (4, 0, 0)


def test_workers_are_killed_while_the_server_restarts(postgres_field: Field) -> None:
    _survive(
        postgres_field, tasks=60, seconds=0.4, folders=20, workers=3, kill_every=1.0, restart_every=2.5, timeout=150
    )


@pytest.mark.soak
def test_two_thousand_tasks_survive_kills_stops_and_restarts(postgres_field: Field) -> None:
    _survive(
        postgres_field, tasks=2000, seconds=0.05, folders=60, workers=6, kill_every=0.2, restart_every=5, timeout=3400
    )


def _survive(
    field: Field,
    *,
    tasks: int,
    seconds: float,
    folders: int,
    workers: int,
    kill_every: float,
    restart_every: float,
    timeout: float,
) -> None:
    """The tasks alone take longer than two restarts, on however quick a machine."""
    assert tasks * seconds / workers > 2 * restart_every
    field.settings(lease=30, renew=2, interruptions=20)
    field.submit(tasks, seconds=seconds, folders=folders)
    assert field.server is not None
    with field.crew(workers) as crew, restarted(field.server, restart_every) as restarts:
        torment = faults.Torment(crew, kill_every=kill_every)
        store = field.open()
        torment.until(functools.partial(_is_done, field, store), timeout=timeout)
    report = field.proof(field.open())
    assert restarts
    assert report.reclaims + report.releases > 0, "nobody was interrupted: the test showed nothing"


def _until_done(field: Field, crew: faults.Crew, timeout: float) -> None:
    store = field.open()
    deadline = time.monotonic() + timeout
    while not _is_done(field, store):
        assert time.monotonic() < deadline, crew.words()[-3000:]
        time.sleep(0.2)


def _is_done(field: Field, store: Store) -> bool:
    try:
        return not field.moving(store)
    except StoreError:
        return False  # it is away just now


def _again(store: Store, ops: Sequence[Op], request: str) -> list[object]:
    """Commit, and commit again with the same request id, until there is an answer."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return store.commit(ops, request_id=request)
        except StoreUnavailable:
            assert time.monotonic() < deadline, "the store never came back"
            time.sleep(0.05)


def test_commits_that_are_repeated_through_restarts_are_applied_once(postgres_field: Field) -> None:
    """Four writers, each message sent until it is answered; the server crashes in the middle of them."""
    field = postgres_field
    assert field.server is not None
    each, writers, errors = 150, 4, []

    def write(number: int) -> None:
        store = field.open()
        try:
            for n in range(each):
                _again(store, [AppendMessage(stream="s", body={"by": number, "n": n})], f"{number}-{n}")
                time.sleep(0.02)
        except BaseException as error:
            errors.append(error)

    with restarted(field.server, every=0.7) as restarts:
        threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert len(restarts) >= 2
    messages = field.open().streams.read("s", limit=10_000)
    assert [m.position for m in messages] == list(range(1, each * writers + 1))
    for number in range(writers):
        assert [m.body["n"] for m in messages if m.body["by"] == number] == list(range(each))


def test_connections_that_are_lost_at_any_moment_change_nothing(postgres_field: Field) -> None:
    """Claims, starts and settles while connections are cut again and again: answers may be lost, work not."""
    field = postgres_field
    assert field.server is not None
    server, store = field.server, field.open()
    tasks = [new_task() for _ in range(300)]
    submit(store, *tasks)
    over, cuts = threading.Event(), []

    def cut() -> None:
        while not over.wait(0.005):
            gone = server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            cuts.append(len(gone))

    cutter = threading.Thread(target=cut)
    cutter.start()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        own, worker, n = field.open(), new_worker(f"w{number}"), itertools.count()
        try:
            _again(own, [Register(worker=worker)], f"{number}-hire")
            while True:
                [claims] = _again(own, [ClaimTasks(worker=worker, limit=2)], f"{number}-{next(n)}")
                if not claims:
                    return
                for held in claims:  # type: ignore[attr-defined]
                    _again(own, [StartAttempt(fence=held)], f"{number}-{next(n)}")
                    _again(own, [Settle(fence=held, outcome="ok")], f"{number}-{next(n)}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    cutter.join()
    assert errors == []
    report = history.check(history.gather(field.open()), submitted=[t.id for t in tasks])
    assert report.violations == []
    assert report.settled == {"done": 300}
    assert report.claims == 300
    assert sum(cuts) > 30, "hardly a connection was cut: the test showed nothing"


def test_a_worker_whose_notifier_was_cut_hears_of_work_again(postgres_field: Field) -> None:
    field = postgres_field
    assert field.server is not None
    store, other = field.open(), field.open()
    worker = new_worker()
    store.commit([Register(worker=worker)])
    for _ in range(3):
        deadline = time.monotonic() + 20
        while store.wait_for_work(worker, timeout=0.2):
            assert time.monotonic() < deadline, "the worker is told of work that is not there"
        submitter = threading.Timer(1.5, lambda: submit(other, new_task(type="unseen")))
        submitter.start()
        began = time.monotonic()
        assert store.wait_for_work(worker, timeout=20) == "work"
        assert time.monotonic() - began < 10
        submitter.join()
        field.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()"
        )


def test_a_server_that_is_away_is_one_sentence(postgres_field: Field) -> None:
    field = postgres_field
    assert field.server is not None
    field.server.stop("fast")
    try:
        ended = field.runner("queue", env=field.env)
    finally:
        field.server.start()
    assert ended.code == 4
    assert "Traceback" not in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if line.startswith("error")]) == 1, ended.stderr
    assert ended.stdout == ""


def test_a_database_without_the_schema_says_what_to_do(postgres_field: Field) -> None:
    field = postgres_field
    assert field.server is not None
    url = field.server.create()
    ended = field.runner("queue", env={"RUNNER_STORE": url})
    assert ended.code == 4
    assert "runner store upgrade" in ended.stderr
    assert "Traceback" not in ended.stderr
    field.server.drop(url)


def test_a_database_that_does_not_exist_says_so(postgres_field: Field) -> None:
    field = postgres_field
    assert field.server is not None
    ended = field.runner("queue", env={"RUNNER_STORE": field.server.url("nowhere")})
    assert ended.code == 4
    assert "nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr
