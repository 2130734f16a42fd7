"""Runs one case, in a process of its own: the project's own executor and plugins, with every agent played.

`python -m runner.flowtests.acting DIR`: reads `DIR/case.json`, writes `DIR/result.json`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.app import App
from runner.errors import RunnerError, UsageError
from runner.flowtests import player
from runner.model import Agent
from runner.statuses import DONE, FAILED, NEEDS_HUMAN, PENDING

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from runner.model import Context, Step, Task

_MOST_ANSWERS: Final = 100
"""Decisions in one case; more is a run that asks for ever."""
_WORDS: Final = (DONE, FAILED, PENDING)


def stand_in(agent: Agent, stage: Path, reader: Any) -> Agent:
    """The player in the place of an agent: by the same name, with the same permissions, sessions and model."""
    words = ("-I", "-S", os.path.abspath(player.__file__), "--stage", str(stage), "--agent", agent.name)
    plain = (*words, "{model}", "{permissions}")
    return Agent(
        name=agent.name,
        program=sys.executable,
        argv=(*plain, "--session", "{session}"),
        resume=(*plain, "--resume", "{session}") if agent.resume else (),
        format="script",
        model=agent.model,
        model_flag=("--model", "{model}"),
        permissions={level: ("--read-only",) if level == "read-only" else () for level in agent.permissions},
        permission=agent.permission,
        account=agent.account,
        timeout=agent.timeout,
        exit_codes={code: outcome for outcome, code in player.EXITS.items()},
        linger=5.0,
        reader=reader,
    )


class Own:
    """Writes down which step is being run by its own agent, which by who repairs it; the player reads it."""

    def __init__(self, stage: Path) -> None:
        self._folder = stage / "own"
        self._agents: dict[str, str] = {}

    @hookimpl(wrapper=True)
    def run_step(self, step: Step, context: Context) -> Generator[None, Any, Any]:
        """Around every step: what an agent says outside of one is a review."""
        agent = str(step.payload.get("agent"))
        repairing = "_repair" in step.payload
        if not repairing:
            self._agents[step.id] = agent
        other = repairing and self._agents.get(step.id) != agent
        file = self._folder / player.name_of(step.id)
        file.write_text("repair" if other else "yes", encoding="utf-8")
        try:
            return (yield)
        finally:
            file.unlink(missing_ok=True)


def act(stage: Path) -> dict[str, Any]:
    """Run the case of this folder → what came of it."""
    from runner.inplace import prepare_here  # here: what costs is not needed to name the parts
    from runner.store import SubmitTasks

    case = json.loads((stage / "case.json").read_text(encoding="utf-8"))
    project = stage / "project"
    os.chdir(project)
    switches = [*case["switches"], "no:notify"]
    with App.open(project, code=True, named=True, switches=switches, warn=lambda text: None) as app:
        app.config = app.config.with_value("store", None, "workflow test").with_value(
            "artifacts", None, "workflow test"
        )
        if "script" not in app.agents:
            raise UsageError("workflow tests need the agent 'script'", "do not switch off the plugin agent_script")
        reader = app.agents["script"].reader
        app.registry.agents.update({name: stand_in(agent, stage, reader) for name, agent in app.agents.items()})
        app.plugins.register(Own(stage), "workflow-test")
        asked = {"type": "workflow", "payload": case["payload"], "attempts": 1, "cwd": str(project)}
        task = prepare_here(app, asked)
        app.store.commit([SubmitTasks(tasks=(task,))])
        return _told(app, _played(app, task.id, case["answers"]))


def _played(app: App, id: str, answers: Mapping[str, list[str]]) -> Task:
    """Run it, and answer what it asks, until there is nothing to answer."""
    from runner.inplace import worker_for
    from runner.store import ResolveTask

    asked: dict[str, int] = {}
    for _ in range(_MOST_ANSWERS):
        worker_for(
            app,
            id,
            talk=lambda text: print(text, flush=True),
            stepped=lambda claim, told: print(f"{told['path']}: {told['status']}", flush=True),
        ).run()
        task = app.store.queue.get(id)
        if task is None:
            raise RunnerError(f"run {id} is gone from the store")
        payload = _decided(task, answers, asked) if task.status == NEEDS_HUMAN else None
        if payload is None:
            return task
        app.store.commit([ResolveTask(task=id, to=PENDING, by="test", payload=payload)])
    raise RunnerError(f"the run asked more than {_MOST_ANSWERS} times")


def _decided(task: Task, answers: Mapping[str, list[str]], asked: dict[str, int]) -> dict[str, Any] | None:
    """The payload with the answers to what waits; None when there are none."""
    from runner.workflows.decisions import decided, waiting

    payload = None
    for one in waiting(task):
        path = str(one["path"])
        keys = sorted((key for key in answers if player.fits(key, path)), key=lambda key: ("*" in key, key != path))
        given = answers[keys[0]] if keys else []
        name = path if keys and "[" in keys[0] else player.bare(path)
        number = asked.get(name, 0) if len(given) > 1 else 0
        if number >= len(given) or one["outcome"] in ("rate_limited", "auth"):
            continue
        asked[name] = asked.get(name, 0) + 1
        word = given[number]
        if one["kind"] != "gate" and word in _WORDS:
            payload, _ = decided(task, word, by="test", step=path)
        else:
            payload, _ = decided(task, PENDING, answer=word, by="test", step=path)
        task = replace(task, payload=payload)
    return payload


def _told(app: App, task: Task) -> dict[str, Any]:
    result = task.result or {}
    return {
        "run": task.id,
        "status": task.status,
        "outcome": task.outcome,
        "summary": result.get("summary") or "",
        "question": task.question or "",
        "steps": list(result.get("steps") or ()),
        "outputs": dict(result.get("outputs") or {}),
        "warnings": list(result.get("warnings") or ()),
        "attempts": [
            {
                "step": row.step,
                "n": row.n,
                "outcome": row.outcome,
                "folder": (row.result or {}).get("folder"),
                "output": (row.result or {}).get("whole", (row.result or {}).get("output")) or "",
                "summary": (row.result or {}).get("summary") or "",
            }
            for row in app.store.queue.attempts(task.id)
        ],
    }


def main() -> None:
    """Run the case; what is wrong with it is a sentence in the result."""
    stage = Path(sys.argv[1])
    try:
        result = act(stage)
    except RunnerError as error:
        result = {"error": error.message, "hint": error.hint}
    part = stage / "result.json.part"
    part.write_text(json.dumps(result), encoding="utf-8")
    part.replace(stage / "result.json")


if __name__ == "__main__":
    main()
