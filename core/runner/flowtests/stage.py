"""The folder in which a case plays: a project under git, a home and a state of its own, and no agent on PATH."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runner.errors import ConfigError, RunnerError
from runner.flowtests.cassette import read_cassette
from runner.project import create_project
from runner.workflows.payload import payload_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.app import App
    from runner.flowtests.collect import Collected

TIMEOUT: Final = 120.0
_CONFIGURATION: Final = ("runner.yaml", "machines.yaml", "skills.yaml", "handlers", "plugins")
"""What of the project plays along: its settings, its handlers, its plugins."""
_SECRET: Final = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?$", re.IGNORECASE)
_LEFT_OUT: Final = ("RUNNER_", "GIT_", "XDG_")
_NOWHERE: Final = "http://127.0.0.1:9"
"""A proxy that answers nothing: programs that ask for one stay offline."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of running a case: what the process told (`result`), or why there is none (`error`)."""

    folder: Path
    result: Mapping[str, Any]
    error: str = ""
    troubles: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def project(self) -> Path:
        """The project as the case left it."""
        return self.folder / "project"


def play(app: App, one: Collected, folder: Path, switches: tuple[str, ...] = ()) -> Played:
    """Lay out the case in `folder` (which is empty) and run it. ConfigError for what is wrong with the case."""
    _lay_out(app, one, folder)
    _write(folder / "plays.json", _plays(one, folder))
    payload = payload_of(one.loaded.source.workflow.name, one.loaded, one.values)
    answers = {key: list(given) for key, given in one.case.answers.items()}
    _write(folder / "case.json", {"payload": payload, "answers": answers, "switches": list(switches)})
    error = _run(folder, _environment(one, folder), one.case.timeout or TIMEOUT)
    result: dict[str, Any] = {}
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        error = error or "the process that ran the case ended before its end: see log.txt"
    if "error" in result:
        error = f"{result['error']} ({result['hint']})" if result.get("hint") else str(result["error"])
    troubles, warnings = _troubles(folder)
    return Played(folder, result, error, troubles, warnings)


def _lay_out(app: App, one: Collected, folder: Path) -> None:
    project = folder / "project"
    for name in ("project", "home", "state", "config", "cache", "run", "tmp", "bin", "own", "counts"):
        (folder / name).mkdir(mode=0o700, parents=True)
    for source in one.case.copy_:
        shutil.copytree(
            one.file.parent / source, project, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git")
        )
    for name, text in one.case.files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    brought = [name for name in _CONFIGURATION if _bring(app.project.root / name, project / name)]
    shutil.rmtree(project / ".runner", ignore_errors=True)
    create_project(project, "test")
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _git_env(folder)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "start"]):
        done = subprocess.run(["git", *words], cwd=project, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RunnerError(f"git {words[0]}: {done.stderr.strip()}")
        if words[0] == "init":
            hidden = ["/.runner/", *(f"/{name}" for name in brought), "__pycache__/"]
            (project / ".git" / "info").mkdir(exist_ok=True)
            (project / ".git" / "info" / "exclude").write_text("\n".join([*hidden, ""]), encoding="utf-8")
    _shims(app, folder)


def _bring(source: Path, target: Path) -> bool:
    """A part of the real project, unless the case has its own."""
    if target.exists() or not source.exists():
        return False
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)
    return True


def _shims(app: App, folder: Path) -> None:
    """In the place of every agent's program one that says that it must not be called."""
    for name in {agent.program for agent in app.agents.values() if os.sep not in agent.program}:
        told = {"message": f"a step called the program '{name}' itself: only agent steps are played", "warning": False}
        path = folder / "bin" / name
        line = json.dumps(told).replace("'", "'\\''")
        path.write_text(
            f"#!/bin/sh\nprintf '%s\\n' '{line}' >> '{folder}/troubles.jsonl'\n"
            f"echo '{name}: no real agent runs in a workflow test' >&2\nexit 126\n",
            encoding="utf-8",
        )
        path.chmod(0o755)


def _plays(one: Collected, folder: Path) -> dict[str, Any]:
    """What the player reads."""
    cassettes: dict[str, Any] = {}
    agents = {}
    for key, script in one.case.agents.items():
        agents[key] = {
            "plays": [play.model_dump(exclude_none=True, exclude_defaults=True) for play in script.plays],
            "always": script.always,
            "cassette": script.cassette,
            "match": script.match,
            "place": one.place("agents", key),
        }
        if script.cassette is not None and script.cassette not in cassettes:
            try:
                cassettes[script.cassette] = read_cassette(one.file.parent / script.cassette)
            except ConfigError as error:
                raise ConfigError(f"{one.place('agents', key, 'cassette')}: {error.message}", error.hint) from None
    workflow = os.path.dirname(os.path.realpath(one.loaded.source.path))
    return {
        "case": one.place(),
        "agents": agents,
        "cassettes": cassettes,
        "called": {path: list(names) for path, names in one.steps.called.items()},
        "alias": dict(one.steps.alias),
        "places": [
            (str(folder / "project"), "{project}"),
            (str(folder / "state" / "runner" / "test"), "{state}"),
            (workflow, "{workflow}"),
        ],
    }


def _git_env(folder: Path) -> dict[str, str]:
    """The same git for everybody: no settings of this person or machine, no remote."""
    env = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ALLOW_PROTOCOL": "file"}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "Test", f"GIT_{role}_EMAIL": "test@example.invalid"}
    return {**env, "GIT_TERMINAL_PROMPT": "0", "HOME": str(folder / "home")}


def _environment(one: Collected, folder: Path) -> dict[str, str]:
    """The environment of the run: without this person's settings and secrets, and with nowhere to call."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT) and not _SECRET.search(name)
    }
    for name in ("state", "config", "cache"):
        env[f"XDG_{name.upper()}_HOME"] = str(folder / name)
    env["XDG_RUNTIME_DIR"] = str(folder / "run")
    env["TMPDIR"] = str(folder / "tmp")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        env[name] = env[name.upper()] = _NOWHERE
    env["no_proxy"] = env["NO_PROXY"] = "localhost,127.0.0.1"
    if "RUNNER_DISABLE_PLUGIN_AUTOLOAD" in os.environ:
        env["RUNNER_DISABLE_PLUGIN_AUTOLOAD"] = os.environ["RUNNER_DISABLE_PLUGIN_AUTOLOAD"]
    env |= {**_git_env(folder), **one.case.env}
    return {**env, "PATH": os.pathsep.join([str(folder / "bin"), env.get("PATH", os.defpath)])}


def _run(folder: Path, env: Mapping[str, str], timeout: float) -> str:
    """Run the case's process to its end → why it has none ("" when it has)."""
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "runner.flowtests.acting", str(folder)],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            # The first signal lets what runs finish, the second ends it.
            for number, patience in ((signal.SIGINT, 0.5), (signal.SIGINT, 20.0), (signal.SIGKILL, None)):
                process.send_signal(number)
                try:
                    process.wait(patience)
                    break
                except subprocess.TimeoutExpired:
                    continue
            return f"it took longer than {timeout:g} s: see log.txt"
        except BaseException:
            process.kill()
            process.wait()
            raise
    return (
        "" if process.returncode == 0 else f"the process that ran the case ended with {process.returncode}: see log.txt"
    )


def _troubles(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What was wrong with the case itself while it ran: errors, then warnings."""
    try:
        lines = [json.loads(line) for line in (folder / "troubles.jsonl").read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return (), ()
    errors, warnings = (
        tuple(dict.fromkeys(o["message"] for o in lines if o["warning"] == kind)) for kind in (False, True)
    )
    return errors, warnings


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
