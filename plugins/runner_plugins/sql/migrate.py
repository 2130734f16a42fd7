"""Schema migrations of the SQLite store, kept by sqlite-utils. Imported only when there is one to apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils import Database, Migrations

from runner_plugins.sql import schema

if TYPE_CHECKING:
    import sqlite3

SPELLING = {
    "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "real": "REAL",
    "big": "INTEGER",
}

_KEYED = ("meta", "claims", "requests", "deps", "workers", "limits", "accounts")
"""Tables of small rows that live in their key's own tree: a commit writes fewer pages."""

migrations = Migrations("runner")


@migrations()
def m001_tables(db: Database) -> None:
    """The first tables."""
    for statement in schema.TABLES:
        keyed = statement.startswith(tuple(f"CREATE TABLE {name} " for name in _KEYED))
        db.conn.execute(statement.format(**SPELLING) + (" WITHOUT ROWID" if keyed else ""))


def migrate(conn: sqlite3.Connection) -> list[str]:
    """Apply what is pending, inside the caller's transaction → names applied."""
    db = Database(conn, execute_plugins=False)
    names = [one.name for one in migrations.pending(db)]
    migrations.apply(db)
    return names
