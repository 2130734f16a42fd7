"""Bring a repository up to date: fast-forward only, and nothing local is ever lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.logtext import last_line, tail, whole
from runner.model import Check, StepResult
from runner.payloads import payload
from runner.toolchain import needs

if TYPE_CHECKING:
    from runner.model import Context, ProcessResult, Step

TIMEOUT = 300.0
"""Seconds for talking to the remote, when the payload does not say otherwise."""

workplace = "cwd"  # the repository itself, not a worktree of it
implicit_checks = [Check("exit_code", 0)]

_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true", "GCM_INTERACTIVE": "never"}
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=20"
_LOGIN = (
    "could not read Username",
    "Authentication failed",
    "Permission denied (publickey",
    "terminal prompts disabled",
)


def _model(base: Any) -> Any:
    from pydantic import Field

    class Payload(base, title="git_pull"):
        """What `git_pull` takes."""

        repo_path: str | None = Field(
            None, description="the repository; `~` is the home directory; default: the project"
        )
        cwd: str | None = Field(None, description="another name for repo_path")
        branch: str | None = Field(
            None, min_length=1, description="which branch (default: the one that is checked out)"
        )
        remote: str = Field("origin", min_length=1, description="from where")
        timeout: float | None = Field(None, gt=0, description="seconds for talking to the remote (default: 300)")

    return Payload


Payload = payload(_model)


class Stop(Exception):
    """It can't go on: `result` says why."""

    def __init__(self, result: StepResult) -> None:
        super().__init__()
        self.result = result


@hookimpl
def run_step(step: Step, context: Context) -> StepResult:
    """Fetch the branch, then move it forward; local changes that are in the way, and own commits, are left alone.

    1. The branch that is checked out is merged with `--ff-only`; another one is moved without touching the files.
    2. Diverged, in the way, no such branch, no remote: a sentence for a person, and nothing has changed.
    """
    try:
        return _Pull(step.payload, context).run()
    except Stop as stop:
        return stop.result


