"""`runner skills add MACHINE SKILL`: writes into machines.yaml that a machine offers something."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from runner import statuses
from runner.errors import UsageError, suggestion

if TYPE_CHECKING:
    from runner.app import App
    from runner.cli.invocation import Invocation


@click.command(
    short_help="Declare that a machine offers a skill.",
    epilog=(
        "Examples:\n\n\b\n  runner skills add mac-mini swiftlint\n  runner skills add mac-mini ios_build --dry-run\n"
    ),
)
@click.argument("machine")
@click.argument("skill")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.pass_obj
def add(inv: Invocation, machine: str, skill: str, dry_run: bool) -> int:
    """Declare in machines.yaml that MACHINE offers SKILL: a skill, a task type, or a word of your own.

    Comments and order of the file stay as they are. Where no machine is declared yet, MACHINE is made the
    first. A worker of the machine offers what is declared from its next start on.
    """
    from runner.offers import machine_name  # here, all: not for --help
    from runner.skills import this_os
    from runner.skills.machinesfile import add_capability

    app = inv.app()
    root = app.project.root
    word, known = _capability(app, skill)
    here = machine_name(app, None) == machine
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", machine):
        raise UsageError(f"'{machine}' is not a machine's name", "use letters, digits, '_', '-' and '.'")
    name, done = add_capability(root, machine, word, os=this_os() if here else None, write=not dry_run)
    if not known and done != "there":
        inv.talk(f"'{word}' is neither a skill nor a task type: it is a word of your own, which tasks may require")

    def text() -> None:
        would = "Would declare" if dry_run else "Declared"
        if done == "there":
            inv.line(f"machines.yaml declares {word} for {name} already")
        elif done == "new_machine":
            inv.line(f"{would} machine {name} in machines.yaml, which offers {word}")
        else:
            inv.line(f"{would} {word} for {name} in machines.yaml")

    answer = {"machine": name, "capability": word, "result": done, "dry_run": dry_run, "known": known}
    inv.emit({**answer, "path": str(root / "machines.yaml")}, text)
    return statuses.EXIT_OK


def _capability(app: App, word: str) -> tuple[str, bool]:
    """The word as skills.yaml or a type has it, and whether one does; UsageError for one that is nearly such a name."""
    from runner.skills import load_skills

    skills = load_skills(app.project.root)
    types = [*app.types, *(type for skill in skills.values() for type in skill.task_types)]
    if word in skills or word in types:
        return word, True
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]*", word):
        raise UsageError(f"'{word}' can't be a capability", "use letters, digits, '_', '-', '.', ':' and '+'")
    near = suggestion(word, [*skills, *types])
    if near.startswith("did you mean"):
        raise UsageError(f"no skill and no task type is called '{word}'", near)
    return word, False
