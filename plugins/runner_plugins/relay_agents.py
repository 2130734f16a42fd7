"""Agents of a file of Agent Relay, with what they may do: of permissions the access counts here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from runner.errors import suggestion
from runner_plugins.relay_reading import Wrong

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner_plugins.relay_reading import Place, Reading

_AGENT: Final = (
    "name cli role task channels interactive cwd workdir additionalPaths preset skills credentials constraints"
    " permissions model retries timeoutMs persona watch subscriptions".split()
)
_LIMITS: Final = ("maxTokens", "timeoutMs", "retries", "model", "idleThresholdSecs")
_ACCESS: Final = {"readonly": "read-only", "readwrite": "edit", "restricted": "edit", "full": "full"}
_PERMISSIONS: Final = "profile description why access inherit files scopes network exec".split()
_IDLE: Final = ("channels", "credentials", "additionalPaths", "skills", "task", "watch", "subscriptions")


class Agents:
    """The agents by name: `made` for the model, and for their steps a folder (`folders`) and tokens (`tokens`)."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._profiles = self._all_profiles()
        self._paths = self._all_paths()
        self._default = self._default_permission()
        self.made: dict[str, Any] = {}
        self.folders: dict[str, str] = {}
        self.tokens: dict[str, Any] = {}
        for number, given in enumerate(reading.listed(reading.source.get("agents"), ("agents",))):
            place: Place = ("agents", number)
            agent = reading.mapping(given, place)
            reading.known(agent, _AGENT, place)
            name = reading.name(agent.get("name"), place, "an agent")
            if name in self.made:
                raise Wrong(place, f"there are two agents '{name}'")
            self.made[name] = self._agent(name, agent, place)
            reading.origins[("agents", name)] = place
            for key in ("cli", "role", "preset", "model", "retries", "interactive"):
                reading.origins[("agents", name, key)] = (*place, key) if key in agent else (*place, "constraints", key)

    def _agent(self, name: str, agent: Mapping[str, Any], place: Place) -> dict[str, Any]:
        reading = self._reading
        limits = reading.mapping(agent.get("constraints"), (*place, "constraints"))
        reading.known(limits, _LIMITS, (*place, "constraints"))
        made = {key: agent[key] for key in ("cli", "role", "preset") if agent.get(key) is not None}
        if isinstance(made.get("role"), str):
            made["role"] = made["role"].replace("{{", "\\{{")  # there a role has no placeholders
        for key in ("model", "retries"):
            value = agent.get(key, limits.get(key))
            if value is not None:
                made[key] = value
        for one, where in ((agent, place), (limits, (*place, "constraints"))):
            if one.get("timeoutMs") is not None:
                made["timeout"] = reading.seconds(one["timeoutMs"], (*where, "timeoutMs"))
                break
        # Presets other than lead are one prompt, one process; without one an agent is a session.
        made["interactive"] = agent.get("interactive", agent.get("preset") in (None, "lead"))
        given = agent.get("permissions")
        allowed = self._default if given is None else self.permission(given, (*place, "permissions"))
        if allowed is not None:
            made["permission"] = allowed
        folder = self.folder(agent, place)
        if folder is not None:
            self.folders[name] = folder
        if limits.get("maxTokens") is not None:
            self.tokens[name] = limits["maxTokens"]
        if "idleThresholdSecs" in limits:
            reading.idle((*place, "constraints", "idleThresholdSecs"), "`idleThresholdSecs`")
        for key in _IDLE:
            if agent.get(key):
                reading.idle((*place, key), f"`{key}` of an agent")
        if "persona" in agent:
            what = f"`persona` has no effect here: without `cli` the agent is the one called '{name}'"
            reading.notes.append(((*place, "persona"), what))
        return made

    # Folders

    def _all_paths(self) -> dict[str, str]:
        reading = self._reading
        found: dict[str, str] = {}
        for number, given in enumerate(reading.listed(reading.source.get("paths"), ("paths",))):
            place: Place = ("paths", number)
            one = reading.mapping(given, place)
            reading.known(one, ("name", "path", "description", "required"), place)
            name = reading.name(one.get("name"), place, "a path")
            if not isinstance(one.get("path"), str):
                raise Wrong(place, f"path '{name}' has no `path`")
            found[name] = os.path.expandvars(one["path"])
            if not os.path.isabs(os.path.expanduser(found[name])):
                sentence = f"'{found[name]}' starts from where the workflow runs, not from this file"
                reading.notes.append(((*place, "path"), sentence))
        return found

    def folder(self, given: Mapping[str, Any], place: Place) -> str | None:
        """Where an agent or a step works: `cwd`, or `workdir` with the name of one of `paths`."""
        for key in ("cwd", "workdir"):
            value = given.get(key)
            if value is None:
                continue
            if not isinstance(value, str):
                raise Wrong((*place, key), f"'{key}' must be text")
            if key == "workdir" and value not in self._paths and self._paths:
                raise Wrong((*place, key), f"there is no path '{value}'", suggestion(value, self._paths))
            return self._paths.get(value, value)
        return None

    # Permissions

    def _all_profiles(self) -> dict[str, tuple[Mapping[str, Any], Place]]:
        reading = self._reading
        top = reading.source.get("permissions")
        old = reading.mapping(top, ("permissions",)).get("profiles")
        reading.known(reading.mapping(top, ("permissions",)), ("profiles", "default"), ("permissions",))
        found: dict[str, tuple[Mapping[str, Any], Place]] = {}
        for value, where in (
            (old, ("permissions", "profiles")),
            (reading.source.get("permission_profiles"), ("permission_profiles",)),
        ):
            for name, given in reading.mapping(value, where).items():
                place: Place = (*where, name)
                profile = reading.mapping(given, place)
                found[name] = (profile, place)
                self._limits(profile, place)
        return found

    def _default_permission(self) -> str | None:
        default = self._reading.mapping(self._reading.source.get("permissions"), ("permissions",)).get("default")
        return None if default is None else self.permission(default, ("permissions", "default"))

    def permission(self, given: Any, place: Place) -> str | None:
        """What an agent or a step may do: an access, the name of a profile, or a mapping with either."""
        if isinstance(given, str):
            if given in self._profiles:
                profile, where = self._profiles[given]
                return self._access(profile, where)
            choices = [*self._profiles, *_ACCESS]
            return _ACCESS[self._reading.choice(given, choices, place, "permissions")]
        permissions = self._reading.mapping(given, place)
        self._limits(permissions, place)
        access = self._access(permissions, place)
        name = permissions.get("profile")
        if name is None:
            return access
        name = self._reading.choice(name, self._profiles, (*place, "profile"), "profile")
        return access or self._access(*self._profiles[name])

    def _access(self, permissions: Mapping[str, Any], place: Place) -> str | None:
        access = permissions.get("access")
        if access is None:
            return None
        return _ACCESS[self._reading.choice(access, _ACCESS, (*place, "access"), "access")]

    def _limits(self, permissions: Mapping[str, Any], place: Place) -> None:
        self._reading.known(permissions, _PERMISSIONS, place)
        for key in ("files", "network", "exec", "scopes", "inherit"):
            if key in permissions:
                self._reading.idle((*place, key), f"`{key}` of permissions")
