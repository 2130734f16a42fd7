"""Why a task is where it is: what it waits for, who holds it, how it came to its end, and what a person can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runner import statuses, times
from runner.history import word_of
from runner.takers import HERE_ONLY, Reason, commands, nobody_fits
from runner.workflows.decisions import offers, takes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.model import JSON, Attempt, Task, Worker
    from runner.store.contract import Facts
    from runner.takers import Here


@dataclass(frozen=True, slots=True)
class Story:
    """The answer: one sentence, every reason, and the commands that would change something."""

    summary: str
    reasons: tuple[Reason, ...] = ()
    commands: tuple[str, ...] = ()


def explain(
    task: Task,
    facts: Facts,
    online: Sequence[Worker],
    attempts: Sequence[Attempt],
    *,
    now: float,
    here: Here | None = None,
    parked: str = "",
) -> Story:
    """Tell the story of `task`.

    `online` are the live workers, `here` what one started on this machine would be; `parked` is the
    outcome that parked the task's account, when one did.
    """
    if task.status == statuses.PLANNING:
        return Story(
            "it is being planned; workers are not offered it",
            (Reason("planning", "the task was put on hold when it was submitted"),),
            (f"runner retry {task.id}   # queue it",),
        )
    if task.status == statuses.BLOCKED:
        return _blocked(task, facts)
    if task.status == statuses.SCHEDULED:
        return _scheduled(task, facts, now, parked)
    if task.status == statuses.PENDING:
        return _pending(task, facts, online, now, here, parked)
    if task.status in statuses.HELD:
        return _held(task, attempts, now)
    if task.status == statuses.NEEDS_HUMAN:
        return _needs_human(task)
    return _ended(task, attempts, now)


def _blocked(task: Task, facts: Facts) -> Story:
    reasons: list[Reason] = []
    commands: list[str] = []
    for parent, status in facts.parents:
        reasons.append(Reason("parent", f"task {parent} must be done first; it is {status}", {"task": parent}))
        if status in (statuses.FAILED, statuses.CANCELLED):
            commands += [f"runner retry {parent}", f"runner resolve {parent} done   # accept it as it is"]
        elif status == statuses.NEEDS_HUMAN:
            commands.append(f"runner review   # task {parent} waits for a person")
        else:
            commands.append(f"runner why {parent}   # what that one waits for")
    if facts.key_holder and task.limit_key:
        folder = task.limit_key.removeprefix("cwd:")
        once = f"with limit key '{folder}'" if folder == task.limit_key else f"in the folder {folder}"
        text = f"task {facts.key_holder} goes first: one at a time {once}"
        reasons.append(Reason("limit_key", text, {"task": facts.key_holder, "key": task.limit_key}))
        commands.append(f"runner why {facts.key_holder}   # what that one waits for")
    elif facts.key_holder:
        text = f"{facts.key_holder} holds work unit '{task.unit}'"
        reasons.append(Reason("unit", text, {"holder": facts.key_holder, "unit": task.unit}))
    if not reasons:
        reasons.append(Reason("blocked", f"blocked by {task.blocked_by or 'something that is over by now'}"))
    return Story(f"it waits: {reasons[0].text}", tuple(reasons), tuple(commands))


def _scheduled(task: Task, facts: Facts, now: float, parked: str) -> Story:
    reasons = _parked(task, facts, now, parked or task.outcome or "")
    again = unpark(task.id, reasons[0].data["reason"]) if reasons else f"runner retry {task.id}   # queue it now"
    if task.not_before is not None and task.not_before > now:
        text = f"not before {times.clock(task.not_before, now)}, in {times.span(task.not_before - now)}"
        reasons.append(Reason("not_before", text, {"until": times.iso(task.not_before)}))
    if not reasons:
        reasons.append(Reason("due", "its time has come; the next worker that looks promotes it"))
    return Story(f"it waits: {reasons[0].text}", tuple(reasons), (again,))


def _parked(task: Task, facts: Facts, now: float, outcome: str) -> list[Reason]:
    """The rest that the task's account has to take, if it has to."""
    until = facts.parked_until
    if until is None or until <= now:
        return []
    text = f"account '{task.account}' is parked until {times.clock(until, now)}"
    text += f" ({parked_words(outcome)})" if outcome else ""
    return [Reason("parked", text, {"account": task.account, "until": times.iso(until), "reason": outcome})]


