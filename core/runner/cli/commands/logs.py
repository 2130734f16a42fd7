"""`runner logs`: what a task's attempts printed, as it comes with -f."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from runner import statuses
from runner.cli import taskview
from runner.cli.output import write_json
from runner.errors import NotFound, UsageError, suggestion
from runner.tasknames import find_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.cli.invocation import Invocation
    from runner.model import Attempt, Task
    from runner.store import Store

_STDOUT, _STDERR, _LOG = "stdout.log", "stderr.log", "log.txt"
"""The files of an attempt: what its processes wrote, and what its handler said."""

_LOOK: Final = 0.1
"""Seconds between looks at a file that is followed."""
_ASK: Final = 0.5
"""Seconds between questions to the store while a file is quiet."""
_CHUNK: Final = 1 << 16
_IN_JSON: Final = 1 << 20
"""Bytes of a log that `--format json` holds; the path is given for the rest."""


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner logs 3fk2m9x8w1qd -f\n"
        "  runner logs 3fk2 --attempt 1 --stderr\n"
        "  runner logs 3fk2 --log\n"
        "  runner logs 3fk2 implement\n"
    ),
)
@click.argument("id", metavar="ID")
@click.argument("step", metavar="[STEP]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the task ends or waits for a person.")
@click.option("--attempt", metavar="N", type=click.IntRange(min=1), help="This attempt (default: the last one).")
@click.option("--stderr", is_flag=True, help="The error stream instead of the output.")
@click.option("--log", is_flag=True, help="What the handler printed and logged, and its traceback.")
@click.option("--tail", metavar="LINES", type=click.IntRange(min=1), help="Only the last lines.")
@click.pass_obj
def command(
    inv: Invocation,
    id: str,
    step: str | None,
    follow: bool,
    attempt: int | None,
    stderr: bool,
    log: bool,
    tail: int | None,
) -> None:
    """Print what a task's attempt wrote; of a workflow's run, with a STEP, what that step's last one wrote.

    The logs are on the machine that ran it.

    An attempt whose processes wrote nothing shows its handler's log instead.
    """
    if stderr and log:
        raise UsageError("--stderr and --log are two different files", "give one of them")
    store, project = inv.store(), inv.project()
    task = find_task(store, id, inv.app().project_id)
    name = _STDERR if stderr else _LOG if log else _STDOUT
    if step is not None:
        attempt = _of_step(store, task, step, attempt)
    if follow:
        _show_as_it_comes(inv, store, project.state, task, name, attempt, tail)
        return
    chosen = _chosen(store, task, attempt)
    if chosen is None:
        inv.emit(
            {"id": task.id, "attempt": None, "log": "", "bytes": 0, "path": None}, lambda: inv.talk(_not_started(task))
        )
        return
    path = _fallen_back(inv, _here(project.state, chosen), name)
    size = _size(path)
    start = _tail_start(path, size, tail)
    if inv.format == "text":
        for data in _bytes(path, start):
            _raw(data)
        return
    shown = min(size - start, _IN_JSON)
    text = b"".join(_bytes(path, size - shown)).decode(errors="replace")
    value = {
        "id": task.id,
        "attempt": chosen.n,
        "outcome": chosen.outcome,
        "stream": path.stem,
        "log": text,
        "bytes": size,
        "path": str(path),
    }
    inv.emit(value, lambda: None)


def _fallen_back(inv: Invocation, folder: Path, name: str) -> Path:
    """The file to show: the handler's log where the one that was meant is empty."""
    path, log = folder / name, folder / _LOG
    if name != _LOG and not _size(path) and _size(log):
        inv.talk("(no process of it wrote anything; this is its handler's log)")
        return log
    return path


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _show_as_it_comes(
    inv: Invocation, store: Store, state: Path, task: Task, name: str, attempt: int | None, tail: int | None
) -> None:
    """`-f`: until the task ends or waits for a person."""
    lines = _Lines(name.partition(".")[0])
    last = 0
    for n, data in _follow(inv, store, state, task.id, name, attempt, tail):
        last = n
        lines.write(n, data) if inv.json else _raw(data)
    lines.close()
    chosen = _chosen(store, task, attempt)
    if chosen is None or last == chosen.n or not taskview.attempt_folder(state, chosen).is_dir():
        return
    path = _fallen_back(inv, taskview.attempt_folder(state, chosen), name)
    lines = _Lines(path.stem)
    for data in _bytes(path, _tail_start(path, _size(path), tail)):
        lines.write(chosen.n, data) if inv.json else _raw(data)
    lines.close()


