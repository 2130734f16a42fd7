"""The step `worktree`: a git worktree of its own for the steps that come after; its output is the path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner import hookimpl
from runner.logtext import last_line, whole
from runner.model import StepResult, TypeSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Context, Step


@hookimpl
def register_types() -> Mapping[str, TypeSpec]:
    """The type `worktree`, for steps of workflows."""
    return {"worktree": TypeSpec(inside=True, summary="Make a git worktree for the steps that follow.")}


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """`git worktree add`, on a new branch unless it exists; one that is there on that branch already is used."""
    payload = step.payload
    branch, base = str(payload["branch"]), str(payload.get("base") or "HEAD")
    path = Path(context.workspace, str(payload.get("path") or f".worktrees/{step.id.rpartition('/')[2]}"))
    if branch.startswith("-") or base.startswith("-"):
        return StepResult("crashed", evidence={"error": f"'{branch if branch.startswith('-') else base}' is no branch"})
    if path.is_dir() and _branch_of(path, context) == branch:
        return StepResult(output=str(path))
    words = ["git", "worktree", "add"]
    exists = (
        context.process(["git", "rev-parse", "-q", "--verify", f"refs/heads/{branch}"], name="branch").exit_code == 0
    )
    if not exists and not payload.get("create_branch", True):
        return StepResult("crashed", evidence={"error": f"there is no branch '{branch}', and create_branch is false"})
    words += [str(path), branch] if exists else ["-b", branch, str(path), base]
    done = context.process(words)
    if done.exit_code != 0:
        return StepResult("crashed", evidence={"error": f"git worktree: {last_line(done.stderr)}"})
    return StepResult(output=str(path))


def _branch_of(path: Path, context: Context) -> str:
    done = context.process(["git", "-C", str(path), "rev-parse", "--abbrev-ref", "HEAD"], name="present")
    return whole(done.stdout) or ""
