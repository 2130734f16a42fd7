"""The step `script`: a file beside the workflow, with its inputs as JSON on stdin."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runner import hookimpl
from runner.model import Check, StepResult, TypeSpec
from runner_plugins.steps_shell import captured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Context, Step


@hookimpl
def register_types() -> Mapping[str, TypeSpec]:
    """The type `script`, for steps of workflows."""
    return {
        "script": TypeSpec(
            implicit_checks=(Check("exit_code", 0),), inside=True, summary="Run a file that lies beside the workflow."
        )
    }


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Run the file, by itself when it is executable, else by `sh`; its inputs are a JSON object on stdin."""
    from runner.toolchain import ended  # here: whoever only asks for the types must not pay for it

    path = Path(str(step.payload["folder"])) / str(step.payload["script"])
    if not path.is_file():
        return StepResult("crashed", evidence={"error": f"there is no script {path}"})
    argv = [str(path)] if os.access(path, os.X_OK) else ["sh", str(path)]
    inputs = json.dumps(step.payload.get("inputs") or {}, ensure_ascii=False).encode()
    done = context.process(argv, stdin=inputs)
    return captured(ended(done, "the script", step.policy.timeout), step.payload, done.stderr)
