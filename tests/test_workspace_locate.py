"""Where a task's work starts: `locate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from workspaces import Lab, git, make_lab

from runner.errors import UsageError
from runner.workspace import Base, locate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


def test_the_top_of_a_checkout_is_found_with_its_commit(lab: Lab) -> None:
    assert locate(lab.repo) == Base(lab.repo, lab.head, "")


def test_a_folder_below_is_found_with_its_path_from_the_top(lab: Lab) -> None:
    odd = lab.repo / "a b" / "c\nd" / "é "
    odd.mkdir(parents=True)
    assert locate(odd) == Base(lab.repo, lab.head, "a b/c\nd/é ")


def test_a_checkout_whose_own_name_is_odd_is_found(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "o d\nd")
    assert locate(lab.repo / "src") == Base(lab.repo, lab.head, "src")


def test_a_symlink_into_a_checkout_leads_to_the_checkout(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(lab.repo / "src")
    assert locate(tmp_path / "link") == Base(lab.repo, lab.head, "src")


def test_a_linked_worktree_is_a_checkout_of_its_own(lab: Lab, tmp_path: Path) -> None:
    lab.git("worktree", "add", "-q", "--detach", tmp_path / "second", "HEAD~1")
    assert locate(tmp_path / "second") == Base(tmp_path / "second", lab.git("rev-parse", "HEAD~1"), "")


def test_no_repository_is_none(tmp_path: Path) -> None:
    assert locate(tmp_path) is None


def test_a_repository_without_a_commit_is_none(tmp_path: Path) -> None:
    git("init", "-q", cwd=tmp_path)
    assert locate(tmp_path) is None


def test_a_bare_repository_is_none(lab: Lab, tmp_path: Path) -> None:
    lab.git("clone", "-q", "--bare", lab.repo, tmp_path / "bare.git")
    assert locate(tmp_path / "bare.git") is None


def test_git_s_own_folder_is_none(lab: Lab) -> None:
    assert locate(lab.repo / ".git") is None


def test_a_worktree_of_a_bare_repository_is_found(lab: Lab, tmp_path: Path) -> None:
    lab.git("clone", "-q", "--bare", lab.repo, tmp_path / "bare.git")
    git("worktree", "add", "-q", "--detach", tmp_path / "work", cwd=tmp_path / "bare.git")
    assert locate(tmp_path / "work") == Base(tmp_path / "work", lab.head, "")


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a directory"):
        locate(tmp_path / "gone")


def test_git_variables_of_the_caller_do_not_lead_elsewhere(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_lab(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.repo / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.repo))
    found = locate(lab.repo)
    assert found is not None
    assert found.repo == lab.repo
