"""One PostgreSQL server for this test process, and a template database with the schema in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runner.testing import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    with postgres.serve() as server:
        yield server
