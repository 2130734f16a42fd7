"""Compares what came of a case with what it expects: each difference with its place, both sides, the end of the log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.flowtests.player import bare, fits
from runner.logtext import tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.flowtests.collect import Collected
    from runner.flowtests.model import FileExpect, TextExpect
    from runner.flowtests.stage import Played

_STARTED = ("running", "waiting", "done", "failed", "cancelled")
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that does not hold: where it stands, what it is, what was expected and what came.

    `step`, where it is about one, and the last lines of its log.
    """

    place: str
    what: str
    expected: str
    came: str
    step: str = ""
    log: str = ""


def judge(one: Collected, played: Played) -> list[Failure]:
    """Everything that is not as expected."""
    return list(_Judge(one, played).failures())


class _Judge:
    def __init__(self, one: Collected, played: Played) -> None:
        self.one = one
        self.expect = one.case.expect
        self.played = played
        self.result = played.result
        self.steps: dict[str, Mapping[str, Any]] = {str(told["path"]): told for told in self.result["steps"]}
        self.attempts: list[Mapping[str, Any]] = self.result["attempts"]

    def failures(self) -> Iterator[Failure]:
        """In the order of the model."""
        expect, result = self.expect, self.result
        if result["status"] != expect.status:
            said = f"{result['status']}: {result['summary'] or result['outcome'] or ''}".rstrip(": ")
            failed = [p for p, told in self.steps.items() if told["status"] in ("failed", "waiting") and self._tries(p)]
            yield self._failure(("status",), expect.status, said, failed[-1] if failed else "")
        for name, like in (("summary", expect.summary), ("question", expect.question)):
            if like is not None:
                yield from self._like((name,), like, result[name])
        for key, state in expect.steps.items():
            yield from self._states("steps", key, str(state), "status")
        for key, outcome in expect.outcomes.items():
            yield from self._states("outcomes", key, outcome, "outcome")
        for key, count in expect.attempts.items():
            came = sum(len(self._tries(path)) for path in self._paths(key))
            if came != count:
                yield self._failure(("attempts", key), str(count), str(came), self._first(key))
        yield from self._texts()
        yield from self._files()
        yield from self._ran()

    def _texts(self) -> Iterator[Failure]:
        for key, like in self.expect.output.items():
            rows = self._rows(key)
            came = str(rows[-1]["output"]) if rows else None
            yield from self._like(("output", key), like, came, self._first(key))
        for key, like in self.expect.prompts.items():
            came = None
            for row in self._rows(key):
                path = Path(str(row["folder"])) / "prompt.md"
                if path.is_file():
                    came = path.read_text(encoding="utf-8")
            yield from self._like(("prompts", key), like, came, self._first(key))
        for name, like in self.expect.outputs.items():
            yield from self._like(("outputs", name), like, self.result["outputs"].get(name))

    def _files(self) -> Iterator[Failure]:
        for name, like in self.expect.files.items():
            path = self.played.project / name
            here = path.is_symlink() or path.exists()
            if like.absent:
                if here:
                    yield self._failure(("files", name), "no file", "it is there")
                continue
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
            yield from self._like(("files", name), like, text)

    def _ran(self) -> Iterator[Failure]:
        for number, key in enumerate(self.expect.ran):
            if not self._began(key):
                yield self._failure(("ran", number), f"{key} runs", f"it is {self._state(key)}")
        for number, key in enumerate(self.expect.not_ran):
            if self._began(key):
                yield self._failure(("not_ran", number), f"{key} does not run", f"it is {self._state(key)}", key)
        for number, chain in enumerate(self.expect.order):
            for at, (first, then) in enumerate(pairwise(chain), 1):
                begun = self._start(first), self._start(then)
                if begun[0] is None or begun[1] is None:
                    never = first if begun[0] is None else then
                    yield self._failure(("order", number, at), f"{first} before {then}", f"{never} did not run")
                elif begun[0] >= begun[1]:
                    yield self._failure(("order", number, at), f"{first} before {then}", f"{then} began first")

    # What is known

    def _paths(self, key: str) -> list[str]:
        """The addresses that a key means: itself, or all rounds of loops around it; containers count as well."""
        known = dict.fromkeys(
            [*self.steps, *(str(row["step"]) for row in self.attempts if row["step"][-1:] not in "?*")]
        )
        return [key] if key in known else [path for path in known if fits(key, path)]

    def _tries(self, path: str) -> list[Mapping[str, Any]]:
        return [row for row in self.attempts if row["step"] == path]

    def _rows(self, key: str) -> list[Mapping[str, Any]]:
        paths = self._paths(key)
        return [row for row in self.attempts if row["step"] in paths and row["folder"]]

    def _first(self, key: str) -> str:
        """The step whose log says most: one that failed, else the last."""
        paths = self._paths(key)
        failed = [path for path in paths if self.steps.get(path, {}).get("status") == "failed"]
        return (failed or paths or [""])[-1]

    def _began(self, key: str) -> bool:
        return any(self._tries(path) or self._container(path) for path in self._paths(key))

    def _container(self, path: str) -> bool:
        inner = any(str(row["step"]).startswith((f"{path}/", f"{path}[")) for row in self.attempts)
        return inner and self.steps.get(path, {}).get("status") in _STARTED

    def _start(self, key: str) -> int | None:
        """The number of the first attempt at it, or in it."""
        paths = self._paths(key)
        begun = [
            int(row["n"])
            for row in self.attempts
            for path in paths
            if row["step"] == path or str(row["step"]).startswith((f"{path}/", f"{path}["))
        ]
        return min(begun, default=None)

    def _state(self, key: str, name: str = "status") -> str:
        """The states of all that the key means, told once each; of what was never there, that of what is around it."""
        told = [word for path in self._paths(key) if (word := self._word(path, name))]
        if told:
            return ", ".join(dict.fromkeys(told))
        around = bare(key)
        while "/" in around:
            around = around.rpartition("/")[0]
            for path in self._paths(around):
                state = self.steps.get(path, {}).get("status")
                if state in ("skipped", "not_run", "cancelled"):
                    return str(state)
        return "pending" if name == "status" else "none"

    def _word(self, path: str, name: str) -> str:
        """The state or outcome of one address; a step that waits has the outcome of its last attempt."""
        word = self.steps.get(path, {}).get(name)
        tries = self._tries(path)
        return str(word or (tries[-1]["outcome"] if name == "outcome" and tries else "") or "")

    # Comparing

    def _states(self, section: str, key: str, wanted: str, name: str) -> Iterator[Failure]:
        came = self._state(key, name)
        if came != wanted:
            step = self._first(key)
            rows = self._tries(step)
            why = f": {rows[-1]['summary']}" if rows and rows[-1]["summary"] and rows[-1]["outcome"] != "ok" else ""
            yield self._failure((section, key), wanted, f"{came}{why}", step)

    def _like(
        self, path: Sequence[str | int], like: TextExpect | FileExpect, came: str | None, step: str = ""
    ) -> Iterator[Failure]:
        if came is None:
            nothing = "there is none" if path[0] == "files" else "it has none"
            yield self._failure(path, "a text", nothing, step)
            return
        if like.equals is not None and came.strip() != like.equals.strip():
            yield self._failure((*path, "equals"), _shown(like.equals), _shown(came), step)
        for number, part in enumerate(like.contains):
            if part not in came:
                yield self._failure((*path, "contains", number), f"…{_shown(part)}…", _shown(came), step)
        for number, part in enumerate(like.lacks):
            if part in came:
                yield self._failure((*path, "lacks", number), f"nothing like {_shown(part)}", _shown(came), step)
        if like.matches is not None and re.search(like.matches, came) is None:
            yield self._failure((*path, "matches"), f"/{like.matches}/", _shown(came), step)

    def _failure(self, path: Sequence[str | int], expected: str, came: str, step: str = "") -> Failure:
        words = ".".join(part for part in path if isinstance(part, str) and part != "equals")
        return Failure(self.one.place("expect", *path), words, expected, came, step, self.log_of(step) if step else "")

    def log_of(self, step: str) -> str:
        """The last lines of what the step's last attempt left."""
        rows = [row for row in self.attempts if row["step"] == step and row["folder"]]
        if not rows:
            return ""
        folder = Path(str(rows[-1]["folder"]))
        for name in ("stderr.log", "output.txt", "stdout.log", "log.txt"):
            text = tail(folder / name, 8, 1200)
            if text:
                return text
        return ""


def _shown(text: str) -> str:
    text = text.strip("\n")
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    if "\n" not in short and (not short or short.strip() != short):
        return repr(short)
    return short
