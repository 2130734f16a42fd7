"""Everything that descends from the keeper: signalled by groups, reaped, and proven to be gone."""

from __future__ import annotations

import os
import signal

from runner.keeper.processes import LINUX, descendants, table

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none can hide (Linux only)."""
    if LINUX:
        import ctypes

        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "can't become a sub-reaper")


class Tree:
    """The children of this process and all that descends from them.

    `status` is the exit code of the main child once it is gone, negative for a signal. `ended` holds
    the pids of the others that had to be signalled.

    Groups are signalled, not processes: that is one atomic step for all members, those just being
    forked included, and every group here is ours, since each child starts a session of its own.
    """

    def __init__(self, main: int) -> None:
        self.main = main
        self.status: int | None = None
        self.ended: set[int] = set()
        self._groups = {main}

    def reap(self) -> bool:
        """Collect the dead; True when there is no child left, which on Linux proves the tree empty."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return LINUX or not any(map(_exists, self._groups))
            if pid == 0:
                return False
            if pid == self.main:
                self.status = os.waitstatus_to_exitcode(status)

    def signal(self, number: int) -> None:
        """Send a signal to all that is there now; a stopped process is continued so that it can act on it."""
        me = os.getpid()
        groups = set()
        for process in descendants(me, table()):
            groups.add(process.group)
            if process.pid != self.main:
                self.ended.add(process.pid)
        if not LINUX:
            self._groups |= groups
            groups |= self._groups  # an orphan is init's child here, but it is still in its group
        groups.discard(os.getpgid(0))
        for group in groups:
            for each in (number, signal.SIGCONT):
                try:
                    os.killpg(group, each)
                except (ProcessLookupError, PermissionError):
                    pass  # gone already, or setuid: the latter is waited for


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
