"""`runner machines`: the machines that are declared and those that workers run on, and where the two differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(epilog="Examples:\n\n\b\n  runner machines\n  runner machines --format json\n")
@click.pass_obj
def command(inv: Invocation) -> None:
    """List the machines of machines.yaml and those that workers run on: online, slots, agents, last seen.

    Where what a worker found differs from what the file says, it says so below.
    """
    from runner import times  # here, all: not for --help
    from runner.config.values import plain
    from runner.fleet import known_machines

    app = inv.app()
    workers = [worker for worker in inv.store().queue.workers() if worker.project in ("", app.project_id)]
    machines = known_machines(app.config, workers)

    def text() -> None:
        if not machines:
            inv.talk("no machine is declared in machines.yaml, and no worker has been here")
        rows = [
            (
                one.name,
                "on" if one.online else "off",
                one.declared.role if one.declared is not None else "worker",
                one.os,
                one.slots,
                ", ".join(one.found_agents or (one.declared.agents if one.declared is not None else ())),
                "never" if one.last_seen is None else f"{times.span(one.last_seen)} ago",
            )
            for one in machines
        ]
        inv.table(("machine", "state", "role", "os", "slots", "agents", "seen"), rows)
        for one in machines:
            for difference in one.differences:
                inv.talk(f"{one.name}: {difference}")

    items = [one.to_json(plain(one.declared) if one.declared is not None else None) for one in machines]
    inv.emit_list(items, text)
