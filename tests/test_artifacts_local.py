"""The local artifact store: content-addressed, whole or not there, digests verified."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from runner.artifacts import fetch
from runner.errors import NotFound, StoreError, UsageError
from runner.model import Artifact
from runner_plugins.artifacts_local import LocalArtifacts, open_artifact_store, upload_artifact

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "blobs")


def test_what_is_uploaded_comes_back_with_its_digest(store: LocalArtifacts, tmp_path: Path) -> None:
    source = tmp_path / "out.txt"
    source.write_bytes(b"hi\n")
    kept = upload_artifact(Artifact("shots/out.txt", ""), source, store)
    assert (kept.size, kept.sha256, kept.type) == (3, hashlib.sha256(b"hi\n").hexdigest(), "text/plain")
    assert len(kept.ref) == 12
    fetch(store, kept, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"hi\n"
    assert store.presign(kept.sha256).startswith("file:///")


def test_the_same_bytes_are_kept_once(store: LocalArtifacts) -> None:
    assert store.put(io.BytesIO(b"same")) == store.put(io.BytesIO(b"same"))
    assert len([p for p in store.folder.rglob("*") if p.is_file()]) == 1


def test_a_url_of_this_kind_is_opened_and_another_is_left_to_others(tmp_path: Path) -> None:
    opened = open_artifact_store((tmp_path / "a b").as_uri())
    assert opened is not None
    assert opened.url == (tmp_path / "a b").as_uri()
    assert open_artifact_store("s3://bucket/x") is None
    with pytest.raises(UsageError, match="not a folder of this machine"):
        open_artifact_store("file://elsewhere/x")


def test_an_unknown_blob_is_named_and_deleting_it_is_false(store: LocalArtifacts) -> None:
    key = "0" * 64
    with pytest.raises(NotFound, match="no blob 000000000000"):
        store.get(key)
    assert store.stat(key) is None
    assert store.delete(key) is False
    with pytest.raises(UsageError):
        store.get("../../../etc/passwd")


def test_a_blob_can_be_deleted(store: LocalArtifacts) -> None:
    blob = store.put(io.BytesIO(b"x"))
    assert store.delete(blob.sha256) is True
    assert store.stat(blob.sha256) is None


def test_a_source_that_fails_half_way_leaves_nothing(store: LocalArtifacts) -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if not data:
                raise OSError(5, "Input/output error")
            return data

    with pytest.raises(StoreError):
        store.put(Torn(b"x" * 100))
    assert [p for p in store.folder.rglob("*") if p.is_file()] == []


def test_a_damaged_blob_is_noticed_on_download_and_healed_by_an_upload(store: LocalArtifacts, tmp_path: Path) -> None:
    blob = store.put(io.BytesIO(b"right"))
    path = store.folder / blob.sha256[:2] / blob.sha256[2:]
    path.chmod(0o644)
    path.write_bytes(b"wrong")
    with pytest.raises(StoreError, match="damaged"):
        fetch(store, Artifact("a", "t", 5, blob.sha256, "ref"), tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert os.listdir(tmp_path) == ["blobs"]
    store.put(io.BytesIO(b"right"))
    with store.get(blob.sha256) as stream:
        assert stream.read() == b"right"


def test_a_writer_killed_at_any_moment_leaves_no_half_blob(store: LocalArtifacts) -> None:
    program = textwrap.dedent(f"""
        import io
        from pathlib import Path
        from runner_plugins.artifacts_local import LocalArtifacts
        store = LocalArtifacts(Path({str(store.folder)!r}))
        print("go", flush=True)
        for n in range(10**6):
            store.put(io.BytesIO(str(n).encode() * 50_000))
    """)
    for delay in (0.01, 0.03, 0.05, 0.08):
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        threading.Event().wait(delay)
        child.kill()
        child.wait()
        child.stdout.close()
    blobs = [p for p in store.folder.rglob("*") if p.is_file() and not p.name.startswith(".part-")]
    assert blobs
    for path in blobs:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name + path.name


def test_many_writers_of_the_same_bytes_do_not_meet(store: LocalArtifacts) -> None:
    keys: list[str] = []
    threads = [
        threading.Thread(target=lambda: keys.append(store.put(io.BytesIO(b"z" * 3_000_000)).sha256)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_big_file_needs_little_memory(store: LocalArtifacts, tmp_path: Path) -> None:
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate(300 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kept = upload_artifact(Artifact("big", ""), big, store)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert kept.size == 300 << 20
    assert after - before < 30_000


def test_a_link_or_a_pipe_in_the_files_place_is_not_read(store: LocalArtifacts, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "absent"):
        with pytest.raises(UsageError, match=f"artifact '{name}'"):
            upload_artifact(Artifact(name, ""), tmp_path / name, store)


def test_a_folder_that_can_not_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be used"):
        LocalArtifacts(tmp_path / "file" / "x").put(io.BytesIO(b"x"))


def test_a_full_disk_is_one_sentence_and_leaves_nothing() -> None:
    # A tiny tmpfs in a user's own mount namespace; the child reports what it saw.
    program = textwrap.dedent("""
        import io, sys
        from pathlib import Path
        from runner.errors import StoreError
        from runner_plugins.artifacts_local import LocalArtifacts
        folder = Path(sys.argv[1])
        try:
            LocalArtifacts(folder).put(io.BytesIO(b"x" * 4_000_000))
        except StoreError as error:
            print(error, [p for p in folder.rglob("*") if p.is_file()])
    """)
    shell = 'd=$(mktemp -d) && mount -t tmpfs -o size=1m none "$d" && exec "$0" -c "$1" "$d"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", shell, sys.executable, program], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:  # no mount namespaces here: a file size limit is the nearest thing to a full disk
        limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n{program}"
        shell = 'exec "$0" -c "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n$1" "$(mktemp -d)"'
        done = subprocess.run(["sh", "-c", shell, sys.executable, limited], capture_output=True, text=True, check=True)
    assert "the artifact store" in done.stdout
    assert done.stdout.rstrip().endswith("[]")
