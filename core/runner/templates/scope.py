"""What names mean at one place of a workflow: layers of values, the innermost first."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from runner.templates.syntax import TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Undefined(TemplateError):
    """A name that means nothing here."""

    code = "undefined"


class NotThere(Undefined):
    """A value that was to be made on demand, and can't be: it is as if its name meant nothing."""


class Scope:
    """Names and their values; `outer` is asked for what is not here.

    A value that is callable is called when it is first asked for, and not again (a step's output on disk).
    """

    def __init__(self, names: Mapping[str, Any], outer: Scope | None = None) -> None:
        self._names = dict(names)
        self._outer = outer

    def __contains__(self, name: object) -> bool:
        return name in self._names or (self._outer is not None and name in self._outer)

    def __getitem__(self, name: str) -> Any:
        if name in self._names:
            value = self._names[name] = called(self._names[name])
            return value
        if self._outer is None:
            raise KeyError(name)
        return self._outer[name]

    def known(self) -> list[str]:
        """All names, the innermost first."""
        return list(dict.fromkeys([*self._names, *(self._outer.known() if self._outer is not None else ())]))

    @property
    def outer(self) -> Scope | None:
        """The scope around this one."""
        return self._outer

    def inner(self, names: Mapping[str, Any]) -> Scope:
        """A scope in which `names` hide those of this one."""
        return Scope(names, self)

    def look_up(self, path: tuple[str, ...]) -> Any:
        """The value at a path, by keys and list positions, never by attributes."""
        if path[0] not in self:
            raise Undefined(f"'{path[0]}' is not defined here", nearest(path[0], self.known()))
        value = self[path[0]]
        for n, segment in enumerate(path[1:], 1):
            value = called(step_into(value, segment, ".".join(path[:n])))
        return value


def called(value: Any) -> Any:
    """What a value that is made on demand is."""
    if callable(value):
        made: Callable[[], Any] = value
        return made()
    return value


def step_into(value: Any, segment: str, where: str) -> Any:
    """The item of a mapping or list; Undefined names what is there instead."""
    if hasattr(value, "keys"):
        if segment in value:
            return value[segment]
        if segment == "json" and "output" in value:
            raise Undefined(f"the output of '{where}' is not JSON", "")
        raise Undefined(f"'{where}' has no '{segment}'", nearest(segment, [str(key) for key in value]))
    if isinstance(value, (list, tuple)):
        if segment.isdecimal() and int(segment) < len(value):
            return value[int(segment)]
        raise Undefined(f"'{where}' is a list of {len(value)}: it has no '{segment}'", "count from 0")
    raise Undefined(f"'{where}' is not a mapping or list: it has no '{segment}'", "")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest name, else what is known."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(names[:12])}" if names else "nothing is defined here"
