"""Every error a user can cause: one sentence (what, where), a hint (what to do), an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner import statuses

if TYPE_CHECKING:
    from collections.abc import Iterable


class RunnerError(Exception):
    """The base of all errors that the command line prints as one line.

    `message` says what is wrong and where; `hint` says what to do; `code` is the stable name in
    JSON (`{"error": {"code", "message", "hint"}}`); `exit_code` is the program's exit status.
    """

    code = "error"
    exit_code = statuses.EXIT_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(RunnerError):
    """The command was called wrongly, or names something that does not exist."""

    code = "usage"
    exit_code = statuses.EXIT_USAGE


class ConfigError(UsageError):
    """A configuration or workflow file is wrong; the message starts with `file:line:`."""

    code = "config"


class PluginError(UsageError):
    """A plugin can't be loaded, or implements a hook wrongly; the message names plugin and hook."""

    code = "plugin"


class NotFound(UsageError):
    """A task, artifact, project or other record that was named does not exist."""

    code = "not_found"


class Conflict(RunnerError):
    """The request can't be carried out in the present state (a status, a held lock, a reused key)."""

    code = "conflict"


class StoreError(RunnerError):
    """The store can't be used: unreachable, corrupt, read-only, too new, full."""

    code = "store"
    exit_code = statuses.EXIT_STORE


class StoreUnavailable(StoreError):
    """The store can't be reached now; the same commit with the same request id may be tried again."""

    code = "store_unavailable"


class StoreLocked(StoreUnavailable):
    """Another process holds the store's write lock for too long; the message names its pid."""

    code = "store_locked"


class LimitReached(RunnerError):
    """A size, count, time or money limit was reached."""

    code = "limit"
    exit_code = statuses.EXIT_LIMIT


class LostClaim(RunnerError):
    """The claim is not ours any more: end the process tree, keep the output as late evidence, report nothing."""

    code = "lost_claim"


class Cancelled(RunnerError):
    """The task was cancelled while it ran."""

    code = "cancelled"


class CheckHeld(RunnerError):
    """A check can't be asked now (`outcome` rate_limited or auth): it says nothing about the work, which waits.

    `retry_at` is a Unix time; `account` is whose limit it is.
    """

    code = "check_held"

    def __init__(self, outcome: str, message: str, retry_at: float | None = None, account: str | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.retry_at = retry_at
        self.account = account


class GitError(RunnerError):
    """A git command failed; the message ends with git's own last line."""

    code = "git"


class WorkspaceLost(RunnerError):
    """The worktree is not the one the runner made (moved, replaced, `.git` gone): nothing was written by git."""

    code = "workspace_lost"


class SnapshotFailed(RunnerError):
    """A snapshot could not be taken; the workspace may not be deleted until one can."""

    code = "snapshot_failed"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` when a known name is near, else the list of known names."""
    import difflib  # here: every command imports this module, few need a suggestion

    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(names)}" if names else "none are known"
