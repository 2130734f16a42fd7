"""The seals of one step: taken before its first attempt, anew for a repair, asked before the checks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runner.engine.seal import Seal, digest, step_seal, take_seal, verdict, without
from runner.model import Check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.engine.tried import Tried
    from runner.model import Attempt, Step, Verdict

_NO_GATE: Final = frozenset(("exit_code", "output_contains", "file_exists", "json_schema", "pr_url"))
"""Checks that have nothing which could be edited."""


class Sealing:
    """What the gate of `step` depended on when it began, in the workspace `root`; kept in `file` across attempts."""

    def __init__(
        self, step: Step, root: Path, cwd: Path, file: Path, previous: Sequence[Attempt], beside: Sequence[str] = ()
    ) -> None:
        """`beside`: globs that others may edit while the step runs; it may grow."""
        self._step = step
        self._root = root
        self._cwd = cwd
        self._beside = beside
        self._seals = [self._first(file, previous)]

    @property
    def digest(self) -> str | None:
        """Of the seal of the first attempt; None where there is nothing that could be edited."""
        first = self._seals[0]
        return digest(first) if first.guarded else None

    def verdicts(self) -> list[Verdict]:
        """The first red one, else one that says that the gate is as it was; none without a gate."""
        seals = [without(seal, self._beside) if self._beside else seal for seal in self._seals if seal.guarded]
        found = [verdict(seal, self._root) for seal in seals]
        return [one for one in found if not one.ok][:1] or found[:1]

    def for_repair(self) -> None:
        """What the step itself may edit, its repair may not: it is held to the gate as it is now."""
        self._seals = [self._seals[0], self._take(self._step.checks)]

    def of_program(self, tried: Tried) -> Seal:
        """The seal of what a step without an agent ran: its own end is the gate of who mends what it found wrong."""
        payload = self._step.payload
        words = (payload.get("script"), payload.get("command"), tried.result.evidence.get("framework"))
        return self._take([Check("command", word) for word in words if isinstance(word, str)])

    def edited(self, gate: Seal) -> Verdict | None:
        """The red verdict on a gate that is not as it was."""
        found = verdict(gate, self._root)
        return None if found.ok else found

    def _first(self, file: Path, previous: Sequence[Attempt]) -> Seal:
        """That of the first attempt, whoever made it: one of our own would bless what was edited since."""
        node = self._step
        if not node.policy.protect and all(check.type in _NO_GATE for check in node.checks):
            return Seal(may_edit=node.policy.may_edit)
        known = [str(a.result["seal"]) for a in previous if a.result and a.result.get("seal")]
        return step_seal(file, self._root, node.checks, node.policy, cwd=self._cwd, known=known[0] if known else None)

    def _take(self, checks: Sequence[Check]) -> Seal:
        return take_seal(self._root, checks, replace(self._step.policy, may_edit=()), cwd=self._cwd)
