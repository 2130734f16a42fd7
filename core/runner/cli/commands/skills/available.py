"""`runner skills available`: the whole registry, each skill checked here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(
    short_help="List every known skill, checked here.",
    epilog="Examples:\n\n\b\n  runner skills available\n  runner skills available --category mobile --format json\n",
)
@click.option("--category", metavar="C", help="Only of this one: mobile, backend, web, ai-agents, …")
@click.pass_obj
def available(inv: Invocation, category: str | None) -> None:
    """List every skill that is known, and whether this machine has it: each check is run now."""
    from runner.cli.commands.skills import shown  # here, all: not for --help
    from runner.skills import load_skills
    from runner.skills.checking import check_here
    from runner.skills.found import remember

    app = inv.app()
    skills = load_skills(app.project.root if app.has_project else None).of_category(category)
    with shown.Progress(inv, len(skills)) as progress:
        found = check_here(skills.values(), progress.seen)
    remember(found)
    shown.overrides(inv, found)
    inv.emit_list([one.to_json() for one in found], lambda: shown.table(inv, found))
