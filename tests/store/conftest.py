"""One PostgreSQL server for this test process, and a template database with the schema in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runner.testing import postgres
from runner_plugins import postgres_store

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    with postgres.serve() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: postgres.Server) -> str:
    url = postgres_server.create(name="template_runner")
    store = postgres_store.open_store(url, {})
    assert store is not None
    store.upgrade()
    store.close()
    return url


@pytest.fixture
def postgres_url(postgres_server: postgres.Server, postgres_template: str) -> Iterator[str]:
    """A fresh database with the schema in it."""
    if not postgres_server.running:  # a test that failed while it was stopped
        postgres_server.start()
    url = postgres_server.create(template=postgres_template)
    yield url
    postgres_server.drop(url)
