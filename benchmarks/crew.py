"""Processes that measure: a crew is started once, then told round by round what to run, all at the same moment."""

from __future__ import annotations

import importlib
import multiprocessing
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

HEAD_START = 0.03
"""Seconds between the order and the start: long enough to reach every process."""


@dataclass(frozen=True)
class Contender:
    """What runs in the processes of a crew: `target` is "module:Class", made once a process with `options`."""

    name: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.target} {sorted(self.options.items())}"


def make(contender: Contender) -> Any:
    """An instance in this process."""
    module, _, name = contender.target.partition(":")
    return getattr(importlib.import_module(module), name)(**contender.options)


class Runs(Protocol):
    """What a contender's class offers. It connects in its constructor."""

    def warm(self) -> None:
        """Whatever the first round should not pay for."""
        ...

    def run(self, end: float) -> Counted:
        """Claim and finish until `time.monotonic()` is `end`, or nothing is left."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Counted:
    """One process's share of a round: tasks claimed and finished in `seconds`, and the longest wait for one.

    `dry`: nothing was left before the time was over.
    """

    done: int
    longest: float
    seconds: float
    dry: bool = False


@dataclass(frozen=True)
class Round:
    """A round of some processes."""

    counted: tuple[Counted, ...]

    @property
    def rate(self) -> float:
        """Tasks per second of all processes together."""
        return sum(c.done / c.seconds for c in self.counted if c.seconds > 0)

    @property
    def done(self) -> int:
        return sum(c.done for c in self.counted)

    @property
    def longest(self) -> float:
        return max(c.longest for c in self.counted)

    @property
    def slowest_share(self) -> float:
        """What the slowest process got, as a part of a fair share."""
        return min(c.done for c in self.counted) * len(self.counted) / max(1, self.done)

    @property
    def dry(self) -> bool:
        return any(c.dry for c in self.counted)


class Crew:
    """`size` processes; `round` runs a contender in the first `processes` of them."""

    def __init__(self, size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._members: list[tuple[Any, Connection]] = []
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def round(self, contender: Contender, processes: int, seconds: float) -> Round:
        """Run for `seconds` in `processes` processes that start at the same moment, warmed up."""
        self._ask(processes, ("warm", contender))
        start = time.monotonic() + HEAD_START
        return Round(tuple(self._ask(processes, ("run", contender, start, start + seconds))))

    def drop(self, contender: Contender) -> None:
        """Close what the processes hold open for this contender."""
        self._ask(len(self._members), ("drop", contender))

    def close(self) -> None:
        for process, pipe in self._members:
            pipe.close()
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()

    def _ask(self, processes: int, order: tuple[Any, ...]) -> list[Any]:
        chosen = self._members[:processes]
        for _, pipe in chosen:
            pipe.send(order)
        answers = [_answer(pipe) for _, pipe in chosen]
        for failed, value in answers:
            if failed:
                raise RuntimeError(f"{order[1].name}:\n{value}")
        return [value for _, value in answers]


def _answer(pipe: Connection) -> tuple[bool, Any]:
    if not pipe.poll(120):
        raise RuntimeError("a process of the benchmark gave no answer for 120 s")
    answer: tuple[bool, Any] = pipe.recv()
    return answer


def _serve(pipe: Connection) -> None:
    """One process of a crew."""
    open_ones: dict[str, Runs] = {}
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            pipe.send((False, _obey(open_ones, order)))
        except Exception:
            pipe.send((True, traceback.format_exc()))


def _obey(open_ones: dict[str, Runs], order: tuple[Any, ...]) -> Any:
    contender: Contender = order[1]
    if order[0] == "drop":
        gone = open_ones.pop(contender.key, None)
        return gone.close() if gone is not None else None
    one = open_ones.get(contender.key)
    if one is None:
        one = open_ones[contender.key] = make(contender)
        one.warm()
    if order[0] == "warm":
        return None
    start, end = order[2:]
    time.sleep(max(0.0, start - time.monotonic()))
    return one.run(end)
