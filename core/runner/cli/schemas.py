"""The JSON Schemas that `runner schema` prints and `runner init` writes: of the configuration files and of payloads."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.app import App
    from runner.model import JSON

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

FILES: Final = {
    "config": "runner.yaml: the settings of a project",
    "machines": "machines.yaml: the machines of a fleet",
    "skills": "skills.yaml: the skills that are known",
    "workflow": "workflows/NAME.yaml: a workflow",
    "workflow-test": "test_NAME.yaml: tests of a workflow",
}
"""The files that have a schema, and what they are."""


def file_schema(kind: str, app: App | None) -> JSON:
    """The schema of one of `FILES`; with an app, editors are also offered the names that are known there."""
    if kind == "skills":
        from runner.skills import json_schema

        return dict(json_schema())
    if kind == "workflow":
        from runner.workflows.schema import json_schema as workflow_schema  # here: pydantic

        return workflow_schema()
    if kind == "workflow-test":
        from runner.flowtests.model import FlowTest  # here: pydantic

        return {"$schema": DIALECT, **FlowTest.model_json_schema()}
    from runner.config import schema  # here, and in this module only: it imports pydantic

    if kind == "machines":
        return schema.machines_json_schema()
    found = schema.json_schema()
    return found if app is None else with_names(found, types=app.types, agents=app.agents)


def with_names(schema: JSON, *, types: Iterable[str], agents: Iterable[str]) -> JSON:
    """The schema of runner.yaml, which offers these names where one is asked for, and takes others all the same."""
    known = copy.deepcopy(schema)
    properties, definitions = known["properties"], known["$defs"]
    for key, names in (("types", types), ("agents", agents)):
        settings = properties[key].get("additionalProperties", {})
        properties[key]["properties"] = {name: dict(settings) for name in sorted(names)}
    for definition, field, names in (
        ("Defaults", "agent", agents),
        ("TypeSettings", "agent", agents),
        ("RouteRule", "agent", agents),
        ("RouteRule", "type", types),
        ("RouteMatch", "agent", agents),
        ("RouteMatch", "type", types),
        ("AgentSettings", "extends", agents),
    ):
        place = definitions.get(definition, {}).get("properties", {}).get(field)
        if place is not None:
            # Any text is allowed; an editor proposes what `enum` lists.
            place["anyOf"] = [{"enum": sorted(names)}, *place.pop("anyOf", [{"type": place.pop("type", "string")}])]
    return known


def payload_schema(app: App, name: str) -> JSON:
    """The schema of the payload of a task type; any object where the type does not say."""
    model: Any = app.registry.type(name).payload_model
    found = {"title": name, "type": "object"} if model is None else model.model_json_schema()
    return {"$schema": DIALECT, **found}
