"""A snapshot keeps everything in a worktree, byte for byte, and touches nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from workspaces import Lab, git, make_lab, put, tree

from runner.errors import SnapshotFailed, WorkspaceLost
from runner.workspace import Caps, LeftOut, Snapshot, Workspace, list_kept, restore
from runner.workspace.git import Git
from runner.workspace.importer import Importer
from runner.workspace.index import Index, Known, known
from runner.workspace.part import Part
from runner.workspace.storing import Storer
from runner.workspace.walk import seen


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_lab(tmp_path)


@pytest.fixture
def work(lab: Lab) -> Workspace:
    return lab.open(1)


def shoot(work: Workspace, attempt: int = 1, label: str = "test") -> Snapshot:
    shot = work.snapshot(attempt, label)
    assert shot is not None
    return shot


def back(lab: Lab, into: Path) -> Path:
    """The unit's newest snapshot, written to a folder."""
    restore(list_kept(lab.repo, lab.state)[-1], into)
    return into


def test_tracked_untracked_and_ignored_files_are_kept(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"readme.md": "changed", "new.txt": "untracked", "debug.log": "ignored", ".env": "ignored too"})
    (work.path / "src/old.py").unlink()
    shot = shoot(work)
    assert shot.ref == "refs/runner/unit-1/1"
    assert lab.files_of(shot.ref) == tree(work.path)
    assert lab.git("rev-parse", f"{shot.ref}^1") == shot.head == lab.head
    assert (shot.files, shot.left_out, shot.nested) == (6, (), ())


def test_odd_names_are_kept(lab: Lab, work: Workspace) -> None:
    names = [
        "a b",
        "new\nline",
        "tab\t",
        '"quoted"',
        '"half\n',
        "back\\slash",
        "ü",
        "-rf",
        " lead",
        "trail ",
        "*",
        ":(top)x",
        "a\rb",
        "~",
    ]
    put(work.path, **{f"odd/{name}": name for name in names}, **dict.fromkeys(names, "x"))
    raw = os.fsencode(work.path) + b"/\xff\xfe-not-utf8"
    with open(raw, "wb") as file:
        file.write(b"raw")
    assert lab.files_of(shoot(work).ref) == tree(work.path)
    assert tree(back(lab, lab.state / "out")) == tree(work.path)


def test_bytes_are_kept_as_they_are_whatever_git_would_convert(lab: Lab) -> None:
    put(
        lab.repo,
        **{".gitattributes": "*.txt text eol=crlf\n*.id ident\n*.low filter=lower\n", "a.txt": "x\n", "k.id": "$Id$\n"},
    )
    lab.git("config", "filter.lower.clean", "tr A-Z a-z")
    lab.git("config", "core.autocrlf", "input")
    lab.git("add", "-A")
    lab.git("commit", "-qm", "attributes")
    work = lab.open(1)
    (work.path / "crlf.txt").write_bytes(b"one\r\ntwo\n")
    put(work.path, **{"shout.low": "LOUD", "own.id": "$Id: mine $"})
    before = tree(work.path)
    assert before["a.txt"] == b"x\r\n"
    shoot(work)
    assert tree(back(lab, lab.state / "out")) == before
    os.rename(work.path, lab.state / "lost")
    assert tree(lab.open(2, reclaimed=True).path) == before


def test_modes_symlinks_empty_folders_and_private_files_come_back(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"run.sh": "x", "key.pem": "secret", "tool": "y"})
    (work.path / "run.sh").chmod(0o755)
    (work.path / "key.pem").chmod(0o600)
    (work.path / "tool").chmod(0o700)
    (work.path / "empty/inner").mkdir(parents=True)
    (work.path / "up").symlink_to("../outside")
    (work.path / "folder-link").symlink_to("src")
    shoot(work)
    out = back(lab, lab.state / "out")
    assert tree(out) == tree(work.path)
    assert (out / "empty/inner").is_dir()
    modes = {name: (out / name).stat().st_mode & 0o777 for name in ("run.sh", "key.pem", "tool")}
    assert modes == {"run.sh": 0o755, "key.pem": 0o600, "tool": 0o700}


