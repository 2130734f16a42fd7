"""Configuration of which only a part decides a gate: a dependency may be added, the test section may not change."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from runner.engine.gates import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PYTHON: Final = (
    ("build-system",),
    ("project", "entry-points", "pytest11"),
    ("tool", "poetry", "plugins"),
    ("tool", "pytest"),
    ("tool", "tox"),
    ("tool", "nox"),
    ("tool", "coverage"),
    ("tool", "hatch", "envs"),
    ("tool", "pdm", "scripts"),
    ("tool", "poe"),
    ("tool", "taskipy"),
    ("tool", "ruff"),
    ("tool", "mypy"),
    ("tool", "pylint"),
    ("tool", "flake8"),
)
_SETUP_CFG: Final = ("tool:pytest", "pytest", "tox", "testenv", "coverage", "aliases", "flake8", "mypy", "nosetests")
_NODE_KEYS: Final = ("jest", "vitest", "mocha", "ava", "tap", "nyc", "c8", "babel", "jasmine", "karma", "eslintConfig")
_NODE_TOOLS: Final = names(
    "jest vitest mocha ava tap jasmine karma nyc c8 cypress playwright @playwright/test ts-jest babel-jest tsx ts-node"
    " eslint typescript react-scripts"
)
_NOT_GATE: Final = {
    "Cargo.toml": ("dependencies", "dev-dependencies", "build-dependencies", "package", "features", "target", "bin"),
    "composer.json": ("require", "require-dev", "name", "description", "version", "authors", "autoload", "license"),
}


def facts_of(name: str, content: bytes) -> dict[str, str]:
    """The parts of a configuration file that decide a gate: label → fingerprint. Unreadable: one for all of it."""
    try:
        return dict(_READERS[name](content.decode()))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return {"": hashlib.sha256(content).hexdigest()}


def matters_when_added(name: str, label: str, known: frozenset[str], named: frozenset[str]) -> bool:
    """Whether a part that was not there before alters the gate.

    `known` are the labels that were there, `named` the scripts of package.json that a check names.
    """
    if name == "pyproject.toml":
        return label != "[build-system]"
    if name == "package.json":
        kind, _, rest = label.partition(" ")
        if kind == "script":
            aimed = rest.removeprefix("pre").removeprefix("post")
            return rest in named or (aimed != rest and (aimed in named or f"script {aimed}" in known))
        return kind != "dependency"
    return True


def _pyproject(text: str) -> Iterator[tuple[str, str]]:
    import tomllib  # here: most seals meet no pyproject.toml

    whole = tomllib.loads(text)
    for path in _PYTHON:
        value: Any = whole
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            yield f"[{'.'.join(path)}]", _print(value)


def _setup_cfg(text: str) -> Iterator[tuple[str, str]]:
    import configparser  # here: most seals meet no setup.cfg

    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error)) from None
    for section in parser.sections():
        if section.startswith(_SETUP_CFG):
            yield f"[{section}]", _print(dict(parser.items(section)))


def _package_json(text: str) -> Iterator[tuple[str, str]]:
    whole = json.loads(text)
    for name, value in whole.get("scripts", {}).items():
        yield f"script {name}", _print(value)
    for key in _NODE_KEYS:
        if key in whole:
            yield f"key {key}", _print(whole[key])
    for section in ("dependencies", "devDependencies", "optionalDependencies"):
        for name, value in whole.get(section, {}).items():
            if name in _NODE_TOOLS:
                yield f"dependency {name}", _print(value)
    for section in ("overrides", "resolutions"):
        for name, value in whole.get(section, {}).items():
            if name in _NODE_TOOLS:
                yield f"{section} {name}", _print(value)


def _all_but(name: str, load: Callable[[str], Any]) -> Callable[[str], Iterator[tuple[str, str]]]:
    def read(text: str) -> Iterator[tuple[str, str]]:
        for key, value in load(text).items():
            if key not in _NOT_GATE[name]:
                yield f"[{key}]", _print(value)

    return read


def _toml(text: str) -> Any:
    import tomllib  # here: most seals meet no Cargo.toml

    return tomllib.loads(text)


def _go_mod(text: str) -> Iterator[tuple[str, str]]:
    block = ""
    lines: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split("//")[0].split()
        if not words:
            continue
        word = block or words[0]
        if words[-1] == "(":
            block = words[0]
        elif words == [")"]:
            block = ""
        elif word in ("replace", "toolchain"):
            lines.setdefault(word, []).append(" ".join(words[1:] if not block else words))
    for word, found in lines.items():
        yield word, _print(found)


def _print(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


_READERS: Final[dict[str, Callable[[str], Iterator[tuple[str, str]]]]] = {
    "pyproject.toml": _pyproject,
    "setup.cfg": _setup_cfg,
    "package.json": _package_json,
    "Cargo.toml": _all_but("Cargo.toml", _toml),
    "composer.json": _all_but("composer.json", json.loads),
    "go.mod": _go_mod,
}
