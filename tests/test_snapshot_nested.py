"""Repositories inside a worktree are kept whole, whatever state they are in, and never as links."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from workspaces import Lab, git, make_lab, put, tree

from runner.workspace import Caps, Snapshot, Workspace, history, list_kept, restore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


@pytest.fixture
def work(lab: Lab) -> Workspace:
    return lab.open(1)


def shoot(work: Workspace) -> Snapshot:
    shot = work.snapshot(1, "test")
    assert shot is not None
    return shot


def rebuilt(lab: Lab, work: Workspace) -> Path:
    """The worktree of a reclaim, built from the snapshot alone."""
    shoot(work)
    os.rename(work.path, lab.state / "lost")
    return lab.open(2, reclaimed=True).path


def a_repository(path: Path, commits: int = 1) -> None:
    path.mkdir(parents=True)
    git("init", "-q", cwd=path)
    for n in range(commits):
        put(path, **{"file.txt": f"{n}\n"})
        git("add", "-A", cwd=path)
        git("commit", "-qm", f"commit {n}", cwd=path)


def test_an_empty_repository_comes_back(lab: Lab, work: Workspace) -> None:
    a_repository(work.path / "fresh", commits=0)
    again = rebuilt(lab, work)
    assert "No commits yet" in git("status", cwd=again / "fresh")


def test_a_repository_comes_back_with_history_index_stash_and_dirt(lab: Lab, work: Workspace) -> None:
    inner = work.path / "sub dir/tool"
    a_repository(inner, commits=3)
    git("branch", "other", "HEAD~1", cwd=inner)
    put(inner, **{"file.txt": "stashed"})
    git("stash", "-q", cwd=inner)
    put(inner, **{"staged.txt": "s", "file.txt": "dirty", "untracked.txt": "u"})
    git("add", "staged.txt", cwd=inner)
    said = [git(*words.split(), cwd=inner) for words in ("status --porcelain", "log --all --format=%H", "stash list")]
    again = rebuilt(lab, work) / "sub dir/tool"
    assert [git(*w.split(), cwd=again) for w in ("status --porcelain", "log --all --format=%H", "stash list")] == said
    assert git("fsck", "--strict", cwd=again) == ""
    assert tree(again) == tree(lab.state / "lost/sub dir/tool")


def test_a_shallow_clone_comes_back_and_leaves_the_person_s_repository_whole(lab: Lab, work: Workspace) -> None:
    git("clone", "-q", "--depth=1", f"file://{lab.repo}", work.path / "clone", cwd=work.path)
    put(work.path / "clone", **{"readme.md": "committed"})
    git("commit", "-qam", "on top", cwd=work.path / "clone")
    again = rebuilt(lab, work) / "clone"
    assert git("log", "--format=%s", cwd=again).split("\n") == ["on top", "second"]
    assert not (lab.repo / ".git/shallow").exists()


def test_a_repository_in_a_repository_comes_back(lab: Lab, work: Workspace) -> None:
    a_repository(work.path / "outer")
    a_repository(work.path / "outer/inner")
    shot = shoot(work)
    assert len(shot.nested) == 2
    again = rebuilt(lab, work)
    assert git("log", "--format=%s", cwd=again / "outer/inner") == "commit 0"
    assert git("rev-parse", "--show-toplevel", cwd=again / "outer/inner") == str(again / "outer/inner")


def test_a_repository_below_an_ignored_folder_comes_back(lab: Lab, work: Workspace) -> None:
    put(work.path, **{".gitignore": "deps/\n"})
    a_repository(work.path / "deps/lib")
    assert git("log", "--format=%s", cwd=rebuilt(lab, work) / "deps/lib") == "commit 0"


def test_a_folder_that_only_looks_like_a_repository_comes_back(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"odd/.git/junk": "x", "odd/file": "y", "odd2/.git": "no gitdir", "odd2/file": "z"})
    again = rebuilt(lab, work)
    assert (again / "odd/.git/junk").read_text() + (again / "odd/file").read_text() == "xy"
    assert (again / "odd2/file").read_text() == "z"


def test_each_nested_repository_has_a_ref_of_its_own(lab: Lab, work: Workspace) -> None:
    a_repository(work.path / "one")
    a_repository(work.path / "two")
    shot = shoot(work)
    assert len(shot.nested) == 2
    assert set(shot.nested) <= set(lab.refs())
    assert all(ref.startswith("refs/runner/unit-1/1.nested/") for ref in shot.nested)
    assert "160000" not in lab.git("ls-tree", "-r", shot.ref)
    # Its main snapshot alone keeps them, too.
    for ref in shot.nested:
        assert lab.refs()[ref] in lab.git("rev-list", shot.ref).split()


COMMITTER = """
import pathlib, subprocess, sys
root = pathlib.Path(sys.argv[1])
git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "gc.auto=0"]
n = 0
while True:
    n += 1
    (root / "file.txt").write_text(str(n))
    subprocess.run([*git, "commit", "-qam", f"busy {n}"], cwd=root, check=True)
    if n == 1:
        print("ready", flush=True)
    if n % 4 == 0:
        subprocess.run([*git, "gc", "-q", "--prune=now"], cwd=root, check=True)
