"""Stores that went bad: damaged, cut short, or written by a newer version."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path


def _settle(store: Path) -> None:
    """Everything into the main file, so that the damage is not healed from the log."""
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for name in (f"{store}-wal", f"{store}-shm"):
        Path(name).unlink(missing_ok=True)


def damage_header(store: Path) -> None:
    """The file is not a database any more."""
    _settle(store)
    with open(store, "r+b") as file:
        file.write(b"this was a database")


def damage_pages(store: Path, seed: int = 1) -> None:
    """The header is whole; every page after the first holds noise."""
    _settle(store)
    size = store.stat().st_size
    with open(store, "r+b") as file:
        file.seek(4096)
        file.write(random.Random(seed).randbytes(max(0, size - 4096)))


def truncate(store: Path) -> None:
    """The second half is gone."""
    _settle(store)
    with open(store, "r+b") as file:
        file.truncate(store.stat().st_size // 2 // 4096 * 4096)


def set_version(store: Path, version: int) -> None:
    """As if a newer program had upgraded the schema."""
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute(f"PRAGMA user_version={int(version)}")
