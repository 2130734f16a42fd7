"""`runner demo`: the whole way from a task to a checked, kept result, as a terminal session."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli.demo import Demo
from runner.errors import UsageError

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(epilog="Examples:\n\n\b\n  runner demo\n  runner demo ~/runner-demo\n")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--keep", is_flag=True, help="Keep the temporary folder, to look around in it.")
@click.pass_obj
def command(inv: Invocation, folder: Path | None, keep: bool) -> None:
    """See it work, in a minute and without any account.

    Makes a small repository with a failing test, queues three tasks, runs a worker on them and shows
    what came out: an artifact, a branch that was repaired by evidence, and a lie that was caught.
    Everything happens in a temporary folder, or in DIR, which is then kept.
    """
    if shutil.which("git") is None:
        raise UsageError("the demo needs git, which is not on the PATH", "install git")
    top = _folder(folder)
    say = inv.talk if inv.json else inv.line
    try:
        answer = Demo(top, say).run()
        inv.emit(answer, lambda: None)
    finally:
        if folder is None and not keep:
            shutil.rmtree(top, ignore_errors=True)
    if folder is not None or keep:
        say(f"\nLook around:\n  cd {top / 'shop'}\n  export XDG_STATE_HOME={top / 'state'}\n  runner queue --all")


def _folder(given: Path | None) -> Path:
    if given is None:
        return Path(os.path.realpath(tempfile.mkdtemp(prefix="runner-demo-")))
    top = Path(os.path.realpath(given.expanduser()))
    try:
        top.mkdir(parents=True, exist_ok=True)
        if any(top.iterdir()):
            raise UsageError(f"{top} is not empty", "name a folder that is, or one that does not exist yet")
    except OSError as error:
        raise UsageError(f"can't use {top}: {error.strerror}") from None
    return top
