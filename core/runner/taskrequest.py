"""What a person asks for when a task is submitted: the fields, their checks, and JSON lines full of them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, get_args

from runner import times
from runner.errors import UsageError, suggestion
from runner.model import Expects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from runner.model import JSON

PRIORITY_MOST: Final = 10_000
"""The largest priority, and negated the smallest: a point is ten minutes, so this is two months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """A task as a person asks for it; None and empty leave the choice to type, routes and configuration.

    `checks` are `TYPE: VALUE` texts or mappings. `after` are ids, their prefixes, or names of other
    requests of the same submit; `name` is such a name. `hold` keeps the task in planning. `where` is
    the place that error messages start with (`tasks.jsonl:3`).
    """

    type: str | None = None
    prompt: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    agent: str | None = None
    machine: str | None = None
    priority: int | None = None
    key: str | None = None
    key_forever: bool = False
    after: tuple[str, ...] = ()
    not_before: float | None = None
    limit_key: str | None = None
    work_unit: str | None = None
    expects: Expects | None = None
    checks: tuple[Any, ...] = ()
    artifacts: tuple[str, ...] = ()
    may_edit: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    timeout: float | None = None
    silence: float | None = None
    attempts: int | None = None
    interruptions: int | None = None
    repairs: int | None = None
    repair_agent: str | None = None
    default_checks: bool = True
    model: str | None = None
    cwd: str | None = None
    hold: bool = False
    name: str | None = None
    where: str = ""


def request(values: Mapping[str, Any], where: str = "") -> TaskRequest:
    """A request from named values, as a line of `--from` has them; UsageError names the field and the place."""
    given: JSON = {}
    for word, value in values.items():
        name = _OTHER_NAMES.get(word, word)
        if name not in _READERS:
            raise located(where, f"'{word}' is not a field of a task", suggestion(word, _READERS))
        if name in given:
            raise located(where, f"'{name}' is given twice", f"'{word}' is another name for it")
        if value is not None:
            try:
                given[name] = _READERS[name](value)
            except _Unfit as unfit:
                raise located(where, f"{name}: {unfit}") from None
            except UsageError as error:
                raise located(where, f"{name}: {error.message}", error.hint) from None
    return TaskRequest(**given, where=where)


def read_lines(lines: Iterable[str], source: str, defaults: Mapping[str, Any]) -> Iterator[TaskRequest]:
    """One request a JSON line; blank lines are skipped, `defaults` fill in what a line leaves out."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{source}:{number}"
        values = parse_object(line, where)
        named = {_OTHER_NAMES.get(word, word) for word in values}
        yield request({**{n: v for n, v in defaults.items() if n not in named}, **values}, where)


def parse_object(text: str, where: str) -> JSON:
    """The JSON object in `text`; UsageError names the place and the column."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise located(where, f"not JSON: {error}") from None
    except RecursionError:
        raise located(where, "not JSON: nested too deeply") from None
    if not isinstance(value, dict):
        raise located(where, f"a JSON object is expected, not {_kind(value)}")
    return value


def located(where: str, message: str, hint: str = "") -> UsageError:
    """A UsageError that starts with its place, when it has one."""
    return UsageError(f"{where}: {message}" if where else message, hint)


def storable(value: Any) -> str | None:
    """Why a store could not keep `value` as JSON text, or None when it can."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return "it has bytes that are not UTF-8"
    except ValueError:
        return "it has a number that JSON does not know"
    return None


class _Unfit(Exception):
    """A value is not what its field takes."""


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a JSON number")


def _kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    for kind, name in ((str, "a string"), (list, "a list"), (dict, "an object")):
        if isinstance(value, kind):
            return name
    return "a number"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Unfit(f"a string is expected, not {_kind(value)}")
    reason = "it has a NUL character" if "\0" in value else storable(value)
    if reason:
        raise _Unfit(reason)
    return value


def _word(value: Any) -> str:
    text = _text(value)
    if not text.strip():
        raise _Unfit("it is empty")
    return text


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Unfit(f"true or false is expected, not {_kind(value)}")
    return value


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _Unfit(f"a whole number is expected, not {_kind(value)}")
        if not least <= value <= most:
            raise _Unfit(f"{value} is not between {least} and {most}")
        return value

    return read


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        value = times.duration(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Unfit(f"a duration is expected, not {_kind(value)}")
    if not (value > 0 and math.isfinite(value)):
        raise _Unfit("it must be more than 0")
    return float(value)


def _when(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return times.moment(_text(value))


def _object(value: Any) -> JSON:
    if not isinstance(value, dict):
        raise _Unfit(f"an object is expected, not {_kind(value)}")
    return value


def _words(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)):
        raise _Unfit(f"a list of strings is expected, not {_kind(value)}")
    return tuple(_word(item) for item in items)


def _checks(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _expects(value: Any) -> Expects:
    word = _text(value)
    known: tuple[Expects, ...] = get_args(Expects)
    for name in known:
        if word == name:
            return name
    raise UsageError(f"'{word}' is not something to expect", suggestion(word, known))


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "type": _word,
    "prompt": _word,
    "payload": _object,
    "agent": _word,
    "machine": _word,
    "priority": _whole(-PRIORITY_MOST, PRIORITY_MOST),
    "key": _word,
    "key_forever": _flag,
    "after": _words,
    "not_before": _when,
    "limit_key": _text,
    "work_unit": _word,
    "expects": _expects,
    "checks": _checks,
    "artifacts": _words,
    "may_edit": _words,
    "protect": _words,
    "timeout": _seconds,
    "silence": _seconds,
    "attempts": _whole(1, 1000),
    "interruptions": _whole(1, 1000),
    "repairs": _whole(0, 1000),
    "repair_agent": _word,
    "default_checks": _flag,
    "model": _word,
    "cwd": _word,
    "hold": _flag,
    "name": _word,
}
_OTHER_NAMES: Final = {"check": "checks", "artifact": "artifacts", "unit": "work_unit"}
