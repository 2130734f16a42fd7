"""What test frameworks report: how many tests passed and failed, which failed, where and why."""

from __future__ import annotations

import json
import os
import re
import xml.parsers.expat
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MOST: Final = 50
"""Failing tests that are listed; all are counted."""
_MESSAGE: Final = 2000
_LARGEST: Final = 64 << 20
"""Bytes of a report that is read."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed: its name as the framework writes it, what it said, and where (None: not told)."""

    name: str
    message: str = ""
    file: str | None = None
    line: int | None = None


@dataclass(slots=True)
class TestReport:
    """The counts of a test run, and its failing tests (at most `MOST`; `failed` counts all, errors included)."""

    __test__ = False  # pytest would take it for a test

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.skipped

    def fail(self, failure: Failure) -> None:
        """Count a failing test."""
        self.failed += 1
        if len(self.failures) < MOST:
            self.failures.append(failure)

    def sentence(self) -> str:
        """`2 of 41 tests failed: tests/test_a.py::test_x, …`."""
        if not self.total:
            return "no tests were run"
        if not self.failed:
            passed = f"{self.passed} {_tests(self.passed)} passed"
            return f"{passed}, {self.skipped} skipped" if self.skipped else passed
        names = ", ".join(failure.name for failure in self.failures[:5])
        more = f" and {self.failed - 5} more" if self.failed > 5 else ""
        return f"{self.failed} of {self.total} {_tests(self.total)} failed: {names}{more}"

    def evidence(self) -> dict[str, Any]:
        """As JSON: `tests` the counts, `failed` the failing tests."""
        counts = {"passed": self.passed, "failed": self.failed, "skipped": self.skipped, "total": self.total}
        return {"tests": counts, "failed": [asdict(failure) for failure in self.failures]}

    def text(self) -> str:
        """For people: the sentence, then a line for each failing test."""
        lines = [self.sentence()]
        for failure in self.failures:
            place = f" ({failure.file}:{failure.line})" if failure.file and failure.line else ""
            message = failure.message.strip().splitlines()
            lines.append(f"FAILED {failure.name}{place}{f': {message[0][:200]}' if message else ''}")
        return "\n".join(lines)


def _tests(count: int) -> str:
    return "test" if count == 1 else "tests"


def read_junit(paths: Iterable[Path]) -> TestReport | None:
    """JUnit XML (pytest, Gradle, most others); None when there is none that can be read.

    A file with a document type is left out: its entities could stand for anything.
    """
    report, found = TestReport(), False
    for path in paths:
        reader = _Junit(report)
        if reader.read(path):
            found = True
    return report if found else None


class _Junit:
    """One file, read as it comes."""

    def __init__(self, report: TestReport) -> None:
        self.report = report
        self.case: dict[str, str] | None = None
        self.kind = ""
        self.message = ""
        self.words: list[str] | None = None

    def read(self, path: Path) -> bool:
        parser = xml.parsers.expat.ParserCreate()
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.text
        parser.StartDoctypeDeclHandler = self.doctype
        before = (self.report.passed, self.report.failed, self.report.skipped, len(self.report.failures))
        try:
            if os.path.getsize(path) > _LARGEST:
                return False
            with open(path, "rb") as file:
                parser.ParseFile(file)
        except (OSError, xml.parsers.expat.ExpatError, _Refused):
            self.report.passed, self.report.failed, self.report.skipped, kept = before
            del self.report.failures[kept:]
            return False
        return True

    def doctype(self, *_: object) -> None:
        raise _Refused

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "testcase":
            self.case, self.kind, self.message = attributes, "", ""
        elif self.case is not None and name in ("failure", "error", "skipped") and self.kind in ("", "skipped"):
            # A test may fail and its teardown as well: the first counts.
            self.kind = name
            self.message = attributes.get("message", "")
            self.words = []

    def text(self, data: str) -> None:
        if self.words is not None and sum(map(len, self.words)) < _MESSAGE * 4:
            self.words.append(data)

    def end(self, name: str) -> None:
        if name in ("failure", "error", "skipped") and self.words is not None:
            if not self.message:
                self.message = "".join(self.words).strip()
            self.whole = "".join(self.words)
            self.words = None
        elif name == "testcase" and self.case is not None:
            self.close(self.case)
            self.case = None

    whole = ""

    def close(self, case: dict[str, str]) -> None:
        if self.kind == "skipped":
            self.report.skipped += 1
        elif self.kind in ("failure", "error"):
            file, line = _place(case, self.whole)
            self.report.fail(Failure(_name(case), self.message[:_MESSAGE], file, line))
        else:
            self.report.passed += 1


