"""Steps of a file of Agent Relay; one of a type that can't be run here is told at load, and fails in its turn."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Final

from runner.errors import suggestion
from runner_plugins.relay_reading import Wrong

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner_plugins.relay_agents import Agents
    from runner_plugins.relay_reading import Place, Reading

_STEP: Final = (
    "name type use dependsOn timeoutMs agent task verification retries maxIterations cwd workdir command failOnError"
    " captureOutput integration action params branch baseBranch path createBranch description permissions waitFor"
    " terminalSuccessExitCodes repairProtection humanAssistance".split()
)
_TYPES: Final = ("agent", "deterministic", "worktree", "integration", "waitFor")
_CHECKS: Final = ("exit_code", "output_contains", "file_exists", "custom", "pr_url")
_CHECK: Final = ("type", "value", "description", "timeoutMs", "diagnosticAgent", "diagnosticTimeout")
_IDLE: Final = ("maxIterations", "terminalSuccessExitCodes", "humanAssistance")
_ORIGINS: Final = {"needs": "dependsOn", "prompt": "task", "verify": "verification", "timeout": "timeoutMs"} | {
    key: key for key in ("command", "retries", "workdir", "description", "permission")
}


class Steps:
    """The steps of one workflow of the file, as the model has them."""

    def __init__(self, reading: Reading, agents: Agents) -> None:
        self._reading = reading
        self._agents = agents

    def all(self, given: Any, place: Place) -> list[dict[str, Any]]:
        """Every step, in the order of the file."""
        listed = self._reading.listed(given, place)
        return [self._step(self._reading.mapping(one, (*place, n)), (*place, n)) for n, one in enumerate(listed)]

    def origins(self, ours: Place, theirs: Place) -> None:
        """Where the parts of a step stand in the file."""
        self._reading.origins[ours] = theirs
        for key, name in _ORIGINS.items():
            self._reading.origins[(*ours, key)] = (*theirs, name)

    def preflight(self, checks: Any, steps: list[dict[str, Any]], place: Place) -> list[dict[str, Any]]:
        """The commands that must hold, as a step that all first steps need."""
        ids = {step["id"] for step in steps}
        id = "preflight" if "preflight" not in ids else "workflow-preflight"
        for step in steps:
            if not step["needs"]:
                step["needs"] = [id]
        self._reading.origins[("steps", 0)] = place
        known = ("command", "failIf", "successIf", "description", "timeout")
        made = []
        for number, given in enumerate(self._reading.listed(checks, place)):
            check = self._reading.mapping(given, (*place, number))
            for key in check:
                if key == "captureOutput":
                    self._reading.idle((*place, number, key), "`captureOutput` of a preflight")
                elif key not in known:
                    raise Wrong((*place, number, key), f"unknown key '{key}'", suggestion(str(key), known))
            made.append({key: value for key, value in check.items() if key in known})
            self._reading.origins[("steps", 0, "preflight", number)] = (*place, number)
        return [{"id": id, "needs": [], "preflight": made}, *steps]

    def _step(self, step: Mapping[str, Any], place: Place) -> dict[str, Any]:
        reading = self._reading
        if "use" not in step:  # what a step of one's own may have is said by its definition
            reading.known(step, _STEP, place)
        name = reading.name(step.get("name"), place, "a step")
        kind = step.get("type") or _kind(step)
        kind = reading.choice(kind, _TYPES, (*place, "type"), "type")
        needs = reading.words(step.get("dependsOn"), (*place, "dependsOn"))
        made: dict[str, Any] = {"id": name, "needs": needs}
        if step.get("description") is not None:
            made["description"] = step["description"]
        if "use" in step and "agent" not in step and "command" not in step:
            self._unable(made, (*place, "use"), f"`use: {_shown(step['use'])}`")
        elif kind in ("integration", "waitFor"):
            what = f"{_shown(step.get('integration', ''))} {_shown(step.get('action', ''))}".strip()
            self._unable(made, (*place, "type"), f"a step of type {kind}" + (f" ({what})" if what else ""))
        elif kind == "agent":
            self._agent_step(step, made, place)
        elif kind == "deterministic":
            self._command_step(step, made, place)
        else:
            pairs = (("branch", "branch"), ("base", "baseBranch"), ("path", "path"), ("create_branch", "createBranch"))
            made["worktree"] = {ours: step[theirs] for ours, theirs in pairs if theirs in step}
        if step.get("timeoutMs") is not None:
            made["timeout"] = reading.seconds(step["timeoutMs"], (*place, "timeoutMs"))
        for key in _IDLE:
            if step.get(key):
                reading.idle((*place, key), f"`{key}` of a step")
        if step.get("captureOutput") is False:
            reading.notes.append(((*place, "captureOutput"), "its output is kept all the same"))
        if "use" in step and ("agent" in step or "command" in step):
            reading.idle((*place, "use"), "`use` of a step")
        return made

    def _unable(self, made: dict[str, Any], place: Place, what: str) -> None:
        """A step that can be loaded and planned, and fails with a sentence when it is its turn."""
        self._reading.notes.append((place, f"{what} can't be run here: step '{made['id']}' fails when it is reached"))
        sentence = f"{what} can't be run here; use a deterministic step with the service's own command line"
        made["command"] = f"echo {shlex.quote(sentence)} >&2; exit 1"

    def _agent_step(self, step: Mapping[str, Any], made: dict[str, Any], place: Place) -> None:
        name = step.get("agent")
        known = list(self._agents.made)
        if not isinstance(name, str) or name not in known:
            said = f"step '{made['id']}' names no agent" if name is None else f"there is no agent '{name}'"
            raise Wrong((*place, "agent"), said, suggestion(str(name), known))
        if not step.get("task"):
            raise Wrong(place, f"step '{made['id']}' has no task", "write: task: what the agent is to do")
        # Files are shared between the steps of such a workflow, so changes alone prove nothing.
        made |= {"agent": name, "prompt": step["task"], "expects": "answer", "writes": "shared"}
        if step.get("permissions") is not None:
            allowed = self._agents.permission(step["permissions"], (*place, "permissions"))
            if allowed is not None:
                made["permission"] = allowed
        if name in self._agents.tokens:
            made["budget"] = {"tokens": self._agents.tokens[name]}
        self._runs(step, made, place, self._agents.folders.get(name))

    def _command_step(self, step: Mapping[str, Any], made: dict[str, Any], place: Place) -> None:
        if not step.get("command"):
            raise Wrong(place, f"step '{made['id']}' has no command")
        made["command"] = step["command"]
        if step.get("failOnError") is False:
            made["continue_on_failure"] = True
        if step.get("repairProtection") is not None:
            where = (*place, "repairProtection")
            protection = self._reading.mapping(step["repairProtection"], where)
            self._reading.known(protection, ("protectedPaths",), where)
            made["protect"] = self._reading.words(protection.get("protectedPaths"), (*where, "protectedPaths"))
        if step.get("permissions") is not None:
            self._reading.idle((*place, "permissions"), "`permissions` of a deterministic step")
        self._runs(step, made, place, None)

    def _runs(self, step: Mapping[str, Any], made: dict[str, Any], place: Place, folder: str | None) -> None:
        """What agents and commands have in common."""
        if step.get("retries") is not None:
            made["retries"] = step["retries"]
        folder = self._agents.folder(step, place) or folder
        if folder is not None:
            made["workdir"] = folder
        if step.get("verification") is not None:
            made["verify"] = [self._check(step["verification"], (*place, "verification"))]
        for key in ("prompt", "command"):
            found = re.search(r"(?<![\\$])\{\{[^{}\n]*\|[^{}\n]*\}\}", str(made.get(key, "")))
            if found:
                where = (*place, {"prompt": "task"}.get(key, key))
                self._reading.notes.append((where, f"'{found[0]}' stays as it is: there are no filters here"))

    def _check(self, given: Any, place: Place) -> dict[str, Any]:
        check = self._reading.mapping(given, place)
        self._reading.known(check, _CHECK, place)
        kind, value = check.get("type"), check.get("value")
        if not isinstance(kind, str) or kind not in _CHECKS:
            raise Wrong((*place, "type"), f"there is no verification '{kind}'", suggestion(str(kind), _CHECKS))
        for key in ("diagnosticAgent", "diagnosticTimeout"):
            if key in check:
                self._reading.idle((*place, key), f"`{key}`")
        if kind == "exit_code":
            return {"exit_code": 0 if value in (None, "") else value}
        if value in (None, "") and kind != "pr_url":
            raise Wrong(place, f"the verification '{kind}' has no `value`")
        if kind != "custom":
            return {kind: value}
        limit = self._reading.seconds(check["timeoutMs"], (*place, "timeoutMs")) if "timeoutMs" in check else None
        return {"command": {"run": value} if limit is None else {"run": value, "timeout": limit}}


def _kind(step: Mapping[str, Any]) -> str:
    """What a step without `type` is."""
    if "waitFor" in step:
        return "waitFor"
    return "deterministic" if "command" in step and "agent" not in step else "agent"


def _shown(value: Any) -> str:
    """A name as it can stand in a sentence and a command."""
    text = str(value)
    return text if re.fullmatch(r"[\w.:/@ -]{0,60}", text) else "…"
