"""A history checker: reads what happened and proves that no task was lost, shared, or done twice.

Three witnesses that know nothing of each other: the store's audit log, its table of attempts, and a file
to which the tasks themselves append (`effect_lines`). `check` names every rule that is broken.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.statuses import TERMINAL
from runner.store import Store, TaskFilter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from runner.model import Attempt, Event


@dataclass(frozen=True, slots=True)
class Effect:
    """A line that a task wrote itself: `what` is `start` or `end`."""

    what: str
    task: str
    epoch: int
    attempt: int
    pid: int


@dataclass(frozen=True, slots=True)
class History:
    """All that is known: events in order, the status and attempts of each task, effects in file order."""

    events: Sequence[Event] = ()
    statuses: Mapping[str, str] = field(default_factory=dict)
    attempts: Sequence[Attempt] | None = None
    effects: Sequence[Effect] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: `rule` is its stable name, `text` what happened."""

    rule: str
    task: str
    text: str


@dataclass
class Report:
    """What `check` found, with counts for people."""

    violations: list[Violation] = field(default_factory=list)
    claims: int = 0
    reclaims: int = 0
    releases: int = 0
    settled: dict[str, int] = field(default_factory=dict)
    overlaps: list[Violation] = field(default_factory=list)
    """Effects of holders that were stopped past their lease: allowed for those the caller named."""


def effect_lines(log: Path, seconds: float = 0.0) -> str:
    """A shell script that appends its start, works for `seconds`, appends its end (one O_APPEND write each)."""
    who = '"$RUNNER_TASK_ID $RUNNER_EPOCH $RUNNER_ATTEMPT $$"'
    file = shlex.quote(str(log))
    return f"echo start {who} >> {file}\nsleep {seconds}\necho end {who} >> {file}\n"


def read_effects(log: Path) -> list[Effect]:
    """The lines of `effect_lines`, in the order in which they were written."""
    if not log.exists():
        return []
    effects = []
    for line in log.read_text().splitlines():
        what, task, epoch, attempt, pid = line.split()
        effects.append(Effect(what, task, int(epoch), int(attempt), int(pid)))
    return effects


def gather(store: Store, effects: Path | None = None) -> History:
    """Read the whole history of a store, and the effects log when there is one."""
    events: list[Event] = []
    while page := store.queue.events(after=events[-1].id if events else 0):
        events += page
    tasks = store.queue.find(TaskFilter())
    attempts = [attempt for task in tasks for attempt in store.queue.attempts(task.id)]
    written = read_effects(effects) if effects else []
    return History(events, {task.id: task.status for task in tasks}, attempts, written)


def check(
    history: History,
    submitted: Iterable[str] = (),
    stopped: Collection[str] = (),
    finished: bool = True,
) -> Report:
    """Every rule that the history breaks.

    `submitted`: ids that must be there. `stopped`: workers that were stopped past their lease, whose
    processes may have gone on beside the next holder's. `finished`: whether every task must have ended.
    """
    report = Report()
    lives = _lives(history.events, report)
    for id in submitted:
        if id not in lives:
            report.violations.append(Violation("lost", id, "was submitted and is not in the log"))
    for id, life in lives.items():
        now = history.statuses.get(id)
        if finished and life.status not in TERMINAL:
            report.violations.append(Violation("unfinished", id, f"the log ends with {life.status}, the task is {now}"))
        if now is not None and (now in TERMINAL or life.status in TERMINAL) and now != life.status:
            report.violations.append(Violation("disagree", id, f"the log ends with {life.status}, the task is {now}"))
    for id in history.statuses.keys() - lives.keys():
        report.violations.append(Violation("unlogged", id, "is in the queue, and not in the log"))
    _check_attempts(history, lives, report)
    _check_effects(history, lives, frozenset(stopped), report)
    return report


@dataclass
class _Life:
    """What the log says of one task so far."""

    id: str
    status: str = ""
    epoch: int = 0
    holder: tuple[int, str] | None = None
    attempts: dict[int, tuple[int, str]] = field(default_factory=dict)
    holders: dict[int, str] = field(default_factory=dict)
    done: int | None = None
    """The epoch that settled it as done."""


def _lives(events: Sequence[Event], report: Report) -> dict[str, _Life]:
    lives: dict[str, _Life] = {}
    last = 0
    for event in events:
        if event.id <= last:
            report.violations.append(Violation("order", event.task or "", f"event {event.id} came after {last}"))
        last = max(last, event.id)
        if event.task is None or event.kind not in _RULES:
            continue
        life = lives.get(event.task)
        if event.kind == "task.submitted":
            if life is not None:
                report.violations.append(Violation("submitted_twice", event.task, f"again by event {event.id}"))
            lives.setdefault(event.task, _Life(event.task, "pending"))
        elif life is None:
            report.violations.append(Violation("unsubmitted", event.task, f"{event.kind} of a task nobody submitted"))
            lives[event.task] = _Life(event.task, "pending")
        else:
            _RULES[event.kind](life, event, report)
    return lives


def _claimed(life: _Life, event: Event, report: Report) -> None:
    epoch, worker = event.epoch or 0, str(event.data.get("worker"))
    report.claims += 1
    if life.holder is not None:
        _note(
            report, "two_owners", life, f"{worker} claimed epoch {epoch} while {life.holder[1]} held {life.holder[0]}"
        )
    if epoch <= life.epoch:
        _note(report, "epoch", life, f"epoch {epoch} after {life.epoch}")
    if life.status in TERMINAL:
        _note(report, "claimed_finished", life, f"{worker} claimed it though it was {life.status}")
    life.holder = epoch, worker
    life.holders[epoch] = worker
    life.epoch = max(life.epoch, epoch)
    life.status = "claimed"


