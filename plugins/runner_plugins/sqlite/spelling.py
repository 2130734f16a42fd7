"""The shared statements as SQLite takes them: numbered parameters, lists as JSON, this process's clocks."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from runner_plugins.sql.rows import dump
from runner_plugins.sql.tx import spell

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping


class _Dialect:
    """SQLite's spelling of one statement; gathers the names of its parameters in their order."""

    clock: ClassVar[Mapping[str, str]] = {
        "now": ":now",
        "wall": ":wall",
        "boot": ":boot",
        "lock": "",
        "lock_t": "",
        "skip": "",
        "expired": "(boot <> :boot OR lease_until < :now)",
        "safe_events": "",
    }
    """On one host this process's clocks are the store's: they are parameters like others."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.lists: list[str] = []

    def among(self, name: str) -> str:
        self.lists.append(name)
        return f"IN (SELECT value FROM json_each({self.parameter(name)}))"

    def parameter(self, name: str) -> str:
        if name not in self.names:
            self.names.append(name)
        return f"?{self.names.index(name) + 1}"


class Statement(NamedTuple):
    """A statement as it is run. `order` puts values in the order of its parameters."""

    text: str
    order: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    lists: tuple[str, ...]
    """Which of its parameters are lists."""
    clocks: bool
    """Whether it asks for the time."""


_TEXTS_MOST: Final = 1000
"""Texts that are made for one question (`find`) must not pile up."""

_spelled: dict[str, Statement] = {}


def statement(sql: str) -> Statement:
    """`sql` as SQLite takes it. Numbered parameters: binding them by name would cost as much as a small statement."""
    known = _spelled.get(sql)
    if known is None:
        dialect = _Dialect()
        text = spell(sql, dialect)
        if len(_spelled) >= _TEXTS_MOST:
            _spelled.clear()
        clocks = not {"now", "wall", "boot"}.isdisjoint(dialect.names)
        known = _spelled[sql] = Statement(text, _order(dialect.names), tuple(dialect.lists), clocks)
    return known


def _order(names: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple([values[name] for name in names])


def execute(db: sqlite3.Connection, sql: str, values: dict[str, Any], clock: Mapping[str, Any]) -> sqlite3.Cursor:
    """Run a statement; `values` is the caller's to give away."""
    text, order, lists, clocks = _spelled.get(sql) or statement(sql)
    for name in lists:
        values[name] = dump(values[name])
    if clocks:
        values.update(clock)
    return db.execute(text, order(values))
