"""What one step does apart from its run until that is merged: two refs beside its snapshots, and its worktrees."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.workspace.clean import Removal, remove
from runner.workspace.git import Git
from runner.workspace.locks import hold
from runner.workspace.names import SNAPSHOTS, check_unit
from runner.workspace.places import LOCK, OWNER, REPO, WORKTREES, worktrees_of

if TYPE_CHECKING:
    from pathlib import Path

    from runner.workspace.survey import Caps

_BASE: Final = "base"
_DECIDED: Final = "decided"


@dataclass(frozen=True, slots=True)
class Unmerged:
    """`refs/runner/<unit>/base` is there while work is not merged: the commit of the run's tree that it knows.

    `refs/runner/<unit>/decided` is there while a merged commit is being written to the folder of a person.
    """

    repo: Path
    unit: str

    @property
    def base(self) -> str | None:
        return self._get(_BASE)

    @property
    def decided(self) -> str | None:
        return self._get(_DECIDED)

    def begin(self, commit: str) -> None:
        """Work begins, or goes on, from this commit of the run's tree."""
        self._set(_BASE, commit)

    def decide(self, commit: str) -> None:
        """This is to be the run's tree, whatever comes between."""
        self._set(_DECIDED, commit)

    def undecide(self) -> None:
        """It is not to be."""
        self._drop(_DECIDED)

    def end(self) -> None:
        """It is merged."""
        # In this order: while the work counts as unmerged, what was decided must be known.
        self._drop(_BASE)
        self._drop(_DECIDED)

    def _ref(self, name: str) -> str:
        return f"{SNAPSHOTS}/{check_unit(self.unit)}/{name}"

    def _get(self, name: str) -> str | None:
        words = ("rev-parse", "--verify", "--quiet", f"{self._ref(name)}^{{commit}}")
        code, out, _ = Git(self.repo).attempt(*words)
        return out.decode("ascii").strip() if code == 0 else None

    def _set(self, name: str, commit: str) -> None:
        Git(self.repo).run("update-ref", self._ref(name), commit)

    def _drop(self, name: str) -> None:
        if self._get(name) is not None:
            Git(self.repo).run("update-ref", "-d", self._ref(name))


def belongs(state: Path, unit: str, owner: str) -> None:
    """Write down that the worktrees of `unit` are part of what `owner` does."""
    (state / WORKTREES / unit / OWNER).write_text(owner, encoding="utf-8")


def discard(state: Path, unit: str, caps: Caps) -> None:
    """Delete the worktrees of a unit whose work is merged; Conflict when one has to stay."""
    home = state / WORKTREES / unit
    for path in worktrees_of(home):
        remove(Removal(path, unit, 0, "it is merged", True), caps=caps)
    lock = hold(home / LOCK, wait=False)
    if lock is None:
        return
    try:
        if set(os.listdir(home)) <= {LOCK, OWNER, REPO}:
            for name in (OWNER, REPO, LOCK):
                (home / name).unlink(missing_ok=True)
            home.rmdir()
    finally:
        lock.release()
