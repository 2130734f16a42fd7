"""What snapshots keep can be listed and written back, by the API and by `runner rescue`."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from played import add
from workspaces import Lab, git, make_lab, put, tree

from runner.errors import GitError, UsageError
from runner.project import create_project
from runner.workspace import Caps, history, list_kept, restore

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Runner


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A repository that is a project; worktrees are where the program looks for them."""
    lab = make_lab(tmp_path)
    project, _ = create_project(lab.repo)
    lab.git("add", "-A")
    lab.git("commit", "-qm", "a project")
    lab.state = project.prepare()
    return lab


def worked(lab: Lab, unit: str = "task-1", attempt: int = 1, **files: str) -> dict[str, bytes]:
    """A unit that was worked for and snapshotted → the files it had."""
    with lab.open(attempt, unit=unit, caps=Caps(max_file=1000)) as work:
        put(work.path, **files)
        work.snapshot(attempt, "step")
        return tree(work.path)


def test_every_attempt_s_newest_snapshot_is_listed(lab: Lab) -> None:
    worked(lab, "task-1", 1, a="1")
    worked(lab, "task-1", 2, a="2")
    worked(lab, "task-1", 2, a="3")
    worked(lab, "task-2", 1, b="1", big="x" * 2000)
    kept = list_kept(lab.repo, lab.state)
    assert [(k.unit, k.attempt, k.files, k.label) for k in kept] == [
        ("task-1", 1, 6, "step"),
        ("task-1", 2, 6, "step"),
        ("task-2", 1, 6, "step"),
    ]
    assert [item.path for item in kept[2].left_out] == ["big"]
    assert all(lab.refs()[k.ref] == k.commit for k in kept)
    assert [one.commit for one in history(kept[1])] == [kept[1].commit, kept[1].previous]


def test_snapshots_of_other_repositories_that_were_worked_for_are_listed_too(lab: Lab, tmp_path: Path) -> None:
    other = make_lab(tmp_path / "other")
    other.state = lab.state
    worked(other, "task-9", 1, a="1")
    worked(lab, "task-1", 1, a="1")
    assert [(k.unit, k.repo) for k in list_kept(None, lab.state)] == [("task-1", lab.repo), ("task-9", other.repo)]


def test_nothing_kept_is_an_empty_list(lab: Lab, tmp_path: Path) -> None:
    assert list_kept(lab.repo, lab.state) == []
    assert list_kept(None, tmp_path / "nowhere") == []


def test_a_snapshot_is_written_into_a_new_folder(lab: Lab, tmp_path: Path) -> None:
    before = worked(lab, **{"deep/er/a b": "1", "x.log": "ignored"})
    [kept] = list_kept(lab.repo, lab.state)
    assert restore(kept, tmp_path / "new/folder") == len(before)
    assert tree(tmp_path / "new/folder") == before


@pytest.mark.parametrize("there", ["a file", "a full folder", "a dangling link"])
def test_what_is_there_is_never_written_over(lab: Lab, tmp_path: Path, there: str) -> None:
    worked(lab, a="1")
    [kept] = list_kept(lab.repo, lab.state)
    into = tmp_path / "into"
    if there == "a file":
        into.write_text("mine")
    elif there == "a full folder":
        put(into, mine="mine")
    else:
        into.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is not an empty folder"):
        restore(kept, into)


def test_an_empty_folder_is_written_into(lab: Lab, tmp_path: Path) -> None:
    before = worked(lab, a="1")
    (tmp_path / "empty").mkdir()
    restore(list_kept(lab.repo, lab.state)[0], tmp_path / "empty")
    assert tree(tmp_path / "empty") == before


def test_a_missing_object_is_an_error_not_a_smaller_restore(lab: Lab, tmp_path: Path) -> None:
    worked(lab, a="only here")
    [kept] = list_kept(lab.repo, lab.state)
    blob = lab.git("rev-parse", f"{kept.commit}:a")
    os.unlink(lab.repo / ".git/objects" / blob[:2] / blob[2:])
    with pytest.raises(GitError, match=f"object {blob} is missing"):
        restore(kept, tmp_path / "out")


def test_a_tree_that_leads_out_of_its_folder_is_refused(lab: Lab, tmp_path: Path) -> None:
    worked(lab, a="1")
    [kept] = list_kept(lab.repo, lab.state)
    blob = lab.git("rev-parse", f"{kept.commit}:a")
    # Somebody with access to the repository made a tree that git itself would refuse to check out.
    row = f"100644 blob {blob}\t..\n"
    made = subprocess.run(["git", "mktree"], cwd=lab.repo, input=row, capture_output=True, text=True, check=True)
    message = lab.git("log", "-1", "--format=%B", kept.commit)
    evil = lab.git("commit-tree", made.stdout.strip(), "-m", message)
    lab.git("update-ref", kept.ref, evil)
    with pytest.raises(GitError, match="leads elsewhere"):
        restore(list_kept(lab.repo, lab.state)[0], tmp_path / "out")


