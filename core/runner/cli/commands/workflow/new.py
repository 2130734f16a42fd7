"""`runner workflow new`: a workflow to begin with, and a test of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from runner.cli.flowfile import check_name
from runner.errors import UsageError
from runner.project import shown

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation

FLOW: Final = """\
# Steps run in order. Look it over: runner workflow validate {name}; run it: runner workflow run {name} --param what=…
name: {name}
description: Make a change and prove it
params:
  - {{name: what, required: true, description: what is to be done}}
steps:
  - id: change
    agent: {agent}
    prompt: |
      {{{{what}}}}
    verify:
      - command: git diff --check   # what must pass afterwards: your tests
    repairable: {{attempts: 2}}
  - id: report
    command: |
      git log -1 --stat 2>/dev/null || ls -l
"""


@click.command(epilog="Example:\n\n\b\n  runner workflow new ship\n")
@click.argument("name")
@click.option("--agent", metavar="A", help="The agent of its first step (default: the configured one).")
@click.pass_obj
def new(inv: Invocation, name: str, agent: str | None) -> None:
    """Write a workflow to begin with: an agent that makes a change, a check that must pass, a report."""
    app = inv.app(code=True)
    check_name(name)
    chosen = agent or app.config.defaults.agent
    app.registry.agent(chosen)
    path = app.project.root / "workflows" / f"{name}.yaml"
    if path.exists():
        raise UsageError(f"{shown(path)} is there already", "choose another name, or edit it")
    path.parent.mkdir(exist_ok=True)
    path.write_text(FLOW.format(name=name, agent=chosen), encoding="utf-8")
    inv.emit({"file": str(path)}, lambda: inv.line(shown(Path(path))))
    inv.talk(f"look it over: runner workflow validate {name}")
