"""`runner skills create NAME`: a new task type with its handler, its test and its entry in skills.yaml."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from runner import statuses
from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.skills.scaffold import NewSkill


@click.command(
    short_help="Make a new task type: handler, test, entry.",
    epilog=(
        "Examples:\n\n\b\n"
        "  runner skills create deploy\n"
        "  runner skills create summarise-pr --description 'Summarise a pull request' --category backend --yes\n"
    ),
)
@click.argument("name")
@click.option("--description", metavar="TEXT", help="What it is, in a line.")
@click.option("--category", metavar="C", help="mobile, backend, web, ai-agents or one of your own (default: custom).")
@click.option("--check", metavar="COMMAND", help="A shell command that ends with 0 where the skill is there.")
@click.option("--install-macos", metavar="COMMAND", help="The command that installs what it needs on macOS.")
@click.option("--install-linux", metavar="COMMAND", help="The same on Linux.")
@click.option("--task-type", metavar="TYPE", help="The task type it brings (default: by the name).")
@click.option("--yes", is_flag=True, help="Do not ask: what no option says keeps its default.")
@click.pass_obj
def create(inv: Invocation, /, name: str, yes: bool, **given: Any) -> int:
    """Make the skill NAME: a handler that works, its test, and its entry in the project's skills.yaml.

    On a terminal it asks for what no option says. Nothing that is there is overwritten. The new task type can
    be submitted at once.
    """
    from runner.skills import load_skills  # here, all: not for --help
    from runner.skills.scaffold import NewSkill, check_new, type_of
    from runner.skills.scaffold import create as make

    app = inv.app(code=True)
    root = app.project.root
    skills = load_skills(root)
    blank = NewSkill(name, given["task_type"] or type_of(name))
    # Before any question: a name that is taken is no reason to answer six.
    check_new(blank, root, skills, app.types)
    asks = not yes and not inv.json and sys.stdin is not None and sys.stdin.isatty()

    def answer(new: NewSkill, option: str, question: str, default: str = "") -> NewSkill:
        def checked(text: str) -> NewSkill:
            changed = _with(new, option, text.strip())
            try:
                check_new(changed, root, skills, app.types)
            except UsageError as error:
                raise click.UsageError(str(error)) from None  # click says so, and asks again
            return changed

        if given[option] is not None or not asks:
            return _with(new, option, str(given[option] if given[option] is not None else default))
        prompted: NewSkill = click.prompt(
            question, default=default, show_default=bool(default), err=True, value_proc=checked
        )
        return prompted

    new = answer(blank, "description", "Description")
    new = answer(new, "category", "Category", "custom")
    new = answer(new, "check", "Check command")
    new = answer(new, "install_macos", "Install (macos)")
    new = answer(new, "install_linux", "Install (linux)")
    new = answer(new, "task_type", "Task type", blank.type)
    check_new(new, root, skills, app.types)
    make(new, root)
    _tell(inv, new, str(root))
    return statuses.EXIT_OK


def _with(new: NewSkill, option: str, text: str) -> NewSkill:
    from dataclasses import replace

    if option.startswith("install_"):
        return replace(new, install={**new.install, option.removeprefix("install_"): text})
    return replace(new, **{"type" if option == "task_type" else option: text})  # type: ignore[arg-type]


def _tell(inv: Invocation, new: NewSkill, root: str) -> None:
    from runner.cli.output import is_utf8

    steps = [
        f"Implement {new.handler}",
        f"Run its test: python -m pytest {new.test}",
        f'Try it: runner submit --type {new.type} --payload \'{{"message": "hi"}}\' && runner work --drain',
        f"Add to machines.yaml: runner skills add MACHINE {new.type}",
    ]
    value = {
        "name": new.name,
        "task_type": new.type,
        "handler": new.handler,
        "test": new.test,
        "root": root,
        "entry": new.entry(),
        "next": steps,
    }

    def text() -> None:
        mark = "✓ " if is_utf8() else ""
        inv.line(f"{mark}Created handler: {new.handler}")
        inv.line(f"{mark}Created its test: {new.test}")
        inv.line(f"{mark}Registered in skills.yaml")
        inv.talk("\nNext steps:")
        for number, step in enumerate(steps, 1):
            inv.talk(f"{number}. {step}")

    inv.emit(value, text)
