"""The gate: a worktree goes only when nobody works in it and all that is in it is proven to be kept elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workspaces import Lab, git, make_lab, put, tree

from runner.errors import Conflict
from runner.workspace import Caps, Removal, list_kept, plan_clean, remove, restore


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


def planned(lab: Lab, **settings: object) -> Removal:
    given = {"leased_units": set(), "settled": {"unit-1": "done"}, **settings}
    [removal] = plan_clean(lab.state, **given)  # type: ignore[arg-type]
    return removal


def test_a_settled_worktree_goes_and_all_of_it_comes_back(lab: Lab) -> None:
    work = lab.open(1)
    put(work.path, **{"new.txt": "untracked", "x.log": "ignored", "readme.md": "changed"})
    git("init", "-q", work.path / "nested", cwd=work.path)
    put(work.path, **{"nested/n.txt": "n"})
    git("commit", "-q", "--allow-empty", "-m", "only here", cwd=work.path)
    commit = git("rev-parse", "HEAD", cwd=work.path)
    before = tree(work.path)
    work.close()
    removal = planned(lab)
    assert (removal.allowed, removal.unit, removal.path) == (True, "unit-1", work.path)
    assert removal.bytes > 0
    assert removal.reason == "done; everything in it is kept"
    remove(removal)
    assert not work.path.exists()
    assert len(lab.git("worktree", "list", "--porcelain").split("\n\n")) == 1
    lab.git("gc", "-q", "--prune=now")
    restore(list_kept(lab.repo, lab.state)[-1], lab.state / "out")
    assert tree(lab.state / "out") == before
    assert lab.git("cat-file", "-t", commit) == "commit"
    assert tree(lab.open(2).path) == before


def test_a_plan_deletes_and_writes_nothing(lab: Lab) -> None:
    work = lab.open(1)
    put(work.path, **{"new.txt": "x"})
    work.close()
    refs, files = lab.refs(), tree(work.path, git_files=True)
    planned(lab)
    assert (lab.refs(), tree(work.path, git_files=True)) == (refs, files)


def test_a_leased_unit_stays(lab: Lab) -> None:
    lab.open(1).close()
    removal = planned(lab, leased_units={"unit-1"})
    assert (removal.allowed, removal.reason) == (False, "its work unit is held by a worker")


def test_a_unit_with_unfinished_work_stays(lab: Lab) -> None:
    lab.open(1).close()
    removal = planned(lab, settled={})
    assert (removal.allowed, removal.reason) == (False, "its work unit has unfinished work")


def test_an_open_workspace_stays_whatever_the_queue_says(lab: Lab) -> None:
    work = lab.open(1)
    assert (planned(lab).allowed, planned(lab).reason) == (False, "a worker has it open")
    allowed = Removal(work.path, "unit-1", 0, "", True)
    with pytest.raises(Conflict, match="a worker has it open"):
        remove(allowed)
    work.close()
    assert planned(lab).allowed


def test_a_workspace_that_a_killed_worker_had_open_may_go(lab: Lab) -> None:
    code = (
        "import sys, time; from workspaces import Lab; from pathlib import Path\n"
        f"work = Lab(Path({str(lab.repo)!r}), Path({str(lab.state)!r})).open(1)\n"
        "print('open', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    assert not planned(lab).allowed
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    remove(planned(lab))


def test_a_unit_that_is_claimed_after_the_plan_stays(lab: Lab) -> None:
    lab.open(1).close()
    removal = planned(lab)
    with pytest.raises(Conflict, match="held by a worker"):
        remove(removal, leased=lambda unit: unit == "unit-1")
    assert removal.path.exists()


def test_what_is_written_after_the_plan_is_kept_before_it_goes(lab: Lab) -> None:
    work = lab.open(1)
    work.snapshot(1)
    work.close()
    removal = planned(lab)
    put(work.path, **{"late.txt": "late"})
    remove(removal)
    assert lab.files_of("refs/runner/unit-1/1")["late.txt"] == b"late"


def test_a_file_that_no_snapshot_may_hold_keeps_its_worktree(lab: Lab) -> None:
    caps = Caps(max_file=1000)
    work = lab.open(1, caps=caps)
    put(work.path, **{"model.bin": "x" * 3000})
    work.snapshot(1)
    work.close()
    removal = planned(lab, caps=caps)
    assert not removal.allowed
    assert removal.reason == "model.bin is over the cap of 1000 bytes for one file: 2.9 KiB that no snapshot holds"
    with pytest.raises(Conflict, match="model"):
        remove(removal, caps=caps)
    # And not if it comes between plan and deletion either.
    with pytest.raises(Conflict, match="model"):
        remove(Removal(work.path, "unit-1", 0, "", True), caps=caps)
    assert (work.path / "model.bin").exists()
    assert planned(lab, caps=Caps()).allowed


def test_ignored_files_over_the_total_cap_keep_their_worktree(lab: Lab) -> None:
    caps = Caps(max_total=1000)
    work = lab.open(1)
    put(work.path, **{f"{n}.log": "x" * 500 for n in range(5)})
    work.close()
    assert "and 2 more" in planned(lab, caps=caps).reason


def test_sockets_and_pipes_are_in_nobody_s_way(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    work = lab.open(1)
    os.mkfifo(work.path / "pipe")
    monkeypatch.chdir(work.path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
    work.close()
    remove(planned(lab))


def test_unchanged_copies_may_go_changed_ones_stay(lab: Lab) -> None:
    put(lab.repo, **{".env": "SECRET=1"})
    work = lab.open(1, copy=[".env"])
    work.close()
    assert planned(lab).allowed
    put(work.path, **{".env": "SECRET=changed"})
    assert planned(lab).reason == ".env was copied from the main checkout and differs from it now"
    put(work.path, **{".env": "SECRET=1"})
    put(lab.repo, **{".env": "SECRET=newer"})
    assert not planned(lab).allowed
    (work.path / ".env").unlink()
    remove(planned(lab))


@pytest.mark.parametrize("damage", ["no .git", "own repository", "moved"])
def test_a_worktree_that_is_not_the_runner_s_any_more_stays(lab: Lab, damage: str) -> None:
    work = lab.open(1)
    put(work.path, **{"work.txt": "x"})
    work.close()
    (work.path / ".git").unlink()
    if damage == "own repository":
        git("init", "-q", cwd=work.path)
    if damage == "moved":
        shutil.move(work.path, work.path.with_name("5"))
    removal = planned(lab)
    assert not removal.allowed
    with pytest.raises(Conflict):
        remove(Removal(removal.path, "unit-1", 0, "", True))
    assert (removal.path / "work.txt").exists()


def test_a_worktree_whose_repository_is_gone_stays(lab: Lab) -> None:
    work = lab.open(1)
    work.close()
    os.rename(lab.repo, lab.repo.with_name("gone"))
    assert planned(lab).reason.endswith("points at a repository that is not there")


def test_a_failed_snapshot_blocks_until_one_succeeds(lab: Lab) -> None:
    work = lab.open(1)
    put(work.path, **{"a.txt": "a"})
    admin = Path(git("rev-parse", "--absolute-git-dir", cwd=work.path))
    work.close()
    (admin / "runner-snapshot-failed").write_text("the disk was full")
    assert planned(lab).reason == "its last snapshot failed: the disk was full"
    assert "refs/runner/unit-1/0" not in lab.refs()
    assert planned(lab, fresh=True).allowed
    assert planned(lab).allowed


def test_a_snapshot_that_fails_now_keeps_the_worktree(lab: Lab) -> None:
    work = lab.open(1)
    put(work.path, **{"a.txt": "a"})
    work.close()
    removal = planned(lab)
    # Nothing can be written under this name: a ref is in the way of the folder.
    lab.git("update-ref", "refs/runner/unit-1", lab.head)
    with pytest.raises(Conflict, match="no snapshot of"):
        remove(removal)
    assert (work.path / "a.txt").exists()


def test_a_worktree_that_a_process_works_in_stays(lab: Lab) -> None:
    work = lab.open(1)
    work.close()
    removal = planned(lab)
    shell = subprocess.Popen(["sleep", "60"], cwd=work.path)
    try:
        assert planned(lab).reason == f"sleep (pid {shell.pid}) works in it"
        with pytest.raises(Conflict, match="works in it"):
            remove(removal)
    finally:
        shell.kill()
        shell.wait()
    remove(removal)


WRITER = """
import sys
print("ready", flush=True)
n = 0
while True:
    n += 1
    try:
        with open(sys.argv[1], "w") as file: file.write(str(n))
    except OSError:
        pass
