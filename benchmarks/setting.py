"""What the benchmarks of one run share: a folder on a real disk, a PostgreSQL server, a crew of processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from runner_plugins.sqlite_store import filesystem

if TYPE_CHECKING:
    from crew import Crew

    from runner.testing.postgres import Server

PROCESSES = 8


class Setting:
    """Made at the start of a run; `close` removes everything."""

    def __init__(self, quick: bool, sqlite: bool = True, postgres: bool = True, folder: str | None = None) -> None:
        self.quick = quick
        self.sqlite = sqlite
        self.postgres = postgres
        self._base = folder or real_disk()
        self.folder = Path(tempfile.mkdtemp(prefix="rb-", dir=self._base))
        self.folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
        self._ends = contextlib.ExitStack()
        self._begun = time.monotonic()
        # Pings between processes go to sockets of this run only, in a short path: theirs have 107 bytes at most.
        self.sockets = Path(tempfile.mkdtemp(prefix="rb-", dir="/tmp"))
        os.environ["XDG_RUNTIME_DIR"] = str(self.sockets)

    @cached_property
    def crew(self) -> Crew:
        from crew import Crew

        return self._ends.enter_context(Crew(PROCESSES))

    @cached_property
    def server(self) -> Server:
        from beds import DURABLE

        from runner.testing import postgres

        if len(str(self.folder)) > 60:
            raise SystemExit(f"the path {self.folder} is too long for PostgreSQL's socket; choose a shorter --folder")
        return self._ends.enter_context(postgres.serve(settings=DURABLE, folder=str(self.folder)))

    def say(self, what: str) -> None:
        """Tell whoever waits what happens now."""
        print(f"[{time.monotonic() - self._begun:4.0f} s] {what}", file=sys.stderr, flush=True)

    def close(self) -> None:
        self._ends.close()
        for folder in (self.folder, self.sockets):
            shutil.rmtree(folder, ignore_errors=True)


def real_disk() -> str:
    """A folder for temporary files that is not in memory, where writing to disk costs nothing."""
    found = [tempfile.gettempdir(), "/tmp", "/var/tmp", str(Path.cwd())]
    for folder in found:
        if os.access(folder, os.W_OK) and filesystem(Path(folder)) not in ("tmpfs", "ramfs"):
            return folder
    raise SystemExit("no folder on a real disk found; name one with --folder")
