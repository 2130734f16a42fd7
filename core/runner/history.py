"""The history of a task as data: who held it and how that ended, what people decided, what was kept, what it cost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from runner import times

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from runner.model import JSON, Attempt, Event, Task
    from runner.store.contract import Store

_PAGE: Final = 1000

_ENDS: Final = {"task.settled": "settled", "task.released": "released", "task.reclaimed": "reclaimed"}
"""Events that end a claim: its holder was finished, handed it back, or lost it."""

_DECISIONS: Final = ("task.resolved", "task.retried", "task.cancel_requested", "task.cancelled")

_VERDICTS: Final = {"done": "accepted", "failed": "given up"}

_FIRST: Final = ("prompt.md", "argv.json", "stdout.log", "stderr.log", "log.txt", "output.txt", "verdicts.json")
"""Files of an attempt in the order in which a person wants them; others follow by name."""


def events_of(store: Store, task: str) -> list[Event]:
    """All events of a task, oldest first."""
    found: list[Event] = []
    while True:
        page = store.queue.events(after=found[-1].id if found else 0, task=task, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found


def claims_of(events: Iterable[Event]) -> list[JSON]:
    """Who held the task: a claim each, oldest first; `end` is None while it lasts."""
    claims: dict[int, JSON] = {}
    for event in events:
        if event.epoch is None:
            continue
        if event.kind == "task.claimed":
            claims[event.epoch] = {
                "epoch": event.epoch,
                "worker": event.data.get("worker") or event.by,
                "machine": event.data.get("machine"),
                "claimed_at": times.iso(event.at),
                "ended_at": None,
                "seconds": None,
                "end": None,
                "reason": None,
                "_at": event.at,
            }
        elif event.kind in _ENDS and event.epoch in claims:
            claim = claims[event.epoch]
            reason = event.data.get("outcome") or event.data.get("reason") or event.data.get("why")
            claim |= {"ended_at": times.iso(event.at), "seconds": round(event.at - claim["_at"], 3)}
            claim |= {"end": _ENDS[event.kind], "reason": reason}
    return [{name: value for name, value in claim.items() if name != "_at"} for claim in claims.values()]


def decisions_of(task: Task, events: Sequence[Event]) -> list[JSON]:
    """What people decided about it, oldest first. The answer that the task has is that of its last `pending`."""
    found = [
        {
            "at": times.iso(event.at),
            "by": event.by,
            "decision": event.kind.partition(".")[2],
            "step": event.data.get("step"),
            "status": event.data.get("verdict") or event.data.get("to") or event.data.get("status"),
            "notes": event.data.get("notes") or event.data.get("reason") or None,
            "answer": event.data.get("answer"),
        }
        for event in events
        if event.kind in _DECISIONS
    ]
    answered = [one for one in found if (one["decision"], one["status"], one["step"]) == ("resolved", "pending", None)]
    if answered and task.answer is not None:
        answered[-1]["answer"] = task.answer
    return found


def word_of(result: Mapping[str, Any] | None) -> str:
    """What a person decided instead of an attempt: `accepted by ann: NOTES`; empty where something ran."""
    result = result or {}
    verdict = _VERDICTS.get(str(result.get("human") or ""))
    if verdict is None or isinstance(result.get("human"), dict):
        return ""
    notes = result.get("notes")
    return f"{verdict} by {result.get('by') or 'a person'}" + (f": {notes}" if notes else "")


def decision_text(event: Event) -> str:
    """A decision in words: about a step of a run, `a: accepted by ann: NOTES`; else what the task became."""
    data, by = event.data, event.by
    notes, answer, step = data.get("notes"), data.get("answer"), data.get("step")
    if step is None:
        return f"resolved: {data.get('status')}" + (f" ({notes})" if notes else "") + (f" by {by}" if by else "")
    verdict = _VERDICTS.get(str(data.get("verdict")), "answered" if answer is not None else "to be run again")
    said = " ".join(str(one) for one in (answer, f"({notes})" if answer and notes else notes) if one)
    return f"{step}: {verdict}" + (f" by {by}" if by else "") + (f": {said}" if said else "")


def kept_of(task: Task, artifacts: Sequence[JSON]) -> JSON:
    """What there is of its work: branch, commit, snapshot, what no snapshot holds, artifacts."""
    result: Mapping[str, Any] = task.result or {}
    names = ("branch", "commit", "snapshot", "snapshot_error")
    return {
        **{name: result.get(name) for name in names},
        "left_out": list(result.get("left_out") or ()),
        "artifacts": list(artifacts),
    }


def cost_of(result: Mapping[str, Any] | None) -> tuple[float | None, int | None]:
    """US dollars and tokens that an attempt cost; None is not known."""
    usage = (result or {}).get("usage")
    if not isinstance(usage, dict):
        return None, None
    counts = [usage.get(name) for name in ("input_tokens", "output_tokens")]
    known = [count for count in counts if isinstance(count, int)]
    cost = usage.get("cost_usd")
    return (float(cost) if isinstance(cost, (int, float)) else None), (sum(known) if known else None)


def cost_text(cost: float | None, tokens: int | None) -> str:
    """`$0.42, 12.3k tokens`; empty when nothing is known."""
    told = [f"${cost:.2f}"] if cost is not None else []
    if tokens:
        told.append(f"{tokens / 1000:.1f}k tokens" if tokens >= 1000 else f"{tokens} tokens")
    return ", ".join(told)


def total_cost(attempts: Sequence[Attempt]) -> float | None:
    """US dollars of all attempts whose cost is known; None when none is."""
    costs = [cost for cost, _ in (cost_of(attempt.result) for attempt in attempts) if cost is not None]
    return sum(costs) if costs else None


def files_of(folder: Path | None) -> dict[str, int]:
    """The files of an attempt's folder on this machine that hold something: name → bytes."""
    if folder is None:
        return {}
    try:
        with os.scandir(folder) as entries:
            sizes = {e.name: e.stat().st_size for e in entries if e.is_file(follow_symlinks=False)}
    except OSError:
        return {}
    order = {name: place for place, name in enumerate(_FIRST)}
    names = sorted(sizes, key=lambda name: (order.get(name, len(order)), name))
    return {name: sizes[name] for name in names if sizes[name]}
