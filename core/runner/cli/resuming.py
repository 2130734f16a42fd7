"""What going on with a run means for its payload: the file as it is now, and which results do not hold any more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.app import App
    from runner.engine.preview import Preview
    from runner.model import Task
    from runner.workflows.load import Loaded


@dataclass(frozen=True, slots=True)
class Resumption:
    """The payload to go on with, what it will do, and the workflow as it is then."""

    payload: dict[str, Any]
    preview: Preview
    loaded: Loaded


def plan_resume(
    app: App, task: Task, *, frozen: bool = False, start: str | None = None, until: str | None = None
) -> Resumption:
    """Read the file again (unless `frozen`), and look which results stay. Nothing is written."""
    from runner.engine.journal import Again
    from runner.engine.preview import preview
    from runner.workflows.payload import library, texts_of, values_of

    payload = {key: value for key, value in task.payload.items() if key != "_until"}
    cwd = Path(str(task.spec.get("cwd") or app.project.root))
    name = str(payload.get("_path") or payload["workflow"])
    # What was built in Python has no file to be read again.
    frozen = frozen or Path(name).suffix == ".py"
    if not frozen and not Path(name).is_file():
        raise UsageError(f"the file {name} of the run is gone", "bring it back, or go on with --frozen")
    loaded = library(app, cwd, payload.get("_files") if frozen else None).load(name)
    values_of(loaded, payload.get("params") or {})
    payload |= {"_files": texts_of(loaded), "_name": loaded.source.workflow.name}
    if until:
        payload["_until"] = until
    marks = list(payload.get("_again", ()))
    paths = [start] if start else []
    if start:
        _check_path(app, task, loaded, start)
    payload["_again"] = [*marks, Again(task.attempt, tuple(paths), failed=True).to_json()]
    seen = preview(app, task, payload)
    if seen.exhausted:
        # Nothing that was done in it is undone: it gets as many iterations again.
        payload["_rounds"] = {**payload.get("_rounds", {}), **seen.exhausted}
        seen = preview(app, task, payload)
    return Resumption(payload, seen, loaded)


def rewound(payload: Mapping[str, Any], seen: Preview) -> dict[str, Any]:
    """The same, with the tree as it was before the earliest step that runs again."""
    marks = [dict(one) for one in payload["_again"]]
    marks[-1]["after"] = (seen.earliest or 1) - 1
    return {**payload, "_again": marks}


def _check_path(app: App, task: Task, loaded: Loaded, start: str) -> None:
    """UsageError when the run has no such step."""
    ids = [child.id for child in loaded.root.children]
    known = {row.step.rstrip("?*") for row in app.store.queue.attempts(task.id)} | set(ids)
    if not any(path == start or path.startswith((f"{start}/", f"{start}[")) for path in known):
        raise UsageError(f"run {task.id} has no step '{start}'", suggestion(start, known))
