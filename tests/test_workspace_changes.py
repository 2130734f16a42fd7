"""What changed in a workspace since a moment: commits, index, files, untracked files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from workspaces import Lab, git, make_lab, put

from runner.workspace import Changes, Workspace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


@pytest.fixture
def work(lab: Lab) -> Workspace:
    return lab.open(1)


def test_nothing_done_is_the_same_state_and_no_changes(work: Workspace) -> None:
    before = work.state()
    (work.path / "readme.md").touch()
    git("status", cwd=work.path)
    assert work.state() == before
    assert work.changes(before) == Changes()
    assert not work.changes(before)


def test_files_added_changed_and_deleted_are_listed(work: Workspace) -> None:
    before = work.state()
    put(work.path, **{"new é\n.txt": "n", "readme.md": "changed"})
    (work.path / "src/old.py").unlink()
    assert work.state() != before
    changes = work.changes(before)
    assert changes == Changes(("new é\n.txt",), ("readme.md",), ("src/old.py",))
    assert changes.paths == ("new é\n.txt", "readme.md", "src/old.py")


def test_commits_made_since_are_listed(work: Workspace) -> None:
    before = work.state()
    put(work.path, **{"new.txt": "n", "readme.md": "changed"})
    git("rm", "-q", "src/old.py", cwd=work.path)
    git("add", "-A", cwd=work.path)
    git("commit", "-qm", "all", cwd=work.path)
    assert work.changes(before) == Changes(("new.txt",), ("readme.md",), ("src/old.py",))


def test_a_commit_and_then_more_work_are_listed_together(work: Workspace) -> None:
    before = work.state()
    put(work.path, **{"a.txt": "1", "b.txt": "1"})
    git("add", "-A", cwd=work.path)
    git("commit", "-qm", "all", cwd=work.path)
    put(work.path, **{"c.txt": "1", "readme.md": "x"})
    (work.path / "a.txt").unlink()
    assert work.changes(before) == Changes(("b.txt", "c.txt"), ("readme.md",), ())


def test_an_empty_commit_changes_the_state_but_no_file(work: Workspace) -> None:
    before = work.state()
    git("commit", "-q", "--allow-empty", "-m", "nothing", cwd=work.path)
    assert work.state() != before
    assert work.changes(before) == Changes()


def test_the_index_counts(work: Workspace) -> None:
    before = work.state()
    put(work.path, **{"readme.md": "staged"})
    git("add", "-A", cwd=work.path)
    put(work.path, **{"readme.md": "second\n"})
    assert work.state() != before
    assert work.changes(before) == Changes(modified=("readme.md",))


def test_a_file_taken_out_of_the_index_alone_is_modified(work: Workspace) -> None:
    before = work.state()
    git("rm", "-q", "--cached", "readme.md", cwd=work.path)
    assert work.changes(before) == Changes(modified=("readme.md",))


def test_what_was_dirty_before_does_not_count_unless_it_changes(work: Workspace) -> None:
    put(work.path, **{"a.txt": "1", "b.txt": "1", "readme.md": "dirty"})
    before = work.state()
    assert work.changes(before) == Changes()
    put(work.path, **{"b.txt": "2"})
    (work.path / "a.txt").unlink()
    assert work.changes(before) == Changes((), ("b.txt",), ("a.txt",))


def test_a_dirty_file_that_is_put_back_is_a_change(work: Workspace) -> None:
    put(work.path, **{"readme.md": "dirty"})
    before = work.state()
    git("checkout", "readme.md", cwd=work.path)
    assert work.changes(before) == Changes(modified=("readme.md",))


def test_a_rename_is_one_deleted_and_one_added(work: Workspace) -> None:
    before = work.state()
    git("mv", "src/old.py", "src/new.py", cwd=work.path)
    assert work.changes(before) == Changes(("src/new.py",), (), ("src/old.py",))


def test_a_changed_mode_and_a_changed_symlink_are_changes(work: Workspace) -> None:
    (work.path / "link").symlink_to("readme.md")
    before = work.state()
    (work.path / "src/main.py").chmod(0o755)
    (work.path / "link").unlink()
    (work.path / "link").symlink_to("nowhere")
    assert work.changes(before) == Changes(modified=("link", "src/main.py"))


def test_ignored_files_do_not_count(work: Workspace) -> None:
    before = work.state()
    put(work.path, **{"debug.log": "x"})
    assert work.changes(before) == Changes()


def test_copies_do_not_count(lab: Lab) -> None:
    put(lab.repo, **{"local.ini": "1"})
    work = lab.open(1, copy=["local.ini"])
    before = work.state()
    put(work.path, **{"local.ini": "2"})
    assert work.changes(before) == Changes()


def test_work_inside_a_nested_repository_counts(work: Workspace) -> None:
    before = work.state()
    nested = work.path / "tool"
    put(nested, **{"a.txt": "1"})
    git("init", "-q", cwd=nested)
    assert work.changes(before) == Changes(("tool/a.txt",))
    git("add", "-A", cwd=nested)
    git("commit", "-qm", "x", cwd=nested)
    middle = work.state()
    put(nested, **{"a.txt": "2", "deep/b.txt": "1"})
    git("init", "-q", nested / "deep", cwd=nested)
    assert work.changes(middle) == Changes(("tool/deep/b.txt",), ("tool/a.txt",))


def test_a_reset_to_an_older_commit_is_a_change(work: Workspace) -> None:
    before = work.state()
    git("reset", "-q", "--hard", "HEAD~1", cwd=work.path)
    assert work.changes(before) == Changes(modified=("readme.md",))


def test_an_unmerged_file_is_a_change(work: Workspace) -> None:
    put(work.path, **{"readme.md": "ours"})
    git("commit", "-qam", "ours", cwd=work.path)
    git("checkout", "-q", "HEAD~1", "-b", "theirs", cwd=work.path)
    put(work.path, **{"readme.md": "theirs"})
    git("commit", "-qam", "theirs", cwd=work.path)
    before = work.state()
    git("merge", "-q", "HEAD@{2}", cwd=work.path, check=False)
    assert "UU readme.md" in git("status", "--porcelain", cwd=work.path)
    assert work.changes(before) == Changes(modified=("readme.md",))
