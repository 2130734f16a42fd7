"""What a running task asks of its worker: commits under its claim, and to be told when the claim is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.store import Op


class Desk(Protocol):
    """The worker's one writer, as the engine sees it. Calls block until the store has answered."""

    def commit(self, ops: Sequence[Op]) -> list[Any]:
        """Commit ops together with whatever else the worker has → their results."""
        ...

    def post(self, ops: Sequence[Op]) -> None:
        """Have ops committed soon, without waiting for it."""
        ...
