"""The SQLite store passes the conformance suite."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from runner.testing.conformance import StoreConformance
from runner_plugins import sqlite_store

if TYPE_CHECKING:
    from pathlib import Path

    from runner.testing.conformance.actors import OpenStore


class TestSqlite(StoreConformance):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return functools.partial(sqlite_store.open_store, f"sqlite:///{tmp_path}/store.db", {})
