"""An agent may do anything to its worktree; git then writes nothing, and never into somebody else's repository."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from workspaces import Lab, git, make_lab, put

from runner.errors import WorkspaceLost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.workspace import Workspace


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


def delete_git(work: Workspace, lab: Lab) -> None:
    (work.path / ".git").unlink()


def init_anew(work: Workspace, lab: Lab) -> None:
    (work.path / ".git").unlink()
    git("init", "-q", cwd=work.path)


def clone_over(work: Workspace, lab: Lab) -> None:
    shutil.rmtree(work.path)
    git("clone", "-q", lab.repo, work.path, cwd=lab.repo)


def move_by_git(work: Workspace, lab: Lab) -> None:
    lab.git("worktree", "unlock", work.path)
    lab.git("worktree", "move", work.path, work.path.with_name("moved"))


def move_by_hand(work: Workspace, lab: Lab) -> None:
    os.rename(work.path, work.path.with_name("moved"))


def move_and_come_back_empty(work: Workspace, lab: Lab) -> None:
    os.rename(work.path, work.path.with_name("moved"))
    work.path.mkdir()


def delete_all(work: Workspace, lab: Lab) -> None:
    shutil.rmtree(work.path)


def replace_by_a_file(work: Workspace, lab: Lab) -> None:
    shutil.rmtree(work.path)
    work.path.write_text("not a folder")


def link_to_the_checkout(work: Workspace, lab: Lab) -> None:
    shutil.rmtree(work.path)
    work.path.symlink_to(lab.repo)


def point_at_the_checkout(work: Workspace, lab: Lab) -> None:
    (work.path / ".git").write_text(f"gitdir: {lab.repo}/.git\n")


def point_at_another_worktree(work: Workspace, lab: Lab) -> None:
    other = lab.open(1, unit="other")
    shutil.copy(other.path / ".git", work.path / ".git")


def point_nowhere(work: Workspace, lab: Lab) -> None:
    (work.path / ".git").write_text("gitdir: /nowhere\n")


def remove_by_git(work: Workspace, lab: Lab) -> None:
    lab.git("worktree", "remove", "-f", "-f", work.path)
    work.path.mkdir()


def delete_the_repository(work: Workspace, lab: Lab) -> None:
    os.rename(lab.repo / ".git", lab.repo / "dot-git")


DAMAGES = [
    delete_git,
    init_anew,
    clone_over,
    move_by_git,
    move_by_hand,
    move_and_come_back_empty,
    delete_all,
    replace_by_a_file,
    link_to_the_checkout,
    point_at_the_checkout,
    point_at_another_worktree,
    point_nowhere,
    remove_by_git,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_after_damage_nothing_is_written_anywhere(lab: Lab, damage: Callable[[Workspace, Lab], None]) -> None:
    work = lab.open(1)
    since = work.state()
    put(work.path, **{"foreign.txt": "x"})
    damage(work, lab)
    put(lab.repo, **{"mine.txt": "the person's own, uncommitted"})
    refs, index = lab.refs(), (lab.repo / ".git/index").read_bytes()
    for act in (
        work.check_identity,
        lambda: work.commit_leftovers("x"),
        lambda: work.snapshot(1),
        work.state,
        lambda: work.changes(since),
    ):
        with pytest.raises(WorkspaceLost):
            act()
    assert lab.refs() == refs
    assert (lab.repo / ".git/index").read_bytes() == index
    assert lab.git("status", "--porcelain") == "?? mine.txt"
    assert lab.git("log", "--all", "--format=%s").split() == ["second", "first"]


def test_a_repository_that_is_gone_is_one_sentence(lab: Lab) -> None:
    work = lab.open(1)
    delete_the_repository(work, lab)
    with pytest.raises(WorkspaceLost, match="points at a repository that is not there"):
        work.snapshot(1)


def test_an_intact_worktree_passes(lab: Lab) -> None:
    work = lab.open(1)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=work.path)
    work.check_identity()


@pytest.mark.parametrize("branch", ["main-copy", "main"])
def test_a_branch_that_the_agent_checked_out_is_never_moved(lab: Lab, branch: str) -> None:
    # The person is on another branch, so that git lets the agent check out main.
    lab.git("checkout", "-q", "-b", "elsewhere")
    work = lab.open(1)
    git("checkout", "-q", *([] if branch == "main" else ["-b"]), branch, cwd=work.path)
    before = lab.refs()
    put(work.path, **{"left.txt": "x"})
    new = work.commit_leftovers("left over")
    assert new is not None
    assert lab.refs() == before
    assert git("rev-parse", "HEAD", cwd=work.path) == new
    assert git("rev-parse", "--abbrev-ref", "HEAD", cwd=work.path) == "HEAD"
    assert lab.git("show", f"{new}:left.txt") == "x"


def test_an_orphan_branch_keeps_the_base_as_its_parent(lab: Lab) -> None:
    work = lab.open(1)
    git("checkout", "-q", "--orphan", "fresh", cwd=work.path)
    put(work.path, **{"left.txt": "x"})
    shot = work.snapshot(1)
    assert shot is not None
    assert shot.head == lab.head
    new = work.commit_leftovers("left over")
    assert new is not None
    assert lab.git("rev-parse", f"{new}^") == lab.head


def test_the_sentence_says_what_happened_and_what_to_do(lab: Lab) -> None:
    work = lab.open(1)
    init_anew(work, lab)
    with pytest.raises(WorkspaceLost) as raised:
        work.check_identity()
    assert (
        raised.value.message
        == f"the worktree {work.path} holds a repository of its own instead of the runner's worktree"
    )
    assert "runner rescue" in raised.value.hint
