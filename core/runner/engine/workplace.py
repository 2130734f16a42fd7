"""Where a claimed task works: a worktree with snapshots, or a folder as it is."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.engine.folders import write_json
from runner.engine.isolated import clear, open_isolated
from runner.engine.periodic import Timer
from runner.errors import RunnerError
from runner.globs import matcher
from runner.model import Verdict
from runner.workspace import (
    Caps,
    branch_ref,
    bring_in,
    fetched,
    has_commit,
    locate,
    merge_into,
    open_workspace,
    paths_between,
    present_commit,
    state_of,
)
from runner.workspace import publish as move_branch
from runner.workspace.git import Git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runner.app import App
    from runner.model import Attempt, Claim
    from runner.workspace import Base, State, Unmerged, Workspace


@dataclass(frozen=True, slots=True)
class Mark:
    """The workspace at the moment a step began: HEAD, a digest of everything, and the snapshot taken then, if any."""

    head: str
    digest: str
    snapshot: str | None = None
    tree: str | None = None
    """A commit of the whole tree then, where the step works in the user's own folder."""
    state: State | None = field(default=None, compare=False, repr=False)
    """The whole of it, while the process that took it lives."""


class Workplace:
    """The workspace of one claim. Several steps may work in it at once."""

    def __init__(
        self,
        app: App,
        workspace: Workspace,
        base: str | None,
        unit: str,
        reopen: Callable[[str], Any],
        unmerged: Unmerged | None = None,
    ) -> None:
        """`unmerged`: what is known of the merge, where this is the worktree of one step of a run."""
        self._app = app
        self._ws = workspace
        self._unit = unit
        self._reopen = reopen
        self._timer: Timer | None = None
        self._lock = threading.Lock()
        self._working = 0
        self.base = base
        self._asked: dict[str, Any] | None = None
        self._unmerged = unmerged
        self._merged = False

    @classmethod
    def open(
        cls,
        app: App,
        claim: Claim,
        workplace: str,
        previous: Sequence[Attempt],
        resume_from: str | None = None,
    ) -> Workplace:
        """Make or continue the task's workspace; from a snapshot when one is given."""
        task = claim.task
        assert task is not None
        moved = _Moved(task.spec.get("root"), app.project.root)
        spec = task.spec.get("base") if workplace == "worktree" else None
        repo = moved.path(spec["repo"]) if spec else None
        cwd = moved.path(task.spec.get("cwd") or str(app.project.root))
        for folder in (repo, None if spec else cwd):
            if folder is not None and not folder.is_dir():
                raise WorkspaceUnavailable(
                    f"the folder {folder} is not on this machine (any more)",
                    f"bring it back, then: runner resolve {task.id} pending",
                )
        settings = app.config.workspace
        # An exclusive unit has one worktree for all its tasks, one after the other; else each task has its own.
        unit, epoch = (task.unit, task.unit_epoch) if task.unit and task.unit_epoch else (task.id, claim.epoch)

        def opened(resume_from: str | None, *, reclaimed: bool) -> Workspace:
            return open_workspace(
                repo=repo,
                base=spec["commit"] if spec else None,
                subdir=spec["subdir"] if spec else "",
                unit=unit,
                epoch=epoch,
                state=app.project.state,
                resume_from=resume_from,
                reclaimed=reclaimed,
                copy=settings.copy,
                cwd=cwd,
                caps=Caps(settings.max_file, settings.max_total),
            )

        # The claim before this one did not settle: whatever it left is not to be trusted in place.
        lost = bool(previous) and previous[-1].outcome in (None, "lost_claim")
        if repo is not None and spec is not None and spec.get("bundle") and not has_commit(repo, spec["commit"]):
            with _brought(app, repo, spec, task.id):
                workspace = opened(resume_from, reclaimed=lost)
        else:
            workspace = opened(resume_from, reclaimed=lost)
        return cls(app, workspace, spec["commit"] if spec else None, unit, lambda ref: opened(ref, reclaimed=False))

    @property
    def cwd(self) -> Path:
        """Where the step's programs start."""
        return self._ws.cwd

    @property
    def root(self) -> Path:
        """The top of the workspace: what a seal covers."""
        return self._ws.path

    @property
    def stays(self) -> bool:
        """Whether the work is in files of this machine that another one does not have."""
        return self._ws.repo is not None

    @cached_property
    def in_repository(self) -> bool:
        """Whether changes can be seen in git: in a worktree, or in the user's own checkout."""
        return self._ws.repo is not None or locate(self._ws.cwd) is not None

    def begin(self, attempt: int, failed: Callable[[str], None]) -> None:
        """An attempt starts: snapshots every few minutes from now on; `failed` hears of those that fail."""
        if self._ws.repo is None:
            return
        every = float(self._app.config.workspace.snapshot_every)
        with self._lock:
            self._working += 1
            if self._timer is None and every > 0:
                self._timer = Timer(every, lambda: self._snapshot(attempt, "periodic"), failed)

    def end(self, attempt: int, failed: Callable[[str], None]) -> dict[str, Any]:
        """The attempt's process is gone: a snapshot at the step's boundary → what the result says of it."""
        if self._ws.repo is None:
            return {}
        with self._lock:
            self._working -= 1
            timer = self._timer if self._working == 0 else None
            if timer is not None:
                self._timer = None
        if timer is not None:
            timer.stop()
        return self.snapshot(attempt, failed)

    def snapshot(self, attempt: int, failed: Callable[[str], None]) -> dict[str, Any]:
        """A snapshot now → what the result says of it; `failed` hears of one that fails, which blocks deletion."""
        try:
            taken = self._snapshot(attempt, "step")
        except RunnerError as error:
            failed(str(error))
            return {"snapshot_error": str(error)}
        if taken is None:
            return {}
        body: dict[str, Any] = {"snapshot": taken.ref}
        if taken.left_out:
            body["left_out"] = [{"path": o.path, "reason": o.reason, "size": o.size} for o in taken.left_out[:100]]
        return body

    def _snapshot(self, attempt: int, label: str) -> Any:
        with self._lock:
            return self._ws.snapshot(attempt, label)

    def commit_leftovers(self, message: str) -> None:
        """Work that the step left uncommitted is committed before the checks look at it."""
        if self._ws.repo is not None:
            with self._lock:
                self._ws.commit_leftovers(message)

    def mark(
        self, file: Path, *, fresh: bool, lone: bool, attempt: int = 0, snapshot: bool = False, tree: bool = False
    ) -> Mark:
        """The workspace as the step finds it at its first attempt: kept in `file`, so that a later claim knows it too.

        Of a lone task it is the commit that the task started from (or, outside a repository, this moment).
        """
        if not fresh and not lone:
            try:
                return Mark(**json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                pass  # the state folder was cleared, or another machine had it: from here on
        now = self._state()
        taken = self._snapshot(attempt, "step") if snapshot and self._ws.repo is not None else None
        begun = self.present() if tree and not lone else None
        head = self.base if lone and self.base is not None else now.head
        if not lone:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            commit = taken.commit if taken else None
            write_json(file, {"head": head, "digest": now.digest, "snapshot": commit, "tree": begun})
        # By its commit: the ref of this attempt moves on with its next snapshot.
        return Mark(head, now.digest, taken.commit if taken else None, begun, now)

    def present(self) -> str | None:
        """A commit of the tree as it is now, in the user's own checkout; None elsewhere."""
        base = locate(self._ws.cwd) if self._ws.repo is None else None
        return None if base is None else present_commit(base)

    def changed(self, mark: Mark, touches: Sequence[str] = ()) -> bool:
        """Whether anything differs from then: HEAD, index, files; with `touches` (globs), any file of those.

        What a step of the same tree did at the same time can't be told apart otherwise.
        """
        now = self._state()
        if touches and mark.state is not None:
            return any(map(matcher(touches), paths_between(self._ws.path, mark.state, now)))
        return bool(now.digest != mark.digest or now.head != mark.head)

    def _state(self) -> Any:
        if self._ws.repo is None and self.in_repository:
            return state_of(self._ws.cwd)
        return self._ws.state()

    def apart(self, claim: Claim, path: str, *, lost: bool) -> Workplace:
        """A worktree for one step of the run; once its work is merged, it goes when it is closed."""
        workspace, unmerged, reopen = open_isolated(self._app, self._ws, self._unit, claim, path, lost=lost)
        return Workplace(self._app, workspace, unmerged.base, unmerged.unit, reopen, unmerged)

    @property
    def repository(self) -> Path:
        """The repository that the work belongs to: the user's own checkout."""
        base = locate(self._ws.cwd)
        return self._ws.repo or (base.repo if base is not None else self._ws.cwd)

    def commit_to_send(self, message: str) -> Base | None:
        """The commit in which everything is, for another machine; None outside a repository.

        Of a person's folder it is one of the present tree, on no branch.
        """
        base = locate(self._ws.cwd)
        if base is None:
            return None
        if self._ws.repo is None:
            return replace(base, commit=present_commit(base))
        self.commit_leftovers(message)
        found = locate(self._ws.cwd)
        return found if found is None else replace(found, repo=self.repository)

    def head_since_base(self) -> str | None:
        """The commit that the work came to; None when nothing was committed."""
        if self._ws.repo is None:
            return None
        head = self._ws.state().head
        return head if head != self.base else None

    def merge(self, other: Workplace, message: str) -> Verdict:
        """What an isolated step committed comes into this tree; a conflict is a red verdict, and changes nothing."""
        todo = other._unmerged
        assert todo is not None
        try:
            verdict = self.merge_commit(other._ws.state().head, message, todo.base, todo.decide)
        except RunnerError:
            todo.undecide()
            raise
        if verdict.ok:
            todo.end()
            other._merged = True
        elif self._ws.repo is None:
            # Once the step has merged this one, nothing of it is in conflict any more.
            todo.begin(verdict.evidence["into"])
        return verdict

    def merge_commit(
        self, head: str, message: str, known: str | None = None, decided: Callable[[str], None] | None = None
    ) -> Verdict:
        """A commit of this repository comes into this tree; a conflict is a red verdict, and changes nothing.

        A worktree of the runner's has it as a commit; the folder of a person as changes that nobody has
        committed: for `known` and `decided` see `bring_in`.
        """
        with self._lock:
            if self._ws.repo is not None:
                conflicts: Sequence[str] = merge_into(self._ws.path, head, message)
                ours = tip(self._ws.path, "HEAD") if conflicts else None
            else:
                brought = bring_in(self._ws.cwd, head, known, decided)
                conflicts, ours = brought.conflicts, brought.into
        evidence = {"check": "merge", "value": head, "files": list(conflicts)[:50], "into": ours}
        if conflicts:
            names = ", ".join(conflicts[:5])
            said = f"it can't be merged: {names} (merge {str(ours)[:12]} here, and resolve the conflict)"
            return Verdict(False, said, evidence)
        return Verdict(True, "it is merged", evidence)

    def rewind(self, ref: str) -> None:
        """Go on in a new worktree that is as the snapshot was; the present one stays where it is, snapshotted."""
        with self._lock:
            old, self._ws = self._ws, self._reopen(ref)
        old.close()

    def publication(self) -> dict[str, Any] | None:
        """The branch that is to move once the settle is accepted; None when nothing was committed."""
        if self._ws.repo is None:
            return None
        head = self._ws.state().head
        old = tip(self._ws.repo, branch_ref(self._unit))
        if head in (old, self._ws.base):
            return None
        self._asked = {"repo": str(self._ws.repo), "ref": branch_ref(self._unit), "new": head, "old": old}
        return self._asked

    def summary(self) -> dict[str, Any]:
        """What the result says about the branch."""
        if self._asked is None:
            return {}
        return {"branch": self._asked["ref"].removeprefix("refs/heads/"), "commit": self._asked["new"]}

    def move_branch(self) -> str | None:
        """The settle was accepted: move the branch → "" or what is wrong; None when there is nothing to move.

        A worker that dies before this is made up for by the next one on this machine.
        """
        if self._asked is None:
            return None
        try:
            move_branch(Path(self._asked["repo"]), self._asked["ref"], self._asked["new"], self._asked["old"])
        except RunnerError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Stop what runs beside the step."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._ws.close()
        if self._unmerged is not None and self._merged:
            clear(self._app, self._unmerged)


@contextmanager
def _brought(app: App, repo: Path, spec: Mapping[str, Any], task: str) -> Iterator[None]:
    """The commit that a task starts from, out of the bundle that travelled with it."""
    from runner.engine.travel import fetch

    folder = app.project.state / "runs" / task
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / "work.bundle"
    fetch(app, spec["bundle"]["sha256"], file)
    with fetched(repo, file, spec["commit"]):
        file.unlink()
        yield


class WorkspaceUnavailable(RunnerError):
    """Where the task should work is not there: trying again would not help, a person has to look."""

    code = "workspace"


class _Moved:
    """Paths of a project that was moved since they were written down."""

    def __init__(self, old: str | None, new: Path) -> None:
        self._old = old
        self._new = new

    def path(self, text: str) -> Path:
        """The path as it is now: below the project's present root, when it was below the former one."""
        path = Path(text)
        if self._old is None or path.exists() or not path.is_relative_to(self._old):
            return path
        return self._new / path.relative_to(self._old)


def tip(repo: Path, ref: str) -> str | None:
    """The commit that a ref is at; None when there is no such ref."""
    code, out, _ = Git(repo).attempt("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    return out.decode().strip() if code == 0 else None
