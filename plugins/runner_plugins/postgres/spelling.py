"""The shared statements as PostgreSQL takes them: numbered parameters, its clocks, its locks; and values as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from runner_plugins.sql.tx import spell

if TYPE_CHECKING:
    from collections.abc import Mapping

# A query of its own, so that it is asked once and an index can be searched for the answer.
_NOW = "(SELECT extract(epoch from clock_timestamp())::float8)"


class _Dialect:
    """PostgreSQL's spelling of one statement; gathers the names of its parameters in their order."""

    clock: ClassVar[Mapping[str, str]] = {
        "now": _NOW,
        "wall": _NOW,
        "boot": "''",
        "lock": " FOR UPDATE",
        "lock_t": " FOR UPDATE OF t",
        "skip": " FOR UPDATE SKIP LOCKED",
        "expired": f"(lease_until < {_NOW})",
        "safe_events": " AND id <= :safe_event",
    }

    def __init__(self) -> None:
        self.names: list[str] = []

    def among(self, name: str) -> str:
        return f"= ANY({self.parameter(name)})"

    def parameter(self, name: str) -> str:
        if name not in self.names:
            self.names.append(name)
        return f"${self.names.index(name) + 1}"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it is sent, and which values it takes in which order."""

    text: bytes
    names: tuple[str, ...]


_spelled: dict[str, Statement] = {}


def statement(sql: str) -> Statement:
    """`sql` as PostgreSQL takes it."""
    known = _spelled.get(sql)
    if known is None:
        dialect = _Dialect()
        text = spell(sql, dialect)
        known = Statement(text.encode(), tuple(dialect.names))
        if len(_spelled) > 1000:  # texts made for one question (`find`) must not pile up
            _spelled.clear()
        _spelled[sql] = known
    return known


def text(value: Any) -> bytes | None:
    """A value as PostgreSQL reads it; its type is inferred from where it stands."""
    kind = type(value)
    if kind is str:
        return _encoded(value)
    if value is None:
        return None
    if kind is int or kind is float:
        return b"%a" % value
    if kind is bool:
        return b"1" if value else b"0"
    if kind is list or kind is tuple:
        return _encoded("{" + ",".join([_element(one) for one in value]) + "}")
    raise TypeError(f"no value for the store: {value!r}")


def _encoded(value: str) -> bytes:
    if "\0" in value:
        value = value.replace("\0", "\ufffd")  # PostgreSQL's text can't hold it; losing the task would be worse
    try:
        return value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="replace")


def _element(value: Any) -> str:
    if type(value) is str:
        if '"' in value or "\\" in value:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    return "NULL" if value is None else repr(value)


_VALUES = re.compile(r"^(INSERT INTO \w+ \([^)]*\))\s+VALUES\s+\((.*)\)$", re.DOTALL)

COLUMN_TYPES: Final[Mapping[str, str]] = {
    "lane": "bigint",
    "head_start": "float8",
    "priority": "integer",
    "key_forever": "integer",
    "attempts": "integer",
    "interruptions": "integer",
    "not_before": "float8",
}
"""Types of the parameters of bulk inserts; what is not named is text."""


def bulk(sql: str, names: tuple[str, ...]) -> str:
    """`INSERT … VALUES (…)` for many rows at once: each of `names` becomes a column of arrays."""
    match = _VALUES.match(sql)
    assert match is not None, sql
    arrays = ", ".join(f":{name}::{COLUMN_TYPES.get(name, 'text')}[]" for name in names)

    values = re.sub(r"(?<![:\w]):(\w+)", r"r.c_\1", match[2])
    return f"{match[1]} SELECT {values} FROM unnest({arrays}) AS r({', '.join(f'c_{name}' for name in names)})"
