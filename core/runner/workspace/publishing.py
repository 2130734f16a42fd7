"""Moves a work unit's branch to its result, only from where the claim found it."""

from __future__ import annotations

from pathlib import Path

from runner.errors import Conflict, GitError, UsageError
from runner.workspace.git import Git
from runner.workspace.names import BRANCHES, check_unit


def publish(repo: Path | str, ref: str, new: str, old: str | None) -> None:
    """Set the branch `ref` (`refs/heads/runner/<unit>`) to commit `new`.

    `old` is the commit it must be at now, None that it must not exist. A branch that is at `new`
    already is left alone, so that this may be repeated. Raises Conflict when somebody else moved it,
    or has it checked out; GitError when git can't do it.
    """
    unit = ref.removeprefix(f"{BRANCHES}/")
    if unit == ref:
        raise UsageError(f"{ref} is not a branch of the runner", f"results are published below {BRANCHES}/")
    check_unit(unit)
    git = Git(Path(repo))
    now, place = _look(git, ref)
    if now == new:
        return
    branch = ref.removeprefix("refs/heads/")
    if now != old:
        where = f"is at {now[:12]}" if now else "is gone"
        hint = f"merge {new[:12]} into it, or delete the branch and retry the task"
        raise Conflict(f"the branch {branch} {where}: somebody else moved it", hint)
    if place:
        raise Conflict(f"the branch {branch} is checked out in {place}", "check out another branch there")
    zero = "0" * len(new)
    words = ("-c", "core.logAllRefUpdates=true", "update-ref", "-m", f"runner: {unit}", ref, new, old or zero)
    code, _, err = git.attempt(*words)
    if code == 0:
        return
    now, _ = _look(git, ref)
    if now == new:
        return
    if now != old:
        raise Conflict(f"the branch {branch} was moved by somebody else", "retry the task")
    if "refs/heads/runner' exists" in err:
        raise Conflict("a branch called 'runner' is in the way of the branches 'runner/…'", "rename that branch")
    raise GitError(
        f"the branch {branch} can't be set in {repo}: {err.strip().splitlines()[-1] if err.strip() else code}"
    )


def _look(git: Git, ref: str) -> tuple[str | None, str]:
    """The commit of a branch, and the checkout that has it checked out ("" when none has)."""
    out = git.run("for-each-ref", "--format=%(objectname)%00%(worktreepath)", ref).decode("utf-8", "surrogateescape")
    commit, _, place = out.rstrip("\n").partition("\0")
    return commit or None, place
