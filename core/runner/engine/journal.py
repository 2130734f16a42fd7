"""What a run came to so far: which results still hold, which steps run again, and why.

The attempts of the task are the journal. The result of a step is its last attempt that says `final`. It holds
while the step is defined as it was, and nothing that it needs came to its own result later.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from runner.engine.leaf import RETRIED
from runner.templates import NotThere, TemplateError
from runner.workflows.items import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runner.model import Attempt
    from runner.workflows.items import Effect, Item
    from runner.workflows.machine import Machine

Reason = Literal[
    "not started",
    "not finished",
    "unknown",
    "failed",
    "asked for",
    "definition changed",
    "an input changed",
    "after a rewind",
]
_NO_RESULT: Final = (None, "lost_claim")


@dataclass(frozen=True, slots=True)
class Again:
    """A person's word that some results do not hold any more: of those up to attempt `upto`, the ones at or below
    `paths`, those that `failed` the run, and all after attempt `after` (a rewind)."""

    upto: int
    paths: tuple[str, ...] = ()
    failed: bool = False
    after: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As a task's payload holds it."""
        return {"upto": self.upto, "paths": list(self.paths), "failed": self.failed, "after": self.after}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Again:
        """What `to_json` made."""
        return cls(value["upto"], tuple(value.get("paths", ())), bool(value.get("failed")), value.get("after"))


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's word on a step that waited: `done`, `failed` or `pending` (again), with an `answer`, if any.

    It is about what was known up to attempt `upto`.
    """

    verdict: str
    answer: str | None = None
    upto: int = 0
    by: str = ""
    notes: str = ""


class Journal:
    """The results of a run's earlier executions."""

    def __init__(self, rows: Sequence[Attempt], again: Iterable[Again], decisions: Mapping[str, Decision]) -> None:
        self.rows: dict[str, list[Attempt]] = {}
        self.last = 0
        for row in rows:
            self.rows.setdefault(row.step, []).append(row)
            self.last = max(self.last, row.n)
        self.again = tuple(again)
        self._decisions = dict(decisions)

    def attempts(self, address: str) -> list[Attempt]:
        """The attempts of a step, oldest first."""
        return self.rows.get(address, [])

    def unknown(self, address: str) -> Attempt | None:
        """Its last attempt, when that started and never said what came of it."""
        rows = self.attempts(address)
        return rows[-1] if rows and rows[-1].outcome in _NO_RESULT else None

    def is_final(self, address: str) -> bool:
        """Whether its last attempt came to a result."""
        rows = self.attempts(address)
        return bool(rows) and bool((rows[-1].result or {}).get("final"))

    def decision(self, address: str) -> Decision | None:
        """What a person decided about the step since its last attempt."""
        found = self._decisions.get(address)
        rows = self.attempts(address)
        return found if found is not None and (not rows or rows[-1].n <= found.upto) else None

    def known(self, effect: Effect, digests: tuple[str, str], machine: Machine) -> tuple[Result | None, Reason]:
        """The result that holds, or None and why the step runs. `digests` are of the definition and of all of it."""
        rows = self.attempts(effect.address)
        if not rows:
            return None, "not started"
        last = rows[-1]
        if last.outcome in _NO_RESULT:
            return None, "unknown"
        if not self.is_final(effect.address):
            return None, "not finished"
        item = machine.item(effect)
        why = self._void(last, effect, machine, item)
        if why is not None:
            return None, why
        body = last.result or {}
        if item.floor >= last.n:
            return None, "an input changed"
        if body.get("digest") != digests[1]:
            return None, "definition changed" if body.get("definition") != digests[0] else "an input changed"
        return result_of(effect.address, last.n, last.outcome, body), "not started"

    def _void(self, row: Attempt, effect: Effect, machine: Machine, item: Item) -> Reason | None:
        # A command of skip_if that says no has not failed.
        failed = row.outcome != "ok" and not (effect.kind == "probe" and row.outcome == "check_failed")
        for again in self.again:
            if row.n > again.upto:
                continue
            if any(within(effect.address, path) for path in again.paths):
                return "asked for"
            if again.failed and failed and machine.counts(item):
                return "failed"
            if again.after is not None and row.n > again.after:
                return "after a rewind"
        return None

    def spent(self, address: str) -> tuple[int, int]:
        """The retries and repairs of a step that still count: a person's word, or an end, begins anew."""
        retries = repairs = 0
        floor = max((again.upto for again in self.again), default=0)
        for row in reversed(self.attempts(address)):
            if row.n <= floor or (row.result or {}).get("final"):
                break
            retries += row.outcome in RETRIED
            repairs += row.repair and row.agent is not None and row.outcome not in ("rate_limited", "auth", *_NO_RESULT)
        return retries, repairs

    def began(self, address: str) -> int:
        """The number of the first of the attempts that came to the step's last result, by retries and repairs."""
        rows = self.attempts(address)
        first = rows[-1].n
        for row in reversed(rows[:-1]):
            if (row.result or {}).get("final"):
                break
            first = row.n
        return first

    def rewound_away(self, row: Attempt) -> bool:
        """Whether what this attempt left was taken back by a person."""
        return any(one.after is not None and one.after < row.n <= one.upto for one in self.again)

    def asked_at(self, address: str) -> float | None:
        """When a step that waits was first asked, in Unix time; what was answered, or is asked for anew, is over."""
        floor = max((one.upto for one in self.again if any(within(address, path) for path in one.paths)), default=0)
        first = None
        for row in reversed(self.attempts(address)):
            if row.n <= floor or (row.result or {}).get("final"):
                break
            first = row.started_at
        return first

    def counted(self, address: str) -> tuple[Attempt, ...]:
        """The attempts that the step goes on from."""
        return tuple(self.attempts(address))


def within(address: str, path: str) -> bool:
    """Whether an address is that of `path`, or of something inside of it."""
    bare = address.rstrip("?*")
    return bare == path or bare.startswith((f"{path}/", f"{path}["))


def result_of(address: str, n: int, outcome: str, body: Mapping[str, Any]) -> Result:
    """What the machine is told of an attempt, by what the journal keeps of it."""
    text = str(body.get("whole", body.get("output") or ""))
    values: dict[str, Any] = {"path": "", **dict(body.get("values") or {})}
    if body.get("output_bytes") and values["path"]:
        values["output"] = values["captured"] = _too_large(values["path"], body["output_bytes"])
        values["json"] = values["output"]
    else:
        values["json"] = _parsed(text, address.rstrip("?*"))
    return Result(outcome, text, values, n)


def _parsed(text: str, step: str) -> Callable[[], Any]:
    """The output as JSON, read when it is asked for: most outputs are none."""

    def parse() -> Any:
        said, hint = f"the output of step '{step}' is not JSON", ""
        try:
            return json.loads(text, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            hint = f"line {error.lineno}, column {error.colno}: {error.msg}" if text.strip() else "it is empty"
        except (ValueError, RecursionError) as error:
            hint = str(error)
        raise NotThere(said, hint)

    return parse


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no value of JSON")  # Python would take it for one


def _too_large(path: str, size: int) -> Callable[[], Any]:
    def refuse() -> Any:
        raise TemplateError(f"the output has {size} bytes, too many for a text", f"use its `path` ({path})")

    return refuse