def test_a_snapshot_touches_neither_index_nor_files_nor_head(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"new.txt": "x", "readme.md": "staged"})
    git("add", "readme.md", cwd=work.path)
    put(work.path, **{"readme.md": "unstaged"})
    admin = Path(git("rev-parse", "--absolute-git-dir", cwd=work.path))
    before = ((admin / "index").read_bytes(), (admin / "HEAD").read_bytes(), tree(work.path))
    status = git("status", "--porcelain", cwd=work.path)
    shoot(work)
    assert ((admin / "index").read_bytes(), (admin / "HEAD").read_bytes(), tree(work.path)) == before
    assert git("status", "--porcelain", cwd=work.path) == status
    assert [name for name in lab.refs() if not name.startswith("refs/runner/")] == ["refs/heads/main"]


def test_git_finds_nothing_wrong_with_what_was_written(lab: Lab, work: Workspace) -> None:
    put(work.path, **{f"many/{n % 7}/{n}.txt": str(n) for n in range(300)}, **{"a\nb": "x"})
    git("init", "-q", work.path / "nested", cwd=work.path)
    shoot(work)
    (work.path / "many/3/3.txt").unlink()
    shoot(work)
    done = subprocess.run(
        ["git", "fsck", "--strict", "--full"], cwd=lab.repo, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_nothing_new_is_the_same_snapshot(work: Workspace) -> None:
    put(work.path, **{"a.txt": "x"})
    first = shoot(work)
    again = shoot(work, label="another label")
    assert first.new
    assert not again.new
    assert again.commit == first.commit


def test_every_snapshot_of_an_attempt_stays_in_its_history(lab: Lab, work: Workspace) -> None:
    commits = []
    for text in ("one", "two", "three"):
        put(work.path, **{"a.txt": text})
        commits.append(shoot(work).commit)
    assert lab.refs()["refs/runner/unit-1/1"] == commits[-1]
    assert [lab.files_of(commit)["a.txt"] for commit in commits] == [b"one", b"two", b"three"]
    assert set(commits) <= set(lab.git("rev-list", "refs/runner/unit-1/1").split())


def test_each_attempt_has_a_ref_of_its_own(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"a.txt": "one"})
    shoot(work, 1)
    put(work.path, **{"a.txt": "two"})
    shoot(work, 2)
    assert lab.files_of("refs/runner/unit-1/1")["a.txt"] == b"one"
    assert lab.files_of("refs/runner/unit-1/2")["a.txt"] == b"two"


def test_a_change_of_the_same_size_within_the_same_moment_is_seen(lab: Lab, work: Workspace) -> None:
    for n in range(10, 30):
        put(work.path, **{"a.txt": f"{n}"})
        assert lab.files_of(shoot(work).commit)["a.txt"] == f"{n}".encode()


def test_a_change_that_hides_behind_an_old_time_is_seen(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"a.txt": "one"})
    os.utime(work.path / "a.txt", (1_000_000_000, 1_000_000_000))
    time.sleep(2.1)
    shoot(work)
    shoot(work)
    put(work.path, **{"a.txt": "two"})
    os.utime(work.path / "a.txt", (1_000_000_000, 1_000_000_000))
    assert lab.files_of(shoot(work).commit)["a.txt"] == b"two"


def test_another_process_goes_on_from_what_is_known(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"a.txt": "one", "b.log": "x" * 10})
    shoot(work)
    work.close()
    again = lab.open(2)
    assert not shoot(again).new
    put(again.path, **{"a.txt": "two"})
    assert lab.files_of(shoot(again).commit) == tree(again.path)


def test_the_first_snapshot_after_a_reclaim_stores_nothing_again(lab: Lab, work: Workspace) -> None:
    put(work.path, **{f"deps/{n}.log": str(n) for n in range(50)})
    git("init", "-q", work.path / "nested", cwd=work.path)
    shoot(work)
    os.rename(work.path, lab.state / "lost")
    again = lab.open(2, reclaimed=True)
    before = int(lab.git("count-objects").split()[0])
    shoot(again, 2)
    # Two commits at most, for the trees are there: that of the worktree and that of the nested repository.
    assert int(lab.git("count-objects").split()[0]) - before <= 2


