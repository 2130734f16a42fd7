"""What templates see of a run: captures, and the steps of the frames around a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.templates import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.workflows.items import Frame, Item


class Captures(Scope):
    """The captures of one workflow: names that its steps set, wherever in it they stand."""

    def put(self, name: str, value: Any) -> None:
        """Set a name."""
        self._names[name] = value


class Steps:
    """`steps` in templates: the steps of a frame, then those of the frames around it."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def keys(self) -> list[str]:
        frame: Frame | None = self._frame
        names: list[str] = []
        while frame is not None:
            names += frame.items
            frame = _around(frame)
        return names

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, id: object) -> bool:
        return self._find(id) is not None

    def __getitem__(self, id: str) -> Any:
        item = self._find(id)
        if item is None:
            raise KeyError(id)
        return view(item)

    def _find(self, id: object) -> Item | None:
        frame: Frame | None = self._frame
        while frame is not None:
            if id in frame.items:
                return frame.items[str(id)]
            frame = _around(frame)
        return None


def _around(frame: Frame) -> Frame | None:
    """The frame around, within the same workflow."""
    owner = frame.owner
    return None if owner is None or owner.node.kind == "workflow" else owner.frame


def view(item: Item) -> dict[str, Any]:
    """What templates may name of a step."""
    found = {
        "status": item.state,
        "outcome": outcome_of(item),
        "output": item.result.output,
        **item.result.values,
    }
    if item.node.kind == "loop":
        found["results"] = list(item.rounds)
    if item.node.kind == "workflow":
        found["outputs"] = dict(item.result.values)
    elif item.inside is not None:
        found["sessions"] = _sessions(item.inside)
    return found


def _sessions(frame: Frame) -> dict[str, str]:
    """The last session of each agent in a container, for the iteration after it."""
    found: dict[str, str] = {}
    for item in sorted(frame.items.values(), key=lambda one: one.stamp):
        values = item.result.values
        if item.inside is not None and item.node.kind != "workflow":
            found |= _sessions(item.inside)
        elif values.get("session"):
            found[str(values.get("agent"))] = str(values["session"])
    return found


def outcome_of(item: Item) -> str:
    """What it came to: empty for what did not run, `failed` for a container in which something failed."""
    if item.state not in ("done", "failed", "waiting"):
        return ""
    return "failed" if item.state == "failed" and item.result.ok else item.result.outcome
