"""`runner workflow plan`: what workflows will do, and what may run at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runner.cli.flowfile import Workflow, opened, refuse, without_tests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.cli.invocation import Invocation


@click.command(
    epilog=("Examples:\n\n\b\n  runner workflow plan ship\n  runner workflow plan workflows/*.yaml --format json\n"),
)
@click.argument("names", metavar="NAME|FILE...", nargs=-1, required=True, type=Workflow())
@click.pass_obj
def plan(inv: Invocation, names: tuple[str, ...]) -> None:
    """Show a workflow's steps in waves; of several workflows, which may run beside each other.

    A wave is for people: a step starts the moment its needs are met.
    """
    chosen = without_tests(names)
    if len(chosen) == 1:
        planned = _one(inv, chosen[0])
        inv.emit(planned, lambda: print_plan(inv, planned))
        return
    from runner.workflows.beside import beside

    loaded = []
    for name in chosen:
        _, one, found = opened(inv, name)
        refuse(inv, found)
        loaded.append(one)
    waves = beside(loaded)

    def text() -> None:
        for number, wave in enumerate(waves["waves"], 1):
            inv.line(f"wave {number}: {', '.join(wave)}")
        for one in waves["apart"]:
            inv.line(f"  apart: {one['first']} and {one['second']}: {one['why']}")

    inv.emit(waves, text)


def _one(inv: Invocation, name: str) -> dict[str, Any]:
    from runner.workflows.plan import plan as planned

    _, loaded, found = opened(inv, name)
    refuse(inv, found)
    made = planned(loaded.root)
    return {"workflow": loaded.source.workflow.name, **made}


def print_plan(inv: Invocation, planned: Mapping[str, Any]) -> None:
    steps = {step["path"]: step for step in planned["steps"]}
    count = sum(len(wave) for wave in planned["waves"])
    waves = len(planned["waves"])
    inv.line(f"{planned['workflow']}: {_many(count, 'step')} in {_many(waves, 'wave')}")
    rows = []
    for number, wave in enumerate(planned["waves"], 1):
        for path in wave:
            step = steps[path]
            needs = ", ".join(step["needs"])
            does = " ".join(str(step.get("does", "")).split())[:60]
            rows.append((number, path, step["kind"], step.get("agent") or "", needs, does))
    inv.table(("wave", "step", "kind", "agent", "needs", "does"), rows)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
