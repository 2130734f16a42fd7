"""The one model of skills.yaml: validation, with a place to every complaint, and the JSON Schema.

Importing pydantic costs start-up, so this module is imported only by the commands about skills.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from runner.config.yamlfile import Document, parse_yaml
from runner.errors import ConfigError, suggestion

System = Literal["macos", "linux"]


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", value):
        raise ValueError(f"'{value}' is not a name: use letters, digits, '_', '-', '.' and '+'")
    return value


def _command(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty: write a shell command, or leave the key out")
    if "\0" in value:
        raise ValueError("has a NUL character")
    return value


def _handler(value: str) -> str:
    if not re.fullmatch(r"handlers/[A-Za-z0-9][A-Za-z0-9_-]*\.py", value):
        raise ValueError(f"'{value}' is not a handler: write handlers/TYPE.py")
    return value


Name = Annotated[str, AfterValidator(_name)]
Command = Annotated[str, AfterValidator(_command)]


class Model(BaseModel):
    """The base: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Install(Model):
    """The shell command that installs it, by system."""

    macos: Command | None = None
    linux: Command | None = None


class SkillSettings(Model):
    """One skill."""

    description: str = Field(default="", description="what it is, in a line")
    category: Name = Field(default="custom", description="mobile, backend, web, ai-agents or one of your own")
    os: list[System] | None = Field(default=None, description="the systems it is for; empty: every one")
    check: Command | None = Field(default=None, description="a shell command that ends with 0 when the skill is there")
    install: Install = Install()
    task_types: list[Name] = Field(default=[], description="the task types that use it")
    handler: Annotated[str, AfterValidator(_handler)] | None = Field(
        default=None, description="the file that implements the type it brings: handlers/TYPE.py"
    )


class SkillsFile(Model):
    """skills.yaml: what a machine can offer, how to check for it and how to install it."""

    skills: dict[Name, SkillSettings] = {}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of skills.yaml."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SkillsFile.model_json_schema()}


def read_skills(text: str, name: str) -> tuple[dict[str, SkillSettings], Document]:
    """The skills of a file whose text this is; `name` is the file's in messages. ConfigError with file and line."""
    document = parse_yaml(text, name)
    data = document.data
    if data is None or (isinstance(data, dict) and data.get("skills", ...) is None and len(data) == 1):
        return {}, document
    try:
        return SkillsFile.model_validate(data).skills, document
    except ValidationError as error:
        raise _complaint(error, document) from None


_KNOWN: dict[str, tuple[str, ...]] = {
    "": tuple(SkillsFile.model_fields),
    "skill": tuple(SkillSettings.model_fields),
    "install": tuple(Install.model_fields),
}

_WANTED = {
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
}


def _complaint(error: ValidationError, document: Document) -> ConfigError:
    found = error.errors(include_url=False)
    # A misspelled key first: what is missing because of it is no second mistake.
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    path = tuple(part for part in first["loc"] if part != "[key]")
    place, key, given = document.place(path), ".".join(map(str, path)), first["input"]
    kind = first["type"]
    if kind == "extra_forbidden":
        level = "" if len(path) == 1 else "skill" if len(path) == 3 else "install"
        return ConfigError(f"{place}: unknown key '{path[-1]}'", suggestion(str(path[-1]), _KNOWN[level]))
    if kind == "literal_error":
        return ConfigError(f"{place}: {key} can't be '{given}'", suggestion(str(given), get_args(System)))
    if kind == "value_error":
        return ConfigError(f"{place}: {key}: {first['ctx']['error']}")
    wanted = _WANTED.get(kind, first["msg"][:1].lower() + first["msg"][1:])
    shown = "empty" if given is None else f"'{given}'" if isinstance(given, str) else str(given)[:60]
    return ConfigError(f"{place}: {key or 'the file'} must be {wanted}, not {shown}")
