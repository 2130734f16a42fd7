"""The step `expand`: what a loop's glob matches, once, so that a resumed loop goes over the same."""

from __future__ import annotations

import glob
from typing import TYPE_CHECKING

from runner import hookimpl
from runner.model import StepResult, TypeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Context, Step


@hookimpl
def register_types() -> Mapping[str, TypeSpec]:
    """The type `expand`, for steps of workflows."""
    return {"expand": TypeSpec(inside=True, summary="List the files that a loop goes over.")}


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """The paths below the working directory that match, sorted; `**` is any number of folders."""
    found = glob.glob(str(step.payload["glob"]), root_dir=context.workspace, recursive=True)
    return StepResult(evidence={"items": sorted(path.rstrip("/") for path in found)})
