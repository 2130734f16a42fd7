"""What pydantic says of YAML in words that people who write YAML know: place, key, what is wrong, the nearest name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from runner.errors import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Path = tuple[str | int, ...]

_WORDS = (
    ("^input should be", "must be"),
    ("a valid dictionary( or instance of .*)?$", "a mapping"),
    ("a valid tuple", "a list"),
    ("a valid string", "text"),
    ("a valid integer(, unable.*)?$", "a whole number"),
    ("a valid number(, unable.*)?$", "a number"),
)
"""pydantic's words, and those that people who write YAML know."""


def complaint(details: Mapping[str, Any], root: type[BaseModel], place: Callable[[Path], str]) -> tuple[str, str]:
    """One of pydantic's errors as a sentence with its place, and a hint ("" for none)."""
    path = _real(details["loc"])
    where, key = place(path), ".".join(map(str, path))
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    if kind == "extra_forbidden":
        return f"{where}: unknown key '{path[-1]}'", suggestion(str(path[-1]), fields_at(root, path[:-1]))
    if kind == "literal_error":
        choices = [word for word in context["expected"].replace(" or ", ", ").replace("'", "").split(", ") if word]
        return f"{where}: {key} can't be {_show(given)}", suggestion(str(given), choices)
    if kind == "missing":
        return f"{where}: '{path[-1]}' is missing", ""
    if kind == "value_error":
        return f"{where}: {key}: {context['error']}", ""
    wanted = details["msg"][:1].lower() + details["msg"][1:]
    for words, ours in _WORDS:
        wanted = re.sub(words, ours, wanted)
    if kind not in _PYDANTICS and "_" not in kind:
        return f"{where}: {wanted}", ""  # a sentence of our own
    return f"{where}: {key} {wanted}, not {_show(given)}", ""


_PYDANTICS = frozenset(("missing", "enum", "none_required"))


def _real(location: tuple[int | str, ...]) -> Path:
    # pydantic marks an error in a mapping's key with a last part `[key]`.
    return location[:-1] if location and location[-1] == "[key]" else location


def _show(value: Any) -> str:
    text = f"'{value}'" if isinstance(value, str) else "empty" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def fields_at(root: type[BaseModel], path: Path) -> list[str]:
    """The keys that the model knows under `path`."""
    known: Any = root
    for part in path:
        known = _step(known, part)
    models = models_of(known)
    return sorted(models[0].model_fields) if models else []


def _step(annotation: Any, part: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        return field.annotation if field else None
    arguments = [argument for argument in get_args(annotation) if argument not in (type(None), ...)]
    if get_origin(annotation) in (dict, tuple):
        return arguments[-1]
    # An optional section, or a value with conditions: the first part is the type.
    return _step(arguments[0], part) if arguments else None


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_of(part)]
