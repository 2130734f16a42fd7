"""Tells a command how tasks end: `notify:` in runner.yaml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runner import hookimpl

if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import Event

_settings: Any = None
_root: str | None = None
"""The section and the project's folder of the configuration that was loaded last: a process works for one project."""


@hookimpl
def configure(config: Config) -> None:
    """Take the section; without a command nothing is told."""
    global _settings, _root
    _settings, _root = config.notify, config.root


@hookimpl
def on_event(event: Event) -> None:
    """Run the command for a task that ended as `notify.on` says, after that is committed.

    1. It runs in the project's folder, with the event as JSON on its standard input, and RUNNER_TASK_ID,
       RUNNER_STATUS, RUNNER_OUTCOME, RUNNER_SUMMARY and RUNNER_PROJECT_DIR in its environment.
    2. What it prints goes to stderr when it fails; that, and a command that takes too long, changes nothing else.
    """
    if _settings is None or not _settings.command or event.kind != "task.settled":
        return
    status = str(event.data.get("status") or "")
    if status not in _settings.on:
        return
    env = {
        **os.environ,
        "RUNNER_TASK_ID": event.task or "",
        "RUNNER_STATUS": status,
        "RUNNER_OUTCOME": str(event.data.get("outcome") or ""),
        "RUNNER_SUMMARY": str(event.data.get("summary") or ""),
    }
    if _root is not None:
        env["RUNNER_PROJECT_DIR"] = _root
    told = {**asdict(event), "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(event.at))}
    told.pop("id")
    _run(_settings.command, json.dumps(told, default=str).encode(), env, float(_settings.timeout))


def _run(command: str, data: bytes, env: dict[str, str], limit: float) -> None:
    """Run it to its end, with all that it started."""
    process = subprocess.Popen(
        ["sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=_root,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(data, timeout=limit)
    except subprocess.TimeoutExpired:
        _end(process)
        raise TimeoutError(f"notify: the command did not end within {limit:g} s") from None
    if process.returncode != 0:
        words = said.decode("utf-8", "replace").strip().splitlines()
        last = f": {words[-1][:200]}" if words else ""
        print(f"notify: the command exited with {process.returncode}{last}", file=sys.stderr)


def _end(process: subprocess.Popen[bytes]) -> None:
    import signal

    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate()
