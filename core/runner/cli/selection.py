"""Which tasks `runner work` takes: an expression over their words (`-k`), those that failed last (`--lf`)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from runner import hookimpl, statuses
from runner.cli.taskview import COLUMNS, find_all, row, task_json
from runner.errors import UsageError
from runner.ids import new_id
from runner.store import RetryTask, TaskFilter
from runner.who import submitter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.model import Claim, ClaimRequest, Task, Worker
    from runner.worker.writer import ClaimQueue

    Wanted = Callable[[str], bool]

_TOKEN: Final = re.compile(r"\s*(?:(?P<sign>[()])|(?P<quoted>\"[^\"]*\"|'[^']*')|(?P<word>[^\s()\"']+))")
_WINDOW: Final = 500
"""Tasks that one claim names at most: enough for any number of slots, few enough for one statement."""
_DEEPEST: Final = 100
_FAILING: Final = frozenset({"check_failed", "crashed", "timeout", "stalled", "no_op"})
"""Outcomes that are a failure of the work; a question, a permission and a budget wait for a person's word."""


def expression(text: str) -> Callable[[str], bool]:
    """A test for texts: words that must occur (in any case), with `and`, `or`, `not` and parentheses.

    A word in quotes may hold spaces, and may be `and`. UsageError says where it stops making sense.
    """
    return _Parser(text).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


