"""Who this worker is: its machine's names, what it can run, what it offers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner import __version__, host
from runner.errors import UsageError, suggestion
from runner.ids import new_id
from runner.model import Worker
from runner.offers import capabilities_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.app import App


def types_of(app: App, wanted: Sequence[str]) -> tuple[str, ...]:
    """The task types this worker runs: all it knows, or those it was told."""
    for name in wanted:
        if name not in app.types:
            raise UsageError(f"no task type is called '{name}'", suggestion(name, app.types))
    return tuple(wanted) or tuple(sorted(name for name in app.types.usable() if not app.types[name].inside))


def make_worker(app: App, *, machine: str, types: Sequence[str], slots: int) -> Worker:
    """This process as the store will know it (keepers are added when they run)."""
    settings = app.config.machines.get(machine)
    names = (machine, *(settings.aliases if settings else ()))
    return Worker(
        id=f"{machine}-{os.getpid()}-{new_id(6)}",
        machine=machine,
        names=tuple(dict.fromkeys(names)),
        types=types_of(app, types),
        capabilities=capabilities_of(app, machine),
        project=app.project_id,
        slots=slots,
        host=host.host_id(),
        pid=os.getpid(),
        started=host.start_time(os.getpid()) or "",
        version=__version__,
    )
