"""`runner rescue`: what snapshots keep of every task's files, and how to get it back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner import times
from runner.errors import NotFound, RunnerError, UsageError, suggestion
from runner.project import shown

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.workspace import Kept


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner rescue\n"
        "  runner rescue 3fk2m9x8w1qd\n"
        "  runner rescue 3fk2m9x8w1qd --into found\n"
        "  runner rescue wu-12 --attempt 2 --into found --format json\n"
    ),
)
@click.argument("unit", metavar="[ID]", required=False)
@click.option("--attempt", metavar="N", type=click.IntRange(min=0), help="The snapshot of this attempt.")
@click.option("--snapshot", metavar="COMMIT", help="The snapshot with this commit.")
@click.option(
    "--into", metavar="DIR", type=click.Path(path_type=Path), help="Write the newest one there; missing or empty."
)
@click.pass_obj
def command(inv: Invocation, unit: str | None, attempt: int | None, snapshot: str | None, into: Path | None) -> None:
    """List the snapshots of tasks and work units, or write one into a folder.

    Without ID: the newest snapshot of every attempt. With a task's or a work unit's ID: all of its
    snapshots. With --into: everything the newest of them holds, untracked and ignored files and nested
    repositories as well.
    """
    from runner.workspace import history, restore  # git's part: not for --help

    if unit is None and (into is not None or attempt is not None or snapshot is not None):
        raise UsageError("--into, --attempt and --snapshot need the ID of a task or work unit", "see: runner rescue")
    found = _all(inv)
    if unit is not None:
        name = _find(inv, unit, found)
        named = [kept for kept in found if kept.unit == name]
        found = [one for kept in reversed(named) for one in history(kept)]
        found = [kept for kept in found if attempt is None or kept.attempt == attempt]
        found = [kept for kept in found if snapshot is None or kept.commit.startswith(snapshot.lower())]
        if not found:
            raise NotFound(f"no such snapshot of {unit}", f"see: runner rescue {unit}")
    if into is None:
        inv.emit_list([_json(kept) for kept in found], lambda: _table(inv, found))
        return
    # The newest of the attempt that a claim would go on from; one set aside only when it is asked for.
    kept = next((one for one in found if one.ref.rpartition("/")[2].isdecimal()), found[0])
    files = restore(kept, into)
    inv.emit({**_json(kept), "into": str(into.absolute()), "files": files}, lambda: _restored(inv, kept, files, into))


def _all(inv: Invocation) -> list[Kept]:
    from runner.workspace import list_kept, locate

    project = inv.project()
    base = locate(project.root)
    return list_kept(base.repo if base else None, project.state)


def _find(inv: Invocation, word: str, found: list[Kept]) -> str:
    """The unit that `word` names: itself, the start of one, or that of a task."""
    units = {kept.unit for kept in found}
    if word in units:
        return word
    near = [unit for unit in units if unit.startswith(word.lower())]
    if len(near) == 1 and word:
        return near[0]
    if near and word:
        raise UsageError(f"'{word}' starts several ids: {', '.join(sorted(near)[:10])}", "type more of it")
    unit = _unit_of_task(inv, word)
    if unit in units:
        return unit
    hint = suggestion(word, units) if units else "no snapshot was taken yet"
    raise NotFound(f"no snapshot of '{word}' is kept", hint)


def _unit_of_task(inv: Invocation, word: str) -> str:
    # Files are found without the store; only a task of a work unit is looked up there, when it can be.
    try:
        task = inv.store().queue.get(word)
    except RunnerError:
        return ""
    return task.unit or "" if task else ""


def _json(kept: Kept) -> dict[str, Any]:
    return {
        "unit": kept.unit,
        "attempt": kept.attempt,
        "label": kept.label,
        "taken_at": times.iso(kept.when),
        "files": kept.files,
        "left_out": [{"path": one.path, "reason": one.reason, "size": one.size} for one in kept.left_out],
        "repo": str(kept.repo),
        "ref": kept.ref,
        "commit": kept.commit,
    }


def _table(inv: Invocation, found: list[Kept]) -> None:
    if not found:
        inv.talk("No snapshot was taken yet.")
    now = time.time()
    rows = [
        (k.unit, k.attempt, times.ago(k.when, now), k.files, len(k.left_out) or "", k.commit[:12], k.label)
        for k in found
    ]
    inv.table(("ID", "ATTEMPT", "AGE", "FILES", "LEFT OUT", "SNAPSHOT", "TAKEN"), rows)


def _restored(inv: Invocation, kept: Kept, files: int, into: Path) -> None:
    inv.line(f"{files} files of {kept.unit}, attempt {kept.attempt}, are in {shown(into)}")
    for one in kept.left_out:
        inv.talk(f"left out: {one}")
