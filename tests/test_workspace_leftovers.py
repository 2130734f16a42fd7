"""The runner commits what an agent left uncommitted, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from workspaces import Lab, git, make_lab, put

if TYPE_CHECKING:
    from runner.workspace import Workspace


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


@pytest.fixture
def work(lab: Lab) -> Workspace:
    return lab.open(1)


def test_uncommitted_work_becomes_a_commit_on_the_detached_head(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"new é\n.txt": "n", "readme.md": "changed", "dir/staged.txt": "s", "debug.log": "ignored"})
    (work.path / "src/old.py").unlink()
    (work.path / "link").symlink_to("/nowhere")
    git("add", "dir", cwd=work.path)
    before = lab.refs()
    new = work.commit_leftovers("left over\n\nwith a body")
    assert new == git("rev-parse", "HEAD", cwd=work.path)
    assert lab.git("log", "-1", "--format=%B", new) == "left over\n\nwith a body"
    assert lab.git("rev-parse", f"{new}^") == lab.head
    assert lab.refs() == before
    files = lab.files_of(new)
    assert set(files) == {"new é\n.txt", "readme.md", "dir/staged.txt", "link", "src/main.py", ".gitignore"}
    assert files["readme.md"] == b"changed"
    assert git("status", "--porcelain", cwd=work.path) == ""


def test_nothing_left_is_none(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"debug.log": "ignored"})
    assert work.commit_leftovers("x") is None
    assert git("rev-parse", "HEAD", cwd=work.path) == lab.head


def test_work_that_was_staged_only_is_committed(work: Workspace) -> None:
    git("rm", "-q", "--cached", "src/old.py", cwd=work.path)
    (work.path / "src/old.py").unlink()
    assert work.commit_leftovers("x") is not None
    assert git("status", "--porcelain", cwd=work.path) == ""


def test_nested_repositories_are_never_committed_as_links(lab: Lab, work: Workspace) -> None:
    for name, commits in (("empty", False), ("full", True), ("staged", True)):
        git("init", "-q", work.path / name, cwd=work.path)
        put(work.path / name, **{"a.txt": "a"})
        if commits:
            git("add", "-A", cwd=work.path / name)
            git("commit", "-qm", "x", cwd=work.path / name)
    git("add", "staged", cwd=work.path)
    assert work.commit_leftovers("nested alone are nothing to commit") is None
    put(work.path, **{"b.txt": "b"})
    new = work.commit_leftovers("x")
    assert new is not None
    assert "160000" not in lab.git("ls-tree", "-r", new)
    assert lab.files_of(new)["b.txt"] == b"b"
    assert (work.path / "staged/a.txt").read_text() == "a"


def test_a_submodule_that_was_registered_may_move(lab: Lab, tmp_path: Path) -> None:
    library = make_lab(tmp_path / "library")
    lab.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", library.repo, "lib")
    lab.git("commit", "-qm", "a submodule")
    work = lab.open(1)
    git("-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init", cwd=work.path)
    git("checkout", "-q", "HEAD~1", cwd=work.path / "lib")
    new = work.commit_leftovers("moved")
    assert new is not None
    assert library.git("rev-parse", "HEAD~1") in lab.git("ls-tree", new, "lib")


def test_copies_are_not_committed(lab: Lab) -> None:
    put(lab.repo, **{"local.ini": "secret"})
    work = lab.open(1, copy=["local.ini"])
    assert work.commit_leftovers("x") is None
    git("add", "local.ini", cwd=work.path)
    put(work.path, **{"a.txt": "a"})
    new = work.commit_leftovers("x")
    assert new is not None
    assert set(lab.files_of(new)) - set(lab.files_of("HEAD")) == {"a.txt"}
    assert (work.path / "local.ini").read_text() == "secret"


def test_a_merge_in_progress_is_concluded_with_both_parents(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"readme.md": "ours"})
    git("commit", "-qam", "ours", cwd=work.path)
    ours = git("rev-parse", "HEAD", cwd=work.path)
    git("checkout", "-q", "HEAD~1", cwd=work.path)
    put(work.path, **{"readme.md": "theirs"})
    git("commit", "-qam", "theirs", cwd=work.path)
    git("merge", "-q", ours, cwd=work.path, check=False)
    new = work.commit_leftovers("merged")
    assert new is not None
    assert ours in lab.git("rev-parse", f"{new}^@").split()


def test_a_file_that_became_a_folder_and_one_that_became_a_file(lab: Lab, work: Workspace) -> None:
    (work.path / "readme.md").unlink()
    put(work.path, **{"readme.md/now": "a folder"})
    for path in (work.path / "src").iterdir():
        path.unlink()
    (work.path / "src").rmdir()
    put(work.path, src="a file")
    new = work.commit_leftovers("x")
    assert new is not None
    assert lab.files_of(new) == {".gitignore": b"*.log\n.env\n", "readme.md/now": b"a folder", "src": b"a file"}


def test_a_lock_that_a_killed_git_left_does_not_stop_it(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"a.txt": "a"})
    admin = Path(git("rev-parse", "--absolute-git-dir", cwd=work.path))
    (admin / "index.lock").write_bytes(b"half an index")
    new = work.commit_leftovers("x")
    assert new is not None
    assert (admin / "index.lock-stale").read_bytes() == b"half an index"


def test_a_person_without_a_name_gets_the_runner_s(lab: Lab, work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    put(work.path, **{"a.txt": "a"})
    new = work.commit_leftovers("x")
    assert new is not None
    assert lab.git("log", "-1", "--format=%an <%ae>", new) == "runner <runner@localhost>"


def test_a_person_with_a_name_stays_the_author(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    lab.git("config", "user.name", "Ada")
    lab.git("config", "user.email", "ada@example.org")
    lab.git("config", "user.signingKey", "none")
    lab.git("config", "commit.gpgSign", "true")
    work = lab.open(1)
    put(work.path, **{"a.txt": "a"})
    new = work.commit_leftovers("x")
    assert new is not None
    assert lab.git("log", "-1", "--format=%an <%ae> %cn", new) == "Ada <ada@example.org> Ada"
