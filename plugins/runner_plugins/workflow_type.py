"""The task type `workflow`: its payload names one, and its steps are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.lazymodel import LazyModel
from runner.model import TypeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping


def _payload() -> Any:
    from pydantic import BaseModel, ConfigDict, Field, model_validator  # here: see LazyModel

    class Payload(BaseModel):
        """What `workflow` takes. Keys that begin with `_` are the runner's own."""

        model_config = ConfigDict(extra="forbid", json_schema_extra={"patternProperties": {"^_": {}}}, title="workflow")
        workflow: str = Field(min_length=1, description="its name, or its file")
        params: dict[str, str] = Field(default_factory=dict, description="values of its parameters")
        cwd: str | None = Field(None, description="where it works; `~` is the home directory; default: the project")

        @model_validator(mode="before")
        @classmethod
        def _own_keys(cls, values: Any) -> Any:
            return (
                {k: v for k, v in values.items() if not str(k).startswith("_")} if isinstance(values, dict) else values
            )

    return Payload


@hookimpl
def register_types() -> Mapping[str, TypeSpec]:
    """The type `workflow`."""
    return {
        "workflow": TypeSpec(payload_model=LazyModel(_payload), container=True, summary="Run the steps of a workflow.")
    }
