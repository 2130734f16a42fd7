"""Writes blobs, trees, commits and refs through one `git fast-import`; refs move only when all of it is written."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.workspace.git import failed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Sequence

    from runner.errors import GitError
    from runner.workspace.git import Git

Row = tuple[str, str, str]
"""(path, git mode, object id)."""

_LOCKED = re.compile(r"Unable to create '(.+\.lock)'")
_STALE: Final = 5.0
"""Seconds after which a lock on a ref of ours belongs to a git that was killed: they are held for milliseconds."""


class Importer:
    """One stream into git. Nothing is visible before `finish`; dropped without it, nothing ever is."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the stream
        self._made: dict[str, int] = {}

    @property
    def started(self) -> bool:
        return self._process is not None

    def blob(self, content: bytes) -> None:
        self._write(b"blob\ndata %d\n%b\n" % (len(content), content))

    def begin_blob(self, size: int) -> None:
        """Announce a blob of exactly `size` bytes, which `more` then brings."""
        self._write(b"blob\ndata %d\n" % size)

    def more(self, content: bytes) -> None:
        self._write(content)

    def end_blob(self) -> None:
        self._write(b"\n")

    def commit(
        self,
        ref: str,
        parents: Sequence[str],
        message: str,
        files: Iterable[Row],
        *,
        deleted: Iterable[str] = (),
        alone: bool = False,
    ) -> str:
        """Add a commit to `ref` → its id. The first parent must hold what the ref is at now.

        Its tree is that of the first parent (`alone`: an empty one) without `deleted` and with `files`.
        """
        mark = len(self._made) + 1
        text = message.encode("ascii")
        lines = [
            b"commit %b\nmark :%d\ncommitter runner <runner@localhost> %d +0000\ndata %d\n%b\n"
            % (ref.encode(), mark, int(time.time()), len(text), text)
        ]
        for number, parent in enumerate(parents):
            # git can't look up by id what this very stream has brought.
            name = b":%d" % self._made[parent] if parent in self._made else parent.encode()
            lines.append(b"%b %b\n" % (b"merge" if number else b"from", name))
        if alone and parents:
            lines.append(b"deleteall\n")
        lines += [b"D %b\n" % _quoted(path) for path in deleted]
        lines += [b"M %b %b %b\n" % (mode.encode(), oid.encode(), _quoted(path)) for path, mode, oid in files]
        lines.append(b"\nget-mark :%d\n" % mark)
        self._write(b"".join(lines))
        commit = self._answer()
        self._made[commit] = mark
        return commit

    def finish(self) -> None:
        """Write everything, move the refs, end. Raises GitError when a ref could not be moved."""
        self._write(b"done\n")
        process = self._running()
        _, _ = process.communicate()
        if process.returncode:
            raise self._failure()
        self._errors.close()

    def drop(self) -> None:
        """End the stream; nothing that was not finished becomes visible."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        pass
            self._process.wait()
        self._errors.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # Above the threshold git streams instead of loading a blob into memory.
            words = (
                *("-c", f"core.bigFileThreshold={1 << 20}"),
                # Few objects become loose ones, whatever the person prefers: many small packs slow git down.
                *("-c", "fastimport.unpackLimit=100"),
                *("-c", "core.filesRefLockTimeout=2000"),
            )
            self._process = self._git.stream(*words, "fast-import", "--quiet", "--date-format=raw", stderr=self._errors)
            assert self._process.stdin is not None
            # Without its `done` at the end, a stream that was cut off would count as whole.
            self._process.stdin.write(b"feature done\n")
        return self._process

    def _write(self, data: bytes) -> None:
        stdin = self._running().stdin
        assert stdin is not None
        try:
            stdin.write(data)
        except BrokenPipeError:
            raise self._failure() from None

    def _answer(self) -> str:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        answer = process.stdout.readline().decode("ascii").strip()
        if not answer:
            raise self._failure()
        return answer

    def _failure(self) -> GitError:
        process = self._running()
        try:
            process.communicate()
        except (BrokenPipeError, ValueError):
            process.wait()
        self._errors.seek(0)
        return failed(
            ("fast-import",), self._git.directory, process.returncode, self._errors.read().decode("utf-8", "replace")
        )


def clear_stale_lock(error: GitError, ours: Sequence[Path]) -> bool:
    """Whether the lock file that `error` speaks of is out of the way now: gone, or left by a killed git and removed.

    Only locks below the folders `ours` are touched.
    """
    found = _LOCKED.search(error.message)
    if found is None:
        return False
    lock = Path(os.path.realpath(found[1]))
    if not any(lock.is_relative_to(os.path.realpath(folder)) for folder in ours):
        return False
    try:
        while time.time() - os.lstat(lock).st_mtime < _STALE:
            time.sleep(0.05)
        os.unlink(lock)
    except FileNotFoundError:
        pass
    return True


def _quoted(path: str) -> bytes:
    raw = os.fsencode(path)
    if raw[:1] != b'"' and b"\n" not in raw:
        return raw
    escaped = raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"%b"' % escaped
