"""runner: a queue, checks and repair for AI coding agents and scripts. This module is the public API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.errors import RunnerError as RunnerError
    from runner.errors import UsageError as UsageError
    from runner.hookspecs import hookimpl as hookimpl
    from runner.model import Agent as Agent
    from runner.model import Artifact as Artifact
    from runner.model import Attempt as Attempt
    from runner.model import Check as Check
    from runner.model import CheckSpec as CheckSpec
    from runner.model import Claim as Claim
    from runner.model import ClaimRequest as ClaimRequest
    from runner.model import Context as Context
    from runner.model import Event as Event
    from runner.model import Fleet as Fleet
    from runner.model import Machine as Machine
    from runner.model import Message as Message
    from runner.model import NewTask as NewTask
    from runner.model import Policy as Policy
    from runner.model import ProcessResult as ProcessResult
    from runner.model import Repair as Repair
    from runner.model import Route as Route
    from runner.model import Step as Step
    from runner.model import StepResult as StepResult
    from runner.model import Task as Task
    from runner.model import TypeSpec as TypeSpec
    from runner.model import Usage as Usage
    from runner.model import Verdict as Verdict
    from runner.model import Worker as Worker
    from runner.workflows.builder import workflow as workflow

__version__ = "0.1.0"

_HOME = {
    "RunnerError": "runner.errors",
    "UsageError": "runner.errors",
    "hookimpl": "runner.hookspecs",
    "workflow": "runner.workflows.builder",
}

__all__ = [
    "Agent",
    "Artifact",
    "Attempt",
    "Check",
    "CheckSpec",
    "Claim",
    "ClaimRequest",
    "Context",
    "Event",
    "Fleet",
    "Machine",
    "Message",
    "NewTask",
    "Policy",
    "ProcessResult",
    "Repair",
    "Route",
    "RunnerError",
    "Step",
    "StepResult",
    "Task",
    "TypeSpec",
    "Usage",
    "UsageError",
    "Verdict",
    "Worker",
    "__version__",
    "hookimpl",
    "workflow",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: `runner --version` must not pay for pluggy and the nouns.
    if name not in __all__:
        raise AttributeError(f"module 'runner' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOME.get(name, "runner.model")), name)
