"""Values of checks as people write them: a plain word, or a mapping in YAML or JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def mapping_of(value: Any, keys: Sequence[str], word: str) -> dict[str, Any]:
    """The mapping that a value is, or stands for: a plain text or list is the value of the key `word`.

    `keys` are those it may have. Raises ValueError, without the check's name: the caller of `parse` adds it.
    """
    if isinstance(value, str):
        text = value.strip()
        if text[:1] in ("{", "["):
            try:
                value = json.loads(text)
            except ValueError as error:
                raise ValueError(f"'{text}' is not JSON: {error}") from None
        else:
            value = {word: text} if text else {}
    if value is None:
        value = {}
    if isinstance(value, list):
        value = {word: value}
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is neither text nor a mapping with '{word}'")
    for key in value:
        if key not in keys:
            raise ValueError(f"'{key}' is not known here; known: {', '.join(keys)}")
    return value


def globs_of(value: Any, key: str) -> list[str]:
    """The globs that a key of a mapping holds: one, or a list of them; ValueError for anything else."""
    globs = value or []
    globs = [globs] if isinstance(globs, str) else globs
    if not isinstance(globs, list) or not all(isinstance(glob, str) and glob.strip("/") for glob in globs):
        raise ValueError(f"'{key}' must be globs")
    return globs
