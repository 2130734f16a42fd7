"""Texts with placeholders: `{{name}}`, `{{steps.read-types.output}}`, `{{ an expression }}`; `\\{{` is a literal.

Only `{{ … }}` is recognised: `{% %}` and `{# #}` are plain text, and so is `${#arr[@]}`. A placeholder that is a
path (`name(.segment)*`, segments of letters, digits, `_`, `-`) is looked up by key and never by attribute; anything
else is an expression in a sandbox. A value is put in once: it is never looked at again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runner.errors import RunnerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.templates.scope import Scope

_OPEN: Final = re.compile(r"\\\{\{|\{\{")
_STRING: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_PATH: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")


class TemplateError(RunnerError):
    """A text can't be filled in: bad syntax, an undefined name, a place where a value can't stand safely."""

    code = "template"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{{ … }}` in a text: what is inside, stripped; where it starts (offset in the text) and ends.

    `path` are the segments when it is a path, else None: then it is an expression.
    """

    source: str
    start: int
    end: int
    path: tuple[str, ...] | None


def parse(text: str, *, literal_expressions: bool = False) -> list[str | Placeholder]:
    """The text's parts: plain strings (`\\{{` is `{{` there) and placeholders.

    With `literal_expressions` (files of other dialects) what is no path stays as it is: `{{.Names}}`, `${{ x }}`.
    Raises TemplateError for one that is not closed or empty.
    """
    parts: list[str | Placeholder] = []
    plain: list[str] = []
    place = 0
    while (found := _OPEN.search(text, place)) is not None:
        plain.append(text[place : found.start()])
        if found[0].startswith("\\"):
            plain.append("{{")
            place = found.end()
            continue
        end = _close(text, found.end())
        source = text[found.end() : end].strip() if end is not None else ""
        path = tuple(source.split(".")) if _PATH.fullmatch(source) else None
        foreign = path is None or text[max(0, found.start() - 1) : found.start()] == "$"
        if literal_expressions and foreign:
            stop = end + 2 if end is not None else found.end()
            plain.append(text[found.start() : stop])
            place = stop
            continue
        if end is None:
            raise TemplateError(
                f"'{_shown(text[found.start() :])}' is not closed with '}}}}'", r"write \{{ for a literal"
            )
        if not source:
            raise TemplateError("'{{}}' names nothing", r"write \{{ for a literal")
        if any(plain):
            parts.append("".join(plain))
        plain.clear()
        parts.append(Placeholder(source, found.start(), end + 2, path))
        place = end + 2
    plain.append(text[place:])
    if any(plain):
        parts.append("".join(plain))
    return parts


def _close(text: str, place: int) -> int | None:
    """Where the `}}` of a placeholder is: not inside its strings, and after its own braces."""
    depth = 0
    while place < len(text):
        if text.startswith("}}", place) and depth == 0:
            return place
        sign = text[place]
        if sign in "'\"":
            string = _STRING.match(text, place)
            # An apostrophe in what is no expression (`{{it's}}`) opens no string.
            place = string.end() if string else place + 1
            continue
        if sign == "\n" and depth == 0 and text[place : place + 2] == "\n\n":
            return None
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if depth < 0:
            return None
        place += 1
    return None


def _shown(text: str) -> str:
    line = text.splitlines()[0]
    return line if len(line) <= 40 else f"{line[:39]}…"


def roots(text: str, *, literal_expressions: bool = False) -> list[tuple[str, ...]]:
    """The paths that a text uses; of its expressions what they start from: `steps['a'].x` is `("steps", "a", "x")`."""
    from runner.templates.expression import names_of  # here: only expressions need the parser

    found: list[tuple[str, ...]] = []
    for part in parse(text, literal_expressions=literal_expressions):
        if isinstance(part, Placeholder):
            found += [part.path] if part.path is not None else names_of(part.source)
    return found


def render(text: str, scope: Scope, *, literal_expressions: bool = False) -> str:
    """The text with its placeholders' values as people write them (`text_of`)."""
    parts = parse(text, literal_expressions=literal_expressions)
    return "".join(part if isinstance(part, str) else text_of(value_of(part, scope)) for part in parts)


def value_of(placeholder: Placeholder, scope: Scope) -> Any:
    """The value of a placeholder; TemplateError when a name is undefined or an expression can't be evaluated."""
    if placeholder.path is not None:
        return scope.look_up(placeholder.path)
    from runner.templates.expression import evaluate

    return evaluate(placeholder.source, scope)


def text_of(value: Any) -> str:
    """A value as text: strings as they are, true and false in YAML's spelling, lists and mappings as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    import json

    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Mappings and sequences of any kind as JSON has them."""
    if hasattr(value, "keys"):
        mapping: Mapping[str, Any] = value
        return {str(key): _plain(item) for key, item in _made(mapping)}
    if isinstance(value, (list, tuple)):
        items: Sequence[Any] = value
        return [_plain(item) for item in items]
    return value


def _made(mapping: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The items of a mapping, made where they are made on demand; without those that can't be."""
    from runner.templates.scope import NotThere, called  # here: it imports this module

    for key in mapping.keys():  # noqa: SIM118 — `steps` may have no other way
        try:
            yield key, called(mapping[key])
        except NotThere:
            continue
