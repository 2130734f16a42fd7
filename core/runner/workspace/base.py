"""Where a task's work starts: the repository that holds a directory, and its commit at submit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from runner.errors import GitError, UsageError


@dataclass(frozen=True, slots=True)
class Base:
    """`repo`: the checkout's top folder. `commit`: HEAD, in full. `subdir`: where in it, "" at the top."""

    repo: Path
    commit: str
    subdir: str


def locate(cwd: Path) -> Base | None:
    """The repository that holds `cwd`; None when there is none, it is bare, or it has no commit yet."""
    if not cwd.is_dir():
        raise UsageError(f"{cwd} is not a directory", "make it first, or name another one")
    place = Path(os.path.realpath(cwd))
    # Most directories outside a repository are told apart without starting git.
    if not any(os.path.lexists(folder / ".git") for folder in (place, *place.parents)):
        return None
    from runner.workspace.git import Git, failed

    words = ("rev-parse", "--is-inside-work-tree", "--show-prefix", "--verify", "--quiet", "HEAD^{commit}")
    git = Git(place)
    code, out, err = git.attempt(*words)
    if "dubious ownership" in err:
        raise GitError(
            f"{place} is in a repository of another user", f"git config --global --add safe.directory {place}"
        )
    if "not a git repository" in err:
        return None
    inside, _, rest = os.fsdecode(out).partition("\n")
    if inside == "false" or (code and not err):
        return None
    if code:
        raise failed(words, place, code, err)
    prefix, _, commit = rest.removesuffix("\n").rpartition("\n")
    subdir = prefix.rstrip("/")
    top = place if not subdir else Path(os.fspath(place).removesuffix(f"/{subdir}"))
    return Base(top, commit, subdir)
