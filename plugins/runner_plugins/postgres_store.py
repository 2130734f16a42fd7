"""The PostgreSQL store: one database for many machines. This file only tells its URLs; the rest is `postgres/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.errors import StoreError
from runner.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner_plugins.postgres.store import PostgresStore

_SCHEMES = ("postgresql://", "postgres://")


@hookimpl
def open_store(url: str, options: Mapping[str, Any]) -> PostgresStore | None:
    """`postgresql://USER@HOST/DATABASE` and all that libpq takes. Connects when it is first used."""
    if not url.startswith(_SCHEMES):
        return None
    try:
        import psycopg  # noqa: F401 - an extra, and 120 ms that no other store should cost
    except ImportError:
        raise StoreError(
            "a postgresql:// store needs the package psycopg", "pip install 'psycopg[binary]>=3.2'"
        ) from None
    from runner_plugins.postgres.store import PostgresStore

    return PostgresStore(url, **{name: value for name, value in options.items() if name == "timeout"})
