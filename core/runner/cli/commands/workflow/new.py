"""`runner workflow new`: a workflow to begin with, and a test of it."""

from __future__ import annotations

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

TEST: Final = """\
# What must come of {name}, with agents that are played: runner workflow test
workflow: {name}
params: {{what: a change}}
cases:
  - name: the change is made and reported
    agents: {{change: "[[write: made.txt <<hello]] done"}}
    expect:
      steps: {{change: done, report: done}}
      files: {{made.txt: {{contains: hello}}}}
  - name: nothing done is nothing done
    agents: {{change: "all done, believe me"}}
    expect: {{status: failed, outcomes: {{change: no_op}}, not_ran: [report]}}
"""


@click.command(epilog="Example:\n\n\b\n  runner workflow new deploy\n")
@click.argument("name")
@click.option("--agent", metavar="A", help="The agent of its first step (default: the configured one).")
@click.pass_obj
def new(inv: Invocation, name: str, agent: str | None) -> None:
    """Write a workflow to begin with: an agent that makes a change, a check, a report; and a test of it."""
    app = inv.app(code=True)
    check_name(name)
    chosen = agent or app.config.defaults.agent
    app.registry.agent(chosen)
    folder = app.project.root / "workflows"
    made = {folder / f"{name}.yaml": FLOW.format(name=name, agent=chosen), folder / f"test_{name}.yaml": TEST}
    for path in made:
        if path.exists():
            raise UsageError(f"{shown(path)} is there already", "choose another name, or edit it")
    folder.mkdir(exist_ok=True)
    for path, text in made.items():
        path.write_text(text.format(name=name) if text is TEST else text, encoding="utf-8")
    inv.emit({"files": [str(path) for path in made]}, lambda: inv.line("\n".join(map(shown, made))))
    inv.talk(f"look it over: runner workflow validate {name}; try it: runner workflow test")
