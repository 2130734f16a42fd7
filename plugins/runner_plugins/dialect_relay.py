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
from runner_plugins.relay_agents import Agents
from runner_plugins.relay_reading import Reading, Wrong
from runner_plugins.relay_steps import Steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from runner.workflows import Source
    from runner_plugins.relay_reading import Place

_TOP: Final = (
    "version name description swarm agents workflows paths permission_profiles permissions coordination state"
    " errorHandling trajectories vars integrations cwdResolution".split()
)
_SWARM: Final = (
    "pattern maxConcurrency timeoutMs tokenBudget channel credentialProxy idleNudge completionGracePeriodMs"
    " humanAssistance".split()
)
_WORKFLOW: Final = ("name", "description", "steps", "preflight", "onError")
_ERRORS: Final = "strategy maxRetries retryDelayMs notifyChannel repairAgent repairRetries onExhaustion".split()
_ON_ERROR: Final = {"fail": "fail-fast", "fail-fast": "fail-fast", "skip": "continue", "continue": "continue"} | {
    "retry": "fail-fast"
}
"""What `onError` of a workflow may say, and what that is here."""
_NAME: Final = re.compile(r"(?<![\\$])\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}")
_IDLE: Final = (
    ("swarm", "channel"),
    ("swarm", "idleNudge"),
    ("swarm", "credentialProxy"),
    ("swarm", "completionGracePeriodMs"),
    ("coordination",),
    ("state",),
    ("trajectories",),
    ("integrations",),
    ("cwdResolution",),
    ("swarm", "humanAssistance"),
)
"""What has no effect here, or not yet: told when a file has it."""


@hookimpl
def load_workflow(path: Path, text: str) -> Source | None:
    """The workflow of a file that has `swarm:` at its top; None for every other."""
    if not re.search(r"^swarm\s*:|^['\"]swarm['\"]\s*:", text, re.MULTILINE):
        return None
    return converted(text, path, os.path.relpath(path))


def converted(text: str, path: Path, shown: str, which: str | None = None) -> Source:
    """The workflow in such a text; `which` names one of several. ConfigError with file, line and column."""
    try:
        document = parse_yaml(text, shown)
    except ConfigError as error:
        quoted = "quote the value: it has a colon" if "mapping values" in error.message else error.hint
        raise ConfigError(error.message, quoted) from None
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


class Conversion(Reading):
    """One file: the native `data`, where each part of it came from (`origins`), and `notes` (place, sentence)."""

    def __init__(self, source: Mapping[str, Any], which: str | None = None) -> None:
        super().__init__(source)
        self.data: dict[str, Any] = {}
        self._which = which
        self.known(source, _TOP, ())
        self._top()
        agents = Agents(self)
        self.data["agents"] = agents.made
        self.origins[("agents",)] = ("agents",)
        self._error_handling()
        self._steps(Steps(self, agents))
        self._parameters()
        for path in _IDLE:
            if self._has(path):
                self.idle(path, f"`{path[-1]}`")

    def _top(self) -> None:
        swarm = self.mapping(self.source.get("swarm"), ("swarm",))
        self.known(swarm, _SWARM, ("swarm",))
        for name in ("name", "description", "version"):
            if self.source.get(name) is not None:
                self._put((name,), str(self.source[name]), (name,))
        self._put(("pattern",), swarm.get("pattern", "dag"), ("swarm", "pattern"))
        if "maxConcurrency" in swarm:
            self._put(("max_concurrency",), swarm["maxConcurrency"], ("swarm", "maxConcurrency"))
        if swarm.get("tokenBudget"):
            self._put(("budget",), {"tokens": swarm["tokenBudget"]}, ("swarm", "tokenBudget"))
        if swarm.get("timeoutMs") is not None:
            self._put(("timeout",), self.seconds(swarm["timeoutMs"], ("swarm", "timeoutMs")), ("swarm", "timeoutMs"))

    def _error_handling(self) -> None:
        place: Place = ("errorHandling",)
        if self.source.get("errorHandling") is None:
            return
        handling = self.mapping(self.source["errorHandling"], place)
        self.known(handling, _ERRORS, place)
        strategies = ("fail-fast", "continue", "retry")
        strategy = self.choice(handling.get("strategy", "fail-fast"), strategies, (*place, "strategy"), "strategy")
        made: dict[str, Any] = {"strategy": "continue" if strategy == "continue" else "fail-fast"}
        if strategy == "retry":
            retry = {"max": handling.get("maxRetries", 2)}
            if handling.get("retryDelayMs"):
                retry["delay"] = self.seconds(handling["retryDelayMs"], (*place, "retryDelayMs"))
            made["retry"] = retry
            repair = {"attempts": handling.get("repairRetries", 2)}
            if "repairAgent" in handling:
                repair["agent"] = handling["repairAgent"]
            self._put(("repairable",), repair, place)
        else:
            for key in ("maxRetries", "retryDelayMs", "repairAgent", "repairRetries"):
                if key in handling:
                    self.notes.append(((*place, key), f"`{key}` has an effect only with `strategy: retry`"))
        if "notifyChannel" in handling:
            self.idle((*place, "notifyChannel"), "`notifyChannel`")
        if "onExhaustion" in handling:
            where = (*place, "onExhaustion")
            if self.choice(handling["onExhaustion"], ("fail", "needs-human"), where, "onExhaustion") == "fail":
                self.notes.append((where, "a used-up repair waits for a person here"))
        self._put(("on_error",), made, place)

    def _steps(self, steps: Steps) -> None:
        flows = self.listed(self.source.get("workflows"), ("workflows",))
        if not flows:
            raise Wrong((), "there are no `workflows`", "write: workflows: [{name: default, steps: […]}]")
        names = [str(self.mapping(flow, ("workflows", n)).get("name", "")) for n, flow in enumerate(flows)]
        number = 0
        if self._which is not None:
            if self._which not in names:
                raise Wrong(("workflows",), f"there is no workflow '{self._which}'", suggestion(self._which, names))
            number = names.index(self._which)
        elif "default" in names:
            number = names.index("default")
        place: Place = ("workflows", number)
        flow = self.mapping(flows[number], place)
        self.known(flow, _WORKFLOW, place)
        made = steps.all(flow.get("steps"), (*place, "steps"))
        offset = 0
        if flow.get("preflight"):
            made = steps.preflight(flow["preflight"], made, (*place, "preflight"))
            offset = 1
        self._put(("steps",), made, (*place, "steps"))
        for n in range(len(made) - offset):
            steps.origins(("steps", n + offset), (*place, "steps", n))
        self._on_error(flow.get("onError"), (*place, "onError"))

    def _on_error(self, word: Any, place: Place) -> None:
        if word is None:
            return
        word = self.choice(word, _ON_ERROR, place, "onError")
        if "on_error" in self.data:
            self.notes.append((place, "`onError` has no effect beside `errorHandling`"))
            return
        made: dict[str, Any] = {"strategy": _ON_ERROR[word]}
        if word == "retry":
            made["retry"] = {}
        self._put(("on_error",), made, place)

    def _parameters(self) -> None:
        """Such files declare none: each name that a text uses and nothing defines is one."""
        found: dict[str, None] = {}
        for text in _texts(self.data["steps"]):
            for name in _NAME.findall(text):
                found[name] = None
        given = self.mapping(self.source.get("vars"), ("vars",))
        names = {**found, **dict.fromkeys(given)}
        if names:
            self.data["params"] = [
                {"name": name, "default": given[name]} if name in given else {"name": name} for name in names
            ]
        for number, name in enumerate(names):
            self.origins[("params", number)] = ("vars", name)

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


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value of any shape."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
