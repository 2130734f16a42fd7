"""What the end of a task's work means for the task: its outcome, what is kept of it, what a person is asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.engine.deadlines import reminders
from runner.workflows.nodes import CONTAINERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.engine.flow import Flow
    from runner.engine.held import Held
    from runner.engine.tried import LeafEnd, Tried
    from runner.engine.waits import Wait
    from runner.model import Artifact, NewTask
    from runner.workflows.items import Effect


@dataclass(slots=True)
class Close:
    """What a task is settled with. `result` has at least its `summary`."""

    outcome: str
    result: dict[str, Any]
    tried: Tried | None = None
    question: str | None = None
    retry_at: float | None = None
    account: str | None = None
    repairable: bool = False
    kept: list[Artifact] = field(default_factory=list)
    after: tuple[NewTask, ...] = ()
    """Tasks that are queued with it."""


def close_lone(held: Held, end: LeafEnd) -> Close:
    """The end of a task that is one step: what came of its last attempt."""
    tried = end.tried
    return Close(
        outcome=tried.outcome,
        result=tried.to_json(held.redaction, held.machine),
        tried=tried,
        question=tried.question(),
        retry_at=tried.result.retry_at,
        account=tried.account,
        repairable=end.held,
        kept=end.kept,
    )


def close_run(held: Held, flow: Flow, waiting: Sequence[tuple[Effect, Wait]], last: Tried | None) -> Close:
    """The end of a workflow, or of what could be done of it: its steps, what is asked, what it cost."""
    machine = flow.machine
    account = flow.account
    for item in machine.all():
        if item.path not in account.steps:
            account.saw(item)
    steps = [{"attempts": 0, **told} for told in account.steps.values() if told.get("path")]
    root, spent = machine.root, flow.limits.spending
    places = {path: place for place, path in enumerate(account.steps)}
    asked = sorted(waiting, key=lambda one: places.get(one[0].address, 0))
    body: dict[str, Any] = {
        "workflow": flow.loaded.source.workflow.name,
        "steps": steps,
        "steps_left_out": account.left_out,
        "waiting": [_waiting(effect, wait) for effect, wait in asked],
        "unknown": flow.unknown.told,
        "warnings": flow.warnings,
        "outputs": {key: value for key, value in root.result.values.items() if isinstance(value, str)},
        "active_s": round(flow.limits.active, 3),
        "usage": {"cost_usd": spent.usd, "tokens": spent.tokens, "turns": spent.turns},
    }
    if machine.over or machine.stopping or not waiting:
        failed = [told for told in steps if told.get("status") == "failed" and told.get("summary") != "a step failed"]
        ok = machine.over and root.state == "done"
        body["summary"] = _done(steps, account.left_out) if ok else root.expired or _why(failed, root.reason)
        return Close("ok" if ok else "check_failed", body, last)
    effect, wait = _first(asked)
    body["summary"] = f"{effect.address}: {wait.question}"
    limits = [one.retry_at for _, one in waiting if one.retry_at is not None]
    return Close(
        wait.outcome,
        body,
        last,
        question=f"{effect.address}: {wait.question}{_choices(wait)}",
        retry_at=min(limits) if limits else None,
        account=wait.account,
        repairable=wait.held,
        after=reminders(held, asked),
    )


def _first(waiting: Sequence[tuple[Effect, Wait]]) -> tuple[Effect, Wait]:
    """What a person is asked first: questions before limits, which end by themselves."""
    people = [one for one in waiting if one[1].outcome not in ("rate_limited", "auth")]
    return (people or list(waiting))[0]


def _waiting(effect: Effect, wait: Wait) -> dict[str, Any]:
    return {
        "path": effect.address,
        "kind": effect.node.kind,
        "question": wait.question,
        "outcome": wait.outcome,
        "options": list(wait.options),
        "held": wait.held,
        "deadline_at": wait.deadline_at,
        "default": wait.default,
    }


def _choices(wait: Wait) -> str:
    return f" ({', '.join(wait.options)})" if wait.options else ""


def _done(steps: Sequence[Mapping[str, Any]], left_out: int) -> str:
    """`12 steps done, 2 skipped`"""
    counts = Counter(str(told.get("status")) for told in steps if told["kind"] not in CONTAINERS)
    counts["done"] += left_out
    done = f"{counts['done']} step{'' if counts['done'] == 1 else 's'} done"
    others = [f"{count} {status.replace('_', ' ')}" for status, count in counts.items() if status != "done"]
    return ", ".join([done, *others])


def _why(failed: Sequence[Mapping[str, Any]], reason: str) -> str:
    if not failed:
        return reason or "the run did not end"
    first = failed[-1]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"step {first['path']} failed: {first.get('summary') or first.get('outcome')}{more}"
