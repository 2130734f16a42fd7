"""Runs one step of a handler file as a worker would: payload checked, real processes, no queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.engine.step import result_of
from runner.handlers import Handler, HandlerFile
from runner.model import Step, StepResult
from runner.testing.context import StepContext

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def load_handler(path: Path) -> Handler:
    """The handler of that file; a PluginError with file and line when it can't be used."""
    return HandlerFile(path, "project").load()


def run_handler(path: Path, payload: Mapping[str, Any], folder: Path, **settings: Any) -> StepResult:
    """Run a step with this payload in `folder/workspace` (made when it is missing) → its result.

    `settings` are those of `StepContext`. What the handler raises comes through: a test should see it.
    """
    handler = load_handler(path)
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    with StepContext(workspace, folder / "logs", **settings) as context:
        given: Any = context  # a Context in all that handlers use
        return result_of(handler.run_step(Step("main", handler.type, dict(payload)), given))
