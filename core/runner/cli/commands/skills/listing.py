"""`runner skills list [MACHINE]`: what is really installed, here or there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.invocation import Invocation
    from runner.skills.checking import Checked


@click.command(
    "list",
    short_help="Check what is installed, here or by ssh.",
    epilog="Examples:\n\n\b\n  runner skills list\n  runner skills list --all --format json\n",
)
@click.argument("machine", metavar="[MACHINE]", required=False)
@click.option("--all", "every", is_flag=True, help="What is missing, too.")
@click.pass_obj
def list_(inv: Invocation, machine: str | None, every: bool) -> None:
    """Check what is installed on this machine, or by ssh on MACHINE, and list it.

    What machines.yaml declares for the machine and is missing there is listed as well. A worker that is started
    here offers what passed, for a week.
    """
    from runner.cli.commands.skills import shown  # here, all: not for --help
    from runner.cli.commands.skills.place import place_of
    from runner.skills import load_skills
    from runner.skills.checking import check_here
    from runner.skills.found import remember
    from runner.skills.remote import check_there

    app = inv.app()
    skills = list(load_skills(app.project.root if app.has_project else None).values())
    place = place_of(app, machine)
    with shown.Progress(inv, len(skills)) as progress:
        if place.target is not None:
            found = check_there(place.target, skills, progress.seen)
        else:
            found = check_here(skills, progress.seen)
            remember(found)
    listed = [one for one in found if every or one.installed or one.skill.name in place.declared]
    shown.overrides(inv, listed)
    inv.emit_list([{"machine": place.name, **one.to_json()} for one in listed], lambda: _text(inv, listed, place))


def _text(inv: Invocation, listed: Sequence[Checked], place: Any) -> None:
    from runner.cli.commands.skills import shown

    if not listed:
        inv.talk(f"no skill that is known is installed on {place.name}; see: runner skills available")
    shown.table(inv, listed)
    for one in listed:
        if one.skill.name in place.declared and not one.installed:
            inv.talk(
                f"{one.skill.name} is declared for {place.name} in machines.yaml, but not found ({one.detail}): "
                f"runner skills install {place.name} {one.skill.name}"
            )
