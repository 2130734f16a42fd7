"""One transaction as the operations see it: run a statement, read rows, note what to tell others afterwards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.model import Lane, Worker
    from runner.store import ClaimTasks

Row = tuple[Any, ...]


class Dialect(Protocol):
    """How one backend spells what the statements leave open."""

    @property
    def clock(self) -> Mapping[str, str]:
        """Replacements of `{now}` (the clock of leases), `{wall}`, `{boot}`, `{lock}`, `{skip}`, …"""
        ...

    def among(self, name: str) -> str:
        """The right-hand side of `column IN @name`."""
        ...

    def parameter(self, name: str) -> str:
        """The placeholder of `:name`."""
        ...


_MARK = re.compile(r"IN @(\w+)|(?<![:\w]):(\w+)|\{(\w+)\}")


def spell(sql: str, dialect: Dialect) -> str:
    """`sql` as `dialect` takes it: `IN @list`, `:name` and `{clock}` marks replaced."""

    def one(match: re.Match[str]) -> str:
        many, name, clock = match.groups()
        if many:
            return dialect.among(many)
        if name:
            return dialect.parameter(name)
        return dialect.clock[clock]

    # The replacements for {now} and the like may hold parameters of their own.
    return _MARK.sub(one, _MARK.sub(lambda m: dialect.clock[m[3]] if m[3] else m[0], sql))


class Tx(Protocol):
    """A transaction in progress. Statements use `:name` parameters; a list goes with `IN @name`."""

    store: Any
    after: list[Callable[[], None]]
    """Called once the transaction is committed, never when it is rolled back."""
    woken: set[str]
    """What to tell waiting workers after the commit: `work`, `cancel`."""
    boot: str
    """What a lease's clock counts from ('' where the server keeps it)."""

    def all(self, sql: str, **values: Any) -> Sequence[Row]: ...
    def one(self, sql: str, **values: Any) -> Row | None: ...
    def run(self, sql: str, **values: Any) -> int:
        """Run a statement without rows → how many rows it touched."""
        ...

    def post(self, sql: str, **values: Any) -> None:
        """As `run`, when nobody asks how many rows: it may travel together with the statements that follow."""
        ...

    def lock(self, name: str) -> None:
        """Hold an advisory lock on `name` to the end of the transaction (nothing to do where writers are alone)."""
        ...

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None: ...
    def clock(self) -> tuple[float, float]:
        """(the clock that leases use, Unix time), both in seconds."""
        ...

    def fitting(self, worker: Worker) -> list[Lane]:
        """The lanes that fit `worker`. Asked again after `take` said None, with those added since the last look."""
        ...

    def take(self, op: ClaimTasks, lanes: Sequence[Lane]) -> list[Row] | None:
        """Claim in one statement, where a backend can and nothing limits it → rows of `COLUMNS`, lowest rank first.

        None: step by step, please (limits, parked accounts, new lanes, or no such statement).
        """
        ...

    def pick(self, lanes: Sequence[int], want: int) -> list[int]:
        """The `seq` of up to `want` pending tasks of these lanes, lowest rank first, locked for this transaction."""
        ...