class _Pull:
    """One pull of one branch."""

    def __init__(self, given: Any, context: Context) -> None:
        self.context = context
        self.remote = given.get("remote", "origin")
        self.limit = float(given.get("timeout") or TIMEOUT)
        self.calls = 0
        env = {**context.env, **_QUIET}
        env.setdefault("GIT_SSH_COMMAND", _SSH)
        self.env = env
        self.current = self.answer("symbolic-ref", "--quiet", "--short", "HEAD")
        self.branch = given.get("branch") or self.current

    def run(self) -> StepResult:
        if self.answer("rev-parse", "--git-dir") is None:
            raise Stop(needs(f"{self.context.workspace} is no git repository", "set repo_path to one"))
        if self.branch is None:
            raise Stop(needs("no branch is checked out (HEAD is detached)", "name one: branch"))
        if self.branch.startswith("-") or self.answer("check-ref-format", "--branch", self.branch) is None:
            raise Stop(needs(f"'{self.branch}' is no name of a branch", "name another"))
        if self.answer("remote", "get-url", "--", self.remote) is None:
            raise Stop(needs(f"there is no remote '{self.remote}'", f"add it: git remote add {self.remote} URL"))
        fetched = self.fetch()
        local = f"refs/heads/{self.branch}"
        before = self.answer("rev-parse", "--verify", "--quiet", f"{local}^{{commit}}")
        if before is not None:
            self.same_line(before, fetched)
            if self.answer("merge-base", "--is-ancestor", fetched, before) is not None:
                return self.done(before, before)
        if self.branch == self.current:
            self.forward(fetched)
        else:
            self.must("update-ref", "-m", "pull: fast-forward", local, fetched, before or "0" * len(fetched))
        return self.done(before, fetched)

    def fetch(self) -> str:
        """The commit that the remote's branch is at."""
        refspec = f"refs/heads/{self.branch}:refs/remotes/{self.remote}/{self.branch}"
        done = self.git("fetch", "--no-tags", "--", self.remote, f"+{refspec}", limit=self.limit)
        words = tail(done.stderr, 20)
        if done.limit == "timeout":
            error = f"the remote '{self.remote}' did not answer within {self.limit:g} s"
            raise Stop(StepResult("timeout", exit_code=done.exit_code, evidence={"error": error}))
        if done.exit_code == 0:
            return str(self.answer("rev-parse", f"refs/remotes/{self.remote}/{self.branch}"))
        if "couldn't find remote ref" in words:
            raise Stop(needs(f"the remote '{self.remote}' has no branch '{self.branch}'", "name another"))
        if any(one in words for one in _LOGIN):
            raise Stop(needs(f"the remote '{self.remote}' wants a login", "set up a key or credential helper for it"))
        error = f"fetching from '{self.remote}' failed: {last_line(done.stderr)}"
        raise Stop(StepResult("crashed", exit_code=done.exit_code, evidence={"error": error}))

    def same_line(self, ours: str, theirs: str) -> None:
        """Raise for branches of which neither holds the other."""
        counts = (self.answer("rev-list", "--left-right", "--count", f"{ours}...{theirs}") or "0 0").split()
        ahead, behind = int(counts[0]), int(counts[1])
        if ahead and behind:
            sentence = (
                f"'{self.branch}' and '{self.remote}/{self.branch}' have diverged: {ahead} commits here, {behind} there"
            )
            raise Stop(needs(sentence, "rebase or merge it yourself", ahead=ahead, behind=behind))

    def forward(self, commit: str) -> None:
        """Merge into what is checked out; git refuses, and changes nothing, when files of ours are in the way."""
        done = self.git("merge", "--ff-only", "--quiet", commit)
        if done.exit_code == 0:
            return
        words = tail(done.stderr, 40).splitlines()
        files = [word.strip() for word in words if word.startswith(("\t", "    "))]
        where = f": {', '.join(files[:5])}" if files else f": {words[0] if words else 'git merge failed'}"
        raise Stop(needs(f"local changes are in the way{where}", "commit, stash or remove them", files=files[:50]))

    def done(self, before: str | None, after: str) -> StepResult:
        evidence: dict[str, Any] = {"branch": self.branch, "remote": self.remote, "before": before, "after": after}
        if before == after:
            return StepResult("ok", f"'{self.branch}' is up to date ({after[:10]})", 0, {**evidence, "commits": 0})
        if before is None:
            return StepResult("ok", f"'{self.branch}' is new here, at {after[:10]}", 0, evidence)
        commits = int(self.answer("rev-list", "--count", f"{before}..{after}") or 0)
        files = len((self.answer("diff", "--name-only", before, after) or "").splitlines())
        evidence |= {"commits": commits, "files": files}
        words = f"{commits} commit{'' if commits == 1 else 's'}, {files} file{'' if files == 1 else 's'}"
        aside = "" if self.branch == self.current else f"; '{self.current or 'HEAD'}' stays checked out"
        return StepResult("ok", f"'{self.branch}' went from {before[:10]} to {after[:10]}: {words}{aside}", 0, evidence)

    # git

    def git(self, *words: str, limit: float = 120.0) -> ProcessResult:
        self.calls += 1
        argv = ["git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", *words]
        return self.context.process(argv, env=self.env, timeout=limit, name=f"git{self.calls}")

    def answer(self, *words: str) -> str | None:
        """What git prints; None when it says no."""
        done = self.git(*words)
        return (whole(done.stdout) or "").strip() if done.exit_code == 0 else None

    def must(self, *words: str) -> None:
        done = self.git(*words)
        if done.exit_code != 0:
            error = f"git {words[0]} failed: {last_line(done.stderr)}"
            raise Stop(StepResult("crashed", exit_code=done.exit_code, evidence={"error": error}))
