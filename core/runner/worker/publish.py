"""Branches that a settled task still has to move: done after the fenced settle, made up for after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import RunnerError
from runner.store import Published

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.app import App
    from runner.engine.desk import Desk


def publish_left(app: App, desk: Desk, machine: str, talk: Callable[[str], None]) -> None:
    """Move the branches of this machine that a worker settled but did not move any more."""
    from runner.workspace import publish  # starts git

    for task in app.store.queue.to_publish(machine):
        asked = task.publish
        assert asked is not None
        try:
            publish(asked["repo"], asked["ref"], asked["new"], asked["old"])
            error = ""
        except RunnerError as problem:
            error = str(problem)
            talk(f"task {task.id}: {error}")
        desk.commit([Published(task=task.id, epoch=task.epoch, error=error)])
