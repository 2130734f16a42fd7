"""Where a project's tools are: its own environment first, then the machine's PATH."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import Context


def project_folders(context: Context) -> list[Path]:
    """Where the project's own environment may be: the workspace, then the project it is a worktree of.

    A worktree does not hold what git ignores (`.venv`, `node_modules`).
    """
    found = [context.workspace]
    project = context.env.get("RUNNER_PROJECT_DIR")
    if project and Path(project) != context.workspace:
        found.append(Path(project))
    return found


def find_program(context: Context, name: str, own: Sequence[str] = ()) -> str | None:
    """The program `name`: from one of the folders `own` of the project, else on PATH; None when it is nowhere."""
    for folder in project_folders(context):
        for below in own:
            path = folder / below / name
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return shutil.which(name, path=context.env.get("PATH", ""))


def package_json(folder: Path) -> dict[str, Any] | None:
    """The folder's package.json; None without one. UsageError when it can't be read."""
    path = folder / "package.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"{path}: must be an object")
    return found