def test_the_command_lists_and_restores(lab: Lab, runner: Runner, tmp_path: Path) -> None:
    before = worked(lab, "task-1", 1, **{"new.txt": "x", "big": "y" * 2000})
    said = runner.ok("rescue", cwd=lab.repo)
    assert said.stdout.splitlines()[0].split() == ["ID", "ATTEMPT", "AGE", "FILES", "LEFT", "OUT", "SNAPSHOT", "TAKEN"]
    assert said.stdout.splitlines()[1].split()[:2] == ["task-1", "1"]
    said = runner.ok("rescue", "task-1", "--into", tmp_path / "out", cwd=lab.repo)
    assert said.stdout == f"6 files of task-1, attempt 1, are in {tmp_path / 'out'}\n"
    assert said.stderr == "left out: big is over the cap of 1000 bytes for one file\n"
    del before["big"]
    assert tree(tmp_path / "out") == before


def test_the_command_speaks_json(lab: Lab, runner: Runner, tmp_path: Path) -> None:
    worked(lab, "task-1", 1, a="1", big="y" * 2000)
    [item] = runner.ok("rescue", "--format", "json", cwd=lab.repo).items
    assert item["unit"] == "task-1"
    assert item["attempt"] == 1
    assert item["commit"] == lab.refs()[item["ref"]]
    assert item["left_out"] == [{"path": "big", "reason": "is over the cap of 1000 bytes for one file", "size": 2000}]
    said = runner.ok("rescue", "task-1", "--into", tmp_path / "out", "--format", "json", cwd=lab.repo).json
    assert (said["into"], said["files"]) == (str(tmp_path / "out"), 6)


def test_the_command_finds_earlier_snapshots_of_an_id_s_start(lab: Lab, runner: Runner, tmp_path: Path) -> None:
    for attempt, text in ((1, "one"), (1, "two"), (2, "three")):
        worked(lab, "task-1", attempt, a=text)
    items = runner.ok("rescue", "tas", "--format", "json", cwd=lab.repo).items
    assert [item["attempt"] for item in items] == [2, 1, 1]
    runner.ok("rescue", "tas", "--into", "newest", cwd=lab.repo)
    runner.ok("rescue", "tas", "--attempt", "1", "--into", "first", cwd=lab.repo)
    runner.ok("rescue", "tas", "--snapshot", items[2]["commit"][:10], "--into", "oldest", cwd=lab.repo)
    assert [(lab.repo / folder / "a").read_text() for folder in ("newest", "first", "oldest")] == [
        "three",
        "two",
        "one",
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nothing",), "error: no snapshot of 'nothing' is kept (known: task-1, task-2)\n"),
        (("task-11",), "error: no snapshot of 'task-11' is kept (did you mean 'task-1'?)\n"),
        (("task",), "error: 'task' starts several ids: task-1, task-2\nhint: type more of it\n"),
        (("task-1", "--attempt", "7"), "error: no such snapshot of task-1\nhint: see: runner rescue task-1\n"),
        (
            ("--into", "x"),
            "error: --into, --attempt and --snapshot need the ID of a task or work unit\nhint: see: runner rescue\n",
        ),
        (("task-1", "--into", "src"), "error: src is not an empty folder\nhint: name one that does not exist yet\n"),
    ],
)
def test_what_can_not_be_rescued_is_one_sentence(lab: Lab, runner: Runner, args: tuple[str, ...], said: str) -> None:
    worked(lab, "task-1", 1, a="1")
    worked(lab, "task-2", 1, a="1")
    ended = runner("rescue", *args, cwd=lab.repo)
    assert (ended.code, ended.stdout, ended.stderr) == (2, "", said)


def test_without_snapshots_the_command_says_so(lab: Lab, runner: Runner) -> None:
    said = runner.ok("rescue", cwd=lab.repo)
    assert (said.stdout, said.stderr) == ("", "No snapshot was taken yet.\n")
    assert runner.ok("rescue", "--format", "json", cwd=lab.repo).json == {"items": []}


def test_a_project_outside_any_repository_has_an_empty_list(project: Path, runner: Runner) -> None:
    assert runner.ok("rescue", "--format", "json").json == {"items": []}


def test_rescuing_does_not_need_the_store(lab: Lab, runner: Runner) -> None:
    worked(lab, "task-1", 1, a="1")
    assert runner.ok("rescue", "--store", "postgresql://127.0.0.1:1/none", "--format", "json", cwd=lab.repo).items


def test_a_task_of_a_work_unit_is_found_by_its_own_id(lab: Lab, runner: Runner) -> None:
    [task] = add(lab.repo, unit="wu-1")
    worked(lab, "wu-1", 1, a="1")
    assert [item["unit"] for item in runner.ok("rescue", task, "--format", "json", cwd=lab.repo).items] == ["wu-1"]


def test_help_shows_examples(runner: Runner) -> None:
    said = runner.ok("rescue", "--help").stdout
    assert "runner rescue 3fk2m9x8w1qd --into found" in said


def test_a_snapshot_s_history_needs_no_person_s_configuration(lab: Lab) -> None:
    worked(lab, a="1")
    worked(lab, a="2")
    lab.git("config", "log.showSignature", "true")
    git("config", "format.pretty", "raw", cwd=lab.repo)
    assert len(history(list_kept(lab.repo, lab.state)[0])) == 2
