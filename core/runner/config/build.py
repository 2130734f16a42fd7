"""Makes the effective configuration from its layers: merges, validates, and puts a place to every complaint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from runner.config.complaints import complaint, models_of
from runner.config.schema import Settings
from runner.config.values import MARK
from runner.config.yamlfile import Document, parse_yaml
from runner.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from runner.config.load import Layer, Sources

Path = tuple[str | int, ...]

_JOINED = ("plugins", "redact")
"""Lists to which each layer adds: a project must not switch off the redaction of its user."""


def build(sources: Sources) -> dict[str, Any]:
    """`{"values": encoded settings, "origins": dotted key → where}`; a ConfigError names file and line."""
    merge = _Merge()
    for layer in sources.layers:
        merge.file(layer)
    for name, value in sources.variables.items():
        merge.variable(name, value)
    try:
        settings = Settings.model_validate(merge.data)
    except ValidationError as error:
        raise merge.explain(error) from None
    encoded = _encode(settings)
    return {"values": encoded[MARK], "origins": merge.origins()}


def problems(sources: Sources) -> list[ConfigError]:
    """Everything that is wrong, not only what stands first; of a file that can't be parsed, that."""
    merge, found = _Merge(), []
    for layer in sources.layers:
        try:
            merge.file(layer)
        except ConfigError as error:
            found.append(error)
    for name, value in sources.variables.items():
        try:
            merge.variable(name, value)
        except ConfigError as error:
            found.append(error)
    try:
        Settings.model_validate(merge.data)
    except ValidationError as error:
        found += [
            ConfigError(*complaint(details, Settings, merge.place)) for details in error.errors(include_url=False)
        ]
    return found


def _encode(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {MARK: {name: _encode(getattr(value, name)) for name in type(value).model_fields}}
    if isinstance(value, dict):
        return {name: _encode(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value


class _Merge:
    """The layers on top of each other, and for each leaf where it came from."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.where: dict[Path, str] = {}

    def file(self, layer: Layer) -> None:
        document = parse_yaml(layer.text, layer.name)
        data = document.data
        if data is None:
            return
        if not isinstance(data, dict):
            raise ConfigError(f"{document.place(())}: must be a mapping of keys to values")
        if layer.kind == "machines":
            for key in data:
                if key != "machines":
                    raise ConfigError(f"{document.place((key,))}: unknown key '{key}'", suggestion(key, ["machines"]))
        elif "machines" in data:
            raise ConfigError(
                f"{document.place(('machines',))}: machines belong in machines.yaml", "move this key to machines.yaml"
            )
        self.put(self.data, data, (), document)

    def put(self, into: dict[str, Any], new: dict[str, Any], path: Path, document: Document) -> None:
        for key, value in new.items():
            here = (*path, key)
            if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
                # `worker:` with nothing under it is a section left empty, not a wrong value.
                self.where.setdefault(here, document.place(here))
                self.put(into.setdefault(key, {}), value, here, document)
            elif value is None and not path and key in Settings.model_fields and key not in ("store", "artifacts"):
                continue
            elif (
                here[0] in _JOINED
                and len(here) == 1
                and isinstance(value, list)
                and isinstance(into.get(key, []), list)
            ):
                self.join(key, value, [document.place((*here, i)) for i in range(len(value))])
            else:
                into[key] = value
                self.forget(here)
                self.note(value, here, document)

    def note(self, value: Any, path: Path, document: Document) -> None:
        self.where[path] = document.place(path)
        items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
        for key, item in items:
            self.note(item, (*path, key), document)

    def forget(self, path: Path) -> None:
        for known in [known for known in self.where if known[: len(path)] == path]:
            del self.where[known]

    def join(self, key: str, items: list[Any], places: list[str]) -> None:
        joined = self.data.setdefault(key, [])
        for item, place in zip(items, places, strict=True):
            if item not in joined:
                self.where[(key, len(joined))] = place
                joined.append(item)

    def variable(self, name: str, text: str) -> None:
        origin = f"environment {name}"
        path = _path_of(name)
        value = _value_of(path, text, name)
        if path[0] in _JOINED and isinstance(value, list):
            self.join(str(path[0]), value, [origin] * len(value))
            return
        into: Any = self.data
        for part in path[:-1]:
            into = into.setdefault(part, {})
            if not isinstance(into, dict):
                return  # The file's mistake is the one to report.
        into[path[-1]] = value
        self.forget(path)
        self.where[path] = origin
        self.where[(*path, "*")] = origin

    def origins(self) -> dict[str, str]:
        return {".".join(map(str, path)): place for path, place in self.where.items()}

    def place(self, path: Path) -> str:
        while path and path not in self.where:
            path = path[:-1]
        return self.where.get(path, "configuration")

    def explain(self, error: ValidationError) -> ConfigError:
        """The complaint that stands first in the files, as one sentence."""
        complaints = [complaint(details, Settings, self.place) for details in error.errors(include_url=False)]
        message, hint = complaints[0]
        if len(complaints) > 1 and not hint:
            hint = f"and {len(complaints) - 1} more"
        return ConfigError(message, hint)


def _path_of(variable: str) -> Path:
    word = variable.removeprefix("RUNNER_").lower()
    known: dict[str, Path] = {}
    for name, field in Settings.model_fields.items():
        sections = models_of(field.annotation) if not get_args(field.annotation) else []
        for key in sections[0].model_fields if sections else ():
            known[f"{name}_{key}"] = (name, key)
        if not sections:
            known[name] = (name,)
    if word not in known:
        names = [f"RUNNER_{key.upper()}" for key in known]
        raise ConfigError(f"environment: unknown variable {variable}", suggestion(variable, names))
    return known[word]


def _value_of(path: Path, text: str, name: str) -> Any:
    """What a variable's text means: lists by commas or as YAML, mappings as YAML, the rest as it is."""
    field: Any = Settings.model_fields[str(path[0])]
    if len(path) == 2:
        field = field.annotation.model_fields[str(path[1])]
    shape = str(field.annotation)
    if shape.startswith(("dict", "tuple")):
        if text.lstrip().startswith(("[", "{")):
            return parse_yaml(text, f"environment {name}").data
        if shape.startswith("tuple"):
            return [word.strip() for word in text.split(",") if word.strip()]
    if text == "" and "None" in shape:
        return None
    return text
