"""Looks at this machine and project: what works, what doesn't, what to do about it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from runner.app import App, hide_password
from runner.config.build import problems
from runner.config.load import read_sources
from runner.errors import RunnerError, suggestion
from runner.keeper import Keeper, Redaction, left_behind
from runner.offers import capabilities_of, installed, machine_name
from runner.project import look_for_project, make_folder, shown, state_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.project import Project

PYTHON: Final = (3, 11)
GIT: Final = (2, 31)
"""The oldest that are known to do: older ones lack what is used, or are not tested."""
_DISK_LOW: Final = 1 << 30
_DISK_FULL: Final = 100 << 20
"""Free bytes below which a warning, or a failure, is due."""

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Item:
    """What one look found: `fix` says what to do when it is not ok."""

    check: str
    state: State
    text: str
    fix: str = ""


class Doctor:
    """All looks, each on its own: one that fails hides no other. `open_app` makes an App with the project's code."""

    def __init__(self, start: Path, open_app: Callable[[], App], *, named: bool = False) -> None:
        self._start = start
        self._open_app = open_app
        self._named = named
        self._found: Project | None = None
        self._app: App | None = None

    def look(self) -> list[Item]:
        """Everything, in the order in which things build on each other."""
        items: list[Item] = []
        for check in ("python", "git", "project", "settings", "state", "processes", "keeper"):
            items += self._guarded(check, getattr(self, f"_{check}"))
        if any(item.state == "failed" for item in items if item.check in ("project", "settings")):
            left = "plugins, store, agents, machine"
            return [*items, Item(left, "warning", "not looked at", "correct the settings, then look again")]
        opened = self._guarded("plugins", self._plugins)
        items += opened
        if self._app is not None:
            for check in ("store", "agents", "machine"):
                items += self._guarded(check, getattr(self, f"_{check}"))
        return items

    def _guarded(self, check: str, look: Callable[[], Iterable[Item]]) -> list[Item]:
        try:
            return list(look())
        except RunnerError as error:
            return [Item(check, "failed", error.message, error.hint)]
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return [Item(check, "failed", f"{where}{error.strerror or error}", "see that it can be used")]

    def _python(self) -> Iterable[Item]:
        import sqlite3  # here: the one who asks is the only one to pay

        version = ".".join(map(str, sys.version_info[:3]))
        if sys.version_info < PYTHON:
            yield Item(
                "python", "failed", f"{version} is too old", f"install Python {'.'.join(map(str, PYTHON))} or newer"
            )
            return
        yield Item("python", "ok", f"{version} ({sys.executable}), SQLite {sqlite3.sqlite_version}")

    def _git(self) -> Iterable[Item]:
        import subprocess  # here: 9 ms

        program = shutil.which("git")
        if program is None:
            yield Item("git", "failed", "git is not on the PATH", "install git")
            return
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=30)
        match = re.search(r"(\d+)\.(\d+)(\.\d+)?", done.stdout)
        if done.returncode != 0 or match is None:
            said = " ".join((done.stderr or done.stdout).split())[:200]
            yield Item(
                "git", "failed", f"{program} does not work: {said or f'exit {done.returncode}'}", "install git again"
            )
        elif (int(match[1]), int(match[2])) < GIT:
            wanted = ".".join(map(str, GIT))
            yield Item("git", "warning", f"{match[0]} is older than {wanted}", f"install git {wanted} or newer")
        else:
            yield Item("git", "ok", f"{match[0]} ({program})")

    def _project(self) -> Iterable[Item]:
        self._found = look_for_project(self._start, named=self._named)
        if self._found is None:
            yield Item("project", "ok", "none here; `runner init` makes one")
        else:
            yield Item("project", "ok", f"{self._found.id} ({shown(self._found.root)})")

    def _settings(self) -> Iterable[Item]:
        sources = read_sources(self._found, os.environ)
        wrong = problems(sources)
        for error in wrong:
            yield Item(
                "settings", "failed", error.message, error.hint or "correct it; `runner schema config` has the keys"
            )
        if not wrong:
            names = [layer.name for layer in sources.layers] + list(sources.variables)
            yield Item("settings", "ok", ", ".join(names) or "all by default")

    def _state(self) -> Iterable[Item]:
        folder = self._found.state if self._found is not None else state_root()
        make_folder(folder)
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            yield Item("state", "failed", f"{folder}: {error.strerror}", "make it writable, or set XDG_STATE_HOME")
            return
        free = shutil.disk_usage(folder).free
        text = f"{folder}: {free / (1 << 30):.1f} GiB free"
        if free < _DISK_LOW:
            state: State = "failed" if free < _DISK_FULL else "warning"
            yield Item("state", state, text, "make room: `runner clean --dry-run` shows what can go")
        else:
            yield Item("state", "ok", text)

    def _keeper(self) -> Iterable[Item]:
        """Whether a process can be started, captured and ended."""
        folder = self._found.state if self._found is not None else state_root()
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=folder) as place, Keeper("doctor", Redaction()) as keeper:
            out, err = Path(place, "stdout.log"), Path(place, "stderr.log")
            done = keeper.run(
                ["sh", "-c", "echo ready"],
                cwd=folder,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                stdin=None,
                stdout=out,
                stderr=err,
                timeout=30.0,
            )
            said = out.read_text().strip()
        took = (time.monotonic() - began) * 1000
        if (done.exit_code, said) != (0, "ready"):
            yield Item(
                "keeper", "failed", f"`sh` under a keeper exited with {done.exit_code}", "see that sh works here"
            )
        else:
            yield Item("keeper", "ok", f"runs and ends a process in {took:.0f} ms")

    def _processes(self) -> Iterable[Item]:
        left = left_behind()
        if left:
            pids = ", ".join(map(str, left[:10]))
            text = f"{len(left)} left by a keeper that was killed: {pids}"
            yield Item("processes", "warning", text, "the next `runner work` on this machine ends them")
        else:
            yield Item("processes", "ok", "none left behind")

    def _plugins(self) -> Iterable[Item]:
        app = self._open_app()
        plugins = app.plugins
        wrong: list[RunnerError] = list(plugins.problems)
        try:
            app.registry.types  # noqa: B018 - made here, so that two owners of one name are found
        except RunnerError as error:
            wrong.append(error)
        else:
            self._app = app
        plugins.load_all()
        yield from (Item("plugins", "failed", error.message, error.hint or "correct it") for error in wrong)
        told = " ".join(error.message for error in wrong)
        broken = [one for one in plugins.records.values() if one.state == "broken" and one.reason not in told]
        for record in broken:
            text = f"{record.name} ({record.source}): {record.reason}"
            yield Item("plugins", "failed", text, f"correct it, or switch it off with -p no:{record.name}")
        if not wrong and not broken:
            on = sum(record.state == "on" for record in plugins.records.values())
            yield Item("plugins", "ok", f"{on} plugins and handlers, none broken")

    def _store(self) -> Iterable[Item]:
        app = self._app
        assert app is not None
        if app.config.store is None and not app.has_project:
            return
        began = time.monotonic()
        workers = app.store.queue.workers()
        took = (time.monotonic() - began) * 1000
        yield Item(
            "store", "ok", f"{hide_password(app.store_url)}: {len(workers)} workers known, read in {took:.0f} ms"
        )

    def _agents(self) -> Iterable[Item]:
        app = self._app
        assert app is not None
        here = [name for name, agent in app.agents.items() if installed(agent)]
        default = app.config.defaults.agent
        agent = app.agents.get(default)
        if agent is not None and default not in here:
            text = f"the default agent '{default}' is not installed (installed: {', '.join(here) or 'none'})"
            fix = agent.install or f"put '{agent.program}' on the PATH"
            yield Item("agents", "warning", text, f"{fix}; or choose another with `defaults: {{agent: NAME}}`")
        else:
            yield Item("agents", "ok", f"installed: {', '.join(here) or 'none'} (do they answer? runner test)")

    def _machine(self) -> Iterable[Item]:
        app = self._app
        assert app is not None
        name = machine_name(app, None)
        offers = capabilities_of(app, name)
        if not app.config.machines:
            yield Item("machine", "ok", f"{name}; no machines.yaml")
            return
        settings = app.config.machines.get(name)
        if settings is None:
            near = suggestion(name, app.config.machines)
            text = f"this machine is called '{name}', and machines.yaml has none of that name"
            yield Item("machine", "warning", text, f"add it, set RUNNER_DEVICE_ID or an alias; {near}")
            return
        system = "macos" if sys.platform == "darwin" else sys.platform
        wrong: list[Item] = []
        if settings.os is not None and settings.os != system:
            text = f"machines.yaml says that {name} runs {settings.os}; it runs {system}"
            wrong.append(Item("machine", "warning", text, f"write `os: {system}`"))
        for agent in settings.agents:
            if agent not in app.agents:
                text = f"machines.yaml declares the agent '{agent}' on {name}, and there is no such agent"
                wrong.append(Item("machine", "warning", text, suggestion(agent, app.agents)))
            elif f"agent:{agent}" not in offers:
                spec = app.agents[agent]
                text = f"machines.yaml declares the agent '{agent}' on {name}, and it is not installed"
                wrong.append(Item("machine", "warning", text, spec.install or f"put '{spec.program}' on the PATH"))
        yield from wrong
        if not wrong:
            yield Item("machine", "ok", f"{name}: offers {', '.join(offers)}")