class _Refused(Exception):
    """The file has a document type."""


def _name(case: dict[str, str]) -> str:
    """`tests/test_a.py::test_x` of pytest's `classname="tests.test_a"`; `Class.test` of others."""
    group, name = case.get("classname", ""), case.get("name", "?")
    file = case.get("file", "")
    if not file.endswith(".py"):
        module = re.fullmatch(r"((?:[\w-]+\.)*test_\w+|(?:[\w-]+\.)*\w+_test)((?:\.[A-Z]\w*)*)", group)
        if module is None:
            return f"{group}.{name}" if group else name
        file, inner = module[1].replace(".", "/") + ".py", module[2]
    else:
        stem = file[:-3].replace("/", ".")
        inner = group[len(stem) :] if group.startswith(stem) else ""
    return "::".join([file, *filter(None, inner.split(".")), name])


def _place(case: dict[str, str], words: str) -> tuple[str | None, int | None]:
    """Where it failed: the last `file:line` that its words begin a line with, else where the test is."""
    found = re.findall(r"^(\S+\.(?:py|kt|java|js|ts|tsx|jsx|swift)):(\d+)", words, re.MULTILINE)
    if found:
        return found[-1][0], int(found[-1][1])
    line = case.get("line", "")
    return case.get("file"), int(line) + 1 if line.isdecimal() else None


def read_jest(path: Path, root: Path) -> TestReport | None:
    """The JSON of Jest's `--json` and of Vitest's reporter `json`; files are told relative to `root`."""
    try:
        data = json.loads(path.read_bytes()) if path.stat().st_size <= _LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("testResults"), list):
        return None
    report = TestReport()
    for suite in data["testResults"]:
        if isinstance(suite, dict):
            _jest_suite(suite, root, report)
    return report


def _jest_suite(suite: dict[str, Any], root: Path, report: TestReport) -> None:
    name = str(suite.get("name") or "")
    file = os.path.relpath(name, root) if name.startswith(str(root)) else name
    cases = [case for case in suite.get("assertionResults") or () if isinstance(case, dict)]
    for case in cases:
        status = case.get("status")
        if status == "passed":
            report.passed += 1
        elif status == "failed":
            messages = [str(one) for one in case.get("failureMessages") or ()]
            place = case.get("location")
            line = place.get("line") if isinstance(place, dict) else None
            title = str(case.get("fullName") or case.get("title") or "?")
            message = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(messages))[:_MESSAGE]
            report.fail(Failure(f"{file} > {title}", message, file, line if isinstance(line, int) else None))
        else:
            report.skipped += 1
    if not cases and suite.get("status") == "failed":
        # The file itself can't be run: no test in it has a name yet.
        report.fail(Failure(file, str(suite.get("message") or "")[:_MESSAGE], file))


_XCODE: Final = re.compile(r"^Test Case '(?:-\[)?([^']+?)\]?' (passed|failed|skipped) \(", re.MULTILINE)
_XCODE_ERROR: Final = re.compile(r"^(/[^\n:]+):(\d+): error: (?:-\[)?([^\]\n:]+)\]? : (.*)$", re.MULTILINE)


def read_xcodebuild(text: str, root: Path) -> TestReport | None:
    """What `xcodebuild test` prints; None when no test ended in it."""
    report = TestReport()
    said = {
        name.replace(" ", "."): (file, int(line), message) for file, line, name, message in _XCODE_ERROR.findall(text)
    }
    for name, status in _XCODE.findall(text):
        shown = name.replace(" ", ".")
        if status == "passed":
            report.passed += 1
        elif status == "skipped":
            report.skipped += 1
        else:
            file, line, message = said.get(shown, (None, None, ""))
            path = os.path.relpath(file, root) if file and file.startswith(str(root)) else file
            report.fail(Failure(shown, message, path, line))
    return report if report.total else None
