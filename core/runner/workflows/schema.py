"""The JSON Schema of a workflow file, for editors: every key in each of its spellings."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices

from runner.workflows import model

if TYPE_CHECKING:
    from collections.abc import Iterator


def json_schema() -> dict[str, Any]:
    """The schema of a whole file, in JSON Schema 2020-12."""
    schema = model.Workflow.model_json_schema(by_alias=False)
    for name, part in _parts():
        target = schema if part is model.Workflow else schema.get("$defs", {}).get(name)
        if target is not None:
            _spellings(part, target)
    on_error = schema["properties"]["on_error"]
    strategies = schema["$defs"]["OnError"]["properties"]["strategy"]["enum"]
    schema["properties"]["on_error"] = {
        "anyOf": [{"$ref": on_error.pop("$ref", "#/$defs/OnError")}, {"enum": strategies}],
        "description": on_error.get("description", ""),
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def spellings(part: type[model.Model], name: str) -> tuple[str, ...]:
    """How a file may write a field: the first one is printed."""
    alias = part.model_fields[name].validation_alias
    found = [str(one) for one in alias.choices] if isinstance(alias, AliasChoices) else [name]
    return tuple(one for one in found if not one.endswith("_"))


def _parts() -> Iterator[tuple[str, type[model.Model]]]:
    for name, part in vars(model).items():
        if inspect.isclass(part) and issubclass(part, model.Model) and part is not model.Model:
            yield name, part


def _spellings(part: type[model.Model], target: dict[str, Any]) -> None:
    """Each field under all its names; what must be given, under one of them."""
    properties: dict[str, Any] = {}
    required = list(target.pop("required", ()))
    choices = []
    for name in part.model_fields:
        names = spellings(part, name)
        properties |= dict.fromkeys(names, target["properties"][name])
        if name in required and len(names) > 1:
            required.remove(name)
            choices.append({"anyOf": [{"required": [one]} for one in names]})
    target["properties"] = properties
    if required:
        target["required"] = required
    if choices:
        target["allOf"] = choices
