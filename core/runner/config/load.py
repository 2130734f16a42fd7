"""Finds the layers of the configuration, and answers from the cache when none of them changed."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import runner
from runner.config.values import Config, decode
from runner.errors import ConfigError
from runner.project import config_home, shown, state_root

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.project import Project

_VARIABLE = re.compile(
    r"RUNNER_(?:(?:STORE|ARTIFACTS|PLUGINS|REDACT|AGENTS|ROUTES|TYPES)|(?:DEFAULTS|LIMITS|WORKER|WORKSPACE|RETENTION|SQLITE)_\w+)"
)
"""The variables that set configuration. Hosted CI sets RUNNER_NAME, RUNNER_OS, RUNNER_WORKSPACE …: none of those."""

_CACHED_AT_MOST = 64


class Layer(NamedTuple):
    """A file of the configuration: `kind` is `user`, `project` or `machines`, `name` how messages call it."""

    kind: str
    name: str
    text: str


class Sources(NamedTuple):
    """Everything that a configuration is made from."""

    layers: tuple[Layer, ...]
    variables: dict[str, str]

    def key(self) -> list[Any]:
        """What must be the same for a cached answer to hold: the sources themselves, and the code that judges them."""
        # Compared whole: no digest to collide, and no hashlib to import.
        judge = os.stat(os.path.join(os.path.dirname(__file__), "schema.py"))
        return [runner.__version__, judge.st_mtime_ns, [list(layer) for layer in self.layers], self.variables]


def load_config(project: Project | None, environ: Mapping[str, str] | None = None) -> Config:
    """The effective configuration of a project (None: outside any), flags not yet applied."""
    sources = read_sources(project, os.environ if environ is None else environ)
    key = sources.key()
    folder = state_root() / "config-cache"
    name = _cache_name(key)
    found = _read_cache(folder, name, key)
    if found is None:
        from runner.config.build import build  # imports pydantic and yaml: only when something changed

        found = build(sources)
        _write_cache(folder, name, {"key": key, **found})
    root = os.fspath(project.root) if project is not None else None
    return Config({name: decode(value) for name, value in found["values"].items()}, found["origins"], root)


def read_sources(project: Project | None, environ: Mapping[str, str]) -> Sources:
    """The files and variables that take part, unread by any parser."""
    places = [("user", config_home() / "config.yaml")]
    if project is not None:
        places.append(("project", project.root / "runner.yaml"))
        places.append(("machines", project.root / "machines.yaml"))
    layers = []
    for kind, path in places:
        text = _read(path)
        if text is not None:
            layers.append(Layer(kind, shown(path), text))
    variables = {name: value for name, value in sorted(environ.items()) if _VARIABLE.fullmatch(name)}
    return Sources(tuple(layers), variables)


def _read(path: Path) -> str | None:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown(path)}: not UTF-8 (byte {error.start})", "save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}", "check its permissions") from None


def _cache_name(key: list[Any]) -> str:
    import zlib  # in the interpreter or a small extension; only names the file, the content is compared

    return f"{zlib.crc32(json.dumps(key).encode()):08x}.json"


def _read_cache(folder: Path, name: str, key: list[Any]) -> dict[str, Any] | None:
    try:
        with open(folder / name, encoding="utf-8") as file:
            entry = json.load(file)
        if entry["key"] == key and isinstance(entry["values"], dict) and isinstance(entry["origins"], dict):
            return {"values": entry["values"], "origins": entry["origins"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass  # Missing, cut short or damaged: it is only a cache.
    return None


def _write_cache(folder: Path, name: str, entry: dict[str, Any]) -> None:
    temporary = folder / f"{name}.{os.getpid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        old = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in old[: max(0, len(old) - _CACHED_AT_MOST + 1)]:
            path.unlink(missing_ok=True)
        # The owner alone: URLs may hold passwords.
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(entry, file)
        os.replace(temporary, folder / name)
    except OSError:
        pass  # A read-only or full state folder costs time, not the answer.
