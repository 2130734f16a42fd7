"""`runner clean`: delete worktrees of finished work, each only when everything in it is kept elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from runner.errors import RunnerError
from runner.project import shown
from runner.statuses import HELD, TERMINAL
from runner.store.contract import TaskFilter

if TYPE_CHECKING:
    from pathlib import Path

    from runner.cli.invocation import Invocation
    from runner.model import Task
    from runner.store import Store
    from runner.workspace import Caps, Removal


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner clean --dry-run\n"
        "  runner clean\n"
        "  runner clean --dry-run --format json\n"
        "  RUNNER_WORKSPACE_MAX_TOTAL=3GiB runner clean\n"
    ),
)
@click.option("--dry-run", is_flag=True, help="Only say what would go and what would stay, and why.")
@click.option("--forgotten", is_flag=True, help="Also worktrees whose tasks the store does not know (any more).")
@click.pass_obj
def command(inv: Invocation, dry_run: bool, forgotten: bool) -> None:
    """Delete worktrees of finished tasks, where all that is in them is kept elsewhere.

    A worktree stays while its work is unfinished, while somebody holds it or has it open, and while it has
    anything that no snapshot holds (a file over `workspace.max_file`, say). Branches and snapshots stay;
    `runner rescue` writes a snapshot back.
    """
    from runner.workspace import Caps, plan_clean, remove  # git's part: not for --help

    app = inv.app()
    store = inv.store()
    caps = Caps(app.config.workspace.max_file, app.config.workspace.max_total)
    held, settled = _units(store, app.project.state, forgotten)
    plan = plan_clean(app.project.state, held, settled, fresh=not dry_run, caps=caps)
    done: dict[Path, str] = {}
    for removal in plan:
        if removal.allowed and not dry_run:
            done[removal.path] = _remove(store, removal, caps, remove)
    inv.emit_list([_json(r, done) for r in plan], lambda: _table(inv, plan, done, dry_run))


def _remove(store: Store, removal: Removal, caps: Caps, remove: Any) -> str:
    """Delete one → "", or why it stays after all."""
    from runner.workspace import owner_of

    def leased(unit: str) -> bool:
        return any(task.status in HELD for task in _tasks(store, owner_of(removal.path.parent)))

    try:
        remove(removal, leased=leased, caps=caps)
    except RunnerError as error:
        return error.message
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def _units(store: Store, state: Path, forgotten: bool) -> tuple[set[str], dict[str, str]]:
    """The units on disk that are held, and those without unfinished work with what became of them."""
    from runner.workspace import owner_of

    held, settled = set(), {}
    folder = state / "worktrees"
    for unit in sorted(os.listdir(folder)) if folder.is_dir() else []:
        tasks = _tasks(store, owner_of(folder / unit))
        if any(task.status in HELD for task in tasks):
            held.add(unit)
        elif tasks and all(task.status in TERMINAL for task in tasks):
            settled[unit] = max(tasks, key=lambda task: task.finished_at or 0.0).status
        elif not tasks and forgotten:
            settled[unit] = "forgotten"
    return held, settled


def _tasks(store: Store, unit: str) -> list[Task]:
    """The tasks that work in a unit's worktree: a lone task's own, or all of the unit."""
    lone = store.queue.get(unit)
    return [*([lone] if lone else []), *store.queue.find(TaskFilter(statuses=None, unit=unit))]


def _json(removal: Removal, done: dict[Path, str]) -> dict[str, Any]:
    after = done.get(removal.path)
    return {
        "unit": removal.unit,
        "path": str(removal.path),
        "bytes": removal.bytes,
        "allowed": removal.allowed and not after,
        "removed": after == "",
        "reason": after or removal.reason,
    }


def _table(inv: Invocation, plan: list[Removal], done: dict[Path, str], dry_run: bool) -> None:
    from runner.workspace.leftout import size_text

    rows = []
    for removal in plan:
        after = done.get(removal.path)
        goes = removal.allowed and not after
        verb = "stays" if not goes else "would go" if dry_run else "gone"
        rows.append((verb, removal.unit, size_text(removal.bytes), after or removal.reason, shown(removal.path)))
    inv.table(("", "ID", "SIZE", "WHY", "WORKTREE"), rows)
    freed = sum(r.bytes for r in plan if (r.allowed if dry_run else done.get(r.path) == ""))
    if not plan:
        inv.talk("There are no worktrees.")
    elif freed:
        inv.talk(f"{size_text(freed)} {'would be' if dry_run else 'were'} freed.")
