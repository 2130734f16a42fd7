"""`runner skills`: what machines can do besides the runner itself, and how to add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runner import statuses
from runner.cli.commands.skills.add import add
from runner.cli.commands.skills.available import available
from runner.cli.commands.skills.create import create
from runner.cli.commands.skills.install import install
from runner.cli.commands.skills.listing import list_

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.fleet import Known


@click.group(
    invoke_without_command=True,
    epilog=(
        "Examples:\n\n\b\n"
        "  runner skills\n"
        "  runner skills available --category backend\n"
        "  runner skills list\n"
        "  runner skills create summarise-pr --description 'Summarise a pull request' --yes\n"
    ),
)
@click.pass_context
def command(ctx: click.Context) -> int:
    """Show what each machine offers; see, install, declare and make skills.

    A skill is something a machine may have: a compiler, a tool, an agent. skills.yaml says how to check for
    it and how to install it; a skills.yaml in your project adds to the one that comes along.
    """
    return _declared(ctx.obj) if ctx.invoked_subcommand is None else statuses.EXIT_OK


for _one in (available, list_, install, add, create):
    command.add_command(_one)


def _declared(inv: Invocation) -> int:
    from runner.fleet import known_machines  # here: not for --help

    app = inv.app()
    workers = [worker for worker in inv.store().queue.workers() if worker.project in ("", app.project_id)]
    machines = known_machines(app.config, workers)
    items = [
        {
            "machine": one.name,
            "online": bool(one.online),
            "declared": list(one.declared.capabilities) if one.declared is not None else [],
            "found": list(one.found),
            "agents": _agents(one),
        }
        for one in machines
    ]

    def text() -> None:
        if not items:
            inv.talk("no machine is declared or has a worker; what there is here: runner skills list")
        inv.table(("machine", "state", "declared", "found besides", "agents"), [_row(one) for one in machines])

    inv.emit_list(items, text)
    return statuses.EXIT_OK


def _agents(one: Known) -> list[str]:
    return sorted({*one.found_agents, *(one.declared.agents if one.declared is not None else ())})


def _row(one: Known) -> tuple[str, ...]:
    declared = one.declared.capabilities if one.declared is not None else ()
    extra = [word for word in one.found if word not in declared]
    words = (declared, extra, _agents(one))
    return (one.name, "on" if one.online else "off", *(", ".join(some) for some in words))
