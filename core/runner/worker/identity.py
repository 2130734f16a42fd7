"""Who this worker is: its machine's names, what it can run, what it offers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from runner import __version__, host
from runner.errors import UsageError, suggestion
from runner.ids import new_id
from runner.model import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.app import App


def machine_name(app: App, given: str | None) -> str:
    """`--machine`, RUNNER_DEVICE_ID, or the host's name; an alias of machines.yaml stands for its machine."""
    name = given or os.environ.get("RUNNER_DEVICE_ID") or os.uname().nodename
    for machine, settings in app.config.machines.items():
        if name == machine or name in settings.aliases:
            return machine
    if given and app.config.machines and name not in app.config.machines:
        raise UsageError(f"no machine is called '{given}' in machines.yaml", suggestion(given, app.config.machines))
    return name


def types_of(app: App, wanted: Sequence[str]) -> tuple[str, ...]:
    """The task types this worker runs: all it knows, or those it was told."""
    for name in wanted:
        if name not in app.types:
            raise UsageError(f"no task type is called '{name}'", suggestion(name, app.types))
    return tuple(wanted) or tuple(sorted(app.types.usable()))


def capabilities_of(app: App, machine: str) -> tuple[str, ...]:
    """What is configured, what machines.yaml says, the system, and each agent whose program is installed."""
    from shutil import which

    found = {f"os:{'macos' if sys.platform == 'darwin' else sys.platform}"}
    found.update(app.config.worker.capabilities)
    if machine in app.config.machines:
        found.update(app.config.machines[machine].capabilities)
    found.update(f"agent:{name}" for name, agent in app.agents.items() if which(agent.program))
    return tuple(sorted(found))


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
