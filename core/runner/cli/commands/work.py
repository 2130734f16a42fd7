"""`runner work`: take tasks from the queue and run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runner.cli.drained import Reports
from runner.cli.output import clean
from runner.cli.selection import choose, show
from runner.cli.watched import watched
from runner.errors import UsageError
from runner.statuses import BLOCKED, DONE, NEEDS_HUMAN, PENDING, PLANNING, SCHEDULED

if TYPE_CHECKING:
    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.engine.run import Ended

WAITING = (BLOCKED, SCHEDULED, PENDING)


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner work --drain\n"
        "  runner work --loop --slots 4 --machine build-box\n"
        "  runner work --drain -k 'run_script and not slow' --durations 5 --junit report.xml\n"
        "  runner work --lf --dry-run\n"
    ),
)
@click.option("--once", "mode", flag_value="once", help="Run one task, if there is one, and end.")
@click.option("--drain", "mode", flag_value="drain", help="Run until nothing is left to run, and end (the default).")
@click.option("--loop", "mode", flag_value="loop", help="Run for ever: wait for tasks, and wake when there are some.")
@click.option("--slots", metavar="N", type=click.IntRange(1, 256), help="Tasks at a time (default: worker.slots).")
@click.option("--machine", metavar="NAME", help="This machine's name (default: RUNNER_DEVICE_ID or the host's).")
@click.option("--types", metavar="T,T", help="Only tasks of these types.")
@click.option("--live/--no-live", default=None, help="Show what each slot does (default: on a terminal).")
@click.option("-k", "keyword", metavar="EXPR", help="Only tasks that match: words with and, or, not, ( ).")
@click.option(
    "--lf", "--last-failed", "last_failed", is_flag=True, help="Queue the tasks that failed again; only those."
)
@click.option("--dry-run", "--collect-only", "dry_run", is_flag=True, help="List what would be taken; run nothing.")
@click.option("--junit", metavar="FILE", help="Write what became of the tasks as JUnit XML.")
@click.option("--durations", metavar="N", type=click.IntRange(min=0), help="Show the N slowest tasks (0: all).")
@click.pass_obj
def command(
    inv: Invocation,
    mode: str | None,
    slots: int | None,
    machine: str | None,
    types: str | None,
    live: bool | None,
    keyword: str | None,
    last_failed: bool,
    dry_run: bool,
    junit: str | None,
    durations: int | None,
) -> None:
    """Take tasks from the queue and run them.

    EXPR of -k is made of words that occur, in any case, in a task's id, type, agent, machine, work unit, key,
    prompt or script; quote a word that has spaces. Tasks that do not match are left for others. --lf takes the
    tasks that are failed, or wait for a person after red checks, a crash, a time limit or nothing done.

    Exit code of --once and --drain: 1 if a task failed, else 3 if one needs a person, else 0; of --loop: 0.
    The first Ctrl-C finishes what runs, the second ends it and hands it back to the queue.
    """
    from runner.offers import machine_name
    from runner.worker.work import Work

    if mode == "loop" and (junit is not None or durations is not None or last_failed):
        raise UsageError("--junit, --durations and --lf belong to work that ends", "use --drain or --once")
    app = inv.app(code=True)
    selection = choose(app, keyword, _words(types), last_failed=last_failed, dry_run=dry_run)
    if dry_run:
        show(inv, selection)
        return
    report = Report(inv)
    reports = Reports(inv, app, selection, junit, durations)
    if last_failed:
        inv.talk(selection.queue_again())

    def ended(one: Ended) -> None:
        reports.ended(one)
        report.ended(one)

    with reports, watched(inv, live) as view:
        work = Work(
            app,
            mode=mode or "drain",
            machine=machine_name(app, machine),
            types=_words(types),
            slots=slots or _configured(app, machine_name(app, machine)),
            talk=inv.talk,
            began=view.began if view is not None else None,
            ended=ended,
        )
        if view is not None:
            view.follow(work.progress, lambda: work.counts, lambda: _waiting(app))
        code = work.run()
    report.close(work.counts, _left(app) if mode != "loop" else 0)
    raise SystemExit(code)


def _left(app: Any) -> int:
    """Tasks of this project that are neither finished nor waiting for a person."""
    from runner.store import TaskFilter

    counts = app.store.queue.count(TaskFilter(statuses=(), project=app.project_id))
    return sum(n for status, n in counts.items() if status not in (NEEDS_HUMAN, PLANNING))


def _waiting(app: App) -> int:
    """Tasks of this project that nobody runs yet, and that somebody may."""
    from runner.store import TaskFilter

    counts = app.store.queue.count(TaskFilter(statuses=WAITING, project=app.project_id))
    return sum(counts.values())


def _words(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise UsageError("--types names no type", "write --types run_script,agent_run")
    return words


def _configured(app: Any, machine: str) -> int:
    settings = app.config.machines.get(machine)
    return int((settings and settings.slots) or app.config.worker.slots)


class Report:
    """What a worker says about its tasks: lines for people as they end, JSON for programs."""

    def __init__(self, inv: Invocation) -> None:
        self._inv = inv
        self._items: list[dict[str, Any]] = []

    def ended(self, ended: Ended) -> None:
        """One task ended (called from its slot's thread)."""
        item = {
            "id": ended.task.id,
            "type": ended.task.type,
            "status": ended.status or None,
            "outcome": ended.outcome,
            "summary": ended.summary,
            "seconds": round(ended.seconds, 3),
        }
        if self._inv.format == "jsonl":
            self._inv.emit(item, lambda: None)
        elif self._inv.format == "json":
            self._items.append(item)
        word = ended.status or "lost"
        why = "" if ended.status == DONE else f": {ended.summary}"
        line = f"task {ended.task.id} {ended.task.type}: {word} ({ended.seconds:.1f} s){why}"
        self._inv.talk(clean(" ".join(line.split())))

    def close(self, counts: Any, left: int) -> None:
        """The sum of it, and what could not be run here and now."""
        total = {status: counts[status] for status in sorted(counts)}
        if self._inv.format == "json":
            self._inv.emit({"counts": total, "waiting": left, "items": self._items}, lambda: None)
        elif self._inv.format == "text":
            self._inv.talk(", ".join(f"{n} {status}" for status, n in total.items()) or "nothing to do")
        if left and self._inv.format != "json":
            word = "task still waits" if left == 1 else "tasks still wait"
            self._inv.talk(f"{left} {word}: `runner queue` lists them, `runner why ID` says what for")
