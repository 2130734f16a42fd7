"""Gates with a deadline: a task that is due then gives the default answer, if nobody has given another one."""

from __future__ import annotations

import hashlib
import shlex
import sys
from typing import TYPE_CHECKING

from runner.model import NewTask
from runner.takers import HERE_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.engine.held import Held
    from runner.engine.waits import Wait
    from runner.workflows.items import Effect


def reminders(held: Held, waiting: Iterable[tuple[Effect, Wait]]) -> tuple[NewTask, ...]:
    """A task for each gate whose time ends while the run is in the queue; the same one however often it is asked for.

    A run that belongs to a terminal has nobody to go on with it: it takes the default when it is resumed.
    """
    if HERE_ONLY in held.task.requires:
        return ()
    return tuple(_one(held, effect.address, wait) for effect, wait in waiting if wait.deadline_at is not None)


def _one(held: Held, path: str, wait: Wait) -> NewTask:
    run, root = held.task.id, str(held.app.project.root)
    words = ["resolve", run, "--step", path, "--answer", str(wait.default), "--notes", "the deadline is over"]
    command = shlex.join([sys.executable, "-m", "runner", *words])
    id = hashlib.sha256(f"{run}/{path}@{wait.deadline_at}".encode()).hexdigest()[:12]
    return NewTask(
        id=id,
        type="run_script",
        # Whoever answered before has ended the wait: then there is nothing left to say.
        payload={"script": f"{command} || true"},
        project=held.task.project,
        spec={"checks": [], "policy": {"expects": "none"}, "base": None, "cwd": root, "root": root},
        machine=held.machine,
        not_before=wait.deadline_at,
        by=f"run:{run}",
    )
