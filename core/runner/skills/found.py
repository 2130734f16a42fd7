"""Remembers which skills passed their check on this machine, so that a worker can offer them without a wait."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

from runner.project import state_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from runner.skills.checking import Checked

AGE: Final = 7 * 86400.0
"""Seconds for which an answer holds: what is not checked again is not offered for ever."""

_FILE: Final = "skills-found.json"


def found_file() -> Path:
    """Where the answers are: for this person on this machine, whatever the project."""
    return state_root() / _FILE


def key(check: str) -> str:
    """What must be the same for an answer to hold: the check itself, where programs are looked for, the machine."""
    return json.dumps([check, os.environ.get("PATH", ""), os.uname().nodename])


def remember(answers: Iterable[Checked]) -> None:
    """Keep these answers, in the place of older ones of the same skills. A full disk is no reason to fail."""
    from runner.errors import RunnerError  # here, both: a worker only reads
    from runner.skills.files import only_one, replace_text

    path, now = found_file(), time.time()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with only_one(path.parent):
            kept = {name: one for name, one in _read(path).items() if now - one["at"] < AGE}
            for answer in answers:
                kept.pop(answer.skill.name, None)
                if answer.installed and answer.skill.check is not None:
                    kept[answer.skill.name] = {"key": key(answer.skill.check), "at": now, "detail": answer.detail}
            replace_text(path, json.dumps(kept, indent=1) + "\n")
    except (OSError, RunnerError):
        pass


def found_here() -> tuple[str, ...]:
    """The names of the skills that passed their check on this machine, with this PATH, not too long ago."""
    now = time.time()
    kept = _read(found_file())
    return tuple(
        sorted(name for name, one in kept.items() if 0 <= now - one["at"] < AGE and _holds(one.get("key", "")))
    )


def _holds(kept: str) -> bool:
    try:
        check, *_ = json.loads(kept)
    except (ValueError, TypeError):
        return False
    return kept == key(check)


def _read(path: Path) -> Mapping[str, dict[str, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        return {name: one for name, one in data.items() if isinstance(one["at"], int | float)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # missing or damaged: it is only a memory
