"""Which machine a command about skills means: this one, or one that ssh reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.offers import machine_name
from runner.skills.remote import Target, find_target

if TYPE_CHECKING:
    from runner.app import App


@dataclass(frozen=True, slots=True)
class Place:
    """A machine: `target` None is this one. `declared` is what machines.yaml says of its capabilities."""

    name: str
    target: Target | None = None
    declared: tuple[str, ...] = ()


def place_of(app: App, machine: str | None) -> Place:
    """The machine of that name or alias, None: this one. UsageError with the nearest name for one that is unknown."""
    here = machine_name(app, None)
    settings = app.config.machines.get(here)
    own = Place(here, None, tuple(settings.capabilities) if settings is not None else ())
    if machine is None or machine in (here, *(settings.aliases if settings is not None else ())):
        return own
    if machine == "localhost" and machine not in app.config.machines:
        return own
    target = find_target(app.config, machine)
    if target.name == here:
        return own
    return Place(target.name, target, tuple(app.config.machines[target.name].capabilities))
