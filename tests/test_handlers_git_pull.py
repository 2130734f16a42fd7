"""git_pull: fast-forward only, and nothing local is ever lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.handlerkit import Kit


def git(place: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(place: Path, name: str, text: str) -> str:
    (place / name).write_text(text)
    git(place, "add", name)
    git(place, "commit", "-q", "-m", f"{name}: {text}")
    return git(place, "rev-parse", "HEAD")


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A clone that is one commit behind its remote."""
    made = Kit(tmp_path, "git_pull")
    remote = tmp_path / "remote"
    remote.mkdir()
    git(remote, "init", "-q", "-b", "main")
    commit(remote, "a.txt", "one")
    git(tmp_path, "clone", "-q", str(remote), str(made.workspace))
    commit(remote, "a.txt", "two")
    return made


@pytest.fixture
def remote(kit: Kit) -> Path:
    return kit.place / "remote"


def test_the_branch_that_is_checked_out_goes_forward(kit: Kit, remote: Path) -> None:
    commit(remote, "b.txt", "new")
    before, head = git(kit.workspace, "rev-parse", "HEAD"), git(remote, "rev-parse", "HEAD")
    result = kit.run()
    assert (result.outcome, result.exit_code) == ("ok", 0)
    assert result.output == f"'main' went from {before[:10]} to {head[:10]}: 2 commits, 2 files"
    assert {key: result.evidence[key] for key in ("before", "after", "commits", "files", "branch")} == {
        "before": before,
        "after": head,
        "commits": 2,
        "files": 2,
        "branch": "main",
    }
    assert (kit.workspace / "a.txt").read_text() == "two"
    assert kit.run().output == f"'main' is up to date ({head[:10]})"


def test_own_changes_that_are_not_in_the_way_stay(kit: Kit) -> None:
    kit.write("mine.txt", "mine")
    assert kit.run().outcome == "ok"
    assert (kit.workspace / "mine.txt").read_text() == "mine"


def test_changes_that_are_in_the_way_are_named_and_nothing_happens(kit: Kit) -> None:
    kit.write("a.txt", "mine")
    before = git(kit.workspace, "rev-parse", "HEAD")
    question = kit.question()
    assert question == "local changes are in the way: a.txt; commit, stash or remove them, then retry"
    assert (kit.workspace / "a.txt").read_text() == "mine"
    assert git(kit.workspace, "rev-parse", "HEAD") == before


def test_branches_that_diverged_are_left_alone(kit: Kit) -> None:
    ours = commit(kit.workspace, "c.txt", "ours")
    question = kit.question()
    assert question == (
        "'main' and 'origin/main' have diverged: 1 commits here, 1 there; rebase or merge it yourself, then retry"
    )
    assert git(kit.workspace, "rev-parse", "HEAD") == ours


def test_own_commits_on_top_are_up_to_date(kit: Kit) -> None:
    kit.run()
    ours = commit(kit.workspace, "c.txt", "ours")
    result = kit.run()
    assert result.evidence["commits"] == 0
    assert git(kit.workspace, "rev-parse", "HEAD") == ours


def test_another_branch_moves_without_touching_the_files(kit: Kit, remote: Path) -> None:
    git(kit.workspace, "checkout", "-q", "-b", "work")
    kit.write("a.txt", "mine")
    result = kit.run(branch="main")
    assert result.output.endswith("; 'work' stays checked out")
    assert git(kit.workspace, "rev-parse", "main") == git(remote, "rev-parse", "main")
    assert (kit.workspace / "a.txt").read_text() == "mine"
    git(remote, "branch", "fresh")
    assert kit.run(branch="fresh").output.startswith("'fresh' is new here, at ")
    assert git(kit.workspace, "rev-parse", "fresh") == git(remote, "rev-parse", "fresh")


def test_a_hook_of_the_repository_is_not_run(kit: Kit) -> None:
    hook = kit.workspace / ".git" / "hooks" / "post-merge"
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)
    kit.run()
    assert not (kit.workspace / "hooked").exists()


@pytest.mark.parametrize(
    ("payload", "question"),
    [
        ({"branch": "nope"}, "the remote 'origin' has no branch 'nope'; name another, then retry"),
        ({"remote": "nope"}, "there is no remote 'nope'; add it: git remote add nope URL, then retry"),
        ({"branch": "--upload-pack=x"}, "'--upload-pack=x' is no name of a branch; name another, then retry"),
        ({"branch": "a..b"}, "'a..b' is no name of a branch; name another, then retry"),
    ],
)
def test_what_is_wrong_is_one_sentence(kit: Kit, payload: dict[str, str], question: str) -> None:
    assert kit.question(**payload) == question


def test_no_repository_and_no_branch(tmp_path: Path, kit: Kit) -> None:
    git(kit.workspace, "checkout", "-q", "--detach")
    assert kit.question() == "no branch is checked out (HEAD is detached); name one: branch, then retry"
    (tmp_path / "plain").mkdir()
    plain = Kit(tmp_path / "plain", "git_pull")
    assert plain.question().startswith(f"{plain.workspace} is no git repository; set repo_path")


def test_a_remote_that_is_gone_is_tried_again(kit: Kit) -> None:
    git(kit.workspace, "remote", "set-url", "origin", str(kit.place / "gone"))
    result = kit.run()
    assert result.outcome == "crashed"
    assert result.evidence["error"].startswith("fetching from 'origin' failed: ")


def test_through_the_queue_it_works_in_the_repository_itself(
    kit: Kit, remote: Path, project: Path, runner: Runner
) -> None:
    payload = json.dumps({"repo_path": str(kit.workspace), "branch": "main"})
    runner.ok("submit", "--type", "git_pull", "--payload", payload)
    runner.ok("work", "--drain")
    assert git(kit.workspace, "rev-parse", "HEAD") == git(remote, "rev-parse", "HEAD")
    [task] = runner.ok("queue", "--all", "--format", "json").json["items"]
    assert (task["status"], task["result"]["commits"]) == ("done", 1)