def _chosen(store: Store, task: Task, n: int | None) -> Attempt | None:
    """The attempt to show; None when there was none yet."""
    attempts = store.queue.attempts(task.id)
    if n is None:
        return attempts[-1] if attempts else None
    for attempt in attempts:
        if attempt.n == n:
            return attempt
    known = f"it has {len(attempts)}" if attempts else _not_started(task)
    raise NotFound(f"task {task.id} has no attempt {n}", known)


def _of_step(store: Store, task: Task, step: str, number: int | None) -> int:
    """The place in the run of a step's attempt, or of its last one."""
    attempts = store.queue.attempts(task.id)
    found = [attempt.n for attempt in attempts if attempt.step == step and number in (None, attempt.number)]
    if not found:
        which = "no attempt" if number is None else f"no attempt {number}"
        hint = suggestion(step, [attempt.step for attempt in attempts]) if attempts else _not_started(task)
        raise NotFound(f"task {task.id} has {which} of a step '{step}'", hint)
    return found[-1]


def _not_started(task: Task) -> str:
    return f"Task {task.id} has not started: it is {task.status}. See: runner why {task.id}"


def _here(state: Path, attempt: Attempt) -> Path:
    """The attempt's folder, when this machine ran it."""
    folder = taskview.attempt_folder(state, attempt)
    if not folder.is_dir():
        raise NotFound(
            f"the logs of attempt {attempt.number} are not on this machine",
            f"worker {attempt.worker} wrote them to runs/{attempt.task} in its state folder",
        )
    return folder


def _follow(
    inv: Invocation, store: Store, state: Path, task_id: str, name: str, first: int | None, tail: int | None
) -> Iterator[tuple[int, bytes]]:
    """(attempt, bytes) as they come, from the chosen attempt on; only that one when it was named."""
    n, position = first or 0, 0
    said = waiting = False
    asked = 0.0
    while True:
        # Asked before the file is read: what is written before the end is then read after it.
        asked = time.monotonic()
        task, attempts = store.queue.get(task_id), store.queue.attempts(task_id)
        last = attempts[-1].n if attempts else 0
        if n == 0 and last:
            n = last
        over = task is None or task.status in statuses.TERMINAL or task.status == statuses.NEEDS_HUMAN
        mine = next((attempt for attempt in attempts if attempt.n == n), None)
        if mine is not None:
            path = taskview.attempt_folder(state, mine) / name
            if not path.parent.is_dir() and not said:
                inv.talk(f"attempt {n} runs on {mine.worker}: its logs are on that machine")
                said = True
            if tail is not None and path.exists():
                position, tail = _tail_start(path, path.stat().st_size, tail), None
            while True:
                for data in _bytes(path, position):
                    position += len(data)
                    yield n, data
                if over or n < last or mine.ended_at is not None or time.monotonic() - asked >= _ASK:
                    break
                time.sleep(_LOOK)
            if mine.ended_at is not None and n < last and first is None:
                n, position, said = n + 1, 0, False
                inv.talk(f"attempt {n}")
                continue
            if mine.ended_at is not None and first is not None:
                return
        elif not over and not waiting:
            inv.talk(_not_started(task) if task is not None else "")
            waiting = True
        if over:
            _last_word(inv, task)
            return
        time.sleep(max(0.0, _ASK - (time.monotonic() - asked)))


def _last_word(inv: Invocation, task: Task | None) -> None:
    if task is None:
        return
    hint = f"; see: runner review {task.id}" if task.status == statuses.NEEDS_HUMAN else ""
    inv.talk(f"Task {task.id} is {task.status}{hint}")


def _bytes(path: Path, start: int) -> Iterator[bytes]:
    """The file from `start` on, in chunks; nothing when it is not there yet."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            while data := file.read(_CHUNK):
                yield data
    except FileNotFoundError:
        return


def _tail_start(path: Path, size: int, lines: int | None) -> int:
    """Where the last `lines` lines of a file begin."""
    if lines is None or size == 0:
        return 0
    with open(path, "rb") as file:
        position, found = size, 0
        while position > 0:
            step = min(_CHUNK, position)
            position -= step
            file.seek(position)
            data = file.read(step)
            end = len(data)
            if position + step == size and data.endswith(b"\n"):
                end -= 1
            while (end := data.rfind(b"\n", 0, end)) >= 0:
                found += 1
                if found == lines:
                    return position + end + 1
    return 0


def _raw(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class _Lines:
    """Shows followed bytes as JSON lines, `{"attempt", "stream", "line"}`, whole lines only until the end."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._attempt = 0
        self._rest = b""

    def write(self, n: int, data: bytes) -> None:
        if n != self._attempt:
            self.close()
            self._attempt = n
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._show(line)

    def close(self) -> None:
        """What had no end of line yet."""
        if self._rest:
            self._show(self._rest)
            self._rest = b""

    def _show(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        write_json({"attempt": self._attempt, "stream": self._stream, "line": text}, lines=True)
        sys.stdout.flush()
