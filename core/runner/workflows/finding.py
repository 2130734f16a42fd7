"""Where the file of a workflow is: named by its path, or by a name that is looked up in folders."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

SUFFIXES: Final = (".yaml", ".yml")
VERSIONED: Final = re.compile(r"(.+)-v(\d+)\.(\d+)")
"""The name of a file that has its version in it: `ship-v1.2`."""


def find(name: str, folders: Sequence[Path], known: Collection[str] = ()) -> Path:
    """The file of a workflow: a path, or a name looked up in `folders` (versioned files: the newest).

    `known` are the real paths of all files there are; none: those on disk. Raises ConfigError with the nearest name.
    """
    path = Path(name)
    if path.suffix in SUFFIXES or os.sep in name:
        for base in (Path(), *folders):
            if _is_file(base / path, known):
                return base / path
        raise ConfigError(f"there is no workflow file '{name}'", _nearby(name, folders, known))
    for folder in folders:
        for suffix in SUFFIXES:
            if _is_file(folder / f"{name}{suffix}", known):
                return folder / f"{name}{suffix}"
        versions = [
            (int(match[2]), int(match[3]), file)
            for file in _files(folder, known)
            if (match := VERSIONED.fullmatch(file.stem)) and match[1] == name
        ]
        if versions:
            return max(versions)[2]
    raise ConfigError(f"there is no workflow '{name}'", _nearby(name, folders, known))


def _is_file(path: Path, known: Collection[str]) -> bool:
    return os.path.realpath(path) in known if known else path.is_file()


def _files(folder: Path, known: Collection[str] = ()) -> list[Path]:
    if known:
        real = os.path.realpath(folder)
        return sorted(Path(path) for path in known if os.path.dirname(path) == real)
    try:
        return sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES and file.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _nearby(name: str, folders: Sequence[Path], known: Collection[str]) -> str:
    files = [file for folder in folders for file in _files(folder, known)]
    names = sorted({file.stem for file in files if not file.name.startswith("test_")})
    looked = ", ".join(str(folder) for folder in folders)
    return suggestion(Path(name).stem, names) if names else f"looked in: {looked}" if looked else ""
