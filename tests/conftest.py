"""Fixtures for all tests: nothing of the person who runs them, no installed plugins, the program as a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """A shell that runs the tests in the background lets them ignore Ctrl-C, and children inherit that."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test: state, configuration, cache, sockets; a git identity; no RUNNER_ variables."""
    home = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith(("RUNNER_", "GIT_", "XDG_"))]:
        monkeypatch.delenv(name)
    for variable, folder in (
        ("HOME", ""),
        ("XDG_STATE_HOME", "state"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_RUNTIME_DIR", "run"),
    ):
        (home / folder).mkdir(mode=0o700, exist_ok=True)
        monkeypatch.setenv(variable, str(home / folder))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@example.org")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("RUNNER_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return home


@dataclass
class Ended:
    """How a call of the program ended. `json` is its one document on stdout."""

    args: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.json["items"]
        return items

    @property
    def error(self) -> dict[str, str]:
        error: dict[str, str] = self.json["error"]
        return error


@dataclass
class Runner:
    """Calls the program: `runner("queue", "--format", "json")`. `ok(…)` fails the test unless the exit code is 0."""

    cwd: Path
    env: dict[str, str] = field(default_factory=dict)

    def __call__(
        self,
        *args: str | Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        input: str | None = "",
        timeout: float = 120,
    ) -> Ended:
        ended = subprocess.run(
            [*self.argv, *map(str, args)],
            cwd=cwd or self.cwd,
            env={**os.environ, **self.env, **(env or {})},
            input=input,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
        return Ended(tuple(map(str, args)), ended.returncode, ended.stdout, ended.stderr)

    def ok(self, *args: str | Path, **settings: Any) -> Ended:
        ended = self(*args, **settings)
        assert ended.code == 0, f"runner {' '.join(ended.args)} → {ended.code}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def start(
        self, *args: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, **popen: Any
    ) -> subprocess.Popen[str]:
        """The program running in the background; the test ends it."""
        settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **popen}
        return subprocess.Popen(
            [*self.argv, *map(str, args)],
            cwd=cwd or self.cwd,
            env={**os.environ, **self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            **settings,
        )

    @property
    def argv(self) -> list[str]:
        return [sys.executable, "-m", "runner"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder that is no project."""
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def project(folder: Path) -> Path:
    """A folder that is a project."""
    from runner.project import create_project

    created, _ = create_project(folder)
    created.prepare()
    return folder


@pytest.fixture
def runner(folder: Path) -> Runner:
    """The program, started in `folder` (which `project` makes a project)."""
    return Runner(folder)