def parked_words(outcome: str) -> str:
    """Why an account is parked, in words."""
    return {"auth": "it is not logged in", "rate_limited": "its rate limit is reached"}.get(outcome, outcome)


def unpark(task: str, outcome: str) -> str:
    """The command that ends an account's rest, by any task that waits for it."""
    when = "after logging in: the account may be used again" if outcome == "auth" else "to try it again at once"
    return f"runner retry {task}   # {when}"


def _pending(task: Task, facts: Facts, online: Sequence[Worker], now: float, here: Here | None, parked: str) -> Story:
    reasons = _parked(task, facts, now, parked)
    todo = [unpark(task.id, parked)] if reasons else []
    if facts.limit is not None:
        name, held, most = facts.limit
        text = f"limit {name} is reached: {held} of {most} run now"
        reasons.append(Reason("limit", text, {"limit": name, "held": held, "max": most}))
    names = [worker.id for worker in online]
    fitting = [name for name in facts.fitting if name in names]
    if not fitting:
        reasons += nobody_fits(facts.lane, online, here)
        todo += commands(reasons, facts.lane, task.id, here)
    if facts.ahead:
        # Only tasks that the same workers take are counted: its own lane.
        text = f"{facts.ahead} {'task of its kind is' if facts.ahead == 1 else 'tasks of its kind are'} ahead of it"
        reasons.append(Reason("ahead", text, {"ahead": facts.ahead}))
    if _resumed(task):
        # Nobody else takes it: what could be done about workers is no help.
        left = [command for _, command in offers(task)]
        goes_on = f"runner workflow resume {task.id}   # go on with it"
        return Story(f"it waits: {_BY_HAND}", (Reason("run", _BY_HAND),), (*left, goes_on, f"runner cancel {task.id}"))
    if reasons:
        return Story(f"it waits: {reasons[0].text}", tuple(reasons), tuple(todo))
    text = f"it is next of its kind: {', '.join(fitting[:3])} can take it as soon as a slot is free"
    return Story(text, (Reason("next", text, {"workers": fitting}),))


_BY_HAND: Final = "the `runner workflow` call that worked on it has ended, or has not taken it yet"


def _resumed(task: Task) -> bool:
    """Whether it is a run that no worker takes: a person goes on with it."""
    return task.type == "workflow" and HERE_ONLY in task.requires


def _held(task: Task, attempts: Sequence[Attempt], now: float) -> Story:
    commands = (f"runner logs {task.id} -f", f"runner cancel {task.id}")
    if task.holder is None:
        return Story("its claim is changing hands; look again", (), ("runner status",))
    holder = task.holder
    data = {"worker": holder.worker, "machine": holder.machine, "epoch": holder.epoch}
    doing = f"attempt {task.attempt} runs" if task.status == statuses.IN_PROGRESS else "is preparing it"
    running = [attempt for attempt in attempts if attempt.ended_at is None and attempt.epoch == holder.epoch]
    since = f" for {times.span(now - running[-1].started_at)}" if running else ""
    if holder.lease_left >= 0:
        until = f"lease until {times.clock(now + holder.lease_left, now)}, renewed while it lives"
    else:
        until = f"the lease ran out {times.span(-holder.lease_left)} ago: any worker that looks takes it back"
    where = f"worker {holder.worker} on {holder.machine}"
    text = f"{where}: {doing}{since}" if running else f"{where} {doing}"
    reasons = [Reason("held", f"{where} holds it (epoch {holder.epoch}); {until}", data)]
    if task.cancel_requested:
        reasons.append(Reason("cancel", "a person asked to cancel it; the worker is ending it"))
        commands = commands[0], "runner status"
    return Story(text, tuple(reasons), commands)


def _needs_human(task: Task) -> Story:
    reason = reason_for_person(task)
    kind = "question" if asks(task) else "review"
    return Story(f"it waits for a person: {reason}", (Reason(kind, reason), *_others(task)), answers(task))


