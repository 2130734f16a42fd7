"""Forms of the small language that its other runner writes, brought to the model's; what can't be honoured is told.

A screen (`mode: ui`) is a gate, `repair` a check that is run again after an agent, `permission_mode` a permission.
Everything else passes as it is, with its place, for the model to judge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from runner.errors import ConfigError, suggestion
from runner.workflows.screens import Screens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    _Converter = Callable[[dict[str, Any], Any, "Place", "Place"], None]

Place = tuple[str | int, ...]

_PERMISSIONS: Final = {"conservative": "edit", "yolo": "full"}
_BACKENDS: Final = ("headless", "interactive", "interactive-claude")
_OUTSIDE: Final = frozenset(
    "id name description needs dependsOn depends_on when skip_if break_if continue_on_failure".split()
)
"""What stays with the whole when one step becomes several."""
_UNNAMED: Final = (None, "new", "resume", "inherit")
"""What `session` says that is no session's name."""
_REPAIR: Final = ("prompt", "session", "agent", "rerun", "max")
_ONLY: Final = {
    "tools": (("prompt",), "agent"),
    "autonomous_backend": (("prompt",), "agent"),
    "permission_mode": (("prompt",), "agent"),
    "metrics_source": (("command", "script"), "shell and script"),
    "repair": (("command", "script"), "shell and script"),
}
"""Keys that mean something on some steps only: by what key these are known, and their name."""
_IDLE_TOP: Final = {
    "hidden": "`hidden` has no effect here",
    "workspace_dirs": "`workspace_dirs` has no effect here",
    "scope": "",
}
_SCOPE: Final = "`scope: {}` has no effect here: its steps run once, in this repository"


