"""Workflow files of Agent Relay (recognised by `swarm:`), converted on load to the model of this program.

What they say and can't be honoured is told at load, with its place; what would change the result is an error.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.config.yamlfile import parse_yaml
from runner.errors import ConfigError, suggestion
from runner.workflows import place_of, validated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.workflows import Source

Place = tuple[str | int, ...]

_TOP: Final = (
    "version name description swarm agents workflows paths permission_profiles permissions coordination state"
    " errorHandling trajectories vars".split()
)
_SWARM: Final = (
    "pattern maxConcurrency timeoutMs tokenBudget channel credentialProxy idleNudge completionGracePeriodMs".split()
)
_AGENT: Final = (
    "name cli role task channels interactive cwd workdir additionalPaths preset skills credentials constraints"
    " permissions model retries timeoutMs".split()
)
_WORKFLOW: Final = ("name", "description", "steps", "preflight", "onError")
_STEP: Final = (
    "name type use dependsOn timeoutMs agent task verification retries maxIterations cwd workdir command failOnError"
    " captureOutput integration action params branch baseBranch path createBranch description".split()
)
_TYPES: Final = ("agent", "deterministic", "worktree", "integration")
_CHECKS: Final = ("exit_code", "output_contains", "file_exists", "custom", "pr_url")
_ACCESS: Final = {"readonly": "read-only", "readwrite": "edit", "restricted": "edit", "full": "full"}
_IDLE: Final = (
    ("swarm", "channel"),
    ("swarm", "idleNudge"),
    ("swarm", "credentialProxy"),
    ("swarm", "completionGracePeriodMs"),
    ("coordination",),
    ("state",),
    ("trajectories",),
    ("permission_profiles",),
    ("permissions",),
)
"""What has no effect here, or not yet: told when a file has it."""


@hookimpl
def load_workflow(path: Path) -> Source | None:
    """The workflow of a file that has `swarm:` at its top; None for every other."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None  # whoever reads it next says so
    if not re.search(r"^swarm\s*:|^['\"]swarm['\"]\s*:", text, re.MULTILINE):
        return None
    return converted(text, path, os.path.relpath(path))


def converted(text: str, path: Path, shown: str, which: str | None = None) -> Source:
    """The workflow in such a text; `which` names one of several. ConfigError with file, line and column."""
    document = parse_yaml(text, shown)
    if not isinstance(document.data, dict):
        raise ConfigError(f"{shown}:1: a workflow is a mapping")
    places = {key: f"{shown}:{line}:{column}" for key, (line, column) in document.places.items()}
    try:
        made = Conversion(document.data, which)
    except Wrong as error:
        raise ConfigError(f"{place_of(places, error.place)}: {error.message}", error.hint) from None
    native = {ours: place_of(places, theirs) for ours, theirs in made.origins.items()}
    source = validated(path, text, made.data, native)
    notes = tuple(f"{place_of(places, place)}: {sentence}" for place, sentence in made.notes)
    return replace(source, foreign=True, notes=notes)


