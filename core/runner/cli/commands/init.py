"""`runner init`: make a folder a project. Never overwrites; again is fine."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner import statuses
from runner.cli.newproject import SCHEMA, ask, look, refers_to_schema, schema_text, settings, unasked
from runner.errors import UsageError
from runner.project import create_project, former_id, kept_project

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(
    epilog="Example:\n\n\b\n  runner init            # this folder\n  runner init ~/code/app --yes",
)
@click.argument("folder", metavar="[DIR]", default=".")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--new", "fresh", is_flag=True, help="A new project, even when DIR was one before.")
@click.pass_obj
def command(inv: Invocation, folder: str, yes: bool, fresh: bool) -> int:
    """Make DIR (default: this folder) a project.

    Writes .runner/project.json, and a runner.yaml when there is none, with a schema that lets editors
    check it. On a terminal it asks for what belongs there, shows it, and writes nothing before you agree;
    --yes takes the agent that is installed and leaves the rest as comments. Nothing is overwritten.

    The queue and everything else that is kept lives outside, in the state folder: a DIR that was a
    project before is that project again (--project ID says which).
    """
    root = Path(os.path.realpath(folder))
    exists = (root / ".runner" / "project.json").exists()
    if not root.parent.is_dir():
        raise UsageError(f"{root.parent} does not exist", "make it first")
    asks = not exists and not yes and not inv.json and sys.stdin is not None and sys.stdin.isatty()
    plan = _plan(inv, root, asks)
    if plan is None:
        inv.talk("nothing was made")
        return statuses.EXIT_FAILED
    former = inv.project_id or (None if fresh or exists else former_id(root))
    project, new = create_project(root, former)
    if inv.project_id not in (None, project.id):
        raise UsageError(f"{root} is project '{project.id}' already", "take another folder, or leave out --project")
    again = new and kept_project(project.id) is not None
    project.prepare()
    written = plan.write(root)
    answer = {"id": project.id, "root": str(root), "state": str(project.state), "created": new, "settings": written}
    answer["resumed"] = again

    def text() -> None:
        inv.line(f"{'Again' if again else 'Made' if new else 'Already'} a project: {root}")
        if again:
            inv.talk(f"its former state is taken up: {project.id} (a new one: delete .runner, then runner init --new)")
        inv.talk(f"state: {project.state}\nnext:  runner submit 'what to do', then runner work --drain")

    inv.emit(answer, text)
    return statuses.EXIT_OK


@dataclass(frozen=True, slots=True)
class Plan:
    """The files that will be written: texts, made before anything is written; None: it is there and stays."""

    settings: str | None
    schema: str | None

    def write(self, root: Path) -> bool:
        """Write them → whether there is a new runner.yaml. One that appeared meanwhile stays."""
        if self.schema is not None:
            _write(root / SCHEMA, self.schema, replace=True)
        return self.settings is not None and _write(root / "runner.yaml", self.settings, replace=False)


def _plan(inv: Invocation, root: Path, asks: bool) -> Plan | None:
    """What to write, once the person has agreed; None when they did not."""
    from runner.app import App  # here, both: most of the start-up cost
    from runner.config import load_config

    # Without what the folder has of its own: its settings may be wrong, and its code is not ours to run.
    app = App(None, load_config(None), start=root)
    if os.path.lexists(root / "runner.yaml"):
        if asks and not click.confirm(f"Make {root} a project?", default=True, err=True):
            return None
        return Plan(None, schema_text(app) if refers_to_schema(root) else None)
    found = look(root, app)
    answers = unasked(found, app)
    if asks:
        if not click.confirm(f"Make {root} a project?", default=True, err=True):
            return None
        if not found.repository:
            inv.talk("It is in no git repository: tasks will work in the folder itself, one at a time.")
        answers = ask(found, app, click.prompt, inv.talk)
    text = settings(found, answers)
    if asks:
        inv.talk(f"\nrunner.yaml will be:\n\n{text}")
        if not click.confirm("Write it?", default=True, err=True):
            return None
    return Plan(text, schema_text(app))


def _write(path: Path, text: str, *, replace: bool) -> bool:
    """Write a file as a whole or not at all → whether it was; without `replace` one that is there stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        (os.replace if replace else os.link)(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return True
