"""Every example in every command's `--help` runs as it stands."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from runner.cli.table import COMMANDS
from runner.testing import postgres
from tests.conftest import Runner

TASK = "3fk2m9x8w1qd"
OTHER = "7bz1q2m4k8x0"
SHIP = """\
name: ship
params: [{name: what, required: true}]
steps:
  - {id: implement, agent: script, prompt: "[[append: out.txt <<{{what}}]] [[say: written]]"}
  - {id: show, command: cat out.txt}
"""
SHIP_TESTS = """\
workflow: ship
cases:
  - name: what a repair writes stays
    params: {what: everything}
    agents: {implement: {write: {out.txt: everything}}}
"""


def examples() -> list[str]:
    """The example lines of all commands and their subcommands."""
    import importlib

    lines: list[str] = []
    for entry in COMMANDS.values():
        command = importlib.import_module(f"runner.cli.commands.{entry.module}").command
        for one in (command, *(command.commands.values() if isinstance(command, click.Group) else ())):
            epilog = one.epilog or ""
            assert "Example" in epilog, one.name
            lines += [line.strip() for line in epilog.splitlines() if re.match(r"\s+(\w+=\S+ )?runner ", line)]
    return sorted(set(lines))


@pytest.fixture
def ready(project: Path, runner: Runner, tmp_path: Path) -> Path:
    """A project in which the examples mean something: two tasks with their ids, files, programs on PATH."""
    for words in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "start"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    (project / "tasks.jsonl").write_text('{"type": "run_script", "payload": {"script": "true"}}\n')
    (project / "workflows").mkdir()
    (project / "workflows" / "ship.yaml").write_text(SHIP)
    (project / "workflows" / "test_ship.yaml").write_text(SHIP_TESTS)
    (project / "machines.yaml").write_text("machines: {mac-mini: {os: macos}, build-box: {os: linux}}\n")
    (project / "out").mkdir()
    for name in ("report.zip", "playwright-report.zip", "out/log.txt"):
        (project / name).write_text("data")
    home = Path(os.environ["HOME"])
    for folder in (".config/fish/completions", "code/app"):
        (home / folder).mkdir(parents=True)
    bin = tmp_path / "bin"
    bin.mkdir()
    claude = {"type": "result", "subtype": "success", "is_error": False, "result": "So it is.", "session_id": "s"}
    programs = {
        "ssh": "true",
        "runner": f'exec "{sys.executable}" -m runner "$@"',
        "claude": f"cat >/dev/null; echo '{json.dumps(claude)}'",
        "runner-script-agent": f'exec "{sys.executable}" -m runner.testing.script_agent "$@"',
    }
    for name, text in programs.items():
        (bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin / name).chmod(0o755)
    return bin


def prepare(project: Path, example: str) -> None:
    """Tasks and an artifact with the examples' ids, in the state that the command is for."""
    from runner.app import App
    from runner.model import Artifact, NewTask
    from runner.store import ClaimTasks, PutArtifact, Register, Settle, StartAttempt, SubmitTasks
    from runner.worker.identity import make_worker

    words = example.split()
    if "new" in words:
        (project / "workflows" / "ship.yaml").unlink()
    if {"resume", "implement"} & set(words):
        _run_of_ship(project)
        return
    with App.open(project, code=True) as app:
        spec = {"cwd": str(project), "base": None}
        names = {"unit": "wu-12"} if "rescue" in words and "wu-12" in words else {}
        tasks = [
            NewTask(id, "run_script", {"script": "true"}, project=app.project_id, spec=spec, **names)
            for id in (TASK, OTHER)
        ]
        app.store.commit([SubmitTasks(tasks=tuple(tasks))])
        if "artifact" in words:
            with open(project / "report.zip", "rb") as file:
                blob = app.artifact_store.put(file)
            record = Artifact("old.zip", "application/zip", blob.size, blob.sha256, OTHER, project=app.project_id)
            app.store.commit([PutArtifact(artifact=record)])
        if {"resolve", "rescue", "logs", "failures", "review"} & set(words):
            worker = make_worker(app, machine="m", types=(), slots=1)
            _, claims = app.store.commit([Register(worker=worker), ClaimTasks(worker=worker, limit=2)])
            for claim in claims:
                app.store.commit([StartAttempt(fence=claim), Settle(fence=claim, outcome="needs_human", question="?")])
        folder = app.project.state / "runs" / TASK / "steps" / "main" / "1"
        folder.mkdir(parents=True)
        for name in ("stdout.log", "stderr.log"):
            (folder / name).write_text("a line\n")
        if "rescue" in words:
            _snapshots(app.project.state, project)


def _run_of_ship(project: Path) -> None:
    """A run of the workflow `ship` under the examples' id, at its end."""
    import dataclasses

    from runner.app import App
    from runner.inplace import prepare_here, worker_for
    from runner.store import SubmitTasks
    from runner.workflows.payload import library, payload_of

    with App.open(project, code=True) as app:
        payload = payload_of("ship", library(app, project).load("ship"), {"what": "everything"})
        asked = {"type": "workflow", "payload": payload, "attempts": 1, "cwd": str(project)}
        task = dataclasses.replace(prepare_here(app, asked), id=TASK)
        app.store.commit([SubmitTasks(tasks=(task,))])
        worker_for(app, TASK).run()
        ended = app.store.queue.get(TASK)
        assert ended is not None
        assert ended.status == "done", ended.result


def _snapshots(state: Path, project: Path) -> None:
    from runner.workspace import locate, open_workspace

    base = locate(project)
    assert base is not None
    for unit in (TASK, "wu-12"):
        settings = {"repo": base.repo, "base": base.commit, "subdir": "", "cwd": project}
        with open_workspace(
            unit=unit, epoch=1, state=state, resume_from=None, reclaimed=False, **settings
        ) as workspace:
            (workspace.path / "kept.txt").write_text("kept")
            for attempt in (1, 2):
                workspace.snapshot(attempt, "step")


@pytest.mark.parametrize("example", examples())
def test_the_example_runs(ready: Path, project: Path, example: str) -> None:
    if example.split("#")[0].split()[1] not in ("init", "demo", "completion"):
        prepare(project, example)
    env = {**os.environ, "PATH": f"{ready}{os.pathsep}{os.environ['PATH']}"}
    if "--loop" in example:
        _a_while(example, project, env)
    elif "postgresql://" in example:
        with postgres.serve() as server:
            _run(re.sub(r"postgresql://\S+", shlex.quote(server.create()), example), project, env)
    else:
        _run(example, project, env)


def _run(command: str, cwd: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        ["sh", "-c", command], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def _a_while(command: str, cwd: Path, env: dict[str, str]) -> None:
    """A command that runs for ever, until it has done something; then Ctrl-C."""
    with subprocess.Popen(
        f"exec {command}", shell=True, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "started" in process.stderr.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
