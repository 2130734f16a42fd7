"""Commits as files that travel: a git bundle made on one machine, fetched on another."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from runner.errors import GitError
from runner.workspace.git import Git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REFS: Final = "refs/runner-travel"
"""Where commits that travel have names, for a moment."""


def has_commit(repo: Path, commit: str) -> bool:
    """Whether the repository has this commit."""
    return Git(repo).attempt("cat-file", "-e", f"{commit}^{{commit}}")[0] == 0


def make_bundle(repo: Path, commit: str, file: Path, known: tuple[str, ...] = ()) -> None:
    """Write `commit` and its history to `file`, without what is reachable from `known` commits, or a remote has."""
    git = Git(repo)
    # A name of its own: others may send the same commit at the same time.
    ref = f"{_REFS}/out-{secrets.token_hex(8)}"
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


@contextmanager
def fetched(repo: Path, file: Path, commit: str) -> Iterator[None]:
    """Take the commit of a bundle into the repository, where it stays; GitError where it can't be.

    A ref holds it within: whoever enters gives it another one, or needs it no longer.
    """
    git = Git(repo)
    ref = f"{_REFS}/in-{secrets.token_hex(8)}"
    code, _, err = git.attempt(
        "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", str(file), f"+{_REFS}/*:{ref}/*"
    )
    try:
        if code and not has_commit(repo, commit):
            lines = [line for line in err.splitlines() if line.strip()]
            reason = lines[-1].strip() if lines else f"exit {code}"
            raise GitError(
                f"the commit {commit[:12]} that the task starts from can't be taken into {repo}: {reason}",
                "fetch what is missing there from its remote, then retry",
            )
        yield
    finally:
        for name in git.attempt("for-each-ref", "--format=%(refname)", ref)[1].decode().split():
            git.attempt("update-ref", "-d", name)
