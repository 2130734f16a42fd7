"""What can go wrong on the way to the database, and the sentence for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runner.errors import StoreError, StoreLocked, StoreUnavailable

if TYPE_CHECKING:
    from runner_plugins.postgres.address import Address


class Lost(Exception):
    """The connection is gone. Whether what was sent last was done, nobody knows."""


class Refused(Exception):
    """The server refused a statement: `state` is its SQLSTATE, the message is for people."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state

    @property
    def again(self) -> bool:
        """Whether the same commit, run again, finds another situation: it lost a race and was undone."""
        return self.state in ("40001", "40P01", "23505")

    @property
    def gone(self) -> bool:
        """Whether the server ended the session (shutdown, time-out), or is a stand-by by now."""
        return self.state[:2] in ("08", "") or self.state in ("57P01", "57P02", "57P03", "57P05", "25P03", "25006")


UPGRADE: Final = "run `runner store upgrade`"


def unavailable(address: Address, why: str) -> StoreUnavailable:
    """The store can't be reached now."""
    return StoreUnavailable(f"the store {address.name} can't be reached: {why}", "try again when the server is back")


def explain(error: Refused, address: Address) -> StoreError:
    """A refusal that no further try changes, as an error for people."""
    why, at = address.clean(str(error)), f"the store {address.name}"
    if error.again:
        return StoreUnavailable(f"{at} is too busy: {why}", "try again")
    if error.state == "55P03":
        return StoreLocked(f"{at} is locked by another session: {why}", "try again; `pg_stat_activity` shows who")
    if error.state == "57014":
        return StoreUnavailable(f"{at} took too long to answer: {why}", "try again")
    if error.state in ("42P01", "42703"):
        return StoreError(f"{at} lacks something this runner needs: {why}", UPGRADE)
    if error.state == "42501":
        return StoreError(f"{at} forbids it: {why}", "ask its owner for the rights, or use the owner's login")
    if error.state.startswith("53"):
        return StoreUnavailable(f"{at} is short of resources: {why}", "try again when it has room")
    return StoreError(f"{at} failed: {why} ({error.state})", "")
