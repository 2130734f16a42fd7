"""How checks run programs: in the runner's own environment, git hooks off, nothing left behind in caches."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.model import Check, Context, Step

_NO_HOOKS: Final = (("core.hooksPath", os.devnull), ("core.fsmonitor", "false"))
_SKIPPED: Final = frozenset({".git", "node_modules", ".tox", ".nox"})


def gate_env(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a check.

    PATH loses relative entries (they would be the workspace's), git runs no hooks and no monitor,
    Python writes no bytecode.
    """
    out = dict(env)
    out["PATH"] = os.pathsep.join(p for p in env.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(p))
    try:
        first = int(env.get("GIT_CONFIG_COUNT", "0"))
    except ValueError:
        first = 0
    for number, (name, value) in enumerate(_NO_HOOKS, first):
        out[f"GIT_CONFIG_KEY_{number}"], out[f"GIT_CONFIG_VALUE_{number}"] = name, value
    out["GIT_CONFIG_COUNT"] = str(first + len(_NO_HOOKS))
    out["GIT_OPTIONAL_LOCKS"] = "0"
    out["GIT_TERMINAL_PROMPT"] = "0"
    out["PYTHONDONTWRITEBYTECODE"] = "1"
    return out


def log_name(check: Check, step: Step, context: Context) -> str:
    """A name for the check's logs that no other check of the attempt has: `check-2`."""
    number = next((place for place, one in enumerate(step.checks, 1) if one is check or one == check), 0)
    name, again = f"check-{number}", 1
    while (context.folder / f"{name}-stdout.log").exists():
        again += 1
        name = f"check-{number}.{again}"
    return name


def forget_bytecode(root: Path) -> None:
    """Remove compiled Python from the workspace's caches: forged, it would be run in the place of its source."""
    for folder, folders, files in os.walk(root):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in _SKIPPED]
        if os.path.basename(folder) == "__pycache__":
            for name in files:
                if name.endswith(".pyc"):
                    with contextlib.suppress(OSError):
                        os.unlink(os.path.join(folder, name))
