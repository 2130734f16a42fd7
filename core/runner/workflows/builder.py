"""Workflows in Python: a chain of calls that makes the same model as a file.

from runner import workflow

result = (
    workflow("ship")
    .agent("lead", cli="claude", role="Architect", retries=2)
    .step("plan", agent="lead", task="Plan it.")
    .step("check", command="make check", needs=["plan"])
    .on_error("retry", max_retries=2, retry_delay=10)
    .run()
)
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import ConfigError, suggestion
from runner.workflows.load import Source, load, validated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.workflows.load import Loaded
    from runner.workflows.pyrun import RunResult


class Builder:
    """A workflow that is being written. Each call returns the same builder; `loaded` says what is wrong with it."""

    def __init__(self, name: str) -> None:
        self._data: dict[str, Any] = {"name": name, "pattern": "dag"}
        self._steps: list[dict[str, Any]] = []
        self._agents: dict[str, dict[str, Any]] = {}
        self._places: dict[tuple[str | int, ...], str] = {(): _caller()}

    def description(self, text: str) -> Builder:
        """What it is for."""
        return self._set("description", text)

    def param(self, name: str, *, default: str | None = None, required: bool | None = None) -> Builder:
        """A parameter; without a default it must be given."""
        one = {"name": name, "default": default, "required": required}
        return self._set("params", [*self._data.get("params", ()), {k: v for k, v in one.items() if v is not None}])

    def pattern(self, name: str) -> Builder:
        """How its steps follow each other: "dag" (the default here: by `needs` alone), "pipeline", …"""
        return self._set("pattern", name)

    def max_concurrency(self, count: int) -> Builder:
        """How many steps run at once, at most."""
        return self._set("max_concurrency", count)

    def timeout(self, seconds: float | str) -> Builder:
        """How long the run may take: seconds, or "1h30m"."""
        return self._set("timeout", seconds)

    def budget(self, *, usd: float | None = None, tokens: int | str | None = None, turns: int | None = None) -> Builder:
        """What the run may spend."""
        given = {"usd": usd, "tokens": tokens, "turns": turns}
        return self._set("budget", {key: value for key, value in given.items() if value is not None})

    def env(self, **variables: str) -> Builder:
        """Variables for all its programs."""
        return self._set("env", {**self._data.get("env", {}), **variables})

    def agent(self, name: str, **options: Any) -> Builder:
        """An agent under a name: `cli`, `model`, `role`, `preset`, `permission`, `retries`, `timeout`, …"""
        self._agents[name] = options
        self._places["agents", name] = _caller()
        return self._set("agents", self._agents)

    def step(self, id: str, **options: Any) -> Builder:
        """A step: `agent` and `task` (its prompt), or `command`, `script`, `workflow`, `task_type`, `gate`, …

        `needs` (or `depends_on`), `verify` and the other keys are those of a file.
        """
        self._places["steps", len(self._steps)] = _caller()
        self._steps.append({"id": id, **_native(options)})
        return self._set("steps", self._steps)

    def on_error(
        self,
        strategy: str,
        *,
        max_retries: int = 2,
        retry_delay: float | None = None,
        repair_agent: str | None = None,
        repair_retries: int | None = None,
    ) -> Builder:
        """What a failing step means: "fail-fast", "continue", or "retry" (seconds between)."""
        if strategy not in ("fail-fast", "continue", "retry"):
            hint = suggestion(strategy, ("fail-fast", "continue", "retry"))
            raise ConfigError(f"{_caller()}: on_error can't be '{strategy}'", hint)
        made: dict[str, Any] = {"strategy": "continue" if strategy == "continue" else "fail-fast"}
        if strategy == "retry":
            made["retry"] = {"max": max_retries, **({} if retry_delay is None else {"delay": retry_delay})}
        if repair_agent is not None or repair_retries is not None:
            self.repairable(agent=repair_agent, attempts=2 if repair_retries is None else repair_retries)
        return self._set("on_error", made)

    def repairable(self, *, agent: str | None = None, attempts: int = 2) -> Builder:
        """Red checks go to an agent before a step fails."""
        return self._set("repairable", {"attempts": attempts, **({} if agent is None else {"agent": agent})})

    reliable = repairable

    def packages(self, names: Sequence[str]) -> Builder:
        """Which packages it touches, for planning what may run beside it."""
        return self._set("packages", list(names))

    def isolated_from(self, names: Sequence[str]) -> Builder:
        """Workflows that must not run beside it."""
        return self._set("isolated_from", list(names))

    def requires_before(self, names: Sequence[str]) -> Builder:
        """Workflows that must have run before it."""
        return self._set("requires_before", list(names))

    def to_config(self) -> Mapping[str, Any]:
        """The same as a file's data."""
        return self._data

    def to_yaml(self) -> str:
        """The same as a file's text."""
        import yaml

        return yaml.safe_dump(self._data, sort_keys=False, allow_unicode=True, width=120)

    def source(self) -> Source:
        """The validated model; ConfigError names the line of the call."""
        return validated(Path(self._places[()].partition(":")[0]), self.to_yaml(), self._data, self._places)

    def loaded(self, folders: Sequence[Path] = ()) -> Loaded:
        """The workflow with its sub-workflows, ready to run."""
        source = self.source()
        return load(source.path, folders, reader=_First(source))

    def dry_run(self) -> dict[str, Any]:
        """What it will do, and nothing done: `{"waves", "steps"}` as `runner workflow plan` has it."""
        from runner.workflows.plan import plan

        return plan(self.loaded().root)

    def run(
        self,
        *,
        cwd: str | Path | None = None,
        params: Mapping[str, str] | None = None,
        on_event: Callable[[Mapping[str, Any]], None] | None = None,
        worktree: bool = False,
    ) -> RunResult:
        """Run it in this process, in the project of `cwd` (default: the current folder), and wait for its end.

        `on_event` hears of each step whose state changes: `{"path", "kind", "status", …}`, in another thread.
        ConfigError and UsageError say what is wrong with it before anything runs; how it ends is in the result.
        """
        from runner.workflows.pyrun import run

        return run(self, Path(cwd) if cwd is not None else Path.cwd(), params or {}, on_event, worktree=worktree)

    def _set(self, key: str, value: Any) -> Builder:
        self._data[key] = value
        self._places[(key,)] = _caller()
        return self


class _First:
    """A reader that has the first source already; others come from their files."""

    def __init__(self, source: Source) -> None:
        self._source: Source | None = source

    def __call__(self, path: Path) -> Source:
        from runner.workflows.load import read

        source, self._source = self._source, None
        return source if source is not None else read(path)


def _native(options: Mapping[str, Any]) -> dict[str, Any]:
    """A step's options in the file's words: an agent's `task` is its prompt."""
    made = dict(options)
    if "task" in made and "agent" in made and "prompt" not in made:
        made["prompt"] = made.pop("task")
    if "task_type" in made:
        made["task"] = made.pop("task_type")
    if made.pop("type", None) == "deterministic" and made.pop("fail_on_error", True) is False:
        made["continue_on_failure"] = True
    made.pop("capture_output", None)
    made.pop("fail_on_error", None)
    check = made.pop("verification", None)
    if check is not None:
        made["verify"] = [{check["type"]: check.get("value", 0 if check["type"] == "exit_code" else None)}]
    return made


def _caller() -> str:
    """`file:line` of the call outside this module."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame is not None else "workflow"


def workflow(name: str) -> Builder:
    """Begin a workflow."""
    return Builder(name)
