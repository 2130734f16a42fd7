"""What the program may not import: start-up is the first thing a person and a script notice."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runner.cli.table import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Runner

HEAVY = {
    "asyncio",
    "boto3",
    "botocore",
    "concurrent.futures",
    "email",
    "http.client",
    "importlib.metadata",
    "logging",
    "multiprocessing",
    "pexpect",
    "psycopg",
    "pydantic",
    "rich",
    "sqlite_utils",
    "ssl",
    "subprocess",
    "tempfile",
    "unittest",
    "urllib.request",
    "yaml",
}
"""No command that answers a question needs one of these."""

STORE = {"pluggy", "sqlite3", "runner.app", "runner.plugins", "runner.model", "runner.store", "runner_plugins"}
"""`--help` and the like need no store, no plugin and no noun."""

WRITES = {
    "runner.store.ops",
    "runner_plugins.sql.apply",
    "runner_plugins.postgres_store",
    "runner.engine",
    "runner.worker",
}
"""Commands that only read do not pay for those that write."""

PROBE = """
import sys
sys.argv = ["runner", *sys.argv[1:]]
from runner.__main__ import main
code = main()
print("PROBE", code, *sorted(sys.modules), file=sys.stderr)
"""


def imported(args: list[str], cwd: Path) -> set[str]:
    """The modules that one call of the program has imported by its end."""
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    word, code, *modules = ran.stderr.splitlines()[-1].split()
    assert (word, code) == ("PROBE", "0"), ran.stderr
    return set(modules)


def within(modules: set[str], names: set[str]) -> list[str]:
    """Those of `names` that are there, and modules inside them."""
    return sorted(m for m in modules if any(m == name or m.startswith(name + ".") for name in names))


def test_version_imports_nothing_but_the_package(folder: Path) -> None:
    modules = imported(["--version"], folder)
    assert [m for m in sorted(modules) if m.startswith("runner")] == ["runner", "runner.__main__"]
    assert within(modules, HEAVY | STORE | {"click", "inspect", "json", "dataclasses", "pathlib"}) == []


@pytest.mark.parametrize("args", [["--help"], ["-h"], []])
def test_help_imports_no_command_no_store_and_no_plugin(folder: Path, args: list[str]) -> None:
    modules = imported(args, folder)
    assert within(modules, HEAVY | STORE) == []
    assert [m for m in modules if m.startswith("runner.cli.commands.")] == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_a_command_opens_nothing(folder: Path, name: str) -> None:
    heavy = HEAVY - {"subprocess", "tempfile"}  # what a command needs to do its work it may import
    assert within(imported([name, "--help"], folder), heavy | {"sqlite3", "runner.plugins", "runner_plugins"}) == []


@pytest.mark.parametrize("args", [["queue"], ["queue", "--all"], ["status"], ["review"], ["failures"]])
def test_commands_that_read_import_no_parser_no_schema_and_no_write(
    runner: Runner, project: Path, args: list[str]
) -> None:
    (project / "runner.yaml").write_text("worker: {slots: 2}\n")
    runner.ok("submit", "--type", "run_script", "--payload", json.dumps({"script": "true"}))

    for form in ([], ["--format", "json"]):
        assert within(imported([*args, *form], project), HEAVY | WRITES) == []


def test_reading_a_task_imports_no_parser_no_schema_and_no_write(runner: Runner, project: Path) -> None:
    task = runner.ok("submit", "--type", "run_script", "--payload", '{"script": "true"}', "--format", "json").json["id"]
    for args in (["show", task], ["why", task], ["status", task], ["logs", task]):
        assert within(imported(args, project), HEAVY | WRITES) == [], args


def test_every_module_imports_alone() -> None:
    import pkgutil

    import runner
    import runner_plugins

    names = [
        found.name
        for package in (runner, runner_plugins)
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        if found.name != "runner.__main__"
    ]
    assert len(names) > 50
    # In one process, each with the package's other modules forgotten: a cycle shows when its second half goes first.
    code = """
import importlib, sys
for name in sys.argv[1:]:
    for known in [m for m in sys.modules if m.partition(".")[0] in ("runner", "runner_plugins")]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
"""
    ran = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
