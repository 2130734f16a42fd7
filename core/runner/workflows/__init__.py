"""Workflows: their model, their files, and the machine that says what runs next. Public for dialects and engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.workflows.finding import find as find
    from runner.workflows.load import Loaded as Loaded
    from runner.workflows.load import Source as Source
    from runner.workflows.load import place_of as place_of
    from runner.workflows.load import read as read
    from runner.workflows.load import validated as validated

__all__ = ["Loaded", "Source", "find", "place_of", "read", "validated"]


def __getattr__(name: str) -> Any:
    # On first use: a worker needs the machine for every task, and pydantic only for workflows.
    if name not in __all__:
        raise AttributeError(f"module 'runner.workflows' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module("runner.workflows.load"), name)
