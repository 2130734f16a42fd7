"""Runs the cases that are wanted, some at a time, and keeps which failed for `--lf`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from runner.errors import RunnerError
from runner.flowtests.judge import Failure, judge
from runner.flowtests.stage import play
from runner.logtext import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future

    from runner.app import App
    from runner.flowtests.collect import Collected

State = Literal["passed", "failed", "error"]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a case came to. `error`: the case could not be run as it is; `kept`: its folder, when it did not pass."""

    one: Collected
    state: State
    seconds: float
    failures: tuple[Failure, ...] = ()
    error: str = ""
    log: str = ""
    warnings: tuple[str, ...] = ()
    kept: str = ""

    def to_json(self) -> dict[str, Any]:
        """As `--format json` prints it."""
        return {
            "id": self.one.id,
            "place": self.one.place(),
            "workflow": self.one.loaded.source.workflow.name,
            "case": self.one.case.name,
            "state": self.state,
            "seconds": round(self.seconds, 3),
            "failures": [asdict(failure) for failure in self.failures],
            "error": self.error,
            "warnings": list(self.warnings),
            "kept": self.kept,
        }


class Session:
    """One call of `runner workflow test`. `told` hears of each case that ended, one at a time."""

    def __init__(
        self, app: App, *, switches: Sequence[str], keep: bool, told: Callable[[Ended], None], first: bool = False
    ) -> None:
        self._app = app
        self._switches = tuple(switches)
        self._keep = keep
        self._told = told
        self._first = first
        self._over = threading.Event()
        self._top = Path(os.path.realpath(tempfile.mkdtemp(prefix="runner-flows-")))

    def run(self, cases: Sequence[Collected], at_once: int) -> list[Ended]:
        """Run them in order, `at_once` at a time → what they came to, in the order of their ends."""
        ended: list[Ended] = []
        try:
            with ThreadPoolExecutor(at_once) as pool:
                left = {pool.submit(self._one, one, number) for number, one in enumerate(cases, 1)}
                try:
                    while left:
                        done, left = wait(left, return_when=FIRST_COMPLETED)
                        for future in done:
                            self._take(future, ended)
                except BaseException:
                    self._over.set()
                    raise
        finally:
            if not any(self._top.iterdir()):
                self._top.rmdir()
        return ended

    def _take(self, future: Future[Ended | None], ended: list[Ended]) -> None:
        one = future.result()
        if one is not None:
            ended.append(one)
            self._told(one)

    def _one(self, one: Collected, number: int) -> Ended | None:
        if self._over.is_set():
            return None
        folder = self._top / str(number)
        folder.mkdir()
        began = time.monotonic()
        found = self._ended(one, folder, began)
        if found.state != "passed" and self._first:
            self._over.set()
        if found.state == "passed" and not self._keep:
            shutil.rmtree(folder, ignore_errors=True)
        return found

    def _ended(self, one: Collected, folder: Path, began: float) -> Ended:
        kept = str(folder)
        try:
            played = play(self._app, one, folder, self._switches)
        except (RunnerError, OSError) as error:
            return Ended(one, "error", time.monotonic() - began, error=str(error), kept=kept)
        seconds = time.monotonic() - began
        wrong = played.troubles[0] if played.troubles else played.error
        if wrong:
            log = "" if played.troubles else tail(folder / "log.txt", 8, 1500)
            return Ended(one, "error", seconds, error=wrong, log=log, warnings=played.warnings, kept=kept)
        failures = tuple(judge(one, played))
        return Ended(
            one,
            "failed" if failures else "passed",
            seconds,
            failures,
            warnings=played.warnings,
            kept=kept if failures or self._keep else "",
        )


class LastFailed:
    """The ids of the cases that did not pass when they were run last, in the project's state folder."""

    def __init__(self, app: App) -> None:
        self._path = app.project.state / "workflow-tests.json"

    def read(self) -> set[str]:
        """The ids; a file that can't be read is none."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return set()
        return {one for one in found if isinstance(one, str)} if isinstance(found, list) else set()

    def write(self, ended: Iterable[Ended]) -> None:
        """What ran counts anew, what did not stays as it was."""
        found = self.read()
        for one in ended:
            (found.discard if one.state == "passed" else found.add)(key_of(one.one))
        part = self._path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(sorted(found)), encoding="utf-8")
        part.replace(self._path)


def key_of(one: Collected) -> str:
    """What a case is known by, from wherever the tests are called."""
    return f"{os.path.realpath(one.file)}::{one.case.name}"