def test_refs_that_somebody_deleted_are_written_anew_in_full(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"a.txt": "one"})
    shoot(work)
    lab.git("update-ref", "-d", "refs/runner/unit-1/1")
    lab.git("reflog", "expire", "--expire=now", "--all")
    lab.git("gc", "-q", "--prune=now")
    assert lab.files_of(shoot(work).ref)["a.txt"] == b"one"


def test_collecting_garbage_loses_nothing(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"a.txt": "one"})
    git("init", "-q", work.path / "nested", cwd=work.path)
    put(work.path, **{"nested/n.txt": "n"})
    first = shoot(work)
    put(work.path, **{"a.txt": "two"})
    shoot(work)
    lab.git("gc", "-q", "--prune=now")
    assert lab.files_of(first.commit)["a.txt"] == b"one"
    put(work.path, **{"a.txt": "three"})
    assert lab.files_of(shoot(work).ref)["a.txt"] == b"three"


def test_a_file_over_the_cap_is_listed_and_left_out(lab: Lab) -> None:
    work = lab.open(1, caps=Caps(max_file=1000))
    put(work.path, small="x" * 1000, big="x" * 1001)
    shot = shoot(work)
    assert "small" in lab.files_of(shot.ref)
    assert "big" not in lab.files_of(shot.ref)
    assert shot.left_out == (LeftOut("big", "is over the cap of 1000 bytes for one file", 1001),)


def test_a_big_file_that_the_commit_holds_is_kept_and_a_changed_one_is_listed(lab: Lab) -> None:
    put(lab.repo, **{"asset.bin": "a" * 5000, "other.bin": "b" * 5000})
    lab.git("add", "-A")
    lab.git("commit", "-qm", "assets")
    work = lab.open(1, caps=Caps(max_file=1000))
    assert shoot(work).left_out == ()
    put(work.path, **{"other.bin": "c" * 5000})
    shot = shoot(work)
    assert [item.path for item in shot.left_out] == ["other.bin"]
    assert lab.files_of(shot.ref)["other.bin"] == b"b" * 5000


def test_over_the_total_cap_ignored_files_go_first_and_big_groups_before_small_ones(lab: Lab) -> None:
    put(lab.repo, **{".gitignore": "deps/\n*.log\n"})
    lab.git("commit", "-qam", "ignore")
    work = lab.open(1, caps=Caps(max_total=3000))
    put(work.path, **{"readme.md": "x" * 1000, "new.txt": "y" * 1000, "small.log": "z" * 500})
    put(work.path, **{f"deps/{n}": f"{n}" * 900 for n in range(4)})
    shot = shoot(work)
    assert {"readme.md", "new.txt", "small.log"} <= set(lab.files_of(shot.ref))
    assert [item.path for item in shot.left_out] == ["deps/0", "deps/1", "deps/2", "deps/3"]
    assert shot.left_out[0].reason == "is over the cap of 2.9 KiB for a snapshot"


def test_a_long_list_of_what_is_left_out_is_summed_up_by_folder(lab: Lab) -> None:
    work = lab.open(1, caps=Caps(max_total=10))
    put(work.path, **{f"deps/{n}/x": "x" * 100 for n in range(600)}, top="y" * 100)
    shot = shoot(work)
    assert [(item.path, item.size, item.blocks) for item in shot.left_out] == [
        ("deps/", 60_000, True),
        ("top", 100, True),
    ]
    assert "600 files" in shot.left_out[0].reason


