"""`runner work --junit FILE`: what became of the tasks as JUnit XML, for whatever shows test reports."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner import statuses
from runner.cli.taskview import title
from runner.errors import UsageError
from runner.logtext import tail
from runner.why import summary_of, verdicts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from xml.etree.ElementTree import Element

    from runner.model import Task

_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, not even as a reference."""

_ERRORS: Final = frozenset({"crashed", "timeout", "stalled", "budget"})
_TAIL: Final = 8000
"""Characters of output a testcase repeats; the whole is in the folder it names."""


class Report:
    """Testcases, one a task; `write` replaces the file in one step, so that a reader never sees half of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cases: list[Element] = []
        self._seconds = 0.0

    @classmethod
    def at(cls, name: str) -> Report:
        """A report for that file; UsageError, before anything runs, where none could be written."""
        return cls(writable(name))

    def add(self, task: Task, seconds: float) -> None:
        """One task as it is now; `seconds` is what this worker spent on it."""
        from xml.etree.ElementTree import Element, SubElement  # here: few calls write a report

        result: dict[str, Any] = dict(task.result or {})
        name = f"{title(task)} [{task.id}]"
        case = Element("testcase", {"classname": cleaned(task.type), "name": cleaned(name), "time": f"{seconds:.3f}"})
        found = SubElement(case, "properties")
        for key, value in _properties(task, result):
            SubElement(found, "property", {"name": key, "value": cleaned(str(value))})
        kind = _kind(task)
        if kind:
            message = summary_of(result) or task.question or f"it is {task.status}"
            told = SubElement(case, kind, {"message": cleaned(message), "type": task.outcome or task.status})
            told.text = cleaned("\n".join(_red(result)))
        out = _output(result)
        if out:
            SubElement(case, "system-out").text = cleaned(out)
        self._cases.append(case)
        self._seconds += seconds

    def write(self) -> None:
        """Write the file."""
        write_suite(self._path, "runner", self._cases, self._seconds)


def writable(name: str) -> Path:
    """The file of a report; UsageError, before anything runs, where none could be written."""
    path = Path(os.path.abspath(name))
    if path.is_dir():
        raise UsageError(f"--junit {name}: this is a folder", "name a file")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"--junit {name}: the folder {path.parent} is not there or can't be written")
    return path


def write_suite(path: Path, name: str, cases: Sequence[Element], seconds: float | None = None) -> None:
    """One suite of testcases into a file, whole or not at all; UsageError where it can't be written."""
    from xml.etree.ElementTree import Element, ElementTree, indent  # here: few calls write a report

    counts = {key: sum(case.find(key) is not None for case in cases) for key in ("failure", "error", "skipped")}
    totals = {
        "tests": str(len(cases)),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["skipped"]),
        "time": f"{sum(float(case.get('time', 0)) for case in cases) if seconds is None else seconds:.3f}",
    }
    root = Element("testsuites")
    suite = Element("testsuite", {"name": cleaned(name), **totals})
    suite.extend(cases)
    root.append(suite)
    indent(root)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"--junit {path}: {error.strerror}") from None


def _kind(task: Task) -> str:
    """What the task is to a test report; "" is passed. Who waits for a person has not passed."""
    if task.status == statuses.DONE:
        return ""
    if task.status in (statuses.FAILED, statuses.NEEDS_HUMAN):
        waits = task.status == statuses.NEEDS_HUMAN and task.outcome not in ("check_failed", "no_op")
        return "error" if waits or task.outcome in _ERRORS else "failure"
    return "skipped"


def _properties(task: Task, result: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    usage = result.get("usage") or {}
    pairs = {
        "task": task.id,
        "status": task.status,
        "outcome": task.outcome,
        "agent": task.agent,
        "work_unit": task.unit,
        "attempts": task.attempt,
        "cost_usd": usage.get("cost_usd") if isinstance(usage, dict) else None,
        "folder": result.get("folder"),
    }
    return [(name, value) for name, value in pairs.items() if value is not None]


def _red(result: dict[str, Any]) -> Iterable[str]:
    """The red checks, each with the end of what shows it."""
    for verdict in verdicts_of(result):
        if not verdict["ok"]:
            yield verdict["summary"]
            end = verdict["evidence"].get("tail")
            if isinstance(end, str) and end.strip():
                yield from (f"    {line}" for line in end.splitlines())


def _output(result: dict[str, Any]) -> str:
    """The end of what the step said: of a script its log, of an agent its final message."""
    text = str(result.get("output") or "")
    folder = result.get("folder")
    if not text and isinstance(folder, str):
        text = tail(Path(folder) / "stdout.log", 40, _TAIL)
    return text[-_TAIL:]


def cleaned(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
