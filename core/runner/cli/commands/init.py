"""`runner init`: make a folder a project. Never overwrites; again is fine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner import statuses
from runner.errors import UsageError
from runner.project import create_project, former_id, kept_project

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation

_SETTINGS = """\
# Settings of this project. Every line is optional; `runner config` shows what holds and why.
#
# defaults:
#   agent: claude        # the agent of a task that names none
#   timeout: 30m         # wall clock of one attempt
# worker:
#   slots: 2             # tasks that run at once
# routes:
#   - match: {type: ios_build}
#     machine: mac-mini
# redact:
#   - 'MYCO-[0-9a-f]{32}'
"""


@click.command(
    epilog="Example:\n\n\b\n  runner init            # this folder\n  runner init ~/code/app --yes",
)
@click.argument("folder", metavar="[DIR]", default=".")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--new", "fresh", is_flag=True, help="A new project, even when DIR was one before.")
@click.pass_obj
def command(inv: Invocation, folder: str, yes: bool, fresh: bool) -> int:
    """Make DIR (default: this folder) a project.

    Writes .runner/project.json, and a runner.yaml of comments when there is none. Nothing is
    overwritten. The queue and everything else that is kept lives outside, in the state folder: a DIR
    that was a project before is that project again (--project ID says which).
    """
    root = Path(os.path.realpath(folder))
    exists = (root / ".runner" / "project.json").exists()
    if not root.parent.is_dir():
        raise UsageError(f"{root.parent} does not exist", "make it first")
    asks = not exists and not yes and not inv.json and sys.stdin is not None and sys.stdin.isatty()
    if asks and not click.confirm(f"Make {root} a project?", default=True, err=True):
        inv.talk("nothing was made")
        return statuses.EXIT_FAILED
    former = inv.project_id or (None if fresh or exists else former_id(root))
    project, new = create_project(root, former)
    if inv.project_id not in (None, project.id):
        raise UsageError(f"{root} is project '{project.id}' already", "take another folder, or leave out --project")
    again = new and kept_project(project.id) is not None
    project.prepare()
    settings = write_settings(root)
    answer = {"id": project.id, "root": str(root), "state": str(project.state), "created": new, "settings": settings}
    answer["resumed"] = again

    def text() -> None:
        inv.line(f"{'Again' if again else 'Made' if new else 'Already'} a project: {root}")
        if again:
            inv.talk(f"its former state is taken up: {project.id} (a new one: delete .runner, then runner init --new)")
        inv.talk(f"state: {project.state}\nnext:  runner submit 'what to do', then runner work --drain")

    inv.emit(answer, text)
    return statuses.EXIT_OK


def write_settings(root: Path) -> bool:
    """Write a runner.yaml of comments unless there is one → whether it was written."""
    try:
        with open(root / "runner.yaml", "x", encoding="utf-8") as file:
            file.write(_SETTINGS)
    except FileExistsError:
        return False
    except OSError as error:
        raise UsageError(f"can't write {root / 'runner.yaml'}: {error.strerror}") from None
    return True
