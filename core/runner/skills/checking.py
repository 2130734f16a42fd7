"""Runs the checks of skills on this machine: side by side, each within its time, its whole tree ended after it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from runner.skills.registry import this_os

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.model import JSON
    from runner.skills.registry import Skill

State = Literal["installed", "missing", "timeout", "other_os", "no_check"]

LIMIT: Final = 20.0
"""Seconds that a check may take: `flutter --version` may build its tool first."""

_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found: `detail` is a line of its output (the last where it failed), or why there was none."""

    skill: Skill
    state: State
    detail: str = ""

    @property
    def installed(self) -> bool:
        return self.state == "installed"

    def to_json(self) -> JSON:
        """The skill with `state`, `installed` (None: not known) and `detail`."""
        known = self.state in ("installed", "missing", "timeout")
        return {
            **self.skill.to_json(),
            "state": self.state,
            "installed": self.installed if known else None,
            "detail": self.detail,
        }


def without_running(skill: Skill, os: str) -> Checked | None:
    """The answer for a skill that has nothing to run on such a system; None: its check must be run."""
    if not skill.runs_on(os):
        return Checked(skill, "other_os", f"for {', '.join(skill.os)}")
    if skill.check is None:
        return Checked(skill, "no_check", "it has no check command")
    return None


def check_here(
    skills: Iterable[Skill], seen: Callable[[Checked], None] = lambda one: None, limit: float = LIMIT
) -> list[Checked]:
    """Each skill's state on this machine, in the given order. `seen` is called as they come, in this thread."""
    skills = list(skills)
    found: dict[str, Checked] = {}
    pool = ThreadPoolExecutor(max_workers=_AT_ONCE)
    try:
        for future in as_completed([pool.submit(check_one, skill, limit) for skill in skills]):
            one = future.result()
            found[one.skill.name] = one
            seen(one)
    finally:
        # After Ctrl-C those that wait are not begun; those that run end within their limit.
        pool.shutdown(cancel_futures=True)
    return [found[skill.name] for skill in skills]


def check_one(skill: Skill, limit: float = LIMIT) -> Checked:
    """The state of one skill on this machine."""
    answer = without_running(skill, this_os())
    if answer is not None:
        return answer
    assert skill.check is not None
    # To a file: whatever a check leaves behind in the background must not keep us waiting for the end of a pipe.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["sh", "-c", skill.check],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        output.seek(0)
        text = output.read(1 << 16).decode("utf-8", "replace")
    return judged(skill, code, text, limit)


def judged(skill: Skill, code: int | None, text: str, limit: float) -> Checked:
    """What an exit code (None: it took too long) and an output say."""
    if code is None:
        return Checked(skill, "timeout", f"its check took longer than {limit:g} s")
    # A version is in the first line, a complaint in the last.
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    line = lines[0] if code == 0 else lines[-1]
    return Checked(skill, "installed" if code == 0 else "missing", line[:200] or ("" if code == 0 else f"exit {code}"))


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()
