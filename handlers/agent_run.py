"""Run an AI coding agent once, with a prompt, in the workspace."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import suppress
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.agents import Launch, MissingVariable, Summary, compose, decided, make_reader, marked, outcome, plan
from runner.lazymodel import LazyModel
from runner.logtext import tail
from runner.model import StepResult, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.agents import Decision, Reader, ReaderEvent
    from runner.model import Agent, Context, ProcessResult, Step

expects = "changes"
repairs = 2


def _payload() -> Any:
    from typing import Literal

    from pydantic import BaseModel, ConfigDict, Field, model_validator  # here: see LazyModel

    class Payload(BaseModel):
        """What `agent_run` takes. Keys that begin with `_` are the runner's own."""

        model_config = ConfigDict(
            extra="forbid", strict=True, json_schema_extra={"patternProperties": {"^_": {}}}, title="agent_run"
        )
        prompt: str = Field(min_length=1, description="what the agent is to do")
        agent: str | None = Field(None, description="which agent (default: the configured one)")
        cwd: str | None = Field(None, description="where it works; `~` is the home directory; default: the project")
        model: str | None = Field(None, description="the model, in the agent CLI's words")
        session: str | None = Field(None, description="the id of a session of this agent to go on in")
        permission: Literal["read-only", "edit", "full"] | None = Field(
            None, description="what it may do (default: the agent's own)"
        )

        @model_validator(mode="before")
        @classmethod
        def _own_keys(cls, values: Any) -> Any:
            return (
                {k: v for k, v in values.items() if not str(k).startswith("_")} if isinstance(values, dict) else values
            )

    return Payload


Payload = LazyModel(_payload)


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Launch the agent, read its output as it comes, and say what the attempt came to.

    1. The prompt gets what plugins append, an answer of a person, and either the red checks (`_repair`
       in the payload) or how the last attempt ended. It is written to `prompt.md`, the call to `argv.json`.
    2. The outcome is decided by exit code, terminal event and known errors; only checks can make it done.
    """
    payload = step.payload
    agent = context.agent(payload.get("agent"))
    prompt = compose(
        context.enrich(step, str(payload["prompt"])),
        repair=payload.get("_repair") or (),
        previous=context.previous,
        question=context.task.question,
        answer=context.task.answer,
    )
    elsewhere = _elsewhere(agent, payload, context)
    if elsewhere:
        return StepResult("needs_human", evidence={"question": f"{elsewhere}; begin a new one", "agent": agent.name})
    try:
        launch = plan(
            agent,
            prompt=prompt,
            cwd=context.workspace,
            env=context.env,
            model=payload.get("model"),
            session=payload.get("session"),
            permission=payload.get("permission"),
        )
    except MissingVariable as error:
        question = f"{error.message}; {error.hint}, then retry"
        return StepResult("needs_human", evidence={"question": question, "agent": agent.name})
    program = shutil.which(agent.program, path=launch.env.get("PATH", ""))
    if program is None:
        sentence = f"agent '{agent.name}': the program '{agent.program}' is not on this machine's PATH"
        return StepResult(
            "needs_human", evidence={"question": f"{sentence}; install it, then retry", "agent": agent.name}
        )
    _write(context, launch, prompt, agent)
    watch = _Watch(make_reader(agent), context, agent.linger)
    before = _litter(agent, context.workspace)
    done = context.process(
        [program, *launch.argv[1:]],
        env=launch.env,
        stdin=launch.stdin,
        timeout=agent.timeout,
        silence=step.policy.silence or agent.silence,
        first_output=agent.first_output,
        max_output=agent.max_output,
        on_output=watch.feed,
    )
    _tidy(context.workspace, _litter(agent, context.workspace) - before)
    return _result(step, context, agent, launch, done, watch.close())


class _Watch:
    """Feeds the reader; ends an agent that stays although it has said its last word."""

    def __init__(self, reader: Reader, context: Context, linger: float | None) -> None:
        self._reader = reader
        self._context = context
        self._linger = linger
        self._timer: threading.Timer | None = None
        self._broken = ""

    def feed(self, data: bytes) -> None:
        self._take(lambda: self._reader.feed(data))

    def _take(self, ask: Any) -> None:
        if self._broken:
            return
        try:
            events = ask()
        except Exception as error:  # a plugin's reader: the agent goes on, its log is whole
            self._broken = f"its output can't be read: {type(error).__name__}: {error}"
            return
        for event in events:
            self._show(event)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if event.kind == "final" and self._linger is not None:
                self._timer = threading.Timer(self._linger, self._context.end)
                self._timer.daemon = True
                self._timer.start()

    def _show(self, event: ReaderEvent) -> None:
        """Who watches sees the agent's last words and tools, and what it has cost."""
        if event.kind == "text":
            self._context.progress(str(event.data.get("text", "")))
        elif event.kind == "tool" and event.data.get("name"):
            self._context.progress(f"[{event.data['name']}]")
        elif event.kind == "cost" and isinstance(event.data.get("usd"), (int, float)):
            self._context.progress(cost_usd=event.data["usd"])
        elif event.kind == "usage":
            counts = (event.data.get("input_tokens"), event.data.get("output_tokens"))
            self._context.progress(tokens=sum(count for count in counts if isinstance(count, int)) or None)

    def close(self) -> Summary:
        """The process has ended: what it said."""
        self._linger = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        self._take(self._reader.close)
        if self._broken:
            return Summary(final=True, outcome="crashed", error=self._broken)
        return self._reader.summary()


