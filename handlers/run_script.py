"""Run a shell script in the workspace; its exit code decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.lazymodel import LazyModel
from runner.model import Check
from runner.toolchain import ended

if TYPE_CHECKING:
    from runner.model import Context, Step, StepResult

TIMEOUT = 120.0
"""Seconds, when neither the payload nor the task's policy says otherwise."""

_LONG = 100_000
"""Characters from which on a script is given as a file: one argument holds 128 KiB."""

implicit_checks = [Check("exit_code", 0)]


def _payload() -> Any:
    from typing import Annotated  # here, all of them: see LazyModel

    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
    from pydantic_core import PydanticCustomError

    def passable(value: str) -> str:
        # A process is handed words that end with a NUL: one inside would cut them.
        if "\0" in value:
            raise PydanticCustomError("nul", "it has a NUL character")
        return value

    Word = Annotated[str, AfterValidator(passable)]

    class Payload(BaseModel):
        """What `run_script` takes. Keys that begin with `_` are the runner's own."""

        model_config = ConfigDict(
            extra="forbid", strict=True, json_schema_extra={"patternProperties": {"^_": {}}}, title="run_script"
        )
        script: Word = Field(min_length=1, description="what `sh` runs")
        cwd: Word | None = Field(None, description="where; `~` is the home directory; default: the project")
        timeout: float | None = Field(None, gt=0, description="seconds until it is ended (default: 120)")
        env: dict[Word, Word] = Field(default_factory=dict, description="variables to add to its environment")

        @model_validator(mode="before")
        @classmethod
        def _own_keys(cls, values: Any) -> Any:
            return (
                {k: v for k, v in values.items() if not str(k).startswith("_")} if isinstance(values, dict) else values
            )

    return Payload


Payload = LazyModel(_payload)


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Run `sh -c SCRIPT`. Its output up to 1 MiB is the step's; of more, the step's output names the log."""
    script = str(step.payload["script"])
    argv = ["sh", "-c", script]
    if len(script) > _LONG:
        path = context.folder / "script.sh"
        path.write_text(script, encoding="utf-8")
        argv = ["sh", str(path)]
    limit = step.payload.get("timeout")
    if limit is None and step.policy.timeout is None:
        limit = TIMEOUT
    added = step.payload.get("env")
    done = context.process(argv, env={**context.env, **added} if added else None, timeout=limit)
    return ended(done, "the script", limit or step.policy.timeout)
