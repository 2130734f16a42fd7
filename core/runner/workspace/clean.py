"""The one gate for deleting a workspace: nobody works in it, and all that is in it is proven to be kept elsewhere."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.errors import Conflict, RunnerError, SnapshotFailed, WorkspaceLost
from runner.workspace.blobs import Hasher
from runner.workspace.copies import unkept_copies
from runner.workspace.git import Git
from runner.workspace.inuse import user_of
from runner.workspace.kept import kept_in
from runner.workspace.leftout import LeftOut, size_text
from runner.workspace.locks import hold, locked
from runner.workspace.marker import FAILED, Place, admin_of, identify, read_marker
from runner.workspace.names import late_ref
from runner.workspace.places import LOCK, WORKTREES, worktrees_of
from runner.workspace.snapshot import Photographer, Snapshot
from runner.workspace.survey import Caps
from runner.workspace.workspace import take_snapshot, worktree_git

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_ASIDE: Final = ".aside-"
"""Before the name of a worktree that was moved aside for its last look; one found so goes back."""

_PROVEN: Final = ".proven-"
"""Before the name of a worktree that passed it; one found so is deleted without another look at what is left."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A worktree and whether it may go: `reason` says why, or why not; `bytes` is what it takes on disk."""

    path: Path
    unit: str
    bytes: int
    reason: str
    allowed: bool


def plan_clean(
    state: Path,
    leased_units: Collection[str],
    settled: Mapping[str, str],
    *,
    fresh: bool = False,
    caps: Caps | None = None,
) -> list[Removal]:
    """Every worktree of the runner with the gate's answer.

    `leased_units` are held by somebody. `settled` maps units without unfinished work to what became of
    them (`done`, …). `fresh`: where the last snapshot failed, try another one; else nothing is written, but
    that deletions which a crash cut off are brought to an end.
    """
    gate = _Gate(caps or Caps(), leased_units, settled, fresh)
    plan = []
    for unit in _units(state):
        home = state / WORKTREES / unit
        _finish_old(home)
        plan += [gate.judge(home, unit, path) for path in reversed(worktrees_of(home))]
    return plan


def remove(removal: Removal, *, leased: Callable[[str], bool] | None = None, caps: Caps | None = None) -> None:
    """Delete one worktree that the plan allows, after proving it again.

    1. Nobody has it open (a lock of the machine), no process works in it, and `leased`, if given, says that
       nobody holds the unit.
    2. A snapshot is taken now, and holds everything (but of a worktree that was never handed to a task).
    3. The worktree is moved aside; still nothing in it differs from that snapshot.
    4. Git's administration of it and its files are deleted.

    Raises Conflict with the reason when it may not go (any more).
    """
    if not removal.allowed:
        raise _refused(removal.path, removal.reason)
    home = removal.path.parent
    lock = hold(home / LOCK, wait=False)
    if lock is None:
        raise _refused(removal.path, "a worker has it open")
    try:
        if leased is not None and leased(removal.unit):
            raise _refused(removal.path, "its work unit is held by a worker")
        try:
            place = identify(removal.path)
        except WorkspaceLost as error:
            raise _refused(removal.path, error.message) from None
        user = user_of(removal.path)
        if user:
            raise _refused(removal.path, f"{user} works in it")
        _delete(place, caps or Caps())
    finally:
        lock.release()


def _delete(place: Place, caps: Caps) -> None:
    # Never handed out, so nobody's work is in it.
    if not place.marker.ready:
        return _drop(place, place.path)
    photographer = Photographer(worktree_git(place), caps, remember=True)
    try:
        shot = _snapshot(place, photographer)
    except SnapshotFailed as error:
        raise _refused(place.path, error.message) from None
    reason = _unkept(place, shot.left_out, shot.head)
    if reason:
        raise _refused(place.path, reason)
    aside = place.path.with_name(f"{_ASIDE}{place.path.name}")
    os.rename(place.path, aside)
    # From here on nobody finds it by its path; whoever wrote until now shows in this look.
    moved = Place(aside, place.admin, place.marker)
    if not Photographer(worktree_git(moved), caps).matches(moved, photographer.looked):
        os.rename(aside, place.path)
        raise _refused(place.path, "something is still writing in it")
    _drop(place, aside)


def _snapshot(place: Place, photographer: Photographer) -> Snapshot:
    marker = place.marker
    # Where a newer claim has gone on, its snapshots must stay the ones that the next claim starts from.
    ref = late_ref(marker.unit, marker.attempt, marker.epoch) if _outdated(place) else None
    return take_snapshot(place, photographer, marker.attempt, "before it is cleaned", ref)


