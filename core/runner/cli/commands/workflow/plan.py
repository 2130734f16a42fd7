"""`runner workflow plan`: what workflows will do, and what may run at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runner.cli.flowfile import Workflow, opened, refuse, without_tests
from runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.cli.invocation import Invocation


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner workflow plan ship\n"
        "  runner workflow plan workflows/*.yaml\n"
        "  runner workflow plan workflows/*.yaml --wave 1\n"
    ),
)
@click.argument("names", metavar="NAME|FILE...", nargs=-1, required=True, type=Workflow())
@click.option("--wave", metavar="N", type=click.IntRange(min=1), help="Only what is in this wave: a name on each line.")
@click.pass_obj
def plan(inv: Invocation, names: tuple[str, ...], wave: int | None) -> None:
    """Show a workflow's steps in waves; of several workflows, which may run beside each other.

    A wave is for people: a step starts the moment its needs are met. Of workflows it says what may be started
    together, once those of the waves before it are done.
    """
    chosen = without_tests(names)
    if len(chosen) == 1:
        planned = _one(inv, chosen[0])
        if wave is not None:
            _names(inv, planned["waves"], wave)
            return
        inv.emit(planned, lambda: print_plan(inv, planned))
        return
    from runner.workflows.beside import beside

    loaded = []
    for name in chosen:
        _, one, found = opened(inv, name)
        refuse(inv, found)
        loaded.append(one)
    waves = beside(loaded)
    if wave is not None:
        _names(inv, waves["waves"], wave)
        return

    def text() -> None:
        for number, together in enumerate(waves["waves"], 1):
            inv.line(f"wave {number}: {', '.join(together)}")
        for one in waves["apart"]:
            inv.line(f"  apart: {one['first']} and {one['second']}: {one['why']}")

    inv.emit(waves, text)


def _names(inv: Invocation, waves: Sequence[Sequence[str]], wave: int) -> None:
    if wave > len(waves):
        raise UsageError(f"there is no wave {wave}", f"there are {len(waves)}")

    def text() -> None:
        for name in waves[wave - 1]:
            inv.line(name)

    inv.emit({"wave": wave, "of": len(waves), "names": list(waves[wave - 1])}, text)


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
