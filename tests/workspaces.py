"""What the tests of workspaces share: a real repository, a state folder, and short words for both."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.workspace import Workspace, open_workspace

PERSON = ("-c", "user.name=Person", "-c", "user.email=person@example.org", "-c", "init.defaultBranch=main")


def git(*words: str | Path, cwd: Path, check: bool = True) -> str:
    """Run the system's git as a person would."""
    done = subprocess.run(["git", *PERSON, *words], cwd=cwd, capture_output=True, check=False)
    assert not check or done.returncode == 0, done.stderr.decode()
    return os.fsdecode(done.stdout).rstrip("\n")


def put(root: Path, **files: str) -> None:
    """Write files below `root`: `put(root, **{"a/b": "text"})`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def tree(root: Path, *, git_files: bool = False) -> dict[str, bytes]:
    """Every file below `root` with its bytes; symlinks as `-> target`; `.git` left out unless asked for."""
    found = {}
    for folder, folders, files in os.walk(root):
        if not git_files and ".git" in folders:
            folders.remove(".git")
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*files, *links]:
            path = os.path.join(folder, name)
            if name == ".git" and not git_files:
                continue
            content = b"-> " + os.fsencode(os.readlink(path)) if os.path.islink(path) else Path(path).read_bytes()
            found[os.path.relpath(path, root)] = content
    return found


@dataclass
class Lab:
    """A repository with two commits of history, and a state folder for worktrees."""

    repo: Path
    state: Path

    def git(self, *words: str | Path, cwd: Path | None = None, check: bool = True) -> str:
        return git(*words, cwd=cwd or self.repo, check=check)

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def open(self, epoch: int = 1, *, unit: str = "unit-1", **settings: Any) -> Workspace:
        given = {"repo": self.repo, "base": self.head, "subdir": "", "resume_from": None, "reclaimed": False}
        return open_workspace(unit=unit, epoch=epoch, state=self.state, cwd=self.repo, **{**given, **settings})

    def refs(self) -> dict[str, str]:
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ") for line in lines)

    def files_of(self, commit: str) -> dict[str, bytes]:
        """The files of a commit's tree as git itself gives them; symlinks as in `tree`."""
        listed = subprocess.run(
            ["git", "ls-tree", "-rz", commit], cwd=self.repo, capture_output=True, check=True
        ).stdout
        found = {}
        for row in listed.split(b"\0"):
            if row:
                about, _, name = row.partition(b"\t")
                mode, kind, oid = about.decode().split()
                words = ["git", "cat-file", kind, oid]
                content = subprocess.run(words, cwd=self.repo, capture_output=True, check=True).stdout
                found[os.fsdecode(name)] = (b"-> " if mode == "120000" else b"") + content
        return found


def make_lab(top: Path) -> Lab:
    repo = top / "repo"
    repo.mkdir(parents=True)
    git("init", "-q", cwd=repo)
    put(
        repo,
        **{"readme.md": "first\n", "src/main.py": "print(1)\n", "src/old.py": "old\n", ".gitignore": "*.log\n.env\n"},
    )
    git("add", "-A", cwd=repo)
    git("commit", "-qm", "first", cwd=repo)
    put(repo, **{"readme.md": "second\n"})
    git("commit", "-qam", "second", cwd=repo)
    return Lab(repo, top / "state")