def _outdated(place: Place) -> bool:
    """Whether a later claim of the unit has, or had, a worktree of its own."""
    marker = place.marker
    if marker.superseded or worktrees_of(place.path.parent)[0] != place.path:
        return True
    kept = kept_in(Path(marker.repo), marker.unit)
    return any(one.project == marker.project and one.epoch > marker.epoch for one in kept)


def _drop(place: Place, folder: Path) -> None:
    """Delete a worktree that now is `folder`, git's administration first: its files say where that is."""
    proven = place.path.with_name(f"{_PROVEN}{place.path.name}")
    os.rename(folder, proven)
    _forget(place.admin)
    _delete_tree(proven)


def _forget(admin: Path) -> None:
    marker = read_marker(admin)
    if marker is not None:
        common = admin.parent.parent
        # While others are made: git's own bookkeeping of worktrees is not made for that.
        with locked(common / "runner-worktrees.lock"):
            Git(common, git_dir=common).run("worktree", "remove", "--force", "--force", marker.path)


@dataclass(frozen=True, slots=True)
class _Gate:
    caps: Caps
    leased: Collection[str]
    settled: Mapping[str, str]
    fresh: bool

    def judge(self, home: Path, unit: str, path: Path) -> Removal:
        try:
            reason = self._against(home, unit, path)
        except RunnerError as error:
            reason = error.message
        except OSError as error:
            reason = f"it can't be read: {error.strerror}"
        return Removal(path, unit, size_on_disk(path), reason or self._why(path), not reason)

    def _why(self, path: Path) -> str:
        unit = self.settled[path.parent.name]
        return f"{unit}; everything in it is kept" if identify(path).marker.ready else "it was never handed to a task"

    def _against(self, home: Path, unit: str, path: Path) -> str:
        """What speaks against deleting a worktree; "" when nothing does."""
        if unit in self.leased:
            return "its work unit is held by a worker"
        if unit not in self.settled:
            return "its work unit has unfinished work"
        lock = hold(home / LOCK, wait=False)
        if lock is None:
            return "a worker has it open"
        try:
            user = user_of(path)
            return f"{user} works in it" if user else self._kept(identify(path))
        finally:
            lock.release()

    def _kept(self, place: Place) -> str:
        if not place.marker.ready:
            return ""
        photographer = Photographer(worktree_git(place), self.caps)
        failure = place.admin / FAILED
        if failure.exists():
            if not self.fresh:
                return f"its last snapshot failed: {failure.read_text(encoding='utf-8').strip()}"
            _snapshot(place, photographer)
        found = photographer.look(place)
        return _unkept(place, found.left_out, place.marker.base)


def _unkept(place: Place, left_out: Collection[LeftOut], example: str) -> str:
    """The sentence that says what is kept nowhere else; "" when nothing is."""
    missing = [item for item in left_out if item.blocks]
    if missing:
        first = missing[0]
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        size = size_text(sum(item.size for item in missing))
        return f"{first}{more}: {size} that no snapshot holds"
    copies = unkept_copies(place, Hasher(example))
    if copies:
        return f"{copies[0]} was copied from the main checkout and differs from it now"
    return ""


def _units(state: Path) -> Iterator[str]:
    try:
        yield from sorted(entry.name for entry in os.scandir(state / WORKTREES) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return


def _finish_old(home: Path) -> None:
    """Bring deletions that a crash cut off to an end: what was proven goes, what was not is judged again."""
    lock = hold(home / LOCK, wait=False)
    if lock is None:
        return
    try:
        for entry in list(os.scandir(home)):
            if entry.name.startswith(_PROVEN):
                admin = admin_of(Path(entry.path))
                if admin is not None:
                    _forget(admin)
                _delete_tree(Path(entry.path))
            elif entry.name.startswith(_ASIDE):
                path = home / entry.name.removeprefix(_ASIDE)
                if not os.path.lexists(path):
                    os.rename(entry.path, path)
    finally:
        lock.release()


def _refused(path: Path, reason: str) -> Conflict:
    return Conflict(f"{path} stays: {reason}", "`runner clean --dry-run` lists what may go")


def size_on_disk(path: Path) -> int:
    """The bytes that a folder takes on disk."""
    total = 0
    for folder, _, files in os.walk(path, onerror=None):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue
    return total


def _delete_tree(path: Path) -> None:
    # Some tools make folders that even their owner can't empty (a Go module cache).
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(folder, name)
            mode = os.lstat(inner).st_mode
            if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
                os.chmod(inner, stat.S_IMODE(mode) | 0o700)
    shutil.rmtree(path)
