"""PostgreSQL's schema is made and changed by `upgrade()` alone; who does not fit says so."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import StoreError, StoreUnavailable
from runner.store import TaskFilter
from runner.testing.conformance.actors import add, claim, finish, hire
from runner_plugins import postgres_store
from runner_plugins.postgres import migrate
from runner_plugins.sql import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.testing import postgres

SPAWN = multiprocessing.get_context("spawn")


def opened(url: str) -> Any:
    store = postgres_store.open_store(url, {})
    assert store is not None
    return store


def tables(server: postgres.Server, url: str) -> set[str]:
    return {row[0] for row in server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", url)}


@pytest.fixture
def empty(postgres_server: postgres.Server) -> Iterator[str]:
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)


def refusal(url: str, write: bool = False) -> StoreError:
    store = opened(url)
    try:
        with pytest.raises(StoreError) as caught:
            add(store) if write else store.queue.count(TaskFilter())
    finally:
        store.close()
    assert not isinstance(caught.value, StoreUnavailable)
    assert caught.value.exit_code == 4
    return caught.value


@pytest.mark.parametrize("write", [False, True])
def test_an_empty_database_is_left_empty_and_names_the_command(
    postgres_server: postgres.Server, empty: str, write: bool
) -> None:
    assert "runner store upgrade" in str(refusal(empty, write))
    assert tables(postgres_server, empty) == set()


def test_an_upgrade_makes_the_tables_and_says_what_it_did(empty: str) -> None:
    store = opened(empty)
    assert store.upgrade() == ["m001_tables"]
    assert store.upgrade() == []
    add(store)
    assert finish(store, hire(store))
    store.close()


def test_a_store_that_was_refused_works_once_it_is_upgraded(empty: str) -> None:
    store, other = opened(empty), opened(empty)
    with pytest.raises(StoreError):
        add(store)
    other.upgrade()
    add(store)
    assert claim(store, hire(store))
    store.close()
    other.close()


def _upgrade(url: str, done: Any) -> None:
    store = opened(url)
    done.put(store.upgrade())
    store.close()


def test_of_many_upgrades_at_once_one_does_it(postgres_server: postgres.Server, empty: str) -> None:
    done: Any = SPAWN.Queue()
    processes = [SPAWN.Process(target=_upgrade, args=(empty, done)) for _ in range(6)]
    for process in processes:
        process.start()
    answers = sorted(done.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert answers == [[]] * 5 + [["m001_tables"]]
    assert postgres_server.execute("SELECT version, name FROM runner_schema", empty) == [(1, "m001_tables")]


def test_a_schema_that_needs_newer_clients_is_refused(postgres_server: postgres.Server, postgres_url: str) -> None:
    new = schema.VERSION + 1
    postgres_server.execute(f"INSERT INTO runner_schema VALUES ({new}, 'm_next', {new})", postgres_url)
    error = str(refusal(postgres_url))
    assert f"of version {new}, newer than this runner's {schema.VERSION}" in error
    assert "install the newest runner" in error
    store = opened(postgres_url)
    with pytest.raises(StoreError, match="newer"):
        store.upgrade()
    store.close()


def test_a_newer_schema_that_this_client_can_work_with_is_used(
    postgres_server: postgres.Server, postgres_url: str
) -> None:
    values = f"({schema.VERSION + 1}, 'm_next', {schema.VERSION})"
    postgres_server.execute(f"INSERT INTO runner_schema VALUES {values}", postgres_url)
    store = opened(postgres_url)
    add(store)
    assert claim(store, hire(store))
    assert store.upgrade() == []
    store.close()


def test_an_older_schema_names_the_command(postgres_server: postgres.Server, postgres_url: str) -> None:
    postgres_server.execute("UPDATE runner_schema SET version = 0, oldest_client = 0", postgres_url)
    error = str(refusal(postgres_url))
    assert f"older than this runner's {schema.VERSION}" in error
    assert "runner store upgrade" in error


def test_tables_of_somebody_else_are_left_alone(postgres_server: postgres.Server, empty: str) -> None:
    postgres_server.execute("CREATE TABLE tasks (mine text)", empty)
    store = opened(empty)
    with pytest.raises(StoreError, match="tables of something else"):
        store.upgrade()
    store.close()
    assert tables(postgres_server, empty) == {"tasks"}


def test_two_stores_share_a_database_by_schema(postgres_server: postgres.Server, empty: str) -> None:
    stores = []
    for name in ("one", "two"):
        postgres_server.execute(f"CREATE SCHEMA {name}", empty)
        store = opened(f"{empty}&options=-csearch_path%3D{name}")
        store.upgrade()
        stores.append(store)
    add(stores[0])
    assert [store.queue.count(TaskFilter()) for store in stores] == [{"pending": 1}, {}]
    for store in stores:
        store.close()


def test_a_database_that_can_not_hold_every_text_is_refused(postgres_server: postgres.Server) -> None:
    postgres_server.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    store = opened(postgres_server.url("latin"))
    with pytest.raises(StoreError, match="LATIN1"):
        store.upgrade()
    store.close()
    postgres_server.drop(postgres_server.url("latin"))


def test_text_is_compared_byte_by_byte_whatever_the_database_does(
    postgres_server: postgres.Server, postgres_url: str
) -> None:
    other = postgres_server.execute(
        """SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_collation l ON l.oid = a.attcollation
        WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'runner_schema' AND l.collname <> 'C'""",
        postgres_url,
    )
    assert other == []


def test_every_migration_leads_one_version_on() -> None:
    assert [one.version for one in migrate.MIGRATIONS] == list(range(1, schema.VERSION + 1))
    assert all(one.oldest_client <= one.version for one in migrate.MIGRATIONS)