class Forms:
    """One file's data as the model has it (`data`), with their `places` and the `notes` on what has no effect.

    `versioned`: the file is called as the other runner calls its files, with a version.
    """

    def __init__(self, data: Mapping[str, Any], places: Mapping[Place, str], *, versioned: bool) -> None:
        self.data: dict[str, Any] = {}
        self.places: dict[Place, str] = {}
        self.notes: list[str] = []
        self._given = places
        self._theirs = versioned
        self._bare: list[str] = []
        self._agents = 0
        self._defaults = _defaults(data)
        self.screens = Screens(self)
        self._converters: Mapping[str, _Converter] = {
            "tools": self._tools,
            "metrics_source": self._metrics_source,
            "scope": self._scope,
            "warn_on_failure": self._warn_on_failure,
            "permission_mode": self._permission_mode,
            "autonomous_backend": self._autonomous_backend,
            "mode": self._mode,
            "workflow": self._workflow,
            "steps": self._inner,
            "loop": self._loop,
        }
        self.places[()] = places.get((), "workflow")
        self._agent = data.get("agent")
        if self._agent is not None and not isinstance(self._agent, str):
            raise self.wrong(("agent",), "'agent' must be text")
        for key, value in data.items():
            if key == "agent":
                continue  # whose steps they are that do not say it
            if key in _IDLE_TOP:
                self.idle((key,), _IDLE_TOP[key] or _SCOPE.format(value))
            elif key == "steps":
                self.data[key] = self._steps(value, (key,), (key,))
            else:
                self.keep(self.data, key, value, (key,), (key,))
        if self.screens.renamed:
            self.data["steps"] = self.screens.rename(self.data["steps"])
        if self._theirs:
            what = "no `session` is a new one here; write `session: resume` to go on in the one before"
            self.notes += [f"{place}: {what}" for place in self._bare]

    # For the parts of a step

    def at(self, came: Place) -> str:
        """Where the file has it, or what is around it."""
        while came and came not in self._given:
            came = came[:-1]
        return self._given.get(came, "workflow")

    def wrong(self, came: Place, message: str, hint: str = "") -> ConfigError:
        """An error with its place."""
        return ConfigError(f"{self.at(came)}: {message}", hint)

    def idle(self, came: Place, sentence: str) -> None:
        """Tell what has no effect."""
        self._theirs = True
        self.notes.append(f"{self.at(came)}: {sentence}")

    def keep(self, into: dict[str, Any], key: str, value: Any, came: Place, goes: Place) -> None:
        """A value as it is."""
        into[key] = value
        self.carry(value, came, goes)

    def carry(self, value: Any, came: Place, goes: Place) -> None:
        """The places of a value that stands somewhere else now."""
        self.places[goes] = self.at(came)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            self.carry(item, (*came, key), (*goes, key))

    # Steps

    def _steps(self, steps: Any, came: Place, goes: Place) -> Any:
        self.carry(steps, came, goes)
        if not isinstance(steps, list):
            return steps
        made: list[Any] = []
        for number, step in enumerate(steps):
            one = self._step(step, (*came, number), (*goes, number))
            if isinstance(step, dict) and "repair" in step:
                one = self._repaired(one, made, step, (*came, number), (*goes, number))
            made.append(one)
        return made

    def _step(self, step: Any, came: Place, goes: Place) -> Any:
        if not isinstance(step, dict):
            return step
        for key, (marks, owners) in _ONLY.items():
            if key in step and not any(step.get(mark) is not None for mark in marks):
                raise self.wrong((*came, key), f"'{key}' belongs to {owners} steps")
        if step.get("mode") == "ui":
            self._theirs = True
            return self.screens.step(step, came, goes)
        self.screens.none_of(step, came)
        made: dict[str, Any] = {}
        for key, value in step.items():
            if key in self._converters:
                self._converters[key](made, value, (*came, key), (*goes, key))
            elif key != "repair":
                self.keep(made, key, value, (*came, key), (*goes, key))
        if step.get("prompt") is not None:
            self._session(step, came)
            if self._agent is not None and "cli" not in step and step.get("session") in _UNNAMED:
                made.setdefault("agent", self._agent)
        return made

    def _session(self, step: Mapping[str, Any], came: Place) -> None:
        self._theirs = self._theirs or step.get("mode") == "autonomous"
        self._agents += 1
        if self._agents > 1 and "session" not in step:
            self._bare.append(self.at(came))
        if "autonomous_backend" in step and step.get("mode") == "interactive":
            raise self.wrong((*came, "autonomous_backend"), "'autonomous_backend' is for steps without a person")

    # Keys

    def _tools(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        del made, goes
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.wrong(came, "'tools' must be a list of names")
        named = ", ".join(value)
        self.idle(
            came, f"`tools` has no effect here: the agent gets no tool '{named}'" if value else "`tools` is empty"
        )

    def _metrics_source(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        del made, value, goes
        self.idle(came, "`metrics_source` has no effect here")

    def _scope(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        del made, goes
        self.idle(came, _SCOPE.format(value))

    def _warn_on_failure(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        self._theirs = True
        if not isinstance(value, bool):
            raise self.wrong(came, "'warn_on_failure' must be true or false")
        if value:
            self.keep(made, "continue_on_failure", True, came, (*goes[:-1], "continue_on_failure"))

    def _permission_mode(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        self._theirs = True
        if value not in tuple(_PERMISSIONS):
            raise self.wrong(came, f"permission_mode can't be '{value}'", suggestion(str(value), _PERMISSIONS))
        self.keep(made, "permission", _PERMISSIONS[value], came, (*goes[:-1], "permission"))

    def _autonomous_backend(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        self._theirs = True
        if value not in _BACKENDS:
            raise self.wrong(came, f"autonomous_backend can't be '{value}'", suggestion(str(value), _BACKENDS))
        if value != "headless":
            self.keep(made, "mode", "live", came, (*goes[:-1], "mode"))
        if value == "interactive-claude":
            self.idle(came, "`interactive-claude` is a live session here whatever the agent is")

    def _mode(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        if "mode" not in made:  # a backend says it more exactly
            self.keep(made, "mode", value, came, goes)

    def _workflow(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        if isinstance(value, str) and value.startswith("builtin:"):
            value = value.removeprefix("builtin:")
            self.idle(came, f"nothing is built in: '{value}' is looked up beside this file and where workflows are")
        self.keep(made, "workflow", value, came, goes)

    def _inner(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        made["steps"] = self._steps(value, came, goes)

    def _loop(self, made: dict[str, Any], value: Any, came: Place, goes: Place) -> None:
        if not isinstance(value, dict) or "max_param" not in value:
            self.keep(made, "loop", value, came, goes)
            return
        where, name = (*came, "max_param"), value["max_param"]
        if "max" in value or "over" in value:
            raise self.wrong(where, "a loop has one of `max`, `max_param` and `over`")
        if name not in tuple(self._defaults):
            raise self.wrong(where, f"there is no parameter '{name}'", suggestion(str(name), self._defaults))
        most = str(self._defaults[name])
        if not re.fullmatch(r"[1-9][0-9]{0,8}", most):
            raise self.wrong(where, f"'{name}' has no default that is a number of iterations", "write `max`")
        self.idle(where, f"the loop has {most} iterations, the default of '{name}'; another value does not change that")
        loop = {key: item for key, item in value.items() if key != "max_param"} | {"max": int(most)}
        self.keep(made, "loop", loop, came, goes)
        self.places[(*goes, "max")] = self.at(where)

    # Repair

    def _repaired(
        self, check: dict[str, Any], before: list[Any], step: Mapping[str, Any], came: Place, goes: Place
    ) -> dict[str, Any]:
        """The check, and where it fails a loop of the repair and the check again: a group under the step's id."""
        self._theirs = True
        repair, where = step["repair"], (*came, "repair")
        if not isinstance(repair, dict):
            raise self.wrong(where, "'repair' must be a mapping of keys to values")
        for key in repair:
            if key not in _REPAIR:
                raise self.wrong((*where, key), f"unknown key '{key}'", suggestion(key, _REPAIR))
        most = repair.get("max", 1)
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise self.wrong((*where, "max"), "'max' must be a whole number, from 1 on")
        id = str(check.get("id", check.get("name", "")))
        body = {key: value for key, value in check.items() if key not in _OUTSIDE}
        again = {**body, "id": f"{id}-again", "break_if": "success", "continue_on_failure": True}
        mending = self._replayed(repair, before, where) if "rerun" in repair else [self._mending(repair, id, where)]
        loop = {
            "id": f"{id}-repair",
            "skip_if": "previous_success",
            "loop": {"max": most},
            "steps": [*mending, again],
        }
        first = {**body, "id": id, "continue_on_failure": True}
        group = {key: value for key, value in check.items() if key in _OUTSIDE} | {"steps": [first, loop]}
        self.places[(*goes, "steps")] = self.at(came)
        self.carry(first, came, (*goes, "steps", 0))
        self.carry(loop, where, (*goes, "steps", 1))
        self.carry(again, came, (*goes, "steps", 1, "steps", len(mending)))
        return group

    def _mending(self, repair: Mapping[str, Any], id: str, where: Place) -> dict[str, Any]:
        prompt = repair.get("prompt")
        if not isinstance(prompt, str):
            raise self.wrong(where, "a repair needs a `prompt`, or `rerun` with an earlier step")
        if ("session" in repair) == ("agent" in repair):
            raise self.wrong(where, "a repair has either `session` or `agent`")
        made = {key: repair[key] for key in ("session", "agent") if key in repair}
        told = f"What the check '{id}' printed:\n\n{{{{steps.{id}.output}}}}"
        return {"id": f"{id}-mend", "prompt": f"{prompt.rstrip()}\n\n{told}", **made}

    def _replayed(self, repair: Mapping[str, Any], before: list[Any], where: Place) -> list[Any]:
        """The steps from the one named to the check, once more."""
        for key in ("prompt", "session", "agent"):
            if key in repair:
                raise self.wrong((*where, key), f"a repair that runs steps again has no '{key}'")
        ids = [str(one.get("id", one.get("name"))) if isinstance(one, dict) else "" for one in before]
        if repair["rerun"] not in ids:
            hint = suggestion(str(repair["rerun"]), [id for id in ids if id])
            raise self.wrong((*where, "rerun"), f"there is no step '{repair['rerun']}' before it, beside it", hint)
        found = before[ids.index(repair["rerun"]) :]
        for one in found:
            for key in ("break_if", "needs"):
                if key in one:
                    raise self.wrong((*where, "rerun"), f"it would run '{one['id']}' again, which has `{key}`")
        return list(found)


def _defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters' names and their defaults."""
    params = data.get("params")
    listed = [one for one in params if isinstance(one, dict)] if isinstance(params, list) else []
    return {str(one["name"]): one.get("default") for one in listed if "name" in one}
