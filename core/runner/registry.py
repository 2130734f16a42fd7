"""What can be named: task types, checks and agents, each with its owner; nearest names for those that are not there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from runner.agents import bind_readers
from runner.config.values import plain
from runner.errors import ConfigError, PluginError, UsageError, suggestion
from runner.model import Agent, CheckSpec, TypeSpec
from runner.owners import Owner, collect, winner

if TYPE_CHECKING:
    from runner.config import Config
    from runner.plugins import Plugins


class Types(Mapping[str, TypeSpec]):
    """Task types by name. A handler's file is imported when its type is looked up, not before."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._owners = collect(plugins, "register_types", TypeSpec)
        for name in [name for name in self._owners if name in plugins.handlers]:
            handler = Owner(plugins.handlers[name].name, plugins.handlers[name], None)
            if winner(plugins, "register_types", name, self._owners[name], handler) is handler:
                del self._owners[name]
            else:
                del plugins.handlers[name]

    def owner(self, name: str) -> Owner:
        """Who runs steps of this type; UsageError with the nearest name when nobody does."""
        if name in self._owners:
            return self._owners[name]
        if name not in self._plugins.handlers:
            raise UsageError(f"unknown type '{name}'", suggestion(name, self))
        handler = self._plugins.load_handler(name)
        return Owner(f"handlers.{name}", handler, handler.spec)

    def usable(self) -> tuple[str, ...]:
        """The types that can run here. A handler that can't be imported is told about and left out."""
        names = []
        for name in self:
            try:
                self.owner(name)
            except PluginError as error:
                self._plugins.warn(f"type '{name}' is broken: {error}")
            else:
                names.append(name)
        return tuple(names)

    def __getitem__(self, name: str) -> TypeSpec:
        if name not in self:
            raise KeyError(name)
        spec: TypeSpec = self.owner(name).spec
        return spec

    def __contains__(self, name: object) -> bool:
        return name in self._owners or name in self._plugins.handlers

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._owners, *self._plugins.handlers}))

    def __len__(self) -> int:
        return len({*self._owners, *self._plugins.handlers})


