"""A project whose tasks write down themselves what they did, on each store, and a crew of workers to torment."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.project import find_project
from runner.store import Store, TaskFilter
from runner.testing import faults, history, postgres
from runner_plugins import postgres_store, sqlite_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Runner

SETTINGS = """
worker: {{lease: {lease}, renew: {renew}, poll: 0.3, grace: 2}}
types: {{run_script: {{interruptions: {interruptions}}}}}
"""


@dataclass
class Field:
    """One project under fault. `effects` is the file that the tasks append to."""

    runner: Runner
    root: Path
    tmp: Path
    url: str
    server: postgres.Server | None = None
    ids: list[str] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)

    @property
    def effects(self) -> Path:
        return self.tmp / "effects.log"

    @property
    def env(self) -> dict[str, str]:
        return {"RUNNER_STORE": self.url}

    def settings(self, lease: float, renew: float, interruptions: int) -> None:
        text = SETTINGS.format(lease=lease, renew=renew, interruptions=interruptions)
        (self.root / "runner.yaml").write_text(text)

    def submit(self, count: int, seconds: float, folders: int) -> None:
        """Tasks that work `seconds` each; a folder runs one at a time."""
        lines = []
        for n in range(count):
            cwd = self.tmp / "cwd" / str(n % folders)
            cwd.mkdir(parents=True, exist_ok=True)
            script = history.effect_lines(self.effects, seconds)
            lines.append(json.dumps({"type": "run_script", "payload": {"script": script}, "cwd": str(cwd)}))
        path = self.tmp / "tasks.jsonl"
        path.write_text("\n".join(lines))
        ended = self.runner.ok("submit", "--from", path, "--format", "json", env=self.env, timeout=300)
        self.ids += [item["id"] for item in ended.items]

    def open(self) -> Store:
        module = postgres_store if self.url.startswith("postgresql") else sqlite_store
        store = module.open_store(self.url, {})
        assert store is not None
        self.stores.append(store)
        return store

    def crew(self, size: int, **settings: Any) -> faults.Crew:
        return faults.Crew(cwd=self.root, logs=self.tmp / "logs", size=size, env=self.env, **settings)

    def unfinished(self, store: Store) -> dict[str, int]:
        return store.queue.count(TaskFilter(statuses=()))

    def moving(self, store: Store) -> bool:
        """Whether anything is still to come without a person."""
        return bool(set(self.unfinished(store)) - {"needs_human"})

    def proof(self, store: Store, stopped: list[int] | None = None) -> history.Report:
        """Everything done once, nothing broken, no process left → the report."""
        known = self.whole_history(store)
        workers = {str(event.data.get("worker")) for event in known.events}
        of_stopped = {worker for worker in workers for pid in stopped or () if f"-{pid}-" in worker}
        report = history.check(known, submitted=self.ids, stopped=of_stopped)
        assert report.violations == [], "\n".join(map(str, [*report.violations[:20], *self.stories(store)]))
        assert store.queue.count(TaskFilter()) == {"done": len(self.ids)}
        self.nobody_left()
        return report

    def whole_history(self, store: Store, seconds: float = 60.0) -> history.History:
        """The history once its log is whole: what is past a transaction of a killed client is not read yet."""
        deadline = time.monotonic() + seconds
        while True:
            known = history.gather(store, self.effects)
            told = {event.task for event in known.events if event.kind in ("task.settled", "task.cancelled")}
            if set(self.ids) <= told or time.monotonic() > deadline:
                return known
            time.sleep(0.5)

    def stories(self, store: Store, most: int = 5) -> Iterator[str]:
        """What became of the first tasks that are not done."""
        for task in [task for task in store.queue.find(TaskFilter()) if task.status != "done"][:most]:
            spent = f"{task.attempts} attempts, {task.interruptions} interruptions"
            yield f"{task.id} is {task.status} ({task.outcome}; {spent}): {task.question or task.result}"
            for event in store.queue.events(task=task.id)[-12:]:
                yield f"    {event.at:.3f} {event.kind} {event.epoch} {dict(event.data)}"

    def nobody_left(self) -> None:
        """No worker, keeper or task of this project runs any more."""
        deadline = time.monotonic() + 20
        while left := faults.pids_with("XDG_STATE_HOME", os.environ["XDG_STATE_HOME"]):
            assert time.monotonic() < deadline, f"left behind: {[_words(pid) for pid in left]}"
            time.sleep(0.1)


def _words(pid: int) -> str:
    try:
        return f"{pid}: {Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ')[:200]!r}"
    except OSError:
        return str(pid)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    with postgres.serve() as server:
        yield server


@pytest.fixture
def sqlite_field(runner: Runner, project: Path, tmp_path: Path) -> Iterator[Field]:
    yield from _field(Field(runner, project, tmp_path, find_project(project).default_store))


@pytest.fixture
def postgres_field(runner: Runner, project: Path, tmp_path: Path, postgres_server: postgres.Server) -> Iterator[Field]:
    if not postgres_server.running:  # a test that failed while it was stopped
        postgres_server.start()
    field = Field(runner, project, tmp_path, postgres_server.create(), postgres_server)
    runner.ok("store", "upgrade", env=field.env)
    yield from _field(field)


@pytest.fixture(params=["sqlite", "postgres"])
def crowd_field(request: pytest.FixtureRequest) -> Field:
    field: Field = request.getfixturevalue(f"{request.param}_field")
    return field


def _field(field: Field) -> Iterator[Field]:
    yield field
    for store in field.stores:
        store.close()
