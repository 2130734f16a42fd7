"""The check `file_exists`: files are there, in the step's directory."""

from __future__ import annotations

import json
import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.model import CheckSpec, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from runner.model import Check, Context


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`file_exists: out.txt`, `file_exists: ["a.txt", "b/"]`."""
    return {"file_exists": CheckSpec("the file, or each of a list, is in the step's directory", parse)}


def parse(value: Any) -> str | list[str]:
    """A path below the step's directory, or a list of them."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            pass  # a file may be called so
    paths = value if isinstance(value, list) else [value]
    if not paths or not all(isinstance(path, str) and path.strip() for path in paths):
        raise ValueError("a path, or a list of paths, is expected")
    for path in paths:
        if "\0" in path:
            raise ValueError("the path has a NUL character")
        if path.startswith(("/", "~")) or ".." in PurePosixPath(path).parts:
            raise ValueError(f"'{path}' leaves the workspace; write a path below the step's directory")
    return paths if isinstance(value, list) else str(paths[0])


@hookimpl
def verify(check: Check, context: Context) -> Verdict:
    """Each must be there, and stay in the workspace when links are followed."""
    value = parse(check.value)
    paths = value if isinstance(value, list) else [value]
    root = os.path.realpath(context.workspace)
    missing, outside = [], []
    sizes: dict[str, int] = {}
    for path in paths:
        real = os.path.realpath(os.path.join(root, path))
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            outside.append(path)
        elif not os.path.exists(real):
            missing.append(path)
        else:
            sizes[path] = os.stat(real).st_size
    evidence = {"found": sizes, "missing": missing, "outside": outside, "cwd": str(context.workspace)}
    if outside:
        return Verdict(False, f"{_and(outside)} leads out of the workspace by a symbolic link", evidence)
    if missing:
        near = _near(context.workspace, missing[0])
        hint = f" (there is '{near}')" if near else ""
        return Verdict(False, f"{_and(missing)} {'does' if len(missing) == 1 else 'do'} not exist{hint}", evidence)
    return Verdict(True, f"{_and(paths)} {'exists' if len(paths) == 1 else 'exist'}", evidence)


def _and(paths: list[str]) -> str:
    words = [f"'{path}'" for path in paths[:5]] + ([f"{len(paths) - 5} more"] if len(paths) > 5 else [])
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _near(root: Path, path: str) -> str | None:
    import difflib  # here: only a red check needs it

    folder = os.path.dirname(path)
    try:
        names = [name for name in os.listdir(os.path.join(root, folder)) if name != os.path.basename(path)]
    except OSError:
        return None
    found = difflib.get_close_matches(os.path.basename(path), names, n=1, cutoff=0.7)
    return os.path.join(folder, found[0]) if found else None
