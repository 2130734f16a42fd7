"""The tree of a checkout as it is now, as a commit that no branch has: HEAD, index and files are left alone."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runner.workspace.changes import readable, unstaged
from runner.workspace.git import Git
from runner.workspace.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.workspace.base import Base


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """One at a time brings work into a checkout, or looks at all of it."""
    with locked(Path(Git(root).line("rev-parse", "--absolute-git-dir")) / "runner-folder.lock"):
        yield


@contextmanager
def own_index(root: Path) -> Iterator[Git]:
    """git in a checkout with an index of its own, which begins as the checkout's is."""
    git = Git(root)
    index = root / git.line("rev-parse", "--git-path", "index")
    with tempfile.TemporaryDirectory(prefix="runner-index-") as folder:
        copy = Path(folder) / "index"
        if index.exists():
            # With it, what did not change is not read again. Its own time too: by that git knows which of its
            # entries may have changed within the second in which it was written.
            shutil.copy2(index, copy)
        yield Git(root, index=copy)


def store_present(git: Git, base: Base, parents: Sequence[str] = ()) -> str:
    """The present tree as a commit on HEAD, and on `parents`: untracked files too, ignored ones not.

    `git` has an index of its own, which is then that of the commit.
    """
    paths = [path for path in unstaged(git, ()) if readable(base.repo, path)]
    if paths:
        # Tolerates what vanishes meanwhile, which `git add` does not.
        words = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        git.run(*words, input=b"".join(path + b"\0" for path in paths))
    return commit_tree(git, git.line("write-tree"), (base.commit, *parents), "The tree as it was")


def present_commit(base: Base) -> str:
    """The present tree of a checkout as a commit on its HEAD; HEAD itself when nothing differs from it."""
    with alone(base.repo), own_index(base.repo) as git:
        commit = store_present(git, base)
        same = git.line("rev-parse", f"{commit}^{{tree}}") == git.line("rev-parse", f"{base.commit}^{{tree}}")
        return base.commit if same else commit


def commit_tree(git: Git, tree: str, parents: Sequence[str], message: str) -> str:
    """A commit of a tree that is under no name yet."""
    words = [word for parent in dict.fromkeys(parents) for word in ("-p", parent)]
    return git.line(*git.identity(), "commit-tree", tree, *words, "-m", message)
