"""`runner workflow show`: a workflow as it is run, with what it extends and inherits written out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runner.cli.flowfile import Workflow, opened, refuse

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(epilog="Example:\n\n\b\n  runner workflow show ship\n")
@click.argument("name", metavar="NAME|FILE", type=Workflow())
@click.pass_obj
def show(inv: Invocation, name: str) -> None:
    """Print a workflow in its native form: converted, with what it extends, every key in one spelling."""
    import yaml  # here: not for --help

    _, loaded, found = opened(inv, name)
    refuse(inv, found)
    data = loaded.source.workflow.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    inv.emit(data, lambda: inv.line(text.rstrip("\n")))
