"""The SQLite store passes the conformance suite."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from runner_plugins import sqlite_store

from runner.testing.conformance import StoreConformance
from runner.testing.conformance.actors import OpenStore


class TestSqlite(StoreConformance):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return functools.partial(sqlite_store.open_store, f"sqlite:///{tmp_path}/store.db", {})
