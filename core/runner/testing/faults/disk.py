"""A disk that is full: a small tmpfs in a mount namespace of its own, or a limit on the size of files.

The namespace needs no root where the system allows user namespaces; elsewhere the limit (RLIMIT_FSIZE,
no file grows beyond it) makes the same writes fail, with EFBIG instead of ENOSPC.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import IO

_LIMIT = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execvp(sys.argv[2], sys.argv[2:])
"""

_HOLD = 'mount -t tmpfs -o "size=$1,mode=777" none "$2" && echo ready && exec cat'


class SmallDisk:
    """A folder on a disk of `size` bytes. Only programs run with `run` see what is in it.

    `fill()` takes all space that is left, `free()` gives it back.
    """

    def __init__(self, folder: Path, size: int = 4 << 20) -> None:
        self.folder = folder
        self.size = size
        self._full = False
        folder.mkdir(parents=True, exist_ok=True)
        self._holder = self._mounted()
        self.kind = "tmpfs" if self._holder else "rlimit"

    def run(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program that sees the disk → how it ended, with its output."""
        return subprocess.run(
            self._seen(argv, cwd),
            env=None if env is None else dict(env),
            cwd=None if self._holder else cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        output: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """A program that goes on while the disk fills up; without namespaces the limit binds only later ones."""
        return subprocess.Popen(
            self._seen(argv, cwd),
            env=None if env is None else dict(env),
            cwd=None if self._holder else cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def fill(self) -> None:
        """Nothing more can be written."""
        self._full = True
        if self._holder is not None:
            command = f"dd if=/dev/zero of={self.folder}/ballast bs=4k 2>/dev/null; true"
            self.run(["/bin/sh", "-c", command])

    def free(self) -> None:
        """There is room again."""
        self._full = False
        if self._holder is not None:
            self.run(["rm", "-f", f"{self.folder}/ballast"])

    def close(self) -> None:
        """Let go of the disk; what was on it is gone with its namespace."""
        if self._holder is not None:
            self._holder.send_signal(signal.SIGKILL)
            self._holder.wait()
            for pipe in (self._holder.stdin, self._holder.stdout):
                if pipe is not None:
                    pipe.close()

    def _seen(self, argv: Sequence[str], cwd: Path | None) -> list[str]:
        """The command as it has to be called to see the disk."""
        prefix: list[str] = []
        if self._holder is not None:
            prefix = [*_enter(self._holder.pid), "--"]
            if cwd is not None:  # entered after the namespace: the folder may be on the disk
                prefix += [
                    sys.executable,
                    "-c",
                    "import os,sys;os.chdir(sys.argv[1]);os.execvp(sys.argv[2],sys.argv[2:])",
                ]
                prefix.append(str(cwd))
        elif self._full:
            prefix = [sys.executable, "-c", _LIMIT, str(self._largest())]
        return [*prefix, *argv]

    def _largest(self) -> int:
        """The largest file of the folder: none may grow beyond it."""
        sizes = [path.stat().st_size for path in self.folder.rglob("*") if path.is_file()]
        return max(sizes, default=0)

    def _mounted(self) -> subprocess.Popen[bytes] | None:
        if not (shutil.which("unshare") and shutil.which("nsenter")):
            return None
        ways = [["unshare", "--mount"]] if os.geteuid() == 0 else []
        ways.append(["unshare", "--user", "--map-root-user", "--mount"])
        for way in ways:
            holder = subprocess.Popen(
                [*way, "/bin/sh", "-c", _HOLD, "sh", str(self.size), str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert holder.stdout is not None
            if holder.stdout.readline().strip() == b"ready":
                return holder
            holder.communicate()
        return None

    def __enter__(self) -> SmallDisk:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.close()


def _enter(pid: int) -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", "--target", str(pid), *user, "--mount"]
