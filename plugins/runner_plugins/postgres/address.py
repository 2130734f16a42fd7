"""Where the database is: the URL taken apart, a name for it without a password, connections to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from runner.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

OLDEST: Final = 140000
"""PostgreSQL 14: transaction ids of 64 bits, and a server that notices clients that are gone."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "application_name": "runner",
    "connect_timeout": 5,
    # A peer that vanished without a word (power, cable, laptop lid) is noticed in about half a minute.
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20000,
}
"""What the URL may say otherwise."""

_ENCODE = "write @ : / ? # and % in it as %40 %3A %2F %3F %23 %25"


class Address:
    """A database's address. `name` is for people: no user, no password."""

    def __init__(self, url: str) -> None:
        _refuse_plain(url)
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:
            # Its own message quotes from the URL, and may quote the password.
            raise StoreError(
                "the store's URL is no PostgreSQL URL", "write postgresql://USER@HOST/DATABASE, as for psql"
            ) from None
        self.url = url
        self.parameters: dict[str, Any] = {**DEFAULTS, "client_encoding": "utf8", **given}
        host = str(given.get("host") or given.get("hostaddr") or "")
        port = f":{given['port']}" if given.get("port") else ""
        self.name = f"postgresql://{host}{port}/{given.get('dbname') or given.get('user') or ''}"
        self._secrets = [str(given[key]) for key in ("password", "sslpassword") if given.get(key)]

    def connect(self) -> psycopg.Connection[Any]:
        """A new connection, outside any transaction; StoreUnavailable when it may work later, else StoreError."""
        try:
            connection = psycopg.connect(autocommit=True, **self.parameters)
        except psycopg.OperationalError as error:
            raise self._unreachable(self.clean(str(error))) from None
        except (psycopg.Error, UnicodeError, ValueError) as error:
            raise StoreError(f"the store {self.name} can't be opened: {self.clean(str(error))}", _CHECK) from None
        if connection.info.server_version < OLDEST:
            version = connection.info.server_version // 10000
            connection.close()
            raise StoreError(f"the store {self.name} is PostgreSQL {version}", "PostgreSQL 14 or newer is needed")
        return connection

    def clean(self, text: str) -> str:
        """The first line of a message, without passwords."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text.strip().partition("\n")[0].strip()

    def _unreachable(self, text: str) -> StoreError:
        lower = text.lower()
        why = text.rpartition("failed: ")[2].removeprefix("FATAL:").strip()
        at = f"the store {self.name}"
        if "password" in lower or "authentication failed" in lower or "pg_hba.conf" in lower:
            return StoreError(f"{at} refuses the login: {why}", "check user and password in the URL, or ~/.pgpass")
        if "does not exist" in lower and ("database" in lower or "role" in lower):
            create = "create it (`createdb`), or check the URL" if "database" in lower else "check the user in the URL"
            return StoreError(f"{at} can't be opened: {why}", create)
        return StoreUnavailable(f"{at} can't be reached: {why}", "is the server up, and the host right?")


_CHECK = "check the store's URL"


def _refuse_plain(url: str) -> None:
    """A password with an unescaped `@`, `/` or `?` in it would end up in a host name, and in every message."""
    path, _, _ = url.partition("://")[2].partition("?")
    authority = path.partition("/")[0]
    escaped = path.count("@") <= 1 and ("@" in authority or "@" not in path)
    # What follows the `?` are settings: `name=value`, and an `@` before the first `=` is none of them.
    settings = url.partition("://")[2].partition("?")[2]
    if not escaped or ("@" in settings and "=" not in settings.partition("@")[0]):
        raise StoreError("the password in the store's URL must be percent-encoded", _ENCODE)
