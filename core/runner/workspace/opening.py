"""Opens the workspace of a claim: the worktree as it was left, or a new one from the last snapshot or the base."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import GitError, RunnerError, UsageError, WorkspaceLost
from runner.workspace.blobs import Hasher
from runner.workspace.copies import copy_in
from runner.workspace.git import Git
from runner.workspace.index import Index, save
from runner.workspace.kept import kept_in
from runner.workspace.locks import hold, locked
from runner.workspace.marker import GUARD, Marker, Place, admin_of, check, identify, mark, write_marker
from runner.workspace.names import attempt_of, check_unit
from runner.workspace.places import LOCK, REPO, WORKTREES, worktrees_of
from runner.workspace.snapshot import Photographer
from runner.workspace.survey import Caps
from runner.workspace.workspace import Workspace, take_snapshot, worktree_git
from runner.workspace.writeback import read_about, stored_trees, write_difference

if TYPE_CHECKING:
    from collections.abc import Sequence


def open_workspace(
    *,
    repo: Path | None,
    base: str | None,
    subdir: str,
    unit: str,
    epoch: int,
    state: Path,
    resume_from: str | None,
    reclaimed: bool,
    copy: Sequence[str] = (),
    cwd: Path,
    caps: Caps | None = None,
) -> Workspace:
    """Open the workspace of a claim `(unit, epoch)`.

    1. Without `repo`: `cwd` itself.
    2. The unit's newest worktree here, when its last claim was settled (`reclaimed` False) and no `resume_from`
       is given.
    3. Else a new worktree `<state>/worktrees/<unit>/<epoch>`: from `resume_from` (a snapshot or any
       commit) if it is given, else from the unit's last snapshot, else from `base`.

    Before a reclaim builds a new one, what the dead holder left here is snapshotted, if that is possible.
    `copy`: globs of files that git does not carry, copied from `repo`'s checkout and kept out of snapshots.
    Raises WorkspaceLost when a newer claim works here, GitError when git can't do it.
    """
    check_unit(unit)
    caps = caps or Caps()
    if repo is None:
        if not cwd.is_dir():
            raise UsageError(f"{cwd} is not a directory", "make it first, or name another one")
        return Workspace(unit=unit, epoch=epoch, path=cwd, cwd=cwd, place=None, repo=None, caps=caps, lock=None)
    home = state / WORKTREES / unit
    lock = None
    try:
        lock = hold(home / LOCK, shared=True)
        opening = _Opening(repo, base, state.name, unit, epoch, home, tuple(copy), caps)
        place = opening.present(reclaimed, resume_from is not None) or opening.new(resume_from)
        return Workspace(
            unit=unit,
            epoch=epoch,
            path=place.path,
            cwd=_start(place.path, subdir),
            place=place,
            repo=repo,
            caps=caps,
            lock=lock,
        )
    except BaseException as error:
        if lock is not None:
            lock.release()
        if isinstance(error, OSError):
            reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise GitError(f"no worktree of {unit} can be made in {home}: {reason}", "make room for it there") from None
        raise


@dataclass(frozen=True, slots=True)
class _Opening:
    repo: Path
    base: str | None
    project: str
    unit: str
    epoch: int
    home: Path
    copy: tuple[str, ...]
    caps: Caps

    def present(self, reclaimed: bool, left: bool = False) -> Place | None:
        """The unit's newest worktree, taken over for this claim; None when there is none, or it is to be `left`.

        That of a claim before which did not settle (`reclaimed`) is left too.
        """
        for path in worktrees_of(self.home):
            try:
                place = identify(path)
            except WorkspaceLost:
                # An older one would lack this one's work, which snapshots may have.
                return None
            if not place.marker.ready:
                continue
            if (reclaimed or left) and place.marker.epoch < self.epoch:
                self._supersede(place)
                return None
            return None if left else self._take_over(place)
        return None

    def _take_over(self, place: Place) -> Place:
        with locked(place.admin / GUARD):
            place = identify(place.path)
            if place.marker.epoch > self.epoch:
                return check(place, self.unit, self.epoch)
            return mark(place, epoch=self.epoch)

    def new(self, resume_from: str | None) -> Place:
        """A worktree of this claim's own, complete when this returns."""
        git = Git(self.repo)
        start = resume_from or self._last_snapshot() or self.base
        if start is None:
            raise UsageError(f"work unit {self.unit} has no commit to start from", "submit it again from a repository")
        about = read_about(git, start)
        place = self._add(git, about["head"] if about else start)
        pinned = worktree_git(place)
        pinned.run("reset", "--hard", "--quiet", "--no-recurse-submodules")
        if about:
            commit = self._commit(git, start)
            write_difference(pinned, commit, about, place.path)
            # What is stored already need not be stored again by the first snapshot.
            save(place.admin, Index(commit, trees=stored_trees(git, commit, about)))
        copied = copy_in(self.repo, place.path, self.copy, Hasher(place.marker.base))
        (self.home / REPO).write_bytes(os.fsencode(self.repo))
        # What a later claim finds here continues the attempt this was built from.
        return mark(place, copied=copied, ready=True, attempt=int(about["attempt"]) if about else 0)

    def _add(self, git: Git, commit: str) -> Place:
        full = self._commit(git, commit)
        common = Path(os.path.realpath(self.repo / git.line("rev-parse", "--git-common-dir")))
        reason = f"work unit {self.unit} of runner; `runner clean` removes it"
        words = ("worktree", "add", "--quiet", "--detach", "--no-checkout", "--lock", "--reason", reason)
        # Several processes at once: git's own bookkeeping of worktrees is not made for that.
        with locked(common / "runner-worktrees.lock"):
            path = self._free_path(git)
            git.run(*words, str(path), full)
        admin = admin_of(path)
        if admin is None:
            raise GitError(f"git made no worktree in {path}")
        write_marker(admin, Marker(self.project, self.unit, self.epoch, str(path), str(self.repo), full))
        return identify(path)

    def _free_path(self, git: Git) -> Path:
        """The claim's path, or a numbered one: neither what is there nor what git remembers there is touched."""
        listed = git.run("worktree", "list", "--porcelain").split(b"\n")
        known = {os.fsdecode(line.removeprefix(b"worktree ")) for line in listed if line.startswith(b"worktree ")}
        real = Path(os.path.realpath(self.home))
        name = str(self.epoch)
        number = 1
        while os.path.lexists(self.home / name) or str(real / name) in known:
            number += 1
            name = f"{self.epoch}-{number}"
        return self.home / name

    def _commit(self, git: Git, name: str) -> str:
        code, out, _ = git.attempt("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if code:
            raise GitError(f"the commit {name} is not in {self.repo}", "fetch it there, or submit the task again")
        return out.decode("ascii").strip()

    def _last_snapshot(self) -> str | None:
        """The unit's newest snapshot up to this claim; none that was set aside, or is from another project's unit.

        Names of units may be used again, by another project or after a state folder was deleted: then
        epochs start anew, and a first claim starts from its base. A claim's own snapshot counts where
        the unit's folder shows that it was worked for before.
        """
        newest = self.epoch if (self.home / REPO).exists() else self.epoch - 1
        found = [
            kept.commit
            for kept in kept_in(self.repo, self.unit)
            if kept.project == self.project and kept.epoch <= newest and attempt_of(kept.ref, self.unit) is not None
        ]
        return found[-1] if found else None

    def _supersede(self, place: Place) -> None:
        """Shut its holder out, if that still lives, and snapshot what it wrote since its last snapshot."""
        with locked(place.admin / GUARD):
            place = mark(identify(place.path), superseded=self.epoch)
        # Where that fails, the files stay where they are.
        try:
            photographer = Photographer(worktree_git(place), self.caps)
            take_snapshot(place, photographer, place.marker.attempt, f"found by the claim of epoch {self.epoch}")
        except RunnerError:
            pass


def _start(root: Path, subdir: str) -> Path:
    """The folder a task starts in; made when the commit does not have it."""
    place = Path(os.path.normpath(root / subdir))
    if not place.is_relative_to(root):
        raise UsageError(f"the folder '{subdir}' is outside of the workspace", "name one inside the repository")
    if not place.is_dir() and Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root)):
        place.mkdir(parents=True, exist_ok=True)
    return place
