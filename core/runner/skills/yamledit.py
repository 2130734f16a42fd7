"""Adds to a YAML file by inserting text: comments, order, quotes and line ends of what is there stay as they are."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

import yaml

from runner.config.yamlfile import parse_yaml
from runner.errors import ConfigError

Path = tuple[str, ...]

_PLAIN = re.compile(r"[A-Za-z0-9/_.][^\0-\x1f\x7f]*")
_OTHER = re.compile(r"(?i)null|true|false|yes|no|on|off|y|n|[-+.0-9][-+.0-9_:eExXoO]*|\.inf|\.nan")
"""Plain words that some reader of YAML takes for something else than text."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """A node of the file, and the key that it is the value of (None: the whole file)."""

    node: yaml.Node | None
    key: yaml.Node | None


def add_key(text: str, name: str, path: Path, key: str, value: Any) -> str:
    """The text with `key: value` added at the end of the mapping at `path`, which is made when it is missing.

    `name` is the file's name in messages. ConfigError when it can't be done without changing anything else.
    """
    expected = _expected(parse_yaml(text, name).data, path, lambda at: at.update({key: value}))
    found, rest = _walk(text, path)
    for part in reversed(rest):
        key, value = part, {key: value}
    return _verified(_put(text, found, key, value), expected, name, f"{'.'.join((*path, key))}")


def add_item(text: str, name: str, path: Path, item: str) -> str:
    """The text with `item` added to the end of the list at `path`, which is made when it is missing."""
    *above, key = path
    data = parse_yaml(text, name).data
    spot, rest = _walk(text, path)
    if rest:
        return add_key(text, name, tuple(above), key, [item])

    def append(at: dict[str, Any]) -> None:
        at[key] = [*(at[key] or []), item]

    expected = _expected(data, tuple(above), append)
    return _verified(_append(text, spot, item), expected, name, ".".join(path))


def _expected(data: Any, path: Path, change: Any) -> Any:
    data = copy.deepcopy(data) if isinstance(data, dict) else {}
    at = data
    for part in path:
        inner = at.get(part)
        at[part] = inner if isinstance(inner, dict) else {}
        at = at[part]
    change(at)
    return data


def _verified(text: str | None, expected: Any, name: str, what: str) -> str:
    # What was inserted is read back: an alias or an odd layout must not make it mean something else.
    try:
        if text is not None and parse_yaml(text, name).data == expected:
            return text
    except ConfigError:
        pass
    raise ConfigError(f"{name}: '{what}' can't be added without changing more of the file", "add it by hand")


def _walk(text: str, path: Path) -> tuple[_Spot, Path]:
    """The deepest node on the way to `path` that is there, and what is left of the path."""
    # The pure-Python loader: its marks count characters of the text.
    spot = _Spot(yaml.compose(text, Loader=yaml.BaseLoader), None)
    for n, part in enumerate(path):
        pairs = spot.node.value if isinstance(spot.node, yaml.MappingNode) else ()
        for key, value in pairs:
            if key.value == part:
                spot = _Spot(value, key)
                break
        else:
            return spot, path[n:]
    return spot, ()


def _put(text: str, spot: _Spot, key: str, value: Any) -> str | None:
    """The text with the pair in the mapping `spot`."""
    node, indent = spot.node, 0 if spot.key is None else spot.key.start_mark.column + 2
    if node is None:
        return _after_line(text, text.count("\n") - 1, _block(key, value, 0), at_end=True)
    if isinstance(node, yaml.MappingNode) and node.value:
        if node.flow_style:
            end = node.value[-1][1].end_mark.index
            return f"{text[:end]}, {_word(key)}: {_flow(value)}{text[end:]}"
        column = node.start_mark.column
        return _after_line(text, _last_line(text, node, column), _block(key, value, column))
    if _is_empty(node) and spot.key is not None and spot.key.start_mark.line == node.start_mark.line:
        bare = text[: node.start_mark.index].rstrip(" ") + text[node.end_mark.index :]
        return _after_line(bare, spot.key.start_mark.line, _block(key, value, indent))
    return None


def _append(text: str, spot: _Spot, item: str) -> str | None:
    node = spot.node
    if isinstance(node, yaml.SequenceNode) and node.value:
        if node.flow_style:
            end = node.value[-1].end_mark.index
            return f"{text[:end]}, {_word(item, flow=True)}{text[end:]}"
        column = node.start_mark.column
        return _after_line(text, _last_line(text, node, column), [f"{' ' * column}- {_word(item)}"])
    if node is not None and spot.key is not None and _is_empty(node):
        end = spot.key.end_mark.index
        colon = text.index(":", end) + 1
        return f"{text[:colon]} [{_word(item, flow=True)}]{text[max(colon, node.end_mark.index) :]}"
    return None


def _is_empty(node: yaml.Node) -> bool:
    if isinstance(node, yaml.ScalarNode):
        return not node.style and node.value in ("", "~", "null", "Null", "NULL")
    return not node.value


def _last_line(text: str, node: yaml.Node, column: int) -> int:
    """The number of the last line that belongs to a block, comments that stand deeper than its keys included."""
    leaf = node
    while isinstance(leaf, yaml.CollectionNode) and leaf.value and not leaf.flow_style:
        last = leaf.value[-1]
        leaf = last[1] if isinstance(last, tuple) else last
    lines = text.splitlines()
    number: int = leaf.end_mark.line
    if isinstance(leaf, yaml.ScalarNode) and leaf.style in ("|", ">"):
        # The end of a literal text is where the next thing begins.
        number = min(number, len(lines)) - 1
        while not lines[number].strip():
            number -= 1
    for n in range(number + 1, len(lines)):
        line = lines[n]
        if line.strip() and not (line.lstrip().startswith("#") and len(line) - len(line.lstrip()) > column):
            break
        if line.strip():
            number = n
    return number


def _after_line(text: str, number: int, new: list[str], at_end: bool = False) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    if at_end:
        number = len(lines) - 1
    if lines and not lines[number].endswith(("\n", "\r")):
        lines[number] += end
    lines[number + 1 : number + 1] = [line + end for line in new]
    return "".join(lines)


def _block(key: str, value: Any, indent: int) -> list[str]:
    space = " " * indent
    if isinstance(value, dict) and value:
        inner = [line for name, item in value.items() for line in _block(name, item, indent + 2)]
        return [f"{space}{_word(key)}:", *inner]
    return [f"{space}{_word(key)}: {_flow(value) if isinstance(value, list | dict) else _word(value)}"]


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(name, flow=True)}: {_flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _word(value, flow=True)


def _word(text: str, flow: bool = False) -> str:
    """A text as YAML: plain where every reader takes it for that text, else in double quotes."""
    plain = (
        text.isprintable()
        and _PLAIN.fullmatch(text)
        and not _OTHER.fullmatch(text)
        and not re.search(r":(?:\s|$)|\s#|\s$", text)
        and not (flow and re.search(r"[\[\]{},]", text))
    )
    return text if plain else f'"{"".join(map(_escaped, text))}"'


def _escaped(sign: str) -> str:
    if sign in '"\\':
        return f"\\{sign}"
    if sign.isprintable():
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08x}"
