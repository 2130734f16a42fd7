"""YAML 1.2 with places: `on` is a word, `010` is ten, `12:30` is text, a key given twice is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml

from runner.errors import ConfigError

try:
    from yaml import CBaseLoader as _BaseLoader  # libyaml: ten times as fast, in every wheel of PyYAML
except ImportError:  # pragma: no cover - a PyYAML that was built without libyaml
    from yaml import BaseLoader as _BaseLoader  # type: ignore[assignment]

Path = tuple[str | int, ...]

_MOST_NODES = 200_000
"""More values than any real file has: the bound on what a few aliases of aliases may grow to."""


class _Loader(_BaseLoader):
    """Resolves plain scalars by the YAML 1.2 core schema."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]


_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
for _name, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), _first)


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data, and where each value stands: `lines[path]` is its (line, column), counted from 1."""

    name: str
    data: Any
    places: dict[Path, tuple[int, int]]

    def place(self, path: Path) -> str:
        """`file:line` of the value at `path`, or of the nearest one around it that the file has."""
        while path and path not in self.places:
            path = path[:-1]
        line, _ = self.places.get(path, (1, 1))
        return f"{self.name}:{line}"


def parse_yaml(text: str, name: str) -> Document:
    """The one document of `text`; `name` is the file's name in messages."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        places: dict[Path, tuple[int, int]] = {}
        data = None if node is None else _Build(name, places).value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigError(f"{place}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        if found is None:
            raise ConfigError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from None
        before = text[: found.start()].split("\n")
        place = f"{name}:{len(before)}:{len(before[-1]) + 1}"
        raise ConfigError(f"{place}: not valid YAML: it has the character U+{ord(found[0]):04X}", "remove it") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None
    finally:
        loader.dispose()
    return Document(name, data, places)


class _Build:
    """Makes values from nodes and notes their places."""

    def __init__(self, name: str, places: dict[Path, tuple[int, int]]) -> None:
        self.name = name
        self.places = places
        self.open: set[int] = set()
        self.count = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.count += 1
        if self.count > _MOST_NODES:
            raise ConfigError(f"{self.at(node)}: more than {_MOST_NODES} values (aliases of aliases?)")
        self.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if id(node) in self.open:
            raise ConfigError(f"{self.at(node)}: an alias that contains itself")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            return self.mapping(node, path)
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self.at(key_node)}: a key must be a word")
            key = str(key_node.value)
            if key == "<<" and not key_node.style:
                merged.update(self.merge(value_node, path))
                continue
            if key in own:
                raise ConfigError(f"{self.at(key_node)}: key '{key}' is there twice")
            # The key's own place: what people look for when a key or its value is wrong.
            self.places[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            own[key] = self.value(value_node, (*path, key))
        return {**merged, **own}

    def merge(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in reversed(parts):
            if not isinstance(part, yaml.MappingNode):
                raise ConfigError(f"{self.at(node)}: '<<' takes a mapping or a list of mappings")
            merged.update(self.value(part, path))
        return merged

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        try:
            return _scalar(kind, text)
        except KeyError:
            raise ConfigError(f"{self.at(node)}: unknown tag '{node.tag}'", "write plain values") from None
        except ValueError:
            raise ConfigError(f"{self.at(node)}: '{text[:40]}' is not a {kind}") from None

    def at(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _scalar(kind: str, text: str) -> Any:
    match kind:
        case "str" | "!":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    raise KeyError(kind)
