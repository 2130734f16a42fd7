"""A SQLite store in trouble: one sentence that says what is wrong and what to do, exit 4, and no half state."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import StoreError, StoreLocked
from runner.project import find_project
from runner.store import AppendEvent
from runner.testing import faults
from runner_plugins import sqlite_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Runner

SUBMIT = ("submit", "--type", "run_script", "--payload", '{"script": "true"}')
COMMANDS = [("queue",), SUBMIT, ("work", "--drain")]
IDS = [command[0] for command in COMMANDS]


@pytest.fixture
def store_file(runner: Runner, project: Path) -> Path:
    """The store of a project that has three tasks."""
    for _ in range(3):
        runner.ok(*SUBMIT)
    return Path(find_project(project).default_store.removeprefix("sqlite:///"))


@dataclasses.dataclass
class Ended:
    """How a program ended that was not called by the `runner` fixture."""

    args: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


def _one_sentence(ended: Any, *words: str) -> None:
    """Exit 4, one line on standard error with these words, nothing on standard output, no traceback."""
    said = ended.stderr.strip()
    assert ended.code == 4, ended
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith("error")]) == 1, said
    for word in words:
        assert word in said, said
    assert ended.stdout == ""


@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
@pytest.mark.parametrize("damage", [faults.damage_header, faults.damage_pages, faults.truncate])
def test_a_damaged_store_is_named_and_left_as_it_is(
    runner: Runner, store_file: Path, damage: Callable[[Path], None], command: tuple[str, ...]
) -> None:
    damage(store_file)
    before = store_file.read_bytes()
    ended = runner(*command)
    if damage is faults.truncate and ended.code != 4:
        pytest.fail(f"a store that is cut in half was used: {ended}")
    _one_sentence(ended, str(store_file), "damaged")
    assert store_file.read_bytes() == before


def test_the_error_of_a_damaged_store_is_json_for_programs(runner: Runner, store_file: Path) -> None:
    faults.damage_header(store_file)
    ended = runner("queue", "--format", "json")
    assert ended.code == 4
    assert str(store_file) in ended.error["message"]
    assert ended.error["hint"]


@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
def test_a_store_of_a_newer_version_is_not_touched(runner: Runner, store_file: Path, command: tuple[str, ...]) -> None:
    faults.set_version(store_file, 999)
    _one_sentence(runner(*command), str(store_file), "newer")
    with contextlib.closing(sqlite3.connect(store_file)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (999,)
        assert db.execute("SELECT count(*) FROM tasks").fetchone() == (3,)


@pytest.fixture
def writer(store_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that writes all the time."""
    script = (
        "import sys\nfrom runner_plugins import sqlite_store\nfrom runner.store import AppendMessage\n"
        "store = sqlite_store.open_store('sqlite:///' + sys.argv[1], {})\n"
        "while True: store.commit([AppendMessage(stream='s', body={'n': 1})])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(store_file)])
    with contextlib.closing(sqlite3.connect(store_file)) as db:
        deadline = time.monotonic() + 30
        while not db.execute("SELECT count(*) FROM messages").fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def test_a_store_that_a_stopped_process_holds_names_that_process(
    store_file: Path, writer: subprocess.Popen[bytes]
) -> None:
    store = sqlite_store.open_store(f"sqlite:///{store_file}", {"timeout": 0.5})
    assert store is not None
    assert faults.stop_in_write(writer.pid, store_file)
    began = time.monotonic()
    with pytest.raises(StoreLocked, match=rf"locked.*\b{writer.pid}\b") as caught:
        store.commit([AppendEvent(kind="test.note")])
    assert time.monotonic() - began < 10
    assert "stopped" in caught.value.message
    assert str(writer.pid) in caught.value.hint
    assert store.queue.events() == store.queue.events(), "reads go on"
    os.kill(writer.pid, signal.SIGCONT)
    store.commit([AppendEvent(kind="test.note")])
    assert [e.kind for e in store.queue.events()][-1] == "test.note"
    store.close()


def test_reads_go_on_while_a_stopped_process_holds_the_store(
    runner: Runner, store_file: Path, writer: subprocess.Popen[bytes]
) -> None:
    assert faults.stop_in_write(writer.pid, store_file)
    ended = runner.ok("queue", "--format", "json", timeout=20)
    assert len(ended.items) == 3


def test_a_store_that_another_program_holds_is_locked_in_one_sentence(store_file: Path) -> None:
    store = sqlite_store.open_store(f"sqlite:///{store_file}", {"timeout": 0.5})
    assert store is not None
    with contextlib.closing(sqlite3.connect(store_file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked, match=str(store_file)):
            store.commit([AppendEvent(kind="test.note")])
        db.execute("ROLLBACK")
    store.commit([AppendEvent(kind="test.note")])
    store.close()


def test_a_writer_that_gave_up_again_and_again_does_not_keep_the_lock(
    store_file: Path, writer: subprocess.Popen[bytes]
) -> None:
    store = sqlite_store.open_store(f"sqlite:///{store_file}", {"timeout": 0.3})
    assert store is not None
    assert faults.stop_in_write(writer.pid, store_file)
    for _ in range(3):
        with pytest.raises(StoreLocked):
            store.commit([AppendEvent(kind="test.note")])
    os.kill(writer.pid, signal.SIGCONT)
    time.sleep(0.5)
    before = len(store.streams.read("s", limit=1_000_000))
    deadline = time.monotonic() + 10
    while len(store.streams.read("s", limit=1_000_000)) <= before:
        assert time.monotonic() < deadline, "the other process can't write any more"
        time.sleep(0.05)
    store.commit([AppendEvent(kind="test.note")])
    store.close()


@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
def test_a_store_in_a_folder_that_is_read_only_says_so(
    runner: Runner, store_file: Path, command: tuple[str, ...]
) -> None:
    folder = store_file.parent
    before = _contents(store_file)
    for path in folder.iterdir():
        path.chmod(0o444 if path.is_file() else 0o555)
    folder.chmod(0o555)
    try:
        argv = faults.without_override([*runner.argv, *command])
        done = subprocess.run(argv, cwd=runner.cwd, capture_output=True, text=True, timeout=60)
    finally:
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.chmod(0o644 if path.is_file() else 0o755)
    if command == ("queue",) and done.returncode == 0:
        assert done.stdout  # reading what can be read is fine
    else:
        _one_sentence(Ended(command, done.returncode, done.stdout, done.stderr), str(folder))
    assert _contents(store_file) == before


def test_a_store_whose_folder_cannot_be_made_says_so(runner: Runner, project: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    argv = faults.without_override([*runner.argv, "--store", f"sqlite:///{closed}/sub/store.db", *SUBMIT])
    done = subprocess.run(argv, cwd=project, capture_output=True, text=True, timeout=60)
    assert done.returncode in (2, 4), done.stderr
    assert "Traceback" not in done.stderr
    assert str(closed) in done.stderr


@pytest.mark.parametrize("room", [0, 20_000])
def test_a_full_disk_is_one_sentence_and_no_half_state(
    runner: Runner, project: Path, tmp_path: Path, room: int
) -> None:
    with faults.SmallDisk(tmp_path / "disk", size=3 << 20) as disk:
        url = f"sqlite:///{disk.folder}/store.db"
        env = {**os.environ, "RUNNER_STORE": url}

        def call(*args: str) -> subprocess.CompletedProcess[str]:
            return disk.run([*runner.argv, *args], env=env, cwd=project)

        assert call(*SUBMIT).returncode == 0
        disk.fill()
        if room:
            disk.run(["truncate", "-s", f"-{room}", f"{disk.folder}/ballast"])
        many = tmp_path / "many.jsonl"
        payload = {"script": "true", "data": "x" * 3000}
        many.write_text("\n".join(json.dumps({"type": "run_script", "payload": payload}) for _ in range(200)))
        done = call("submit", "--from", str(many))
        _one_sentence(Ended(("submit",), done.returncode, done.stdout, done.stderr), f"{disk.folder}/store.db", "space")
        disk.free()
        counted = call("queue", "--all", "--limit", "1000", "--format", "json")
        assert counted.returncode == 0, counted.stderr
        assert len(json.loads(counted.stdout)["items"]) == 1, "all or none"
        assert call(*SUBMIT).returncode == 0
        assert _integrity(disk, f"{disk.folder}/store.db") == "ok"


def test_a_worker_outlives_a_full_disk(runner: Runner, project: Path, tmp_path: Path) -> None:
    """The store's disk is full while tasks run: nothing is done twice or lost when there is room again."""
    effects = tmp_path / "effects"
    with faults.SmallDisk(tmp_path / "disk", size=4 << 20) as disk:
        env = {**os.environ, "RUNNER_STORE": f"sqlite:///{disk.folder}/store.db"}
        lines = []
        for n in range(20):
            cwd = tmp_path / "cwd" / str(n)
            cwd.mkdir(parents=True)
            script = f"echo $RUNNER_TASK_ID >> {effects}; sleep 0.2"
            lines.append(json.dumps({"type": "run_script", "payload": {"script": script}, "cwd": str(cwd)}))
        (tmp_path / "tasks.jsonl").write_text("\n".join(lines))
        submitted = disk.run([*runner.argv, "submit", "--from", f"{tmp_path}/tasks.jsonl"], env=env, cwd=project)
        assert submitted.returncode == 0, submitted.stderr
        log = tmp_path / "worker.log"
        with open(log, "wb") as file:
            worker = disk.start([*runner.argv, "work", "--drain", "--slots", "2"], env=env, cwd=project, output=file)
        try:
            _wait_for(lambda: effects.exists(), "the first task starts")
            disk.fill()
            time.sleep(2.0)
            assert worker.poll() is None, f"the worker ended: {log.read_text()}"
            disk.free()
            assert worker.wait(120) == 0, log.read_text()
        finally:
            worker.kill()
            worker.wait()
        shown = disk.run([*runner.argv, "queue", "--all", "--format", "json"], env=env, cwd=project)
        statuses = [item["status"] for item in json.loads(shown.stdout)["items"]]
        assert statuses == ["done"] * 20
        assert len(set(effects.read_text().split())) == 20


MOUNTS = {
    "nfs4": "server:/home /home nfs4 rw,relatime,vers=4.2 0 0",
    "cifs": "//nas/share /mnt/share cifs rw,relatime 0 0",
    "fuse.sshfs": "me@host:/x /mnt/with\\040space fuse.sshfs rw,nosuid 0 0",
    "9p": "drvfs /mnt/c 9p rw,dirsync,aname=drvfs 0 0",
}
LOCAL = "/dev/vda1 / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\ntmpfs /tmp tmpfs rw,nosuid 0 0\n"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ada/state/store.db", "nfs4"),
        ("/mnt/share/store.db", "cifs"),
        ("/mnt/with space/deep/er/store.db", "fuse.sshfs"),
        ("/mnt/c/Users/ada/store.db", "9p"),
        ("/homes/ada/store.db", "ext4"),
        ("/var/store.db", "ext4"),
        ("/tmp/store.db", "tmpfs"),
    ],
)
def test_the_file_system_of_a_store_is_found_in_the_mount_table(path: str, kind: str) -> None:
    assert sqlite_store.filesystem(Path(path), LOCAL + "\n".join(MOUNTS.values()) + "\n") == kind


def test_a_mount_over_another_hides_it() -> None:
    table = LOCAL + MOUNTS["nfs4"] + "\n/dev/vdb /home ext4 rw 0 0\n"
    assert sqlite_store.filesystem(Path("/home/x"), table) == "ext4"
    table += "server:/b /home/ada/net nfs rw 0 0\n"
    assert sqlite_store.filesystem(Path("/home/ada/net/store.db"), table) == "nfs"
    assert sqlite_store.filesystem(Path("/home/ada/network/store.db"), table) == "ext4"


def test_a_store_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = f"{LOCAL}server:/export {tmp_path} nfs4 rw 0 0\n"
    known = sqlite_store.filesystem
    monkeypatch.setattr(sqlite_store, "filesystem", lambda path: known(path, table))
    with pytest.raises(StoreError, match=r"network file system \(nfs4\)") as caught:
        sqlite_store.open_store(f"sqlite:///{tmp_path}/store.db", {})
    assert "postgresql://" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_store_opened_by_many_new_processes_at_once_is_made_once(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom runner_plugins import sqlite_store\nfrom runner.store import AppendMessage\n"
        "store = sqlite_store.open_store('sqlite:///' + sys.argv[1], {})\n"
        "print(store.commit([AppendMessage(stream='s', body={})])[0])\n"
    )
    argv = [sys.executable, "-c", script, f"{tmp_path}/new/store.db"]
    processes = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    positions = sorted(int(process.communicate(timeout=60)[0]) for process in processes)
    assert positions == [1, 2, 3, 4, 5, 6]


def test_what_was_committed_survives_a_kill_at_once(store_file: Path) -> None:
    script = (
        "import os, sys\nfrom runner_plugins import sqlite_store\nfrom runner.store import AppendMessage\n"
        "store = sqlite_store.open_store('sqlite:///' + sys.argv[1], {})\n"
        "print(store.commit([AppendMessage(stream='k', body={})])[0], flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    for expected in range(1, 6):
        done = subprocess.run([sys.executable, "-c", script, str(store_file)], capture_output=True, text=True)
        assert (done.returncode, done.stdout.strip()) == (-9, str(expected))


def _contents(store_file: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(store_file)) as db:
        return db.execute("SELECT id, status, epoch FROM tasks ORDER BY id").fetchall()


def _integrity(disk: faults.SmallDisk, path: str) -> str:
    check = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])"
    return disk.run([sys.executable, "-c", check, path]).stdout.strip()


def _wait_for(condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
