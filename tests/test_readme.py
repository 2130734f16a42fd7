"""The README does what it says: its terminal sessions run as they stand, its YAML loads, its plugins work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Runner

README = (REPOSITORY / "README.md").read_text()
_ID = re.compile(r"\b[0-9a-z]{12}\b")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def shell(command: str, cwd: Path, bin: Path) -> tuple[int, str]:
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=cwd,
        env={**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout if done.returncode in (0, 3) else done.stdout + done.stderr


@pytest.fixture
def bin(tmp_path: Path) -> Path:
    """A folder for PATH with the program in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "runner").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runner "$@"\n')
    (folder / "runner-script-agent").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m runner.testing.script_agent "$@"\n'
    )
    for program in folder.iterdir():
        program.chmod(0o755)
    return folder


def test_the_sessions_run_as_they_stand(tmp_path: Path, bin: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    ran = 0
    for block in blocks("console"):
        command, expected = "", []
        for line in [*block.splitlines(), "$ "]:
            if not line.startswith("$ "):
                expected.append(line)
                continue
            if command:
                _compare(command, expected, *shell(command, folder, bin))
                ran += 1
            command, expected = line[2:], []
    assert ran >= 12


def _compare(command: str, expected: list[str], code: int, out: str) -> None:
    wanted_code = 0
    if expected and (match := re.fullmatch(r"\[exit (\d+)\]", expected[-1])):
        wanted_code = int(match[1])
        expected = expected[:-1]
    assert code == wanted_code, f"{command} → {code}\n{out}"
    plain = [" ".join(_ID.sub("ID", line).split()) for line in out.splitlines()]
    for line in expected:
        # What is shown is the start of a real line: ages, sizes and digests after it vary.
        words = " ".join(line.split()).split("…")[0]
        assert any(real.startswith(words) for real in plain), f"{command}: no line like {line!r} in\n{out}"


def test_the_configuration_loads(project: Path, runner: Runner) -> None:
    [yaml] = blocks("yaml")
    (project / "runner.yaml").write_text(yaml)
    runner.ok("config")
    assert runner.ok("config", "worker.slots", "--format", "json").json["value"] == 2


def test_the_handler_and_the_check_work(project: Path, runner: Runner) -> None:
    handler, plugin = blocks("python")
    for folder, name, text in (("handlers", "greet.py", handler), ("plugins", "small.py", plugin)):
        (project / folder).mkdir()
        (project / folder / name).write_text(text)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    runner.ok("submit", "--type", "greet", "--payload", '{"name": "Ada"}')
    small = runner.ok(
        "submit", "--agent", "script", "[[write: a <<one]]", "--check", "small: 1", "--format", "json"
    ).json
    large = runner.ok(
        "submit",
        "--agent",
        "script",
        "[[write: a <<one\ntwo]]",
        "--check",
        "small: 1",
        "--repairs",
        "0",
        "--format",
        "json",
    ).json
    assert runner("work", "--drain").code in (1, 3)
    tasks = {task["id"]: task for task in runner.ok("queue", "--all", "--format", "json").items}
    assert tasks[small["id"]]["status"] == "done"
    assert "2 lines changed, 1 allowed" in tasks[large["id"]]["result"]["summary"]
    assert any(task["result"]["output"] == "hello Ada" for task in tasks.values())


def test_every_command_of_its_table_is_there_and_the_other_way_round() -> None:
    from runner.cli.table import COMMANDS

    rows = [line for line in README.split("## The commands")[1].splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([a-z]+)[^`]*`", row)}
    assert named == set(COMMANDS)
