"""Calls a function again and again beside a step: its snapshots."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from runner.errors import RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """Calls a function every so many seconds in a thread of its own; `failed` hears once of what it raises."""

    def __init__(self, seconds: float, call: Callable[[], object], failed: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._call = call
        self._failed = failed
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last = ""
        while not self._over.wait(self._seconds):
            try:
                self._call()
                last = ""
            except RunnerError as error:
                if str(error) != last:
                    last = str(error)
                    self._failed(last)

    def stop(self) -> None:
        """No more calls; waits for one that is going on."""
        self._over.set()
        self._thread.join()