def test_sockets_and_pipes_are_listed_and_do_not_hang_it(work: Workspace) -> None:
    os.mkfifo(work.path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(work.path)
        server.bind("sock")
        shot = shoot(work)
    assert [(i.path, i.reason, i.blocks) for i in shot.left_out] == [
        ("pipe", "is a named pipe", False),
        ("sock", "is a socket", False),
    ]


def test_a_name_that_git_refuses_is_listed(work: Workspace) -> None:
    put(work.path, **{"deep/.GIT/config": "x"})
    shot = shoot(work)
    assert [(item.path, item.blocks) for item in shot.left_out] == [("deep/.GIT", True)]


def test_copied_secrets_and_copies_of_them_stay_out(lab: Lab) -> None:
    put(lab.repo, **{".env": "SECRET=1", "local.ini": "SECRET=2"})
    work = lab.open(1, copy=[".env", "local.ini"])
    (work.path / "backup.txt").write_text("SECRET=1")
    put(work.path, **{"local.ini": "SECRET=changed"})
    shot = shoot(work)
    everything = lab.git("log", "--all", "-p", "--format=%B", "--text")
    assert "SECRET=" not in everything
    assert {item.path for item in shot.left_out} == {".env", "local.ini", "backup.txt"}
    objects = lab.git("cat-file", "--batch-all-objects", "--batch-check").splitlines()
    blobs = [line.split()[0] for line in objects if " blob " in line]
    assert not any("SECRET=" in lab.git("cat-file", "blob", blob) for blob in blobs)


def test_an_empty_file_is_kept_even_if_an_empty_one_was_copied(lab: Lab) -> None:
    put(lab.repo, **{".env": ""})
    work = lab.open(1, copy=[".env"])
    put(work.path, **{"__init__.py": ""})
    assert "__init__.py" in lab.files_of(shoot(work).ref)


def test_commits_that_were_amended_or_reset_away_are_kept(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"a.txt": "first try"})
    git("add", "-A", cwd=work.path)
    git("commit", "-qm", "first try", cwd=work.path)
    lost = git("rev-parse", "HEAD", cwd=work.path)
    put(work.path, **{"a.txt": "second try"})
    git("commit", "-qa", "--amend", "-m", "second try", cwd=work.path)
    git("reset", "-q", "--hard", "HEAD~1", cwd=work.path)
    shoot(work)
    kept = lab.git("rev-list", "refs/runner/unit-1/1").split()
    assert lost in kept
    assert not shoot(work).new


def test_a_snapshot_during_a_rebase_is_taken(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"readme.md": "mine"})
    git("commit", "-qam", "mine", cwd=work.path)
    mine = git("rev-parse", "HEAD", cwd=work.path)
    put(lab.repo, **{"readme.md": "theirs"})
    lab.git("commit", "-qam", "theirs")
    git("rebase", "-q", lab.head, cwd=work.path, check=False)
    shot = shoot(work)
    assert mine in lab.git("rev-list", shot.ref).split()
    assert b"<<<<<<<" in lab.files_of(shot.ref)["readme.md"]


def test_a_large_file_is_streamed_and_exact(lab: Lab, work: Workspace) -> None:
    content = os.urandom(3 * 1024 * 1024 + 17)
    (work.path / "video.bin").write_bytes(content)
    shoot(work)
    assert (back(lab, lab.state / "out") / "video.bin").read_bytes() == content


WRITER = """
import os, pathlib, random, sys, time
root = pathlib.Path(sys.argv[1])
(root / "churn").mkdir(exist_ok=True)
print("ready", flush=True)
n = 0
while True:
    n += 1
    path = root / "churn" / str(random.randrange(40))
    kind = random.randrange(7)
    try:
        if kind == 0: path.unlink()
        elif kind == 1: path.write_bytes(os.urandom(random.randrange(3_000_000)))
        elif kind == 2: path.open("ab").write(b"x" * 1000)
        elif kind == 3: os.truncate(path, 10)
        elif kind == 4: path.unlink(); path.mkdir(); (path / "in").write_text("x")
        elif kind == 5: path.symlink_to("nowhere")
        else: (path / "in").unlink(); path.rmdir()
    except OSError:
        pass
"""


