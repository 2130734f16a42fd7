"""What a worker costs while there is nothing to do: CPU time of `runner work --loop` and all its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from report import Goal, Section, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from setting import Setting

SETTLE = 3.0
"""Seconds until a worker that has just started is idle."""


def run(setting: Setting) -> Section:
    """Measure a worker on each store, all at the same time."""
    seconds = 6.0 if setting.quick else 30.0
    setting.say(f"an idle worker, {seconds:.0f} s")
    urls: dict[str, str | None] = {}
    if setting.sqlite:
        urls["SQLite"] = None
    if setting.postgres:
        urls["PostgreSQL"] = setting.server.create(name="idle")
    workers = {store: _start(setting.folder / f"idle-{store}", url) for store, url in urls.items()}
    try:
        time.sleep(SETTLE)
        before = {store: _cpu(worker.pid) for store, worker in workers.items()}
        begin = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - begin
        used = {store: _cpu(worker.pid) - before[store] for store, worker in workers.items()}
        for store, worker in workers.items():
            if worker.poll() is not None:
                raise RuntimeError(f"the idle worker on {store} ended with {worker.returncode}")
    finally:
        for worker in workers.values():
            _stop(worker)
    section = Section("an idle worker")
    table = Table(f"of one core, over {took:.0f} s", ["", "CPU %"])
    for store, value in used.items():
        percent = 100 * value / took
        table.rows.append((store, percent))
        section.goals.append(Goal(f"{store}, `runner work --loop` with its children", percent, 0.2, unit=" %"))
    section.tables = [table]
    section.data = used
    return section


def _start(folder: Path, url: str | None) -> subprocess.Popen[bytes]:
    folder.mkdir()
    home = folder / "home"
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RUNNER_", "XDG_"))}
    env.update(HOME=str(home), XDG_RUNTIME_DIR=os.environ["XDG_RUNTIME_DIR"], RUNNER_DISABLE_PLUGIN_AUTOLOAD="1")
    if url is not None:
        env["RUNNER_STORE"] = url
    runner = [sys.executable, "-m", "runner"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*runner, "init", "--yes"], cwd=folder, env=env, check=True, **quiet)
    if url is not None:
        subprocess.run([*runner, "store", "upgrade"], cwd=folder, env=env, check=True, **quiet)
    out = (folder / "worker.log").open("wb")
    return subprocess.Popen([*runner, "work", "--loop"], cwd=folder, env=env, stdout=out, stderr=out)


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(15)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _cpu(pid: int) -> float:
    """Seconds of CPU time of a process and its descendants, all threads (Linux)."""
    total = 0
    for one in _tree(pid):
        for thread in Path(f"/proc/{one}/task").glob("*/schedstat"):
            total += int(thread.read_text().split()[0])
    return total / 1e9


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _tree(int(child))
