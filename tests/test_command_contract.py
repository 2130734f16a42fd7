"""What every command keeps to: an example in its help, one JSON document on stdout for an answer and for an error."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from runner.app import App
from runner.cli.table import COMMANDS
from runner.model import Artifact
from runner.store import PutArtifact
from tests.conftest import Runner
from tests.played import Played, add
from tests.workflows.flows import Flows

ANSWERS: dict[str, list[str]] = {
    "init": ["new-folder", "--yes"],
    "demo": [],
    "submit": ["--type", "run_script", "--payload", '{"script": "true"}'],
    "work": ["--once", "--types", "run_script"],
    "run": ["script", "[[say: hello]]"],
    "record": ["ship", "-o", "tape.json"],
    "workflow test": ["test_ship.yaml"],
    "workflow run": ["ship"],
    "workflow validate": ["ship"],
    "workflow plan": ["ship"],
    "workflow show": ["ship"],
    "workflow list": [],
    "workflow new": ["again", "--agent", "script"],
    "workflow resume": ["RUN"],
    "runs": [],
    "queue": ["--all"],
    "show": ["DONE"],
    "why": ["DONE"],
    "logs": ["DONE"],
    "status": [],
    "review": [],
    "failures": [],
    "resolve": ["ASKS", "done"],
    "retry": ["DONE"],
    "cancel": ["WAITS"],
    "artifact upload": ["kept.txt"],
    "artifact download": ["REF", "--output", "back.txt"],
    "artifact list": [],
    "rescue": [],
    "clean": ["--dry-run"],
    "config": [],
    "schema": ["config"],
    "plugins": [],
    "store upgrade": [],
    "store info": [],
    "completion": ["bash"],
}
"""For each command the words of a call that succeeds; one that is not here is called without any, which may fail."""

ERRORS: dict[str, list[str]] = {
    "init": ["no/such/folder"],
    "submit": ["--type", "no_such_type"],
    "work": ["--types", ","],
    "run": ["no_such_agent", "hello"],
    "record": ["nothing", "-o", "tape.json"],
    "workflow test": ["nothing"],
    "workflow run": ["ship", "too", "many"],
    "workflow plan": ["nothing"],
    "workflow show": ["nothing"],
    "workflow new": ["no/name"],
    "workflow resume": ["DONE"],
    "runs": ["--status", "nonsense"],
    "queue": ["--status", "nonsense"],
    "show": ["nothing"],
    "why": ["nothing"],
    "logs": ["nothing"],
    "status": ["nothing"],
    "review": ["nothing"],
    "resolve": ["nothing"],
    "retry": ["nothing"],
    "cancel": ["nothing"],
    "artifact upload": ["no-such-file"],
    "artifact download": ["nothing"],
    "artifact list": ["--task", "nothing"],
    "rescue": ["nothing"],
    "config": ["nothing"],
    "schema": ["nothing"],
    "completion": ["nothing"],
}
"""For each command the words of a call that fails; others fail by an option that is not there."""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every built-in command by its words, those of groups included."""
    for name, entry in COMMANDS.items():
        command = importlib.import_module(f"runner.cli.commands.{entry.module}").command
        if isinstance(command, click.Group):
            yield from ((f"{name} {child}", one) for child, one in command.commands.items())
            if command.invoke_without_command:
                yield name, command
        else:
            yield name, command


NAMES = sorted(name for name, _ in commands())


@pytest.fixture
def shop(project: Path) -> dict[str, str]:
    """A project with a task that is done, one that asks, one that waits, and an artifact."""
    played = Played(project)
    ids = {name: add(project)[0] for name in ("DONE", "ASKS", "WAITS")}
    for name, outcome in (("DONE", "ok"), ("ASKS", "needs_human")):
        [claim] = played.claim()
        n = played.start(claim)
        (played.folder(ids[name], n) / "stdout.log").write_text("out\n")
        played.settle(claim, outcome, question="?")
    played.close()
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "start"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    ids["RUN"] = Flows(project).run("steps: [{id: say, command: echo hello}]", name="ship").task.id
    (project / "kept.txt").write_text("kept")
    (project / "test_ship.yaml").write_text("workflow: ship\ncases: [{name: it ships}]\n")
    ids["REF"] = kept(project, "kept.txt")
    return ids


def kept(project: Path, name: str) -> str:
    """The handle of an artifact that is made of this file."""
    with App.open(project) as app, open(project / name, "rb") as file:
        blob = app.artifact_store.put(file)
        made = Artifact(name, "text/plain", blob.size, blob.sha256, project=app.project_id)
        stored = app.store.commit([PutArtifact(artifact=made)])[0]
    return str(stored.ref)


def test_the_calls_are_of_commands_that_are_there() -> None:
    assert set(ANSWERS) | set(ERRORS) <= set(NAMES)


@pytest.mark.parametrize(("name", "command"), sorted(commands()), ids=NAMES)
def test_its_help_says_what_it_does_and_shows_an_example(name: str, command: click.Command) -> None:
    assert command.help or command.short_help
    assert re.search(rf"Examples?:\n\n\x08\n(  .*\n)*  (\w+=\S+ )?runner (\S+ )*{name}\b", command.epilog or ""), name
    for param in command.params:
        assert not isinstance(param, click.Option) or param.help, f"{name} {param.opts[0]} says nothing"


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_one_json_document(runner: Runner, shop: dict[str, str], name: str) -> None:
    words = [*name.split(), *(shop.get(word, word) for word in ANSWERS.get(name, [])), "--format", "json"]
    ended = runner(*words)
    assert isinstance(ended.json, dict)
    if name in ANSWERS:
        assert ended.code in (0, 3), ended.stdout + ended.stderr
        assert "error" not in ended.json
    if "items" in ended.json:
        assert isinstance(ended.items, list)
    if "$schema" not in ended.json:  # JSON Schema's own words are in camelCase
        assert all(key == key.lower() for key in ended.json), ended.json.keys()


@pytest.mark.parametrize("name", NAMES)
def test_an_error_is_one_json_document(runner: Runner, shop: dict[str, str], name: str) -> None:
    words = [*name.split(), *ERRORS.get(name, ["--no-such-option"])]
    ended = runner(*words, "--format", "json")
    assert ended.code == 2, ended.stdout + ended.stderr
    assert set(ended.json) == {"error"}
    assert set(ended.error) == {"code", "message", "hint"}
    assert ended.error["message"]
    assert ended.stderr == ""
    text = runner(*words)
    assert (text.code, text.stdout) == (2, "")
    assert text.stderr.startswith(f"error: {ended.error['message']}")
    assert "Traceback" not in text.stderr


@pytest.mark.parametrize("name", [name for name in NAMES if "list" in name or name in ("queue", "review", "failures")])
def test_a_list_is_a_line_each_with_jsonl(runner: Runner, shop: dict[str, str], name: str) -> None:
    words = [*name.split(), *ANSWERS.get(name, [])]
    items = runner.ok(*words, "--format", "json").items
    lines = runner.ok(*words, "--format", "jsonl").stdout.splitlines()
    assert len(lines) == len(items)
    assert all(isinstance(json.loads(line), dict) for line in lines)
