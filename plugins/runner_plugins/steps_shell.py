"""The step `shell`: a command whose values come from files, so that a value is never shell syntax."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.logtext import whole
from runner.model import Check, StepResult, TypeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.model import Context, Step

_LONG: Final = 100_000
"""Characters from which on a command is given as a file: one argument holds 128 KiB."""


@hookimpl
def register_types() -> Mapping[str, TypeSpec]:
    """The type `shell`, for steps of workflows."""
    return {
        "shell": TypeSpec(
            implicit_checks=(Check("exit_code", 0),), inside=True, summary="Run a shell command; its exit code decides."
        )
    }


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Run `sh -c COMMAND` (or bash). Output: exact stdout without its trailing newlines, up to 1 MiB."""
    from runner.templates import Command  # here, both: whoever only asks for the types must not pay for them
    from runner.toolchain import ended

    payload = step.payload
    shell = str(payload.get("shell", "sh"))
    command = Command(str(payload["command"]), tuple(payload.get("values") or ()))
    script = command.script(context.folder / "values")
    argv = [shell, "-c", script]
    if len(script) > _LONG:
        path = context.folder / "script.sh"
        path.write_text(script, encoding="utf-8", errors="surrogateescape")
        argv = [shell, str(path)]
    done = context.process(argv)
    result = ended(done, "the command", step.policy.timeout)
    return captured(result, payload, done.stderr)


def captured(result: StepResult, payload: Mapping[str, Any], stderr: Path) -> StepResult:
    """What `capture` takes of the output: with stderr after a failure, or parsed, where the step says so."""
    if payload.get("stderr"):
        said = whole(stderr) or ""
        evidence = {**result.evidence, "stderr": said}
        if result.exit_code != 0 and said:
            evidence["captured"] = f"{result.output}\n\nSTDERR:\n{said}"
        result = replace(result, evidence=evidence)
    if payload.get("json") and result.outcome == "ok" and result.exit_code == 0:
        try:
            value = json.loads(result.output)
        except ValueError as error:
            said = f"its output is not JSON: {error}"
            return replace(result, outcome="crashed", evidence={**result.evidence, "error": said})
        return replace(result, evidence={**result.evidence, "captured": value})
    return result
