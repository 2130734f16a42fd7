"""The check `command`: a shell command, run by the runner itself, exits 0."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from runner import hookimpl
from runner.logtext import last_line, tail
from runner.model import CheckSpec, Verdict
from runner_plugins.gate_process import forget_bytecode, gate_env, log_name

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import Check, Context, ProcessResult, Step

TIMEOUT: Final = 600.0
"""Seconds, when the check does not say."""

_KEYS: Final = ("run", "timeout", "regex", "name")
_SEARCHED: Final = 1 << 20
"""Last bytes of each log that `regex` is looked for in."""


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`command: pytest -q`, `command: {"run": "pytest -q", "timeout": 60, "regex": "[0-9]+ passed"}`."""
    return {"command": CheckSpec("a shell command that the runner runs exits with 0", parse)}


def parse(value: Any) -> str | dict[str, Any]:
    """A command line, or a mapping of `run`, `timeout` (seconds), `regex` (must occur in its output as well), `name`.

    `name` is what people are told that it is, instead of the command.
    """
    if isinstance(value, str):
        mapping = _mapping(value)
        if mapping is None:
            if not value.strip() or "\0" in value:
                raise ValueError("the command is empty" if not value.strip() else "the command has a NUL character")
            return value
        value = mapping
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is neither a command nor a mapping with 'run'")
    for key in value:
        if key not in _KEYS:
            raise ValueError(f"'{key}' is not known here; known: {', '.join(_KEYS)}")
    if not isinstance(value.get("run"), str) or not value["run"].strip() or "\0" in value["run"]:
        raise ValueError("'run' must be a command")
    limit = value.get("timeout")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit > 0):
        raise ValueError("'timeout' must be seconds, more than 0")
    if not isinstance(value.get("name", ""), str):
        raise ValueError("'name' must be a text")
    try:
        re.compile(value.get("regex") or "")
    except (re.error, TypeError) as error:
        raise ValueError(f"'regex' is not a regular expression: {error}") from None
    return value


def _mapping(text: str) -> dict[str, Any] | None:
    """The mapping that a text is; None for a command, which may start with a brace too."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


@hookimpl
def verify(check: Check, step: Step, context: Context) -> Verdict:
    """Run it in the step's directory, with the environment that the worker was started with."""
    value = parse(check.value)
    given: dict[str, Any] = {"run": value} if isinstance(value, str) else value
    command, limit = given["run"], float(given.get("timeout") or TIMEOUT)
    forget_bytecode(context.workspace)
    done = context.process(
        ["sh", "-c", command], env=gate_env(context.env), timeout=limit, name=log_name(check, step, context)
    )
    evidence = {
        "exit_code": done.exit_code,
        "stdout": str(done.stdout),
        "stderr": str(done.stderr),
        "seconds": round(done.seconds, 3),
        "tail": _tail(done),
    }
    shown = " ".join((given.get("name") or command).split())
    shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
    if done.limit is not None:
        what = f"did not end within {limit:g} s" if done.limit == "timeout" else f"was ended ({done.limit})"
        return Verdict(False, f"`{shown}` {what}", evidence)
    if done.exit_code != 0:
        return Verdict(False, f"`{shown}` exited with {done.exit_code}{_why(done)}", evidence)
    pattern = given.get("regex")
    if pattern and not any(re.search(pattern, _end(log)) for log in (done.stdout, done.stderr)):
        return Verdict(False, f"`{shown}` exited with 0, but its output has nothing that matches {pattern!r}", evidence)
    return Verdict(True, f"`{shown}` exited with 0{_why(done)}", evidence)


def _why(done: ProcessResult) -> str:
    """The line that says most: the last of the output; of a shell that found no program, its complaint."""
    logs = (done.stderr, done.stdout) if done.exit_code in (126, 127) else (done.stdout, done.stderr)
    line = last_line(logs[0]) or last_line(logs[1])
    return f": {line[:200]}" if line else ""


def _tail(done: ProcessResult) -> str:
    parts = [tail(done.stdout), tail(done.stderr, 8)]
    return "\n".join(part for part in parts if part)


def _end(path: Path) -> str:
    with open(path, "rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _SEARCHED))
        return file.read(_SEARCHED).decode("utf-8", "replace")
