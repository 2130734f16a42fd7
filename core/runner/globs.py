"""Globs over relative paths, one rule everywhere a path is matched: seals, `may_edit`, `protect`, `git_changed`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """A test for relative paths with `/`; no pattern matches nothing.

    As in .gitignore: a pattern without a slash matches a name at any level, one with a slash is
    anchored at the root, `**` is any number of folders, and what matches a folder matches all below it.
    """
    regex = _compiled(tuple(patterns))
    if regex is None:
        return lambda path: False
    return lambda path: regex.match(path) is not None


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    parts = [_translate(pattern) for pattern in patterns if pattern.strip("/")]
    return re.compile(f"(?:{'|'.join(parts)})(?:/.*)?\\Z", re.DOTALL) if parts else None


def _translate(pattern: str) -> str:
    anchored = "/" in pattern.rstrip("/")
    words = [word for word in pattern.split("/") if word not in ("", ".")]
    if not anchored:
        words.insert(0, "**")
    out = []
    for place, word in enumerate(words):
        last = place == len(words) - 1
        if word == "**":
            out.append(".+" if last else "(?:[^/]+/)*")
        else:
            out.append(segment(word) + ("" if last else "/"))
    return "".join(out)


def segment(word: str) -> str:
    """The regular expression of one path segment: `*`, `?` and `[…]` within it, all else as it stands."""
    out, place = [], 0
    while place < len(word):
        char = word[place]
        end = word.find("]", place + 2) if char == "[" else -1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif end > 0:
            inside = word[place + 1 : end].replace("\\", "\\\\").replace("[", "\\[").replace("&", "\\&")
            negated = inside[0] in "!^"
            out.append(f"(?!/)[{'^' if negated else ''}{inside[1:] if negated else inside}]")
            place = end
        else:
            out.append(re.escape(char))
        place += 1
    return "".join(out)


def is_glob(word: str) -> bool:
    """Whether the text has a glob's characters at all."""
    return any(char in word for char in "*?[")
