"""The README does what it says: its terminal sessions run as they stand, its YAML loads, its plugins work."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.conftest import REPOSITORY, Runner
from tests.pages import programs, session

README = (REPOSITORY / "README.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL)


def test_the_sessions_run_as_they_stand(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    bin = programs(tmp_path / "bin")
    assert sum(session(block, folder, bin) for block in blocks("console")) >= 12


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
