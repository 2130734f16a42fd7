"""Reading a file of Agent Relay: values of the right shape or an error with their place, and notes on the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Place = tuple[str | int, ...]


class Wrong(ConfigError):
    """Something at a place of the file, which the caller turns into file, line and column."""

    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.place = place


class Reading:
    """What all parts of a conversion have: the file's data, `origins` (ours → theirs), `notes` (place, sentence)."""

    def __init__(self, source: Mapping[str, Any]) -> None:
        self.source = source
        self.origins: dict[Place, Place] = {(): ()}
        self.notes: list[tuple[Place, str]] = []

    def idle(self, place: Place, what: str) -> None:
        """Tell what has no effect."""
        self.notes.append((place, f"{what} has no effect here"))

    def mapping(self, value: Any, place: Place) -> Mapping[str, Any]:
        """A mapping; nothing at all is an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise Wrong(place, "must be a mapping of keys to values")
        return value

    def listed(self, value: Any, place: Place) -> list[Any]:
        """A list; nothing at all is an empty one."""
        if value is None:
            return []
        if not isinstance(value, list):
            raise Wrong(place, f"must be a list, not {_shown(value)}")
        return value

    def words(self, value: Any, place: Place) -> list[str]:
        """A list of texts."""
        for number, one in enumerate(self.listed(value, place)):
            if not isinstance(one, str):
                raise Wrong((*place, number), f"must be text, not {_shown(one)}")
        return list(value or ())

    def name(self, value: Any, place: Place, what: str) -> str:
        """The name that an agent, a step or a workflow must have."""
        if not isinstance(value, str) or not value:
            raise Wrong(place, f"{what} needs a `name`")
        return value

    def seconds(self, value: Any, place: Place) -> float | None:
        """Milliseconds as seconds; 0 is no limit."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            plain = str(value).replace("_", "")
            hint = f"write {plain}" if plain.isdecimal() else "write milliseconds, such as 60000"
            raise Wrong(place, f"'{value}' is not a number of milliseconds", hint)
        return value / 1000 or None

    def known(self, value: Mapping[str, Any], known: Iterable[str], place: Place) -> None:
        """Raise for a key that means nothing there."""
        names = list(known)
        for key in value:
            if key not in names:
                raise Wrong((*place, key), f"unknown key '{key}'", suggestion(str(key), names))

    def choice(self, value: Any, choices: Iterable[str], place: Place, what: str) -> str:
        """One of some words."""
        names = list(choices)
        if not isinstance(value, str) or value not in names:
            raise Wrong(place, f"{what} can't be {_shown(value)}", suggestion(str(value), names))
        return value


def _shown(value: Any) -> str:
    text = f"'{value}'" if isinstance(value, str) else "empty" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
