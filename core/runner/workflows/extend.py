"""A workflow that extends another: its steps overridden, others inserted; what comes out is validated as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.errors import ConfigError, suggestion
from runner.workflows.load import Source, place_of, validated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.workflows.load import Place

_OWN = ("extends", "override", "insert")
_NOT_TAKEN = (*_OWN, "name")
"""What of the base is its own alone: a file that gives no name is called as the file is."""
_JOINED = ("agents", "env", "outputs")
"""Mappings that are joined key by key; everything else of the base is replaced by what this file says."""


def extend(source: Source, base: Source) -> Source:
    """The base with this file's changes. ConfigError for a step that the base does not have."""
    merge = _Merge(source, base)
    merge.top()
    merge.override()
    merge.insert()
    return validated(source.path, source.text, merge.data, merge.places)


class _Merge:
    """The data of both, and for each value where it was written."""

    def __init__(self, source: Source, base: Source) -> None:
        self.source = source
        self.base = base
        self.data: dict[str, Any] = {key: value for key, value in base.data.items() if key not in _NOT_TAKEN}
        self.places: dict[Place, str] = {
            key: at for key, at in base.places.items() if key[:1] not in {(k,) for k in _NOT_TAKEN}
        }

    def top(self) -> None:
        """What stands beside the steps."""
        for key, value in self.source.data.items():
            if key in _OWN:
                continue
            if key in _JOINED and isinstance(value, dict) and isinstance(self.data.get(key), dict):
                for name, item in value.items():
                    self.put((key,), name, {**self.data[key], name: item}, (key, name))
            else:
                self.data[key] = value
                self.move((key,), (key,))

    def put(self, into: Place, name: str, whole: Mapping[str, Any], origin: Place) -> None:
        self.data[str(into[0])] = dict(whole)
        self.move((*into, name), origin)

    def move(self, to: Place, origin: Place) -> None:
        """The places of a value of this file, as it stands in the whole."""
        for known in [known for known in self.places if known[: len(to)] == to]:
            del self.places[known]
        for known, at in self.source.places.items():
            if known[: len(origin)] == origin:
                self.places[(*to, *known[len(origin) :])] = at

    def override(self) -> None:
        """The steps that this file changes: key by key; null takes a key away."""
        changes: Mapping[str, Any] = self.source.data.get("override") or {}
        for id, change in changes.items():
            path = self.find(id, ("override", id))
            step = dict(self.at(path))
            if not isinstance(change, dict):
                raise ConfigError(f"{self.where('override', id)}: must be a mapping of keys to values")
            for key, value in change.items():
                if value is None:
                    step.pop(key, None)
                else:
                    step[key] = value
                self.move((*path, key), ("override", id, key))
            # What is wrong with the step as a whole is so since this file changes it.
            self.places[path] = self.where("override", id)
            self.set(path, step)

    def insert(self) -> None:
        """The steps that this file adds."""
        for number, one in enumerate(self.source.data.get("insert") or ()):
            anchor = one.get("after") or one.get("before")
            path = self.find(str(anchor), ("insert", number))
            siblings, index = path[:-1], int(path[-1]) + ("after" in one)
            steps = list(self.at(siblings))
            added = list(one.get("steps") or ())
            self.shift(siblings, index, len(added))
            steps[index:index] = added
            self.set(siblings, steps)
            for offset in range(len(added)):
                self.move((*siblings, index + offset), ("insert", number, "steps", offset))

    def shift(self, siblings: Place, index: int, by: int) -> None:
        """The places of the steps behind an insertion."""
        moved = {}
        for known in list(self.places):
            behind = known[: len(siblings)] == siblings and len(known) > len(siblings)
            if behind and isinstance(known[len(siblings)], int) and int(known[len(siblings)]) >= index:
                rest = known[len(siblings) + 1 :]
                moved[(*siblings, int(known[len(siblings)]) + by, *rest)] = self.places.pop(known)
        self.places.update(moved)

    def find(self, id: str, asked: Place) -> Place:
        """Where the step with this id is; an id that is there twice is written as a path (`each/fix`)."""
        found: list[tuple[str, Place]] = []
        self.walk(self.data.get("steps") or (), ("steps",), "", found)
        exact = [path for name, path in found if name == id]
        named = exact or [path for name, path in found if name.rpartition("/")[2] == id]
        if len(named) == 1:
            return named[0]
        if named:
            raise ConfigError(f"{self.where(*asked)}: the base has several steps '{id}'", "write the path: group/step")
        hint = suggestion(id, [name for name, _ in found])
        if "steps" in self.source.data:
            said = f"the `steps` of this file take the place of the base's, and '{id}' is none of them"
            raise ConfigError(f"{self.where(*asked)}: {said}", "leave `steps` out; `insert` adds some to the base's")
        raise ConfigError(f"{self.where(*asked)}: the base has no step '{id}'", hint)

    def walk(self, steps: Any, path: Place, above: str, found: list[tuple[str, Place]]) -> None:
        for number, step in enumerate(steps):
            if isinstance(step, dict):
                name = f"{above}{step.get('id', step.get('name', ''))}"
                found.append((name, (*path, number)))
                self.walk(step.get("steps") or (), (*path, number, "steps"), f"{name}/", found)

    def at(self, path: Place) -> Any:
        value: Any = self.data
        for part in path:
            value = value[part]
        return value

    def set(self, path: Place, value: Any) -> None:
        """Replace a value without touching the base's own data."""

        def replaced(whole: Any, rest: Place) -> Any:
            if not rest:
                return value
            copy: Any = dict(whole) if isinstance(whole, dict) else list(whole)
            copy[rest[0]] = replaced(whole[rest[0]], rest[1:])
            return copy

        self.data = replaced(self.data, path)

    def where(self, *path: str | int) -> str:
        return place_of(self.source.places, path)
