"""What this machine is called, and what a worker started on it would offer."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from runner.errors import UsageError, suggestion
from runner.skills.found import found_here

if TYPE_CHECKING:
    from runner.app import App
    from runner.model import Agent


def machine_name(app: App, given: str | None) -> str:
    """`--machine`, RUNNER_DEVICE_ID, or the host's name; an alias of machines.yaml stands for its machine."""
    name = given or os.environ.get("RUNNER_DEVICE_ID") or os.uname().nodename
    for machine, settings in app.config.machines.items():
        if name == machine or name in settings.aliases:
            return machine
    if given and app.config.machines and name not in app.config.machines:
        raise UsageError(f"no machine is called '{given}' in machines.yaml", suggestion(given, app.config.machines))
    return name


def capabilities_of(app: App, machine: str) -> tuple[str, ...]:
    """What is configured, what machines.yaml says, the system, each agent whose program is installed, and the skills
    that passed their check on this machine lately."""
    found = set(found_here())
    found |= {f"os:{'macos' if sys.platform == 'darwin' else sys.platform}"}
    found.update(app.config.worker.capabilities)
    if machine in app.config.machines:
        found.update(app.config.machines[machine].capabilities)
    found.update(f"agent:{name}" for name, agent in app.agents.items() if installed(agent))
    return tuple(sorted(found))


def installed(agent: Agent) -> bool:
    """Whether the agent's program is on this machine's PATH."""
    from shutil import which  # here: not for the commands of every moment

    return which(agent.program) is not None
