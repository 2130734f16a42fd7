"""A unit's branch moves only from where its claim found it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from workspaces import Lab, make_lab

from runner.errors import Conflict, GitError, UsageError
from runner.workspace import branch_ref, publish

if TYPE_CHECKING:
    from pathlib import Path

REF = branch_ref("u1")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


def test_a_new_branch_is_made_and_then_moved(lab: Lab) -> None:
    first, second = lab.git("rev-parse", "HEAD~1"), lab.head
    publish(lab.repo, REF, first, None)
    assert lab.refs()["refs/heads/runner/u1"] == first
    publish(lab.repo, REF, second, first)
    assert lab.refs()["refs/heads/runner/u1"] == second
    assert lab.git("log", "-g", "--format=%gs", "runner/u1").splitlines() == ["runner: u1", "runner: u1"]


def test_publishing_again_changes_nothing(lab: Lab) -> None:
    publish(lab.repo, REF, lab.head, None)
    publish(lab.repo, REF, lab.head, None)
    publish(lab.repo, REF, lab.head, lab.git("rev-parse", "HEAD~1"))
    assert lab.git("log", "-g", "--format=%gs", "runner/u1").splitlines() == ["runner: u1"]


def test_a_branch_that_is_there_already_is_not_overwritten(lab: Lab) -> None:
    lab.git("branch", "runner/u1", "HEAD~1")
    with pytest.raises(Conflict, match="somebody else moved it"):
        publish(lab.repo, REF, lab.head, None)
    assert lab.refs()["refs/heads/runner/u1"] == lab.git("rev-parse", "HEAD~1")


def test_a_branch_that_somebody_deleted_is_not_made_again(lab: Lab) -> None:
    with pytest.raises(Conflict, match="is gone"):
        publish(lab.repo, REF, lab.head, lab.git("rev-parse", "HEAD~1"))


def test_a_branch_that_is_checked_out_is_not_moved_under_its_files(lab: Lab) -> None:
    first = lab.git("rev-parse", "HEAD~1")
    lab.git("checkout", "-q", "-b", "runner/u1", first)
    with pytest.raises(Conflict, match=f"is checked out in {lab.repo}"):
        publish(lab.repo, REF, lab.git("rev-parse", "main"), first)
    assert lab.git("status", "--porcelain") == ""


def test_a_branch_called_runner_is_named_as_what_is_in_the_way(lab: Lab) -> None:
    lab.git("branch", "runner")
    with pytest.raises(Conflict, match="a branch called 'runner' is in the way"):
        publish(lab.repo, REF, lab.head, None)


def test_a_commit_that_is_not_there_is_one_sentence(lab: Lab) -> None:
    with pytest.raises(GitError, match="can't be set"):
        publish(lab.repo, REF, "1" * 40, None)


@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/heads/runner/", "refs/heads/runner/a..b", "main"])
def test_other_branches_are_refused(lab: Lab, ref: str) -> None:
    with pytest.raises(UsageError):
        publish(lab.repo, ref, lab.head, None)
