"""Workflows: their model, their files, and the machine that says what runs next. Public for dialects and engines."""

from __future__ import annotations

from runner.workflows.load import Loaded, Source, find, load, place_of, read, validated

__all__ = ["Loaded", "Source", "find", "load", "place_of", "read", "validated"]
