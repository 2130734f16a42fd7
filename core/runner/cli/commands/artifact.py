"""`runner artifact`: keep files with the work, find them, get them back."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner import times
from runner.cli.output import size
from runner.cli.taskview import artifact_json
from runner.cli.transferbar import TransferBar
from runner.errors import Conflict, LostClaim, NotFound, UsageError
from runner.ids import new_id
from runner.model import Artifact, Claim
from runner.store import REFUSED, PutArtifact
from runner.tasknames import find_task
from runner.transfer import WatchedStore
from runner.who import submitter

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.store import Store


@click.group(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner artifact upload report.zip --work-unit wu-12\n"
        "  runner artifact list --task 3fk2m9x8w1qd\n"
        "  runner artifact download 7bz1 --output report.zip\n"
    ),
)
def command() -> None:
    """Keep files with the work, find them, get them back."""


@command.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner artifact upload playwright-report.zip --work-unit wu-12\n"
        "  runner artifact upload out/log.txt --name build/log.txt --task 3fk2\n"
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Its name (default: the file's).")
@click.option("--type", metavar="TYPE", default="", help="Its media type (default: by the name).")
@click.option("--work-unit", metavar="ID", envvar="RUNNER_WORK_UNIT_ID", help="The work unit it belongs to.")
@click.option("--task", metavar="ID", help="The task it belongs to (default inside a task: that one).")
@click.pass_obj
def upload(inv: Invocation, file: Path, name: str | None, type: str, work_unit: str | None, task: str | None) -> None:
    """Store a file as an artifact of the project, a work unit or a task."""
    app = inv.app()
    store = inv.store()
    if not file.is_file():
        raise UsageError(f"there is no file {file}" if not file.exists() else f"{file} is not a file")
    fence = None
    if task is None and os.environ.get("RUNNER_TASK_ID"):
        # A child of a task speaks for its claim: when that is lost, so is the right to add to the task.
        task = os.environ["RUNNER_TASK_ID"]
        epoch = os.environ.get("RUNNER_EPOCH", "")
        fence = Claim(f"task:{task}", int(epoch)) if epoch.isdecimal() else None
    owner = find_task(store, task, app.project_id) if task else None
    wanted = Artifact(
        name=name or file.name,
        type=type,
        project=app.project_id,
        unit=work_unit or (owner.unit if owner else None),
        task=owner.id if owner else None,
        by=submitter(),
    )
    with TransferBar(inv, wanted.name, file.stat().st_size) as bar:
        watched = WatchedStore(app.artifact_store, bar)
        kept = app.hook.upload_artifact(artifact=wanted, source=file, store=watched, context=None)
    if kept is None:
        raise UsageError("no plugin stores artifacts", "see: runner plugins")
    result = store.commit([PutArtifact(artifact=kept, fence=fence)], request_id=new_id(16))[0]
    if result == REFUSED:
        raise LostClaim(f"the claim of task {task} is not yours any more: the artifact is not listed")
    inv.emit(artifact_json(result), lambda: inv.line(f"Artifact {result.ref} {result.name} ({size(result.size)})"))


@command.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner artifact download 7bz1q2m4k8x0\n"
        "  runner artifact download 7bz1 --output report.zip\n"
    ),
)
@click.argument("ref")
@click.option("--output", metavar="FILE", help="Where to write it ('-': standard output; default: its name, here).")
@click.pass_obj
def download(inv: Invocation, ref: str, output: str | None) -> None:
    """Get an artifact back; its digest is checked."""
    from runner.artifacts import CHUNK  # here: listing must not pay for it

    app = inv.app()
    artifact = find_artifact(inv.store(), ref, app.project_id)
    if output == "-":
        target = app.project.prepare() / f"download-{new_id()}"
        try:
            _fetch(inv, artifact, target)
            with open(target, "rb") as file:
                while data := file.read(CHUNK):
                    sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        finally:
            target.unlink(missing_ok=True)
        return
    target = Path(output) if output else Path(artifact.name.rpartition("/")[2])
    if target.is_dir():
        target = target / artifact.name.rpartition("/")[2]
    elif output is None and target.exists():
        raise Conflict(f"{target} is there already", f"name another file, or it, with --output {target}")
    _fetch(inv, artifact, target)
    inv.emit(
        {**artifact_json(artifact), "path": str(target.absolute())},
        lambda: inv.line(f"{target} ({size(artifact.size)}, sha256 {artifact.sha256})"),
    )


def _fetch(inv: Invocation, artifact: Artifact, target: Path) -> None:
    from runner.artifacts import fetch  # here: listing must not pay for it

    with TransferBar(inv, artifact.name, artifact.size) as bar:
        fetch(WatchedStore(inv.app().artifact_store, bar), artifact, target)


@command.command(
    "list",
    epilog=("Examples:\n\n\b\n  runner artifact list\n  runner artifact list --task 3fk2 --format json\n"),
)
@click.option("--task", metavar="ID", help="Only this task's.")
@click.option("--work-unit", metavar="ID", help="Only this work unit's.")
@click.pass_obj
def list_(inv: Invocation, task: str | None, work_unit: str | None) -> None:
    """List artifacts with their digests, oldest first."""
    store, project = inv.store(), inv.app().project_id
    owner = find_task(store, task, project).id if task else None
    found = store.records.artifacts(project=project, unit=work_unit, task=owner)
    now = time.time()

    def text() -> None:
        if not found:
            inv.talk("No artifacts.")
            return
        rows = [
            (a.ref, a.name, a.type, size(a.size), a.task or "", times.ago(a.created_at, now), a.sha256) for a in found
        ]
        inv.table(("REF", "NAME", "TYPE", "SIZE", "TASK", "AGE", "SHA256"), rows)

    inv.emit_list([artifact_json(artifact) for artifact in found], text)


def find_artifact(store: Store, word: str, project: str) -> Artifact:
    """The artifact of a ref, or of the start of one that no other artifact of the project shares."""
    found = store.records.artifact(word)
    if found is not None:
        return found
    near = [a for a in store.records.artifacts(project=project) if word and a.ref.startswith(word.lower())]
    if len(near) == 1:
        return near[0]
    if not near:
        raise NotFound(f"no artifact '{word}'", "see: runner artifact list")
    names = ", ".join(f"{a.ref} ({a.name})" for a in near[:10])
    raise UsageError(f"'{word}' starts the refs of several artifacts: {names}", "type more of it")