def _others(task: Task) -> Iterable[Reason]:
    """What else a run waits for, besides what its question says."""
    for one, _ in offers(task):
        text = f"{one['path']}: {one['question']}"
        if not (task.question or "").startswith(text):
            yield Reason("review" if one.get("held") else "question", text, {"step": one["path"]})


def reason_for_person(task: Task) -> str:
    """Why a task waits for a person, in one sentence."""
    if asks(task) and task.question:
        return task.question
    if task.interruptions >= task.interruptions_max:
        return f"interrupted {task.interruptions} times (limit {task.interruptions_max})"
    if task.question:
        return task.question
    red = [verdict for verdict in verdicts_of(task.result) if not verdict["ok"]]
    return summary_of(task.result) or (red[0]["summary"] if red else f"the last attempt came to {task.outcome}")


def asks(task: Task) -> bool:
    """Whether the task asked something that an answer can be given to."""
    return task.question is not None and task.outcome in ("needs_human", "awaiting_permission")


def answers(task: Task) -> tuple[str, ...]:
    """The commands that settle a task which waits for a person."""
    offered = offers(task)
    if offered:
        several = len(offered) > 1
        return tuple(f"{command}   # {_what(one, several)}" for one, command in offered)
    again = f"runner resolve {task.id} pending"
    return (
        f'{again} --answer "…"   # answer and run again' if asks(task) else f"{again}   # run it again",
        f"runner resolve {task.id} done   # accept it as it is",
        f"runner resolve {task.id} failed   # give it up",
    )


def _what(one: Mapping[str, Any], several: bool) -> str:
    """What a command does about a step of a run that waits."""
    if not takes(one):
        done = "go on, once the budget is raised"
    elif one.get("held") and one["kind"] != "gate":
        done = "accept it as it is, give it up, run it again"
    else:
        done = "answer it (or `failed`: give it up)"
    return f"{one['path']}: {done}" if several else done


def _ended(task: Task, attempts: Sequence[Attempt], now: float) -> Story:
    when = f" {times.ago(task.finished_at, now)} ago" if task.finished_at is not None else ""
    spent = f" after {_tried(attempts)}" if attempts else " before any attempt"
    summary = summary_of(task.result)
    text = f"{task.status}{when}{spent}"
    if task.outcome and task.outcome not in ("ok", "cancelled"):
        text += f", outcome {task.outcome}"
    if summary:
        text += f": {summary}"
    again = f"runner workflow resume {task.id}" if _resumed(task) else f"runner retry {task.id}"
    commands = () if task.status == statuses.DONE else (again,)
    return Story(text, tuple(_red(task.result)), commands)


def _tried(attempts: Sequence[Attempt]) -> str:
    ran = [attempt for attempt in attempts if not word_of(attempt.result)]
    repairs = sum(attempt.repair for attempt in ran)
    told = [(len(ran) - repairs, "attempt"), (repairs, "repair")]
    return " and ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in told if n)


def _red(result: Any) -> Iterable[Reason]:
    for verdict in verdicts_of(result):
        if not verdict["ok"]:
            yield Reason("check", told(verdict), verdict)


def summary_of(result: Any) -> str:
    """One line about a result, from what its writer put there."""
    if not isinstance(result, dict):
        return ""
    for name in ("summary", "error", "reason", "output"):
        text = result.get(name)
        if isinstance(text, str) and text.strip():
            return text.strip().splitlines()[0][:300]
    return ""


def verdicts_of(result: Any) -> list[JSON]:
    """The verdicts a result carries, each with `check`, `ok`, `summary`, `evidence`."""
    found = result.get("verdicts") if isinstance(result, dict) else None
    if not isinstance(found, list):
        return []
    return [
        {
            "check": str((verdict.get("evidence") or {}).get("check", "check")),
            "ok": bool(verdict.get("ok")),
            "summary": str(verdict.get("summary", "")),
            "evidence": verdict.get("evidence") or {},
        }
        for verdict in found
        if isinstance(verdict, dict)
    ]


def told(verdict: JSON) -> str:
    """A verdict in one line, with its check in front unless the summary starts with it."""
    check, summary = verdict["check"], verdict["summary"]
    return summary if summary.startswith(check) else f"{check}: {summary}"