def test_files_may_change_grow_shrink_and_vanish_while_it_is_taken(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"steady.txt": "steady"})
    writer = subprocess.Popen([sys.executable, "-c", WRITER, work.path], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(12):
            shot = shoot(work)
            assert all("churn/" in item.path for item in shot.left_out)
            assert lab.files_of(shot.ref)["steady.txt"] == b"steady"
    finally:
        writer.kill()
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()
    shoot(work)
    assert lab.files_of("refs/runner/unit-1/1") == tree(work.path)


def test_threads_may_take_snapshots_and_commit_at_once(lab: Lab, work: Workspace) -> None:
    failures: list[BaseException] = []

    def snapshots() -> None:
        try:
            for _ in range(10):
                shoot(work)
        except BaseException as error:
            failures.append(error)

    timers = [threading.Thread(target=snapshots) for _ in range(2)]
    for timer in timers:
        timer.start()
    for n in range(10):
        put(work.path, **{f"{n}.txt": "x"})
        work.commit_leftovers(str(n))
    for timer in timers:
        timer.join()
    assert failures == []
    assert lab.files_of(shoot(work).ref) == tree(work.path)


def test_a_lock_that_a_killed_git_left_on_the_ref_does_not_stop_it(lab: Lab, work: Workspace) -> None:
    lock = lab.repo / ".git/refs/runner/unit-1/1.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (time.time() - 60, time.time() - 60))
    put(work.path, **{"a.txt": "x"})
    assert lab.files_of(shoot(work).ref)["a.txt"] == b"x"


def test_a_failed_snapshot_says_why_leaves_its_mark_and_the_old_one(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"a.txt": "x"})
    first = shoot(work)
    put(work.path, **{"b.txt": "new"})
    objects = lab.repo / ".git/objects"
    os.rename(objects, lab.repo / ".git/objects-away")
    with pytest.raises(SnapshotFailed, match="could be taken: git"):
        work.snapshot(1)
    os.rename(lab.repo / ".git/objects-away", objects)
    admin = Path(git("rev-parse", "--absolute-git-dir", cwd=work.path))
    assert (admin / "runner-snapshot-failed").exists()
    assert lab.refs()["refs/runner/unit-1/1"] == first.commit
    shoot(work)
    assert not (admin / "runner-snapshot-failed").exists()


def test_a_disk_without_room_is_a_failed_snapshot(lab: Lab, work: Workspace) -> None:
    import resource

    put(work.path, **{"a.txt": "x" * 500_000})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    # A file-size limit is the nearest to a full disk that needs no mount.
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (work.path / "rand").write_bytes(os.urandom(200_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(SnapshotFailed):
            work.snapshot(1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert "refs/runner/unit-1/1" not in lab.refs()
    assert lab.files_of(shoot(work).ref) == tree(work.path)


def test_a_sha256_repository_works_too(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    git("init", "-q", "--object-format=sha256", cwd=repo)
    put(repo, **{"a.txt": "a"})
    git("add", "-A", cwd=repo)
    git("commit", "-qm", "x", cwd=repo)
    lab = Lab(repo, tmp_path / "state")
    work = lab.open(1)
    put(work.path, **{"b.txt": "b"})
    assert len(shoot(work).commit) == 64
    os.rename(work.path, lab.state / "lost")
    assert tree(lab.open(2, reclaimed=True).path) == {"a.txt": b"a", "b.txt": b"b"}


def test_a_stream_that_is_cut_off_moves_no_ref(lab: Lab, work: Workspace) -> None:
    put(work.path, **{"a.txt": "x"})
    first = shoot(work)
    importer = Importer(Git(lab.repo))
    importer.blob(b"content")
    importer.commit(first.ref, [first.commit], "cut off", [])
    process = importer._process
    assert process is not None
    assert process.stdin is not None
    # What git sees when the process that speaks to it is killed.
    process.stdin.close()
    assert process.wait(timeout=30) != 0
    importer.drop()
    assert lab.refs()[first.ref] == first.commit


def test_a_worktree_that_vanishes_while_it_is_read_is_not_a_snapshot_without_files(
    lab: Lab, work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(work.path, **{"a.txt": "x"})
    first = shoot(work)
    entries = Storer.entries

    def then_lose_it(self: Storer, part: Part) -> dict[str, Known]:
        found = entries(self, part)
        (work.path / ".git").unlink()
        return found

    monkeypatch.setattr(Storer, "entries", then_lose_it)
    (work.path / "a.txt").unlink()
    with pytest.raises(WorkspaceLost):
        work.snapshot(1)
    assert lab.refs()[first.ref] == first.commit


def test_a_file_that_was_just_written_is_not_trusted_by_its_stat(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    now = seen(str(tmp_path / "file"), os.lstat(tmp_path / "file"))
    for read_at, trusted in ((now.ctime + 1_000_000, None), (now.ctime + 3_000_000_000, "oid")):
        index = Index(trees={"": {"file": known(now, "oid", read_at)}})
        assert index.match("", "file", now) == trusted
