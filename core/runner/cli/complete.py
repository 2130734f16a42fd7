"""What the shell is offered behind an option or argument: tasks, agents, types, checks, statuses, artifacts.

It reads the store and imports none of the project's own code. Whatever goes wrong, there is just nothing to offer.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from runner import statuses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.cli.invocation import Invocation

    Offer = Callable[[Invocation, str, str], Iterable[tuple[str, str]]]
    """(invocation, command, what is typed so far) → words, each with what it means."""

_MOST: Final = 50
"""Tasks and artifacts that are offered: the newest."""

_STATUSES: Final = {
    "retry": (statuses.FAILED, statuses.CANCELLED, statuses.NEEDS_HUMAN, statuses.DONE, statuses.SCHEDULED),
    "resolve": (statuses.NEEDS_HUMAN, statuses.FAILED),
    "review": (statuses.NEEDS_HUMAN,),
    "cancel": (),
}
"""Which tasks a command is for; () are the unfinished ones, every one for commands that are not here."""


def attach(command: click.Command, path: str = "") -> None:
    """Have the parameters of a command, and of those under it, offer what they take."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            attach(child, f"{path} {name}".strip())
    for param in command.params:
        offer = _offer(param, path or command.name or "")
        if offer is not None and not isinstance(param.type, click.Choice):
            # An instance's own method: commands need not know of shells.
            setattr(param, "shell_complete", functools.partial(_complete, offer, path or command.name or ""))  # noqa: B010


def _offer(param: click.Parameter, command: str) -> Offer | None:
    names = param.opts if isinstance(param, click.Option) else [param.name or ""]
    for name in (*(f"{command} {name}" for name in names), *names):
        if name in _OFFERS:
            return _OFFERS[name]
    is_task = (param.metavar or "").strip("[].").partition("|")[0].rstrip(".") == "ID"
    return tasks if is_task and not isinstance(param, click.Option) else None


def _complete(offer: Offer, command: str, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    try:
        known = offer(ctx.find_root().obj, command, incomplete)
        return [CompletionItem(word, help=text) for word, text in known if word.startswith(incomplete)]
    except Exception:  # a person is typing: no error may get in between
        return []


def tasks(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    """Tasks by id, newest first, with what they are to do."""
    from runner.cli.taskview import title
    from runner.store.contract import TaskFilter

    where = TaskFilter(
        statuses=_STATUSES.get(command), project=inv.app().project_id, prefix=incomplete.lower() or None, limit=_MOST
    )
    return [(task.id, f"{task.status}: {title(task)}"[:60]) for task in inv.store().queue.find(where)]


def agents(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    return [(name, agent.program) for name, agent in sorted(inv.app().agents.items())]


def types(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    """Task types; the project's own by the names of their files."""
    app = inv.app()
    names = set(app.types)
    if app.has_project:
        names |= {path.stem for path in (app.project.root / "handlers").glob("[!_]*.py")}
    return [(name, "") for name in sorted(names)]


def checks(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    return [(name, spec.summary) for name, spec in sorted(inv.app().checks.items())]


def machines(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    names = {worker.machine for worker in inv.store().queue.workers()} | set(inv.app().config.machines)
    return [(name, "") for name in sorted(names)]


def units(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    from runner.store.contract import TaskFilter

    found = inv.store().queue.find(TaskFilter(project=inv.app().project_id, limit=1000))
    return [(unit, "") for unit in dict.fromkeys(task.unit for task in found) if unit]


def artifacts(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    found = inv.store().records.artifacts(project=inv.app().project_id)
    return [(one.ref, one.name) for one in reversed(found) if one.ref.startswith(incomplete)][:_MOST]


def settings(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    from runner.cli.commands.config import settings

    return [(key, origin) for key, _, origin in settings(inv.app())]


def schemas(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    from runner.cli.schemas import FILES

    return [*FILES.items(), ("type", "the payload of a task type")]


def skills(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    from runner.skills import load_skills

    app = inv.app()
    return [(name, "") for name in sorted(load_skills(app.project.root if app.has_project else None))]


def decisions(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
    return [("pending", "run it again"), ("done", "accept it as it is"), ("failed", "give it up")]


def _words(*words: str) -> Offer:
    return lambda inv, command, incomplete: [(word, "") for word in words]


def _listed(offer: Offer) -> Offer:
    """For a list with commas: the word after the last one."""

    def listed(inv: Invocation, command: str, incomplete: str) -> Iterable[tuple[str, str]]:
        before, comma, last = incomplete.rpartition(",")
        given = before.split(",")
        return [(before + comma + word, text) for word, text in offer(inv, command, last) if word not in given]

    return listed


_OFFERS: Final[dict[str, Offer]] = {
    "--agent": agents,
    "--type": types,
    "--types": _listed(types),
    "submit --check": checks,
    "--machine": machines,
    "--status": _listed(_words(*statuses.STATUSES)),
    "--task": tasks,
    "--after": tasks,
    "--work-unit": units,
    "--expects": _words("changes", "answer", "none"),
    "--format": _words("text", "json", "jsonl"),
    "agent": agents,
    "agents": agents,
    "ref": artifacts,
    "machine": machines,
    "skill": skills,
    "skills install words": skills,
    "config key": settings,
    "schema kind": schemas,
    "schema name": types,
    "resolve status": decisions,
}
"""By the name of an option or argument, where it is a command's own behind that command."""