"""


def test_a_repository_that_is_committed_to_and_packed_meanwhile_is_whole_in_every_snapshot(
    lab: Lab, work: Workspace
) -> None:
    a_repository(work.path / "busy")
    committer = subprocess.Popen([sys.executable, "-c", COMMITTER, work.path / "busy"], stdout=subprocess.PIPE)
    shots = []
    try:
        assert committer.stdout is not None
        committer.stdout.readline()
        shots = [shoot(work) for _ in range(15)]
    finally:
        committer.terminate()
        committer.wait()
        assert committer.stdout is not None
        committer.stdout.close()
    kept = {one.commit: one for one in history(list_kept(lab.repo, lab.state)[-1])}
    for n, shot in enumerate(shots):
        if not any(item.path == "busy/.git" for item in shot.left_out):
            restore(kept[shot.commit], lab.state / f"out-{n}")
            assert "busy" in git("log", "-1", "--format=%s", cwd=lab.state / f"out-{n}/busy")
            git("fsck", "--connectivity-only", cwd=lab.state / f"out-{n}/busy")


def test_an_unchanged_nested_repository_is_not_stored_again(lab: Lab, work: Workspace) -> None:
    a_repository(work.path / "one")
    first = shoot(work)
    tip = lab.refs()[first.nested[0]]
    assert not shoot(work).new
    put(work.path, **{"elsewhere.txt": "x"})
    assert shoot(work).new
    assert lab.refs()[first.nested[0]] == tip
    put(work.path / "one", **{"file.txt": "changed"})
    assert shoot(work).new
    assert lab.git("rev-parse", f"{first.nested[0]}^") == tip


def test_a_nested_repository_that_went_away_stays_in_history(lab: Lab, work: Workspace) -> None:
    a_repository(work.path / "one")
    first = shoot(work)
    os.rename(work.path / "one", lab.state / "taken")
    second = shoot(work)
    assert second.nested == ()
    assert lab.refs()[first.nested[0]] in lab.git("rev-list", second.ref).split()


def test_a_git_directory_over_the_total_cap_is_left_out_whole_and_listed(lab: Lab) -> None:
    work = lab.open(1, caps=Caps(max_total=20_000))
    a_repository(work.path / "big")
    (work.path / "big/.git/objects/pack/blob").write_bytes(os.urandom(50_000))
    shot = shoot(work)
    assert [item.path for item in shot.left_out] == ["big/.git"]
    assert shot.left_out[0].blocks
    os.rename(work.path, lab.state / "lost")
    assert (lab.open(2, reclaimed=True).path / "big/file.txt").read_text() == "0\n"


def test_a_submodule_keeps_its_link_and_its_local_work(lab: Lab, tmp_path: Path) -> None:
    library = make_lab(tmp_path / "library")
    lab.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", library.repo, "lib")
    lab.git("commit", "-qm", "a submodule")
    work = lab.open(1)
    assert shoot(work).left_out == ()
    git("-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init", cwd=work.path)
    put(work.path / "lib", **{"readme.md": "local commit"})
    git("commit", "-qam", "local commit", cwd=work.path / "lib")
    put(work.path / "lib", **{"dirt.txt": "dirt"})
    shot = shoot(work)
    assert "160000" in lab.git("ls-tree", shot.ref, "lib")
    again = rebuilt(lab, work) / "lib"
    assert git("log", "-1", "--format=%s", cwd=again) == "local commit"
    assert git("status", "--porcelain", cwd=again) == "?? dirt.txt"


def test_a_worktree_that_the_agent_added_inside_keeps_its_commits(lab: Lab, work: Workspace) -> None:
    git("worktree", "add", "-q", "--detach", work.path / "side", cwd=work.path)
    put(work.path / "side", **{"side.txt": "x"})
    git("add", "-A", cwd=work.path / "side")
    git("commit", "-qm", "on the side", cwd=work.path / "side")
    commit = git("rev-parse", "HEAD", cwd=work.path / "side")
    shot = shoot(work)
    assert commit in lab.git("rev-list", shot.ref).split()
    assert [item.blocks for item in shot.left_out] == [False]
    assert (rebuilt(lab, work) / "side/side.txt").read_text() == "x"


def test_a_worktree_of_somebody_else_s_repository_is_listed(lab: Lab, work: Workspace, tmp_path: Path) -> None:
    other = make_lab(tmp_path / "other")
    other.git("worktree", "add", "-q", "--detach", work.path / "theirs")
    shot = shoot(work)
    assert [(item.path, item.blocks) for item in shot.left_out] == [("theirs/.git", True)]
    assert "is a worktree of another repository" in shot.left_out[0].reason
