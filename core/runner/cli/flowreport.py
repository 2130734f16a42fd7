"""What `runner workflow test` prints: a line a case, then every failure with its places; JSON, JUnit XML, durations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runner.cli.steplines import took

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from runner.cli.invocation import Invocation
    from runner.flowtests.collect import Collected
    from runner.flowtests.judge import Failure
    from runner.flowtests.session import Ended


class Report:
    """Hears of each case that ended; `with` it around the run: the rest is printed at its end."""

    def __init__(self, inv: Invocation, junit: str | None, durations: int | None) -> None:
        self._inv = inv
        self._junit = _writable(junit) if junit is not None else None
        self._durations = durations
        self._ended: list[Ended] = []
        self._began = time.monotonic()

    def list(self, cases: Sequence[Collected]) -> None:
        """The cases that would run."""
        inv = self._inv
        items = [
            {
                "id": one.id,
                "place": one.place(),
                "workflow": one.loaded.source.workflow.name,
                "case": one.case.name,
            }
            for one in cases
        ]

        def text() -> None:
            for item in items:
                inv.line(item["id"])
            inv.talk(_count(len(items), "case"))

        inv.emit_list(items, text)

    def ended(self, ended: Ended) -> None:
        """A case ended."""
        self._ended.append(ended)
        inv = self._inv
        if inv.format == "jsonl":
            inv.emit(ended.to_json(), lambda: None)
        elif not inv.json:
            word = {"passed": "passed", "failed": "FAILED", "error": "ERROR"}[ended.state]
            inv.line(f"{ended.one.id} {word} ({took(ended.seconds)})")

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._junit is not None:
            self._write_junit(self._junit)
        if kind is not None and not issubclass(kind, KeyboardInterrupt):
            return
        inv = self._inv
        if inv.format == "json":
            inv.emit_list([one.to_json() for one in self._ended], lambda: None)
        elif not inv.json:
            self._print()

    def _print(self) -> None:
        line = self._inv.line
        for one in self._ended:
            for sentence in one.warnings:
                self._inv.warn(f"{one.one.id}: {sentence}")
            if one.state != "passed":
                line()
                for text in story(one):
                    line(text)
        if self._durations is not None and self._ended:
            slowest = sorted(self._ended, key=lambda one: -one.seconds)[: self._durations or None]
            line()
            self._inv.table(("SECONDS", "CASE"), [(f"{one.seconds:.2f}", one.one.id) for one in slowest])
        counts = [(sum(one.state == state for one in self._ended), state) for state in ("failed", "error", "passed")]
        words = ", ".join(f"{n} {state}" for n, state in counts if n) or "nothing ran"
        line()
        line(f"{words} in {took(time.monotonic() - self._began)}")

    def _write_junit(self, path: Path) -> None:
        from xml.etree.ElementTree import Element, SubElement  # here: few calls write a report

        from runner.cli.junit import cleaned, write_suite

        cases = []
        for one in self._ended:
            flow = one.one.loaded.source.workflow.name
            attributes = {"classname": flow, "name": one.one.case.name, "file": one.one.place().split(":")[0]}
            case = Element("testcase", {k: cleaned(v) for k, v in {**attributes, "time": f"{one.seconds:.3f}"}.items()})
            if one.state != "passed":
                kind = "failure" if one.state == "failed" else "error"
                first = _sentence(one.failures[0]) if one.failures else one.error
                SubElement(case, kind, {"message": cleaned(first)}).text = cleaned("\n".join(story(one)))
            cases.append(case)
        write_suite(path, "workflow tests", cases)


def story(one: Ended) -> list[str]:
    """All there is to say of a case that did not pass."""
    lines = [f"____ {one.one.id} ____"]
    if one.error:
        lines.append(f"{one.one.place()}: {one.error}")
        lines += [f"  | {line}" for line in one.log.splitlines()]
    logs: set[str] = set()
    for failure in one.failures:
        lines.append(f"{failure.place}: {failure.what}")
        lines += _two("expected", failure.expected) + _two("came", failure.came)
        if failure.log and failure.step not in logs:
            logs.add(failure.step)
            lines.append(f"    the end of {failure.step}:")
            lines += [f"      | {line}" for line in failure.log.splitlines()]
    return [*lines, f"kept: {one.kept}"] if one.kept else lines


def _two(word: str, text: str) -> list[str]:
    first, *more = text.splitlines() or [""]
    return [f"    {word:>8}: {first}", *(f"{'':14}{line}" for line in more)]


def _sentence(failure: Failure) -> str:
    return f"{failure.place}: {failure.what}: expected {failure.expected}, came {failure.came}"


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _writable(name: str) -> Path:
    from runner.cli.junit import writable  # here: few want it

    return writable(name)
