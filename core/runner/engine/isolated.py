"""The worktree of one step that works apart from its run: where it begins, and when it goes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runner.errors import RunnerError
from runner.workspace import (
    Caps,
    Unmerged,
    belongs,
    bring_in,
    discard,
    locate,
    open_workspace,
    present_commit,
    too_old,
)
from runner.workspace.git import Git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.app import App
    from runner.model import Claim
    from runner.workspace import Base, Workspace


def open_isolated(
    app: App, run: Workspace, owner: str, claim: Claim, path: str, *, lost: bool
) -> tuple[Workspace, Unmerged, Callable[[str], Workspace]]:
    """The workspace of the step at `path`, what is known of its merge, and how it is opened from a snapshot.

    It goes on with work that is not merged yet, and else begins at the commit that the run's worktree is at,
    or, of a run in a folder, at a commit of the present tree. `owner` is the run's unit.
    """
    base = _base(run, path)
    repo = run.repo or base.repo
    digest = hashlib.sha256(path.encode()).hexdigest()[:10]
    unmerged = Unmerged(repo, f"{owner[:100]}-{digest}")
    if run.repo is None:
        _finish(unmerged, run.cwd)
    before = unmerged.base
    begin = before or (base.commit if run.repo is not None else present_commit(base))
    settings, state = app.config.workspace, app.project.state

    def opened(resume_from: str | None) -> Workspace:
        return open_workspace(
            repo=repo,
            base=begin,
            subdir=base.subdir,
            unit=unmerged.unit,
            epoch=claim.epoch,
            state=state,
            resume_from=resume_from,
            reclaimed=lost,
            copy=settings.copy,
            cwd=run.cwd,
            caps=Caps(settings.max_file, settings.max_total),
        )

    # Snapshots of work that was merged are none to go on from.
    workspace = opened(begin if before is None else None)
    try:
        unmerged.begin(begin)
        belongs(state, unmerged.unit, owner)
    except BaseException:
        workspace.close()
        raise
    return workspace, unmerged, opened


def clear(app: App, unmerged: Unmerged) -> None:
    """What the step did is in the run's tree: its worktrees go, but for one that `runner clean` has to judge."""
    settings = app.config.workspace
    try:
        discard(app.project.state, unmerged.unit, Caps(settings.max_file, settings.max_total))
    except (RunnerError, OSError):
        pass  # a program works in it still, or it has what no snapshot holds


def _base(run: Workspace, path: str) -> Base:
    base = locate(run.cwd)
    if base is None:
        raise RunnerError(
            f"step '{path}' is to work isolated, and {run.cwd} is in no git repository that has a commit",
            f"make one there: git -C {run.cwd} init, then commit",
        )
    old = too_old(Git(base.repo)) if run.repo is None else ""
    if old:
        raise RunnerError(
            f"step '{path}' is to work isolated, and git {old} is too old to bring its work into {base.repo}",
            "install git 2.38 or later, or run the workflow with --worktree",
        )
    return base


def _finish(unmerged: Unmerged, folder: Path) -> None:
    """Bring what was being written to the folder when the run was killed to its end."""
    decided = unmerged.decided
    if decided is None:
        return
    if unmerged.base is not None and not bring_in(folder, decided, f"{decided}^1").conflicts:
        unmerged.end()
    # Else somebody changed the same lines since: then the work counts as unmerged.
    unmerged.undecide()
