"""Commits as files that travel: a git bundle made on one machine, fetched on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import GitError
from runner.workspace.git import Git

if TYPE_CHECKING:
    from pathlib import Path

_REF = "refs/runner-travel/work"
"""The name of the commit within a bundle."""


def has_commit(repo: Path, commit: str) -> bool:
    """Whether the repository has this commit."""
    return Git(repo).attempt("cat-file", "-e", f"{commit}^{{commit}}")[0] == 0


def make_bundle(repo: Path, commit: str, file: Path, known: tuple[str, ...] = ()) -> None:
    """Write `commit` and its history to `file`, without what is reachable from `known` commits, or a remote has."""
    git = Git(repo)
    ref = f"{_REF}-{commit}"
    git.run("update-ref", ref, commit)
    try:
        less = ["--not", "--remotes", *(one for one in known if has_commit(repo, one) and one != commit)]
        code, _, err = git.attempt("bundle", "create", "--quiet", str(file), ref, *less)
        if code and "empty bundle" in err:
            # A remote has it already; whoever gets the file may not.
            git.run("bundle", "create", "--quiet", str(file), ref)
        elif code:
            raise GitError(f"git bundle failed in {repo}: {' '.join(err.split())[:300]}")
    finally:
        git.attempt("update-ref", "-d", ref)


def fetch_bundle(repo: Path, file: Path, commit: str) -> None:
    """Take the commit of a bundle into the repository, under a ref of the runner's; GitError where it can't be."""
    git = Git(repo)
    ref = f"{_REF}-{commit}"
    code, _, err = git.attempt("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(file), f"+{ref}:{ref}")
    if code and not has_commit(repo, commit):
        lines = [line for line in err.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit {code}"
        raise GitError(
            f"the commit {commit[:12]} that the task starts from can't be taken into {repo}: {reason}",
            "fetch what is missing there from its remote, then retry",
        )
