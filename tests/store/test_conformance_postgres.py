"""The PostgreSQL store passes the conformance suite."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from runner.testing.conformance import StoreConformance
from runner_plugins import postgres_store

if TYPE_CHECKING:
    from runner.testing.conformance.actors import OpenStore


class TestPostgres(StoreConformance):
    @pytest.fixture
    def open_store(self, postgres_url: str) -> OpenStore:
        return functools.partial(postgres_store.open_store, postgres_url, {})