def _held(life: _Life, event: Event, report: Report, what: str) -> bool:
    """Whether the event is by the present holder (of epoch, and worker where it says so)."""
    worker = event.data.get("worker")
    if life.holder is None:
        rule = "finished_twice" if what == "settled" and life.status in TERMINAL else "not_held"
        _note(report, rule, life, f"{what} by epoch {event.epoch} ({worker}) though nobody held it")
        return False
    if event.epoch != life.holder[0] or (worker is not None and worker != life.holder[1]):
        holder = f"epoch {life.holder[0]} ({life.holder[1]})"
        _note(report, "stale", life, f"{what} by epoch {event.epoch} ({worker}) while {holder} held it")
        return False
    return True


def _started(life: _Life, event: Event, report: Report) -> None:
    n = int(event.data.get("n", 0))
    if _held(life, event, report, "started"):
        life.status = "in_progress"
    if n in life.attempts or n <= max(life.attempts, default=0):
        _note(report, "attempt_number", life, f"attempt {n} after {max(life.attempts)}")
    life.attempts[n] = event.epoch or 0, str(event.data.get("worker"))


def _ended_attempt(life: _Life, event: Event, report: Report) -> None:
    _held(life, event, report, "finished an attempt")
    if int(event.data.get("n", 0)) not in life.attempts:
        _note(report, "attempt_number", life, f"attempt {event.data.get('n')} ended and never started")


def _settled(life: _Life, event: Event, report: Report) -> None:
    status = str(event.data.get("status"))
    if not _held(life, event, report, "settled"):
        return
    report.settled[status] = report.settled.get(status, 0) + 1
    life.holder, life.status = None, status
    if status == "done":
        life.done = event.epoch


def _released(life: _Life, event: Event, report: Report) -> None:
    report.releases += 1
    if _held(life, event, report, "released"):
        life.holder, life.status = None, str(event.data.get("status", "pending"))


def _reclaimed(life: _Life, event: Event, report: Report) -> None:
    report.reclaims += 1
    epoch = event.epoch or 0
    if life.holder is None:
        _note(report, "not_held", life, f"taken back (epoch {epoch}) though nobody held it")
        return
    if epoch not in (life.holder[0], life.holder[0] + 1):  # the ended epoch, or the one grown by the reclaim
        _note(report, "stale", life, f"epoch {epoch} was taken back while {life.holder[0]} held it")
    life.holder = None
    life.epoch = max(life.epoch, epoch)
    life.status = str(event.data.get("status", "pending"))


def _decided(life: _Life, event: Event, report: Report) -> None:
    becomes = "cancelled" if event.kind == "task.cancelled" else str(event.data.get("to", "pending"))
    if life.holder is not None:
        _note(report, "two_owners", life, f"{event.kind} while {life.holder[1]} held it")
    life.holder, life.status = None, becomes


_RULES = {
    "task.submitted": _decided,  # never called: a submit makes the life
    "task.claimed": _claimed,
    "attempt.started": _started,
    "attempt.finished": _ended_attempt,
    "task.settled": _settled,
    "task.released": _released,
    "task.reclaimed": _reclaimed,
    "task.cancelled": _decided,
    "task.retried": _decided,
    "task.resolved": _decided,
}


def _check_attempts(history: History, lives: Mapping[str, _Life], report: Report) -> None:
    """The table of attempts and the log tell the same story."""
    if history.attempts is None:
        return
    rows = {(a.task, a.n): (a.epoch, a.worker) for a in history.attempts}
    logged = {(life.id, n): who for life in lives.values() for n, who in life.attempts.items()}
    for key in rows.keys() | logged.keys():
        if rows.get(key) != logged.get(key):
            text = f"attempt {key[1]}: the log says {logged.get(key)}, the table {rows.get(key)}"
            report.violations.append(Violation("attempts_disagree", key[0], text))


def _check_effects(history: History, lives: Mapping[str, _Life], stopped: frozenset[str], report: Report) -> None:
    """What the tasks wrote themselves agrees with who was allowed to run them."""
    if not history.effects:
        return
    counts = Counter((e.what, e.task, e.epoch, e.attempt) for e in history.effects)
    for (what, task, epoch, attempt), times in counts.items():
        if times > 1:
            report.violations.append(Violation("effect_twice", task, f"{what} of attempt {attempt} {times} times"))
        life = lives.get(task)
        if life is None or life.attempts.get(attempt, (None,))[0] != epoch:
            report.violations.append(
                Violation("effect_unrecorded", task, f"{what} of attempt {attempt} (epoch {epoch}) is in no record")
            )
    for id, life in lives.items():
        if life.done is not None and not any(counts[("end", id, life.done, n)] for n in life.attempts):
            report.violations.append(Violation("effect_missing", id, f"done by epoch {life.done}, which wrote no end"))
    newest: dict[str, int] = {}
    for effect in history.effects:
        if effect.epoch < newest.get(effect.task, 0):
            life = lives.get(effect.task)
            worker = life.holders.get(effect.epoch, "") if life else ""
            text = f"{effect.what} of epoch {effect.epoch} ({worker}) after the start of {newest[effect.task]}"
            broken = Violation("overlap", effect.task, text)
            (report.overlaps if worker in stopped else report.violations).append(broken)
        elif effect.what == "start":
            newest[effect.task] = effect.epoch


def _note(report: Report, rule: str, life: _Life, text: str) -> None:
    report.violations.append(Violation(rule, life.id, text))
