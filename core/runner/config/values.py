"""The configuration as it is read: plain attributes, so that reading it imports neither pydantic nor yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.config import schema

MARK = "$"
"""The key that marks a section (a record with fields) in the encoded form; a plain mapping has none."""


class Section:
    """A read-only record: its values are attributes, checked once by the model in `runner.config.schema`."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the configuration is read-only: {name}")

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.__dict__.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Section) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self)})"


class Config(Section):
    """The effective configuration of one process.

    The annotations name the pydantic models, which have the same fields and types: at run time a value
    is a `Section`. `origin("worker.lease")` says where a value came from, `root` is the project's folder.
    """

    store: str | None
    artifacts: str | None
    plugins: tuple[str, ...]
    agents: dict[str, schema.AgentSettings]
    routes: tuple[schema.RouteRule, ...]
    redact: tuple[str, ...]
    defaults: schema.Defaults
    types: dict[str, schema.TypeSettings]
    limits: schema.Limits
    worker: schema.Worker
    workspace: schema.Workspace
    retention: schema.Retention
    notify: schema.Notify
    sqlite: schema.Sqlite
    machines: dict[str, schema.MachineSettings]

    def __init__(self, values: Mapping[str, Any], origins: Mapping[str, str], root: str | None = None) -> None:
        super().__init__(values)
        self.__dict__["_origins"] = dict(origins)
        self.__dict__["_root"] = root

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return ((name, value) for name, value in self.__dict__.items() if not name.startswith("_"))

    @property
    def root(self) -> str | None:
        """The project's folder, absolute; None outside a project."""
        root: str | None = self.__dict__["_root"]
        return root

    def origin(self, key: str) -> str:
        """Where a value came from: `default`, `runner.yaml:3`, `environment RUNNER_STORE`, `flag --store`.

        `key` is dotted: `worker.lease`, `routes.0.machine`.
        """
        origins: dict[str, str] = self.__dict__["_origins"]
        if key in origins:
            return origins[key]
        # A variable or flag gives a mapping or list whole: `limits.types.*` stands for all inside.
        while key := key.rpartition(".")[0]:
            if f"{key}.*" in origins:
                return origins[f"{key}.*"]
        return "default"

    def with_value(self, key: str, value: object, origin: str) -> Config:
        """This configuration with one top-level value replaced, as a flag does."""
        return Config({**dict(self), key: value}, {**self.__dict__["_origins"], key: origin}, self.root)

    def get(self, key: str) -> Any:
        """The value of a dotted key; KeyError when there is none."""
        value: Any = self
        for part in key.split("."):
            if isinstance(value, Section) and part in dict(value):
                value = getattr(value, part)
            elif isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, tuple) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                raise KeyError(key)
        return value


def decode(value: Any) -> Any:
    """Sections, mappings and tuples from their encoded form (`{"$": {…}}` is a section)."""
    if isinstance(value, dict):
        if MARK in value:
            return Section({name: decode(item) for name, item in value[MARK].items()})
        return {name: decode(item) for name, item in value.items()}
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    return value


def plain(value: Any) -> Any:
    """The value as JSON takes it: sections are objects, tuples lists."""
    if isinstance(value, Section):
        return {name: plain(item) for name, item in value}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value