def _litter(agent: Agent, workspace: Path) -> set[str]:
    """Names in the directory that this agent leaves there and that are no work."""
    found: set[str] = set()
    if agent.litter:
        with suppress(OSError):
            found.update(name for name in os.listdir(workspace) if any(fnmatchcase(name, g) for g in agent.litter))
    return found


def _tidy(workspace: Path, names: set[str]) -> None:
    """Delete what the agent left, or it would count as its work; what can't be deleted stays."""
    for name in names:
        path = workspace / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _write(context: Context, launch: Launch, prompt: str, agent: Agent) -> None:
    """What was asked, and how, for people who look at the attempt later; values of variables are not told."""
    (context.folder / "prompt.md").write_text(context.redact(prompt), encoding="utf-8", errors="replace")
    call = {
        "agent": agent.name,
        "argv": [context.redact(word) for word in launch.argv],
        "cwd": str(launch.cwd),
        "session": launch.session,
        "env_set": launch.set,
        "env_stripped": launch.stripped,
        "stdin_bytes": len(launch.stdin),
    }
    _write_json(context.folder / "argv.json", call)


def _result(
    step: Step, context: Context, agent: Agent, launch: Launch, done: ProcessResult, summary: Summary
) -> StepResult:
    errors = tail(done.stderr)
    decision = outcome(done.exit_code, summary, done.limit, agent=agent, stderr=errors)
    session = summary.session or launch.session
    usage = _usage(agent, step.payload, context, summary)
    evidence: dict[str, Any] = {
        "agent": agent.name,
        "model": step.payload.get("model") or agent.model,
        "error": context.redact(decision.why) if decision.outcome not in ("ok", "needs_human") else None,
        "question": context.redact(_question(agent, decision, summary)) or None,
        "denied": sorted(set(summary.denied)),
        "session_cost_usd": summary.session_cost_usd,
        "session_tokens": _tokens(agent, summary),
        "session_cwd": str(context.workspace) if session and agent.resume_in == "same" else None,
        "limit": done.limit,
        "ended_processes": done.survivors,
    }
    output = summary.text
    word, reason = decided(output)
    evidence |= {"decision": word or None, "decision_reason": context.redact(reason) or None}
    evidence["marker"] = marked(output) or None
    if summary.cut:
        evidence |= {"output_path": str(done.stdout), "output_bytes": done.stdout_bytes}
        output = f"(the final message is too long to be held here: {done.stdout})"
    elif output:
        (context.folder / "output.txt").write_text(output + "\n", encoding="utf-8", errors="replace")
    if usage is not None:
        _write_json(context.folder / "usage.json", asdict(usage))
    return StepResult(
        outcome=decision.outcome,
        output=output,
        exit_code=done.exit_code,
        evidence={name: value for name, value in evidence.items() if value not in (None, [], 0)},
        usage=usage,
        retry_at=decision.retry_at,
        session=session,
    )


def _question(agent: Agent, decision: Decision, summary: Summary) -> str:
    """What a person is asked: the agent's own question, or what is wrong that only a person can put right."""
    if summary.question:
        return summary.question
    return f"agent '{agent.name}': {decision.why}" if decision.outcome == "needs_human" else ""


def _usage(agent: Agent, payload: Mapping[str, Any], context: Context, summary: Summary) -> Usage | None:
    """What this attempt spent: of a session that goes on, its sums less what was known before; else unknown."""
    usage, session = summary.usage, payload.get("session")
    if usage is None or session is None:
        return usage
    before = _before(payload, context)
    if summary.session_cost_usd is not None and "cost" in agent.cumulative:
        known = before.get("session_cost_usd")
        cost = max(0.0, summary.session_cost_usd - known) if isinstance(known, (int, float)) else None
        usage = replace(usage, cost_usd=cost)
    if "tokens" in agent.cumulative:
        known = before.get("session_tokens")
        if isinstance(known, list) and len(known) == 2:
            usage = replace(
                usage,
                input_tokens=_less(usage.input_tokens, known[0]),
                output_tokens=_less(usage.output_tokens, known[1]),
            )
        else:
            usage = replace(usage, input_tokens=None, output_tokens=None)
    return usage


def _tokens(agent: Agent, summary: Summary) -> list[int | None] | None:
    """The sums of the session, where the agent tells those: what the next attempt in it has to take off."""
    if "tokens" not in agent.cumulative or summary.usage is None:
        return None
    return [summary.usage.input_tokens, summary.usage.output_tokens]


def _elsewhere(agent: Agent, payload: Mapping[str, Any], context: Context) -> str:
    """Why a session can't go on here; "" when it can, as far as is known."""
    session = payload.get("session")
    if session is None or agent.resume_in == "any":
        return ""
    begun = _before(payload, context).get("session_cwd")
    if begun is None or begun == str(context.workspace):
        return ""
    return f"agent '{agent.name}' can go on in a session only where it began: {begun}"


def _before(payload: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """What is known of the last attempt in the session that is gone on in, of this step or of another one."""
    for attempt in reversed(context.previous):
        if attempt.result and attempt.result.get("session") == payload["session"]:
            return attempt.result
    before: Mapping[str, Any] = payload.get("_session_before") or {}
    return before


def _less(total: int | None, before: Any) -> int | None:
    return max(0, total - before) if total is not None and isinstance(before, int) else None


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