class Conversion:
    """One file: the native `data`, where each part of it came from (`origins`), and `notes` (place, sentence)."""

    def __init__(self, source: Mapping[str, Any], which: str | None = None) -> None:
        self.source = source
        self.data: dict[str, Any] = {}
        self.origins: dict[Place, Place] = {(): ()}
        self.notes: list[tuple[Place, str]] = []
        self._which = which
        self._known(source, _TOP, ())
        self._top()
        self._agents()
        self._error_handling()
        self._steps()
        for path in _IDLE:
            if self._has(path):
                self.notes.append((path, f"`{path[-1]}` has no effect here"))

    # The parts

    def _top(self) -> None:
        swarm = self._mapping(self.source.get("swarm"), ("swarm",))
        self._known(swarm, _SWARM, ("swarm",))
        for name in ("name", "description", "version"):
            if self.source.get(name) is not None:
                self._put((name,), str(self.source[name]), (name,))
        self._put(("pattern",), swarm.get("pattern", "dag"), ("swarm", "pattern"))
        if "maxConcurrency" in swarm:
            self._put(("max_concurrency",), swarm["maxConcurrency"], ("swarm", "maxConcurrency"))
        if "tokenBudget" in swarm:
            self._put(("budget",), {"tokens": swarm["tokenBudget"]}, ("swarm", "tokenBudget"))
        if "timeoutMs" in swarm:
            self._put(("timeout",), self._seconds(swarm["timeoutMs"], ("swarm", "timeoutMs")), ("swarm", "timeoutMs"))

    def _agents(self) -> None:
        agents: dict[str, Any] = {}
        for number, given in enumerate(self.source.get("agents") or ()):
            place: Place = ("agents", number)
            agent = self._mapping(given, place)
            self._known(agent, _AGENT, place)
            name = str(agent.get("name") or "")
            agents[name] = self._agent(agent, place)
            self.origins[("agents", name)] = place
        self.data["agents"] = agents
        self.origins[("agents",)] = ("agents",)

    def _agent(self, agent: Mapping[str, Any], place: Place) -> dict[str, Any]:
        limits = self._mapping(agent.get("constraints") or {}, (*place, "constraints"))
        made = {key: agent[key] for key in ("cli", "role", "preset") if agent.get(key) is not None}
        for key in ("model", "retries"):
            value = agent.get(key, limits.get(key))
            if value is not None:
                made[key] = value
        timeout = agent.get("timeoutMs", limits.get("timeoutMs"))
        if timeout is not None:
            made["timeout"] = self._seconds(timeout, (*place, "constraints", "timeoutMs"))
        # Presets other than lead are one prompt, one process; without one an agent is a session.
        made["interactive"] = bool(agent.get("interactive", agent.get("preset") in (None, "lead")))
        permissions = self._mapping(agent.get("permissions") or {}, (*place, "permissions"))
        access = permissions.get("access")
        if access is not None:
            if access not in _ACCESS:
                where = (*place, "permissions", "access")
                raise Wrong(where, f"access can't be '{access}'", suggestion(str(access), _ACCESS))
            made["permission"] = _ACCESS[access]
        for key in ("files", "network", "exec", "scopes", "profile"):
            if key in permissions:
                self.notes.append(((*place, "permissions", key), f"`{key}` of permissions has no effect here"))
        for key in ("channels", "credentials", "additionalPaths", "skills", "task"):
            if agent.get(key):
                self.notes.append(((*place, key), f"`{key}` of an agent has no effect here"))
        return made

    def _error_handling(self) -> None:
        given = self.source.get("errorHandling")
        if given is None:
            return
        place: Place = ("errorHandling",)
        handling = self._mapping(given, place)
        known = ("strategy", "maxRetries", "retryDelayMs", "notifyChannel", "repairAgent", "repairRetries")
        self._known(handling, known, place)
        strategy = handling.get("strategy", "fail-fast")
        if strategy not in ("fail-fast", "continue", "retry"):
            hint = suggestion(str(strategy), ("fail-fast", "continue", "retry"))
            raise Wrong((*place, "strategy"), f"strategy can't be '{strategy}'", hint)
        made: dict[str, Any] = {"strategy": "continue" if strategy == "continue" else "fail-fast"}
        if strategy == "retry":
            retry = {"max": handling.get("maxRetries", 2)}
            if handling.get("retryDelayMs"):
                retry["delay"] = self._seconds(handling["retryDelayMs"], (*place, "retryDelayMs"))
            made["retry"] = retry
            repair = {"attempts": handling.get("repairRetries", 2)}
            if "repairAgent" in handling:
                repair["agent"] = handling["repairAgent"]
            self._put(("repairable",), repair, place)
        self._put(("on_error",), made, place)

    def _steps(self) -> None:
        flows = list(self.source.get("workflows") or ())
        if not flows:
            raise Wrong((), "there are no `workflows`", "write: workflows: [{name: default, steps: […]}]")
        names = [str(self._mapping(flow, ("workflows", n)).get("name", "")) for n, flow in enumerate(flows)]
        number = 0
        if self._which is not None:
            if self._which not in names:
                raise Wrong(("workflows",), f"there is no workflow '{self._which}'", suggestion(self._which, names))
            number = names.index(self._which)
        elif "default" in names:
            number = names.index("default")
        place: Place = ("workflows", number)
        flow = self._mapping(flows[number], place)
        self._known(flow, _WORKFLOW, place)
        steps = [
            self._step(self._mapping(step, (*place, "steps", n)), (*place, "steps", n))
            for n, step in enumerate(flow.get("steps") or ())
        ]
        offset = 0
        if flow.get("preflight"):
            steps = self._preflight(flow["preflight"], steps, place)
            offset = 1
        self.data["steps"] = steps
        self.origins[("steps",)] = (*place, "steps")
        for n in range(len(steps) - offset):
            self.origins[("steps", n + offset)] = (*place, "steps", n)
        self._on_error(flow.get("onError"), place)
        self._parameters()

    def _on_error(self, word: Any, place: Place) -> None:
        if word is None or "on_error" in self.data:
            return
        known = {"fail": "fail-fast", "skip": "continue", "retry": "fail-fast"}
        if word not in known:
            raise Wrong((*place, "onError"), f"onError can't be '{word}'", suggestion(str(word), known))
        made: dict[str, Any] = {"strategy": known[word]}
        if word == "retry":
            made["retry"] = {}
        self._put(("on_error",), made, (*place, "onError"))

    def _preflight(self, checks: Any, steps: list[dict[str, Any]], place: Place) -> list[dict[str, Any]]:
        """The commands that must hold, as a step that all first steps need."""
        ids = {step["id"] for step in steps}
        id = "preflight" if "preflight" not in ids else "workflow-preflight"
        for step in steps:
            if not step["needs"]:
                step["needs"] = [id]
        self.origins[("steps", 0)] = (*place, "preflight")
        return [{"id": id, "needs": [], "preflight": list(checks)}, *steps]

    def _step(self, step: Mapping[str, Any], place: Place) -> dict[str, Any]:
        self._known(step, _STEP, place)
        kind = step.get("type") or ("deterministic" if "command" in step and "agent" not in step else "agent")
        if kind not in _TYPES:
            raise Wrong((*place, "type"), f"type can't be '{kind}'", suggestion(str(kind), _TYPES))
        made: dict[str, Any] = {"id": step.get("name"), "needs": list(step.get("dependsOn") or ())}
        if kind == "agent":
            self._agent_step(step, made, place)
        elif kind == "deterministic":
            self._command_step(step, made, place)
        elif kind == "worktree":
            pairs = (("branch", "branch"), ("base", "baseBranch"), ("path", "path"), ("create_branch", "createBranch"))
            made["worktree"] = {ours: step[theirs] for ours, theirs in pairs if theirs in step}
        else:
            hint = "use a deterministic step with the service's own command line"
            raise Wrong((*place, "type"), "integration steps can't be run here", hint)
        if "timeoutMs" in step:
            made["timeout"] = self._seconds(step["timeoutMs"], (*place, "timeoutMs"))
        if kind in ("agent", "deterministic"):
            if step.get("retries") is not None:
                made["retries"] = step["retries"]
            folder = step.get("cwd") or step.get("workdir")
            if folder:
                made["workdir"] = folder
        if step.get("verification") is not None:
            made["verify"] = [self._check(step["verification"], (*place, "verification"))]
        for key in ("use", "maxIterations"):
            if key in step:
                self.notes.append(((*place, key), f"`{key}` of a step has no effect here"))
        return made

    def _agent_step(self, step: Mapping[str, Any], made: dict[str, Any], place: Place) -> None:
        name = step.get("agent")
        known = [str(agent.get("name")) for agent in self.source.get("agents") or () if isinstance(agent, dict)]
        if name not in known:
            said = f"step '{step.get('name')}' names no agent" if name is None else f"there is no agent '{name}'"
            raise Wrong((*place, "agent"), said, suggestion(str(name), known))
        if not step.get("task"):
            raise Wrong(place, f"step '{step.get('name')}' has no task", "write: task: what the agent is to do")
        # Files are shared between the steps of such a workflow, so changes alone prove nothing.
        made |= {"agent": name, "prompt": step["task"], "expects": "answer", "writes": "shared"}

    def _command_step(self, step: Mapping[str, Any], made: dict[str, Any], place: Place) -> None:
        if not step.get("command"):
            raise Wrong(place, f"step '{step.get('name')}' has no command")
        made["command"] = step["command"]
        if step.get("failOnError") is False:
            made["continue_on_failure"] = True

    def _check(self, given: Any, place: Place) -> dict[str, Any]:
        check = self._mapping(given, place)
        kind = check.get("type")
        if kind not in _CHECKS:
            raise Wrong((*place, "type"), f"there is no verification '{kind}'", suggestion(str(kind), _CHECKS))
        value = check.get("value")
        if kind == "exit_code":
            return {"exit_code": 0 if value in (None, "") else value}
        if kind != "custom":
            return {kind: value}
        limit = self._seconds(check["timeoutMs"], (*place, "timeoutMs")) if "timeoutMs" in check else None
        made = {"run": value} if limit is None else {"run": value, "timeout": limit}
        return {"command": made}

    def _parameters(self) -> None:
        """Such files declare none: each name that a text uses and nothing defines is one."""
        found: dict[str, None] = {}
        for step in self.data["steps"]:
            for key in ("prompt", "command"):
                for name in re.findall(r"(?<![\\$])\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}", str(step.get(key, ""))):
                    found[name] = None
        given = self._mapping(self.source.get("vars") or {}, ("vars",))
        names = {**found, **dict.fromkeys(given)}
        if names:
            self.data["params"] = [
                {"name": name, "default": given[name]} if name in given else {"name": name} for name in names
            ]

    # Small things

    def _has(self, path: Place) -> bool:
        value: Any = self.source
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return False
            value = value[part]
        return True

    def _put(self, path: Place, value: Any, origin: Place) -> None:
        self.data[str(path[0])] = value
        self.origins[path] = origin

    def _seconds(self, value: Any, place: Place) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            plain = str(value).replace("_", "")
            hint = f"write {plain}" if plain.isdecimal() else "write milliseconds, such as 60000"
            raise Wrong(place, f"'{value}' is not a number of milliseconds", hint)
        return value / 1000

    def _mapping(self, value: Any, place: Place) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise Wrong(place, "must be a mapping of keys to values", "")
        return value

    def _known(self, value: Mapping[str, Any], known: list[str] | tuple[str, ...], place: Place) -> None:
        for key in value:
            if key not in known:
                raise Wrong((*place, key), f"unknown key '{key}'", suggestion(str(key), known))


class Wrong(ConfigError):
    """Something at a place of the file, which the caller turns into file, line and column."""

    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.place = place
