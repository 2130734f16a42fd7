"""Adds a capability to a machine of machines.yaml, and touches nothing else in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from runner.config.yamlfile import parse_yaml
from runner.errors import ConfigError, UsageError, suggestion
from runner.project import shown
from runner.skills.files import only_one, replace_text
from runner.skills.registry import read_text
from runner.skills.yamledit import add_item, add_key

if TYPE_CHECKING:
    from pathlib import Path

Added = Literal["added", "there", "new_machine"]

_HEAD = """\
# The machines of your fleet. machines.yaml.example shows all that can be said; editors: runner schema machines
"""


def add_capability(
    root: Path, machine: str, word: str, *, os: str | None = None, write: bool = True
) -> tuple[str, Added]:
    """Add `word` to what the machine (or the one with that alias) declares → the machine's name, what was done.

    Where no machine is declared yet, this one is, with `os`. Two processes that add at once both succeed.
    """
    path = root / "machines.yaml"
    with only_one(root):
        text = read_text(path)
        machines = _machines(text or "", shown(path))
        name = _find(machines, machine)
        if name is None:
            new = {**({"os": os} if os else {}), "capabilities": [word]}
            changed = add_key(text if text is not None else _HEAD, shown(path), ("machines",), machine, new)
            done: Added = "new_machine"
        elif word in (machines[name].get("capabilities") or ()):
            return name, "there"
        else:
            changed = add_item(text or "", shown(path), ("machines", name, "capabilities"), word)
            done = "added"
        if write:
            replace_text(path, changed)
    return name or machine, done


def _machines(text: str, name: str) -> dict[str, dict[str, Any]]:
    document = parse_yaml(text, name)
    data = document.data or {}
    machines = (data.get("machines") or {}) if isinstance(data, dict) else None
    if not isinstance(machines, dict):
        raise ConfigError(f"{document.place(('machines',))}: machines must be a mapping")
    for machine, settings in machines.items():
        if not isinstance(settings, dict | None):
            raise ConfigError(f"{document.place(('machines', machine))}: a machine must be a mapping")
        if not isinstance((settings or {}).get("capabilities"), list | None):
            place = document.place(("machines", machine, "capabilities"))
            raise ConfigError(f"{place}: capabilities must be a list")
    return {machine: settings or {} for machine, settings in machines.items()}


def _find(machines: dict[str, dict[str, object]], machine: str) -> str | None:
    """The entry of that name or alias, None where there are no machines at all."""
    aliases: dict[str, str] = {}
    for name, settings in machines.items():
        given = settings.get("aliases")
        aliases.update({str(alias): name for alias in given} if isinstance(given, list) else {})
    found = machine if machine in machines else aliases.get(machine)
    if found is None and machines:
        raise UsageError(
            f"no machine is called '{machine}' in machines.yaml", suggestion(machine, [*machines, *aliases])
        )
    return found
