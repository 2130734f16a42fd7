"""Runs the system's git with a clean environment: no hooks, no prompts, no collection, nothing inherited."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

from runner.errors import GitError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

_CONFIG = (
    "core.hooksPath=/dev/null",
    # A file-system monitor is a program of the repository's choice, too.
    "core.fsmonitor=false",
    "core.safecrlf=false",
    "core.fsync=committed",
    "core.fsyncMethod=batch",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "i18n.commitEncoding=UTF-8",
    "submodule.recurse=false",
    "advice.detachedHead=false",
)
FLAGS = tuple(word for setting in _CONFIG for word in ("-c", setting))
"""Given to every git command before its name."""

_PERSON = frozenset({"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"})

NOBODY = ("-c", "user.name=runner", "-c", "user.email=runner@localhost")
"""The identity of commits when the user has none."""


class Git:
    """git in one place: either found from a directory, or pinned to a worktree's administration.

    Pinned (`git_dir` and `work_tree` given), git never searches the parents of a directory, so a
    worktree whose `.git` is gone can't lead it into somebody else's repository.
    """

    def __init__(
        self,
        directory: Path,
        *,
        git_dir: Path | None = None,
        work_tree: Path | None = None,
        index: Path | None = None,
    ) -> None:
        """`index`: another index than the checkout's."""
        self.directory = directory
        self.index = index
        self.git_dir = git_dir
        self.work_tree = work_tree
        self._identity: tuple[str, ...] | None = None

    def environment(self) -> dict[str, str]:
        """The caller's environment without any `GIT_…` of its own but a person's name and address, and with ours."""
        env = {k: v for k, v in os.environ.items() if k in _PERSON or not k.startswith(("GIT_", "SSH_ASKPASS"))}
        env |= {
            "LC_ALL": "C",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        if self.git_dir is not None:
            env["GIT_DIR"] = str(self.git_dir)
        if self.work_tree is not None:
            env["GIT_WORK_TREE"] = str(self.work_tree)
        if self.index is not None:
            env["GIT_INDEX_FILE"] = str(self.index)
        return env

    def attempt(self, *words: str, input: bytes = b"") -> tuple[int, bytes, str]:
        """Run a command → its exit code, stdout, and stderr as text. Raises GitError when git can't be started."""
        import subprocess  # 9 ms, and most commands never run git

        try:
            done = subprocess.run(
                ["git", *FLAGS, *words],
                input=input,
                capture_output=True,
                cwd=self.directory,
                env=self.environment(),
                # No terminal to ask on, and a Ctrl-C for us does not tear git out of a write.
                start_new_session=True,
                check=False,
            )
        except OSError as error:
            raise _not_started(self.directory, error) from None
        return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")

    def run(self, *words: str, input: bytes = b"") -> bytes:
        """Run a command → its stdout. Raises GitError when it does not end with 0."""
        code, out, err = self.attempt(*words, input=input)
        if code:
            raise failed(words, self.directory, code, err)
        return out

    def line(self, *words: str) -> str:
        """Run a command that prints one line → that line."""
        return os.fsdecode(self.run(*words)).rstrip("\n")

    def stream(self, *words: str, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a command that is spoken to through pipes; its stderr goes to a file of the caller."""
        import subprocess

        try:
            return subprocess.Popen(
                ["git", *FLAGS, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=self.directory,
                env=self.environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise _not_started(self.directory, error) from None

    def identity(self) -> tuple[str, ...]:
        """Flags that name the author of a commit: none when the user has a name and an address, else `NOBODY`."""
        if self._identity is None:
            _, out, _ = self.attempt("config", "-z", "--name-only", "--get-regexp", r"^user\.(name|email)$")
            has = set(out.split(b"\0"))
            self._identity = () if {b"user.name", b"user.email"} <= has else NOBODY
        return self._identity


def _not_started(directory: Path, error: OSError) -> GitError:
    if os.path.isdir(directory):
        return GitError(f"git can't be started: {error.strerror}", "install git and put it on PATH")
    return GitError(f"{directory} is not a directory any more")


def failed(words: Sequence[str], directory: Path, code: int, stderr: str) -> GitError:
    """The error for a git command that ended with `code`, in one sentence."""
    name = next((w for w in words if not w.startswith("-") and "=" not in w), "git")
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    reason = next((line for line in reversed(said) if line.startswith(("fatal:", "error:"))), said[-1] if said else "")
    reason = reason.removeprefix("fatal: ").removeprefix("error: ") or f"exit code {code}"
    return GitError(f"git {name} failed in {directory}: {reason}")
