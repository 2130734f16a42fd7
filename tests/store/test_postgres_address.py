"""PostgreSQL stores that can't be opened: one sentence each, and never a password in it."""

from __future__ import annotations

import socket
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import pytest

from runner.errors import StoreError, StoreUnavailable
from runner.store import TaskFilter
from runner_plugins import postgres_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.testing import postgres

SECRET = "hunter2-x"


def trouble(url: str) -> StoreError:
    """The error of the first read; none of what it shows may hold the password."""
    with pytest.raises(StoreError) as caught:
        _read(url)
    error = caught.value
    shown = str(error) + repr(error) + "".join(traceback.format_exception(error))
    assert SECRET not in shown.replace(url, ""), shown
    assert not any(part in str(error) for part in ("hunter2", "-x@")), str(error)
    assert "\n" not in str(error)
    assert error.exit_code == 4
    return error


def _read(url: str) -> None:
    store = postgres_store.open_store(url, {})
    assert store is not None
    try:
        store.queue.count(TaskFilter())
    finally:
        store.close()


@pytest.fixture
def guarded(postgres_server: postgres.Server, postgres_url: str) -> Iterator[Callable[[str], str]]:
    """Makes a URL with a password for a role that needs one."""
    rules = postgres_server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all guarded scram-sha-256\n{before}")
    postgres_server.execute("SELECT pg_reload_conf()")
    postgres_server.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{SECRET}'")
    postgres_server.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO guarded", postgres_url)
    yield lambda password: postgres_url.replace("postgres@", f"guarded:{password}@")
    rules.write_text(before)
    postgres_server.execute("SELECT pg_reload_conf()")
    postgres_server.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM guarded", postgres_url)
    postgres_server.execute("DROP ROLE guarded")


def test_other_urls_are_left_to_other_stores() -> None:
    assert postgres_store.open_store("sqlite:///x.db", {}) is None
    assert postgres_store.open_store("https://example.org", {}) is None


def test_opening_a_store_connects_to_nothing_yet() -> None:
    store = postgres_store.open_store("postgres://me@192.0.2.1/queue", {})
    assert store is not None
    store.close()


def test_the_right_password_opens_the_store(guarded: Callable[[str], str]) -> None:
    store = postgres_store.open_store(guarded(SECRET), {})
    assert store is not None
    assert store.queue.count(TaskFilter()) == {}
    store.close()


def test_a_wrong_password_is_one_sentence(guarded: Callable[[str], str]) -> None:
    error = trouble(guarded(f"{SECRET}-wrong"))
    assert not isinstance(error, StoreUnavailable)
    assert "refuses the login" in str(error)


def test_a_missing_database_is_one_sentence(postgres_server: postgres.Server) -> None:
    error = trouble(postgres_server.url("nowhere").replace("postgres@", f"postgres:{SECRET}@"))
    assert not isinstance(error, StoreUnavailable)
    assert 'database "nowhere" does not exist' in str(error)


def test_a_missing_role_is_one_sentence(postgres_server: postgres.Server) -> None:
    assert 'role "nobody_here" does not exist' in str(
        trouble(postgres_server.url().replace("postgres@", f"nobody_here:{SECRET}@"))
    )


def test_a_host_where_nothing_listens_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = trouble(f"postgresql://me:{SECRET}@127.0.0.1:{port}/queue")
    assert isinstance(error, StoreUnavailable)
    assert f"127.0.0.1:{port}/queue" in str(error)
    assert "refused" in str(error)


def test_a_host_without_an_address_is_unavailable() -> None:
    assert isinstance(trouble(f"postgresql://me:{SECRET}@no-such-host.invalid/queue"), StoreUnavailable)


@pytest.mark.parametrize(
    "password",
    [f"a@{SECRET}", f"a/{SECRET}", f"{SECRET}/@b", f"a?{SECRET}", f"a:{SECRET}@b", f"%zz{SECRET}", f"a#b@{SECRET}"],
)
def test_a_password_that_is_not_encoded_is_not_shown_either(password: str) -> None:
    trouble(f"postgresql://me:{password}@127.0.0.1:1/queue")


@pytest.mark.parametrize("rest", ["host:notaport/db", "/db?nonsense=1", "[::1/db"])
def test_what_is_no_url_of_a_database_is_one_sentence(rest: str) -> None:
    trouble(f"postgresql://me:{SECRET}@{rest}")


def test_a_password_among_the_settings_is_not_shown(postgres_server: postgres.Server) -> None:
    trouble(postgres_server.url("nowhere") + f"&password={SECRET}")


def test_without_psycopg_the_package_is_named() -> None:
    code = """
import sys
sys.modules["psycopg"] = None
from runner.errors import StoreError
from runner_plugins.postgres_store import open_store
try:
    open_store("postgresql://h/d", {})
except StoreError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().count("\n") == 0
    assert "pip install 'psycopg[binary]>=3.2'" in done.stdout


def test_looking_at_a_url_imports_no_driver() -> None:
    code = """
import sys
from runner_plugins.postgres_store import open_store
assert open_store("sqlite:///x", {}) is None
print([name for name in sys.modules if name.startswith(("psycopg", "runner_plugins.postgres."))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
