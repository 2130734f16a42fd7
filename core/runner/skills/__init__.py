"""Skills: what a machine can offer besides the runner itself, how to check for it, how to install it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.skills.registry import CATEGORIES, Skill, Skills, load_skills, this_os

if TYPE_CHECKING:
    from runner.model import JSON

__all__ = ["CATEGORIES", "Skill", "Skills", "json_schema", "load_skills", "this_os"]


def json_schema() -> JSON:
    """The JSON Schema of skills.yaml, for editors."""
    from runner.skills import schema  # here: it imports pydantic

    found: dict[str, Any] = schema.json_schema()
    return found