"""


def test_a_worktree_that_is_written_to_from_outside_stays(lab: Lab) -> None:
    work = lab.open(1)
    put(work.path, **{f"many/{n}": "x" for n in range(500)})
    work.close()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, work.path / "busy.txt"], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(10):
            with pytest.raises(Conflict, match=r"still writing in it|works in it"):
                remove(Removal(work.path, "unit-1", 0, "", True))
        assert (work.path / "busy.txt").exists()
    finally:
        writer.kill()
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()
    remove(planned(lab))


def test_folders_that_their_owner_can_not_write_go_too(lab: Lab) -> None:
    work = lab.open(1)
    put(work.path, **{"cache/mod/file.go": "x"})
    (work.path / "cache/mod").chmod(0o555)
    work.close()
    remove(planned(lab))
    assert not work.path.exists()


def test_a_deletion_that_was_cut_off_before_the_last_look_is_undone(lab: Lab) -> None:
    work = lab.open(1)
    put(work.path, **{"a.txt": "a"})
    work.close()
    os.rename(work.path, work.path.with_name(".aside-1"))
    removal = planned(lab)
    assert removal.allowed
    assert (work.path / "a.txt").exists()


def test_a_deletion_that_was_cut_off_after_it_is_finished(lab: Lab) -> None:
    work = lab.open(1)
    put(work.path, **{"a.txt": "a"})
    work.snapshot(1)
    work.close()
    tip = lab.refs()["refs/runner/unit-1/1"]
    os.rename(work.path, work.path.with_name(".proven-1"))
    (work.path.with_name(".proven-1") / "a.txt").unlink()
    assert plan_clean(lab.state, set(), {"unit-1": "done"}) == []
    assert lab.refs()["refs/runner/unit-1/1"] == tip
    assert sorted(path.name for path in work.path.parent.iterdir()) == ["lock", "repo"]
    assert len(lab.git("worktree", "list", "--porcelain").split("\n\n")) == 1


def test_killed_at_random_moments_of_a_deletion_nothing_is_lost(lab: Lab) -> None:
    import random

    work = lab.open(1)
    put(work.path, **{f"many/{n}": str(n) for n in range(300)})
    work.snapshot(1)
    before = tree(work.path)
    work.close()
    code = (
        "import sys; from pathlib import Path; from runner.workspace import plan_clean, remove\n"
        "print('go', flush=True)\n"
        "for r in plan_clean(Path(sys.argv[1]), set(), {'unit-1': 'done'}): remove(r)"
    )
    # Each round is a claim of its own: the same one never opens its workspace twice.
    for epoch in range(2, 14):
        cleaner = subprocess.Popen([sys.executable, "-c", code, lab.state], stdout=subprocess.PIPE)
        assert cleaner.stdout is not None
        cleaner.stdout.readline()
        time.sleep(random.random() * 0.12)
        cleaner.kill()
        cleaner.wait()
        cleaner.stdout.close()
        out = lab.state / "out"
        restore(list_kept(lab.repo, lab.state)[-1], out)
        assert tree(out) == before
        shutil.rmtree(out)
        again = lab.open(epoch)
        assert tree(again.path) == before
        again.close()


def test_an_old_worktree_never_becomes_the_newest_snapshot_again(lab: Lab) -> None:
    first = lab.open(1)
    put(first.path, **{"state.txt": "old"})
    first.snapshot(1)
    first.close()
    second = lab.open(2, reclaimed=True)
    put(second.path, **{"state.txt": "new"})
    second.close()
    put(first.path, **{"zombie.txt": "written late"})
    for removal in plan_clean(lab.state, set(), {"unit-1": "done"}):
        remove(removal)
    third = lab.open(3)
    assert (third.path / "state.txt").read_text() == "new"
    assert not (third.path / "zombie.txt").exists()
    # What the old one had is kept apart.
    late = [kept for kept in list_kept(lab.repo, lab.state) if ".late-" in kept.ref]
    assert lab.files_of(late[0].commit)["zombie.txt"] == b"written late"


def test_a_deletion_cut_off_and_another_claim_meanwhile_do_not_mix(lab: Lab) -> None:
    first = lab.open(1)
    put(first.path, **{"state.txt": "old"})
    first.snapshot(1)
    first.close()
    os.rename(first.path, first.path.with_name(".aside-1"))
    with lab.open(2) as second:
        put(second.path, **{"state.txt": "new"})
    for removal in plan_clean(lab.state, set(), {"unit-1": "done"}):
        put(removal.path, **{f"late-{removal.path.name}": "x"})
        remove(removal)
    assert (lab.open(3).path / "state.txt").read_text() == "new"


def test_a_worktree_that_was_never_handed_out_goes_and_leaves_no_snapshot(lab: Lab) -> None:
    work = lab.open(1)
    put(work.path, **{"a.txt": "a"})
    work.snapshot(1)
    work.close()
    with pytest.raises(Exception, match="leads out"):
        lab.open(2, reclaimed=True, copy=["../x"])
    refs = lab.refs()
    half = next(r for r in plan_clean(lab.state, set(), {"unit-1": "done"}) if r.path.name == "2")
    assert half.reason == "it was never handed to a task"
    remove(half)
    assert lab.refs() == refs


def test_folders_that_are_no_worktrees_are_left_alone(lab: Lab) -> None:
    put(lab.state, **{"worktrees/unit-1/notes/text.txt": "mine", "worktrees/stray.txt": "mine"})
    assert plan_clean(lab.state, set(), {"unit-1": "done"}) == []
    put(lab.state, **{"worktrees/unit-1/7/text.txt": "mine"})
    removal = planned(lab)
    assert not removal.allowed
    assert (lab.state / "worktrees/unit-1/7/text.txt").exists()


def test_no_state_folder_is_an_empty_plan(lab: Lab) -> None:
    assert plan_clean(lab.state, set(), {}) == []
