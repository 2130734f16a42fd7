"""The default answer to `route`: the rules under `routes` in runner.yaml, the first that matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.model import Route

if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import Fleet, NewTask

_rules: tuple[Any, ...] = ()
"""The rules of the configuration that was loaded last: a process works for one project."""


@hookimpl
def configure(config: Config) -> None:
    """Take the rules; that they name known types and agents is checked where the configuration is."""
    global _rules
    _rules = config.routes


@hookimpl(trylast=True)
def route(task: NewTask, fleet: Fleet) -> Route | None:
    """The first rule whose every field fits; None leaves the task to any worker that can do it."""
    for number, rule in enumerate(_rules, 1):
        if _fits(rule.match, task):
            reason = rule.reason or f"rule {number} of routes ({_told(rule.match)})"
            return Route(machine=rule.machine, agent=rule.agent, type=rule.type, reason=reason)
    return None


def _fits(match: Any, task: NewTask) -> bool:
    wanted = ((match.type, task.type), (match.agent, task.agent), (match.project, task.project))
    if any(names and value not in names for names, value in wanted):
        return False
    return not match.requires or any(need in task.requires for need in match.requires)


def _told(match: Any) -> str:
    fields = (("type", match.type), ("agent", match.agent), ("project", match.project), ("requires", match.requires))
    return ", ".join(f"{name} {' or '.join(names)}" for name, names in fields if names) or "every task"