class _Parser:
    """or → and → not → (…) or a word."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._read(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Wanted:
        if not self._tokens:
            raise UsageError("-k: the expression is empty", "write -k 'login and not slow'")
        found = self._any()
        if self._at < len(self._tokens):
            raise self._wrong(self._tokens[self._at])
        return found

    def _read(self, text: str) -> list[_Token]:
        tokens, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                column = len(text) - len(text[at:].lstrip()) + 1
                raise UsageError(f"-k: a quote at column {column} has no end", f"in: {text}")
            kind = str(match.lastgroup)
            word = match[kind]
            if kind == "quoted":
                kind, word = "word", word[1:-1]
            elif kind == "word" and word in ("and", "or", "not"):
                kind = word
            tokens.append(_Token(kind if kind != "sign" else word, word, match.start(str(match.lastgroup)) + 1))
            at = match.end()
        return tokens

    def _next(self, *kinds: str) -> _Token | None:
        if self._at < len(self._tokens) and self._tokens[self._at].kind in kinds:
            self._at += 1
            return self._tokens[self._at - 1]
        return None

    def _any(self) -> Wanted:
        parts = [self._all()]
        while self._next("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda text: any(part(text) for part in parts)

    def _all(self) -> Wanted:
        parts = [self._one()]
        while self._next("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda text: all(part(text) for part in parts)

    def _one(self) -> Wanted:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UsageError("-k: the expression is nested too deeply")
        try:
            if self._next("not"):
                inner = self._one()
                return lambda text: not inner(text)
            if self._next("("):
                inner = self._any()
                if not self._next(")"):
                    raise self._wrong(self._tokens[self._at] if self._at < len(self._tokens) else None, "')'")
                return inner
            token = self._next("word")
            if token is None:
                raise self._wrong(self._tokens[self._at] if self._at < len(self._tokens) else None)
            word = token.text.lower()
            return lambda text: word in text
        finally:
            self._depth -= 1

    def _wrong(self, token: _Token | None, wanted: str = "a word") -> UsageError:
        hint = f"in: {self._text}"
        if token is None:
            return UsageError(f"-k: {wanted} is expected at the end", hint)
        if self._at and self._tokens[self._at - 1].kind in ("word", ")"):
            wanted = "'and' or 'or'"
        return UsageError(f"-k: {wanted} is expected at column {token.column}, not '{token.text}'", hint)


def words_of(task: Task) -> str:
    """What `-k` looks at: id, type, agent, machine, work unit, key, prompt or script; in small letters."""
    payload = [task.payload.get(name) for name in ("prompt", "script", "agent", "repo_path")]
    words = [task.id, task.type, task.agent, task.machine, task.unit, task.key, *payload]
    return "\n".join(word for word in words if isinstance(word, str)).lower()


class Selection:
    """The tasks that one worker is to take: those that fit `-k`, those that `--lf` queues again, or both.

    `failed` None is any task. Tasks that are submitted meanwhile and match are taken as well.
    """

    def __init__(self, app: App, fits: Wanted | None, types: Sequence[str], failed: list[Task] | None) -> None:
        self._app = app
        self._fits = fits
        self._types = types
        self.failed = failed if failed is None else [task for task in failed if self._matches(task)]
        self._ids = None if self.failed is None else {task.id for task in self.failed}
        self._ready: list[str] = []

    @property
    def narrows(self) -> bool:
        """Whether there is anything that is not to be taken."""
        return self._fits is not None or self._ids is not None

    def _matches(self, task: Task) -> bool:
        if self._types and task.type not in self._types:
            return False
        return self._fits is None or self._fits(words_of(task))

    def wants(self, task: Task) -> bool:
        """Whether this task is one of them."""
        return (self._ids is None or task.id in self._ids) and self._matches(task)

    @hookimpl(tryfirst=True)
    def claim(self, queue: ClaimQueue, worker: Worker, request: ClaimRequest) -> list[Claim]:
        """Claim as always, but only from the next wanted tasks that fit this worker; no more than that is narrowed."""
        if request.limit <= 0 or request.only:
            return queue.take(worker, request)
        lanes = tuple(lane.id for lane in queue.lanes()) if request.lanes is None else request.lanes
        if len(self._ready) < request.limit:
            self._ready = self._waiting_for(worker)
        if not self._ready:
            return queue.take(worker, replace(request, limit=0))
        taken = queue.take(worker, replace(request, lanes=lanes, only=tuple(self._ready)))
        gone = {claim.key for claim in taken}
        # Fewer than asked for: others took them, or a limit is reached. The next look reads the queue anew.
        self._ready = [id for id in self._ready if id not in gone] if len(taken) == request.limit else []
        return taken

    def _waiting_for(self, worker: Worker) -> list[str]:
        """The first wanted tasks that can be had, in the queue's order; those of other machines and types are not.

        When none is left of those that may run at once, the first that wait for their turn in a work unit or of
        a limit key: the store lets them go before the ones that are not wanted here.
        """
        found: list[str] = []
        parked = {one["id"] for one in self._app.store.records.find("account", self._app.project_id)}
        for name in (statuses.PENDING, statuses.BLOCKED):
            where = TaskFilter(statuses=(name,), project=self._app.project_id, newest=False)
            for page in find_all(self._app.store, where, None):
                free = [task for task in page if task.blocked_by in (None, "key", "unit")]
                fit = [task for task in free if task.account not in parked and _may(task, worker)]
                found += [task.id for task in fit if self.wants(task)]
                if len(found) >= _WINDOW:
                    return found[:_WINDOW]
            if found:
                return found
        return found

    def waiting(self) -> list[Task]:
        """The unfinished wanted tasks that nobody runs yet, next first."""
        names = (statuses.PENDING, statuses.SCHEDULED, statuses.BLOCKED)
        where = TaskFilter(statuses=names, project=self._app.project_id, newest=False)
        return [task for page in find_all(self._app.store, where, None) for task in page if self.wants(task)]

    def queue_again(self) -> str:
        """Queue the tasks that failed again with fresh counters → a sentence on what was done."""
        tasks, by = self.failed or [], submitter()
        for start in range(0, len(tasks), _WINDOW):
            ops = [RetryTask(task=task.id, by=by) for task in tasks[start : start + _WINDOW]]
            self._app.store.commit(ops, request_id=new_id(16))
        if not tasks:
            return "no task failed last"
        return f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'} that failed last: queued again"


def _may(task: Task, worker: Worker) -> bool:
    """Whether the worker may take it as far as its row says; the store decides."""
    return (
        task.type in worker.types
        and (task.machine is None or task.machine in worker.names)
        and set(task.requires) <= set(worker.capabilities)
    )


def choose(
    app: App, keyword: str | None, types: Sequence[str], *, last_failed: bool, dry_run: bool = False
) -> Selection:
    """What `-k`, `--types` and `--lf` mean together; the worker's claims are narrowed to it unless it is a dry run."""
    fits = expression(keyword) if keyword is not None else None
    selection = Selection(app, fits, types, _failed(app) if last_failed else None)
    if selection.narrows and not dry_run:
        app.plugins.register(selection, "selection")
    return selection


def show(inv: Invocation, selection: Selection) -> None:
    """List what would be taken, next first: the waiting tasks, or those that failed last."""
    tasks = selection.waiting() if selection.failed is None else selection.failed
    now = time.time()

    def text() -> None:
        if tasks:
            inv.table(COLUMNS, [row(task, now) for task in tasks])
        inv.talk(f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'} would be taken")

    inv.emit_list((task_json(task, (), now) for task in tasks), text)


def _failed(app: App) -> list[Task]:
    """The tasks of the project whose last word is a failure, oldest first."""
    where = TaskFilter(statuses=(statuses.FAILED, statuses.NEEDS_HUMAN), project=app.project_id)
    found = [task for page in find_all(app.store, where, None) for task in page]
    return [task for task in reversed(found) if task.status == statuses.FAILED or task.outcome in _FAILING]