class Checks(Mapping[str, CheckSpec]):
    """Checks by name. A handler's own checks are known once its type has been looked up."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._owners = collect(plugins, "register_checks", CheckSpec)

    def owner(self, name: str) -> Owner:
        """Who answers this check; UsageError with the nearest name when nobody does."""
        owners = self._all()
        if name not in owners:
            raise UsageError(f"unknown check '{name}'", suggestion(name, owners))
        return owners[name]

    def _all(self) -> dict[str, Owner]:
        return {**self._owners, **self._plugins.handler_checks()}

    def __getitem__(self, name: str) -> CheckSpec:
        spec: CheckSpec = self._all()[name].spec
        return spec

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all()))

    def __len__(self) -> int:
        return len(self._all())


class Registry:
    """The names of one App, joined from plugins, handlers and configuration."""

    def __init__(self, plugins: Plugins, config: Config) -> None:
        self.types = Types(plugins)
        self.checks = Checks(plugins)
        self.agents = bind_readers(
            _agents(plugins, config), lambda key: place if (place := config.origin(key)) != "default" else ""
        )

    def type(self, name: str) -> TypeSpec:
        """The type of this name; UsageError with the nearest one when there is none."""
        spec: TypeSpec = self.types.owner(name).spec
        return spec

    def check(self, name: str) -> CheckSpec:
        """The check of this name; UsageError with the nearest one when there is none."""
        spec: CheckSpec = self.checks.owner(name).spec
        return spec

    def agent(self, name: str) -> Agent:
        """The agent of this name; UsageError with the nearest one when there is none."""
        if name not in self.agents:
            raise UsageError(f"unknown agent '{name}'", suggestion(name, self.agents))
        return self.agents[name]

    def check_payload(self, type: str, payload: Mapping[str, Any]) -> None:
        """A UsageError that names the field when the payload is not what the type takes."""
        wrong = self.wrong_payload(type, payload)
        if wrong is not None:
            raise UsageError(wrong[1], wrong[2]) from None

    def wrong_payload(
        self, type: str, payload: Mapping[str, Any], *, names_only: bool = False
    ) -> tuple[tuple[str | int, ...], str, str] | None:
        """Where a payload is not what the type takes, a sentence and a hint; `names_only`: its values are not known."""
        model = self.type(type).payload_model
        if model is None:
            return None
        from pydantic import ValidationError  # the model has imported it already

        try:
            model.model_validate(dict(payload))
            return None
        except ValidationError as error:
            errors = error.errors(include_url=False)
        if names_only:
            errors = [one for one in errors if one["type"] in ("extra_forbidden", "missing")]
        if not errors:
            return None
        # A misspelled field is missing as well: its own name says more.
        first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"][:1].lower() + first["msg"][1:]
        if first["type"] == "extra_forbidden":
            hint = suggestion(field, model.model_fields)
            return first["loc"], f"payload of {type}: unknown field '{field}'", hint
        where = f"{field}: " if field else ""
        return first["loc"], f"payload of {type}: {where}{message}", _takes(model)

    def check_names(self, config: Config) -> None:
        """A ConfigError with file and line for a type or agent that the configuration names and nobody brings."""
        agents = [("defaults.agent", config.defaults.agent)]
        agents += [("defaults.repair.agent", config.defaults.repair.agent)] if config.defaults.repair.agent else []
        types = [(f"types.{name}", name) for name in config.types]
        types += [(f"limits.types.{name}", name) for name in config.limits.types]
        agents += [(f"types.{name}.agent", kind.agent) for name, kind in config.types.items() if kind.agent]
        agents += [
            (f"types.{name}.repair.agent", kind.repair.agent)
            for name, kind in config.types.items()
            if kind.repair.agent
        ]
        for i, rule in enumerate(config.routes):
            agents += [(f"routes.{i}.agent", rule.agent)] if rule.agent else []
            agents += [(f"routes.{i}.match.agent", name) for name in rule.match.agent or ()]
            types += [(f"routes.{i}.type", rule.type)] if rule.type else []
            types += [(f"routes.{i}.match.type", name) for name in rule.match.type or ()]
        for key, name in agents:
            if name not in self.agents and config.origin(key) != "default":
                raise ConfigError(f"{config.origin(key)}: unknown agent '{name}'", suggestion(name, self.agents))
        for key, name in types:
            near = suggestion(name, self.types)
            # A type may be known to other machines alone; one that is nearly ours is a mistake.
            if name not in self.types and near.startswith("did you mean"):
                raise ConfigError(f"{config.origin(key)}: unknown type '{name}'", near)


def _takes(model: Any) -> str:
    names = [name if field.is_required() else f"[{name}]" for name, field in model.model_fields.items()]
    return f"it takes: {', '.join(names)}"


def _agents(plugins: Plugins, config: Config) -> dict[str, Agent]:
    """Agents of plugins, with `agents:` of the configuration on top."""
    agents: dict[str, Agent] = {name: owner.spec for name, owner in collect(plugins, "register_agents", Agent).items()}
    pending = dict(config.agents)
    while pending:
        # An agent may extend one that stands below it in the file.
        ready = [
            name
            for name, given in pending.items()
            if not given.extends or given.extends not in pending or given.extends == name
        ]
        if not ready:
            name = next(iter(pending))
            raise ConfigError(
                f"{config.origin(f'agents.{name}.extends')}: the agents {', '.join(pending)} extend each other"
            )
        for name in ready:
            agents[name] = _agent(name, pending.pop(name), agents, config)
    return dict(sorted(agents.items()))


def _agent(name: str, given: Any, agents: dict[str, Agent], config: Config) -> Agent:
    values = {key: _frozen(value) for key, value in plain(given).items() if value is not None}
    base = values.pop("extends", None) or (name if name in agents else None)
    if "prompt" not in values and any("{prompt}" in word for word in values.get("argv", ())):
        values["prompt"] = "argv"  # where it stands says how it goes in
    if base is not None and base not in agents:
        raise ConfigError(
            f"{config.origin(f'agents.{name}.extends')}: unknown agent '{base}'", suggestion(base, agents)
        )
    if base is not None:
        if "env" in values:
            # A variable is added or changed; the others of the agent that is extended stay.
            values["env"] = {**agents[base].env, **values["env"]}
        return _checked(dataclasses.replace(agents[base], name=name, **values), values, config)
    if "program" not in values:
        near = suggestion(name, agents) if agents else ""
        raise ConfigError(
            f"{config.origin(f'agents.{name}')}: agent '{name}' has no program",
            near if near.startswith("did you mean") else "give its program, or the agent it extends",
        )
    return _checked(Agent(name=name, **values), values, config)


def _checked(agent: Agent, values: Mapping[str, Any], config: Config) -> Agent:
    """The agent, when its words can be meant."""
    from runner.agents.placeholders import check_words  # here: only where agents are configured

    check_words(agent, set(values), lambda key: config.origin(f"agents.{agent.name}.{key}"))
    return agent


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value
