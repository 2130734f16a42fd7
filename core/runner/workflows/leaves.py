"""From an effect to the step that runs: every text filled in, its checks and policy, and the digest of all of it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.model import Check, Policy, Step
from runner.templates import TemplateError, compile_command, render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.model import Expects
    from runner.workflows.items import Effect

PRESETS: Mapping[str, str] = {
    "lead": "You lead this work: plan it, divide it, judge what comes back.",
    "worker": "You do one bounded piece of work. Your final message is all that others see of it.",
    "reviewer": "You review: read, change nothing, and give a verdict with your reasons.",
    "analyst": "You analyse: read, change nothing, and report what you found.",
}
"""What an agent is told about its place, before its task."""
READ_ONLY = frozenset(("reviewer", "analyst"))
"""Presets that may change nothing unless the step says otherwise."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A step filled in: what runs, and the digests by which a resumed run knows it again.

    `digest` is of everything, `definition` of what the file says alone. `retries` beyond the first attempt come
    after `delay` seconds; `session` is what the file says of it; `repairer` what the payload of the repairing
    agent begins with.
    """

    step: Step
    digest: str
    definition: str
    retries: int = 0
    delay: float = 0.0
    session: str = "new"
    workdir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    repairer: Mapping[str, Any] | None = None
    machine: str | None = None
    warnings: tuple[str, ...] = ()


class Filling:
    """Fills in one effect's definition. `agent` is the default one, `dependence` tells that of the nearest need."""

    def __init__(
        self,
        effect: Effect,
        run: str,
        builtins: Mapping[str, Any],
        *,
        agent: str = "claude",
        dependence: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.effect = effect
        self.run = run
        self.given = effect.node.definition
        own = {"step_id": effect.node.id, "run_id": run, "workflow_dir": self.given.get("folder", ""), **builtins}
        self.scope = effect.scope.inner(own)
        self.foreign = bool(self.given.get("foreign"))
        self.warnings: list[str] = []
        self._agent_name = agent
        self._dependence = dependence

    def leaf(self) -> Leaf:
        """The step. TemplateError, with the definition's place, for a name that means nothing."""
        try:
            return self._leaf()
        except TemplateError as error:
            raise TemplateError(f"{self.effect.node.place}: {error.message}", error.hint) from None

    def _leaf(self) -> Leaf:
        kind = "probe" if self.effect.kind == "probe" else self.effect.node.kind
        type, payload = getattr(self, f"_{kind}")()
        checks = tuple(self._checks())
        policy = self._policy(kind)
        env = {name: self.text(value) for name, value in dict(self.given.get("env") or {}).items()}
        workdir = os.path.join(self.effect.workdir, self.text(self.given.get("workdir") or "")) or None
        key = f"{self.run}/{self.effect.address}"
        step = Step(self.effect.address, type, payload, checks, policy, key)
        session = self.text(str(self.given.get("session") or "new"))
        machine = self.text(self.given["machine"]) if self.given.get("machine") and kind != "probe" else None
        digest = digest_of(
            [type, payload, [plain(check) for check in checks], plain(policy), env, workdir, session, machine]
        )
        return Leaf(
            step,
            digest,
            definition_digest(self.effect),
            int(self.given.get("retries") or 0),
            float(self.given.get("delay") or 0.0),
            session,
            workdir,
            env,
            self._repairer(policy),
            machine,
            tuple(self.warnings),
        )

    # Kinds

    def _agent(self) -> tuple[str, dict[str, Any]]:
        preset, role = self.given.get("preset"), self.given.get("role")
        told = [PRESETS[preset]] if preset else []
        told += [f"Your role: {self.text(role)}"] if role else []
        prompt = "\n\n".join([*told, self.text(self.given["prompt"])])
        payload: dict[str, Any] = {
            "prompt": prompt,
            "agent": self.given.get("cli") or self.given.get("agent") or self._agent_name,
        }
        if self.given.get("model"):
            payload["model"] = self.text(self.given["model"])
        reads = preset in READ_ONLY or self.given.get("writes") == "none"
        permission = self.given.get("permission") or ("read-only" if reads else None)
        if permission:
            payload["permission"] = permission
        return "agent_run", payload

    def _shell(self) -> tuple[str, dict[str, Any]]:
        return "shell", self._command(self.given["command"])

    def _probe(self) -> tuple[str, dict[str, Any]]:
        return "shell", self._command(self.effect.text)

    def _command(self, text: str) -> dict[str, Any]:
        shell = str(self.given.get("shell", "sh"))
        command = compile_command(text, self.scope, bash=shell == "bash", literal_expressions=self.foreign)
        self.warnings += command.warnings
        payload: dict[str, Any] = {"command": command.text, "shell": shell}
        if command.values:
            payload["values"] = list(command.values)
        return {**payload, **self._captured()}

    def _captured(self) -> dict[str, Any]:
        """What of the output `capture` takes, where that is not stdout as it is."""
        found = {"stderr": bool(self.given.get("capture_stderr")), "json": self.given.get("capture_format") == "json"}
        return {name: True for name, wanted in found.items() if wanted}

    def _script(self) -> tuple[str, dict[str, Any]]:
        inputs = {name: self.text(value) for name, value in dict(self.given.get("script_inputs") or {}).items()}
        payload = {"script": self.text(self.given["script"]), "folder": self.given["folder"], "inputs": inputs}
        return "script", {**payload, **self._captured()}

    def _task(self) -> tuple[str, dict[str, Any]]:
        payload = self.deep(self.given.get("with_") or {})
        for key in ("agent", "model"):
            if self.given.get(key):
                payload.setdefault(key, self.text(self.given[key]))
        return str(self.given["task"]), payload

    def _gate(self) -> tuple[str, dict[str, Any]]:
        payload: dict[str, Any] = {"question": self.text(self.given["gate"])}
        for key in ("options", "deadline", "default"):
            if self.given.get(key) is not None:
                value = self.given[key]
                payload[key] = list(value) if isinstance(value, tuple) else value
        return "gate", payload

    def _preflight(self) -> tuple[str, dict[str, Any]]:
        checks = []
        for one in self.given["preflight"]:
            command = compile_command(one["command"], self.scope, literal_expressions=self.foreign)
            checks.append({**one, "command": command.text, "values": list(command.values)})
        return "preflight", {"checks": checks}

    def _worktree(self) -> tuple[str, dict[str, Any]]:
        return "worktree", self.deep(self.given["worktree"])

    # Parts

    def text(self, value: str) -> str:
        """A text filled in."""
        return render(value, self.scope, literal_expressions=self.foreign)

    def deep(self, value: Any) -> Any:
        """A value of any shape with its texts filled in."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.deep(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.deep(item) for item in value]
        return value

    def _checks(self) -> Sequence[Check]:
        found = []
        for given in self.given.get("verify") or ():
            if isinstance(given, str):
                name, colon, text = given.partition(":")
                value: Any = text.strip() if colon else None
            else:
                (name, value) = next(iter(given.items()))
            if name == "custom":
                name = "command"
            found.append(Check(name.strip(), self._gate_command(value) if name == "command" else self.deep(value)))
        return found

    def _gate_command(self, value: Any) -> Any:
        """A check's command: values stand at its start, in quotes, where they are data."""
        if isinstance(value, dict) and isinstance(value.get("run"), str):
            made = self._gate_command(value["run"])
            rest = self.deep({key: one for key, one in value.items() if key != "run"})
            return {**(made if isinstance(made, dict) else {"run": made}), **rest}
        if not isinstance(value, str):
            return value
        command = compile_command(value, self.scope, literal_expressions=self.foreign)
        return {"run": command.inline(), "name": self.text(value)} if command.values else command.text

    def _policy(self, kind: str) -> Policy:
        given = self.given
        expects: Expects | None = given.get("expects")
        if expects is None and (
            self.foreign
            or given.get("preset") in READ_ONLY
            or given.get("mode") in ("headless", "autonomous", "interactive")
        ):
            expects = "answer" if kind == "agent" else None
        repairs, repairing = self._repairs(kind)
        return Policy(
            expects=expects,
            attempts=1,
            repairs=repairs,
            repair_agent=repairing,
            timeout=given.get("timeout"),
            may_edit=tuple(self.text(glob) for glob in given.get("may_edit") or ()),
            protect=tuple(self.text(glob) for glob in given.get("protect") or ()),
            artifacts=tuple(self.text(glob) for glob in given.get("artifacts") or ()),
            touches=tuple(given.get("touches") or ()),
        )

    def _repairs(self, kind: str) -> tuple[int, str | None]:
        """How many repairs, and by whom: the agent that is named, the step's own, else that of its nearest need."""
        rule = self.given.get("repairable")
        if rule is None or rule is False or kind in ("probe", "gate", "preflight", "worktree"):
            return 0, None
        most = int(rule.get("attempts", 2)) if isinstance(rule, dict) else 2
        named = self.given.get("repairer", {}).get("agent") or (rule.get("agent") if isinstance(rule, dict) else None)
        if kind == "agent":
            return most, named
        named = named or self._dependence()
        return (most, named) if named is not None else (0, None)

    def _repairer(self, policy: Policy) -> Mapping[str, Any] | None:
        return self.given.get("repairer") if policy.repair_agent is not None else None


def definition_digest(effect: Effect) -> str:
    """The digest of what the file says of an effect, before anything is filled in."""
    return digest_of([effect.kind, effect.text, effect.node.kind, effect.node.definition])


def plain(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, for a digest: unlike `asdict` it copies nothing."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def digest_of(value: Any) -> str:
    """A digest of plain data: the same for the same data, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
