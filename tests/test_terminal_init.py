"""`runner init` on a terminal: few questions with good defaults, nothing written before the last yes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from runner.cli.newproject import guess_check
from tests.conftest import Runner
from tests.terminal import Terminal

PLUGIN = """\
from runner import hookimpl
from runner.model import Agent


@hookimpl
def register_agents():
    return {name: Agent(name, name, install=f"get {name}") for name in ("aardvark", "cook")}
"""


def on(runner: Runner, folder: Path, *words: str, **env: str) -> Terminal:
    # No agent is installed, whatever this machine has.
    return Terminal([*runner.argv, "init", *words], folder, 200, 60, {"PATH": "/nonexistent", **env})


def written(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and ".git/" not in str(p))


def test_it_asks_shows_and_writes(runner: Runner, folder: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / "conftest.py").write_text("")
    with on(runner, folder) as terminal:
        terminal.until(f"Make {folder} a project? [Y/n]:")
        terminal.type("\n")
        terminal.until("Agent of tasks that name none [claude]:")
        assert "git repository" not in terminal.text
        terminal.type("nobody\n")
        terminal.until("there is no agent 'nobody'")
        terminal.type("script\n")
        terminal.until("Check [pytest -q]:")
        terminal.type("\n")
        terminal.until("Write it? [Y/n]:")
        assert "  agent: script" in terminal.text
        assert written(folder) == ["conftest.py"]
        terminal.type("\n")
        assert terminal.wait() == 0
    assert written(folder) == [".runner/project.json", ".runner/schema/config.json", "conftest.py", "runner.yaml"]
    assert runner.ok("config", "types.agent_run.checks", "--format", "json").json["value"] == ["command: pytest -q"]
    submitted = runner.ok("submit", "Do it", "--dry-run", "--format", "json").json
    assert {"type": "command", "value": "pytest -q"} in submitted["checks"]
    assert runner.ok("config", "defaults.agent", "--format", "json").json["value"] == "script"
    text = (folder / "runner.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=.runner/schema/config.json\n")
    schema = json.loads((folder / ".runner" / "schema" / "config.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))
    assert "script" in schema["$defs"]["Defaults"]["properties"]["agent"]["anyOf"][0]["enum"]


QUESTIONS = ["a project? [Y/n]:", "Agent of tasks that name none [claude]:", "Check [", "Write it? [Y/n]:"]


@pytest.mark.parametrize(("last", "answer", "code"), [(0, "n\n", 1), (0, "\x03", 130), (1, "\x03", 130), (3, "n\n", 1)])
def test_a_no_or_ctrl_c_leaves_nothing(runner: Runner, folder: Path, last: int, answer: str, code: int) -> None:
    (folder / "test_it.py").write_text("")
    with on(runner, folder) as terminal:
        for question in QUESTIONS[:last]:
            terminal.until(question)
            terminal.type("\n")
        terminal.until(QUESTIONS[last])
        terminal.type(answer)
        assert terminal.wait() == code
    assert written(folder) == ["test_it.py"]


def test_a_folder_without_git_is_told_what_that_means(runner: Runner, folder: Path) -> None:
    with on(runner, folder) as terminal:
        terminal.until("a project?")
        terminal.type("\n")
        terminal.until("It is in no git repository: tasks will work in the folder itself")
        terminal.type("\x03")
        assert terminal.wait() == 130


def test_settings_that_are_there_stay_and_are_not_asked_for(runner: Runner, folder: Path) -> None:
    (folder / "runner.yaml").write_text("worker: [wrong\n")
    with on(runner, folder) as terminal:
        terminal.until("a project?")
        terminal.type("\n")
        assert terminal.wait() == 0
    assert (folder / "runner.yaml").read_text() == "worker: [wrong\n"
    assert written(folder) == [".runner/project.json", "runner.yaml"]


def test_again_brings_the_schema_back(runner: Runner, folder: Path) -> None:
    runner.ok("init", "--yes")
    schema = folder / ".runner" / "schema" / "config.json"
    schema.unlink()
    before = (folder / "runner.yaml").read_text()
    runner.ok("init", "--yes")
    assert schema.is_file()
    assert (folder / "runner.yaml").read_text() == before


@pytest.mark.parametrize("words", [["--yes"], []])
def test_the_agent_that_is_installed_is_the_default(
    runner: Runner, folder: Path, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "shelf.py").write_text(PLUGIN)
    (tmp_path / "cook").write_text("#!/bin/sh\n")
    (tmp_path / "cook").chmod(0o755)
    path = os.pathsep.join([str(tmp_path), "/usr/bin", "/bin"])
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "runner"
    config.mkdir()
    (config / "config.yaml").write_text("plugins: [shelf]\n")
    runner.ok("init", *words, env={"PATH": path, "PYTHONPATH": str(tmp_path)})
    assert yaml.safe_load((folder / "runner.yaml").read_text()) == {"defaults": {"agent": "cook"}}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({}, ""),
        ({"pyproject.toml": "[tool.pytest.ini_options]"}, "pytest -q"),
        ({"tests/conftest.py": ""}, "pytest -q"),
        ({"test_cart.py": "import unittest"}, "python3 -m unittest"),
        ({"package.json": '{"scripts": {"test": "vitest"}}'}, "npm test"),
        ({"package.json": '{"scripts": {"test": "vitest"}}', "pnpm-lock.yaml": ""}, "pnpm test"),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, ""),
        ({"package.json": "[not json"}, ""),
        ({"package.json": '{"scripts": [1]}'}, ""),
        ({"Cargo.toml": ""}, "cargo test"),
        ({"go.mod": ""}, "go test ./..."),
        ({"Makefile": "all:\n\ntest: all\n\tprove\n"}, "make test"),
        ({"Makefile": "latest:\n\ttrue\n"}, ""),
    ],
)
def test_how_the_tests_are_run_is_guessed(folder: Path, files: dict[str, str], command: str) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    assert guess_check(folder) == command
