"""A place to work in: a git worktree of the runner's own, or a plain folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import GitError, SnapshotFailed, WorkspaceLost
from runner.workspace.changes import Changes, State, capture, capture_plain, compare
from runner.workspace.git import Git
from runner.workspace.leftovers import commit_leftovers
from runner.workspace.locks import locked
from runner.workspace.marker import FAILED, GUARD, check
from runner.workspace.snapshot import Photographer, Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from runner.workspace.locks import Lock
    from runner.workspace.marker import Place
    from runner.workspace.survey import Caps


class Workspace:
    """Where one claim works. Safe to use from several threads; `close` it when the claim ends.

    `path` is its root, `cwd` where the task starts in it, `repo` the user's checkout it belongs to and
    `base` the commit it was made from (None for a plain folder). While it is open, nothing deletes it.
    """

    def __init__(
        self,
        *,
        unit: str,
        epoch: int,
        path: Path,
        cwd: Path,
        place: Place | None,
        repo: Path | None,
        caps: Caps,
        lock: Lock | None,
    ) -> None:
        self.unit = unit
        self.epoch = epoch
        self.path = path
        self.cwd = cwd
        self.repo = repo
        self.base = place.marker.base if place else None
        self._place = place
        self._lock = lock
        self._git = worktree_git(place) if place else None
        self._photographer = Photographer(self._git, caps) if self._git else None

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the workspace: from now on it may be cleaned."""
        if self._lock is not None:
            self._lock.release()

    def check_identity(self) -> None:
        """Raise WorkspaceLost unless this is still the worktree the runner made, and still this claim's."""
        self._checked()

    def _checked(self) -> Place | None:
        if self._place is None:
            if not self.path.is_dir():
                raise WorkspaceLost(f"the folder {self.path} is gone", "make it again, then retry the task")
            return None
        return check(self._place, self.unit, self.epoch)

    def state(self) -> State:
        """What the workspace is like now, to be compared with later."""
        place = self._checked()
        if place is None or self._git is None:
            return capture_plain(self.path)
        return capture(place.path, self._git, place.marker.base, place.marker.copied)

    def changes(self, since: State) -> Changes:
        """What changed since: commits, index, files, untracked (not ignored) files."""
        return compare(since, self.state(), self._git)

    def commit_leftovers(self, message: str) -> str | None:
        """Commit what is uncommitted on the detached HEAD → the new commit; None when nothing was left.

        On a branch that the agent checked out, HEAD is detached first: only HEAD moves, no branch.
        """
        place = self._checked()
        if place is None or self._git is None:
            return None
        with locked(place.admin / GUARD):
            # Read again now that nobody else writes: a newer claim may have come.
            return commit_leftovers(check(place, self.unit, self.epoch), self._git, message)

    def snapshot(self, attempt: int, label: str = "") -> Snapshot | None:
        """Keep everything in the workspace under `refs/runner/<unit>/<attempt>`; None for a plain folder.

        May be called from a timer's thread while an agent works. Raises SnapshotFailed, and leaves a
        mark that blocks deletion until a snapshot succeeds.
        """
        place = self._checked()
        if place is None or self._photographer is None:
            return None
        return take_snapshot(place, self._photographer, attempt, label)


def worktree_git(place: Place) -> Git:
    """git pinned to a worktree's administration."""
    return Git(place.path, git_dir=place.admin, work_tree=place.path)


def take_snapshot(
    place: Place, photographer: Photographer, attempt: int, label: str, ref: str | None = None
) -> Snapshot:
    """Take a snapshot under the worktree's guard; a failure is marked and raised as SnapshotFailed."""
    try:
        with locked(place.admin / GUARD):
            return photographer.take(place, attempt, label, ref)
    except (GitError, OSError) as error:
        reason = error.message if isinstance(error, GitError) else str(error)
        try:
            (place.admin / FAILED).write_text(reason, encoding="utf-8", errors="backslashreplace")
        except OSError:
            # Without the mark the gate still takes a snapshot itself before it deletes anything.
            pass
        message = f"no snapshot of {place.path} could be taken: {reason}"
        raise SnapshotFailed(message, "it is not deleted until a snapshot succeeds") from error
