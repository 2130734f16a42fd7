"""`runner workflow`: steps in order, by a file: run, look at, go on with, test."""

from __future__ import annotations

import click

from runner.cli.commands.workflow.listing import list_
from runner.cli.commands.workflow.new import new
from runner.cli.commands.workflow.plan import plan
from runner.cli.commands.workflow.resume import resume
from runner.cli.commands.workflow.run import run
from runner.cli.commands.workflow.show import show
from runner.cli.commands.workflow.test import test
from runner.cli.commands.workflow.validate import validate


@click.group(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner workflow new deploy\n"
        "  runner workflow validate ship\n"
        "  runner workflow run ship --param what=everything\n"
        "  runner workflow test\n"
    ),
)
def command() -> None:
    """Run workflows: agents and programs as steps, with checks, loops, gates for people, and resume.

    A workflow is a YAML file in workflows/ or .runner/workflows/ of the project, or of your own.
    """


for _one in (run, validate, plan, show, resume, list_, new, test):
    command.add_command(_one)
