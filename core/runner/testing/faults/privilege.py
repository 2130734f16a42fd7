"""Programs that file modes apply to, even when the tests run as root."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DROP = """
import ctypes, os, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
        sys.exit("cannot drop capabilities: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def without_override(argv: Sequence[str]) -> list[str]:
    """The command so that it respects the modes of files: as it is for people, without the override for root."""
    if os.geteuid() != 0:
        return list(argv)
    return [sys.executable, "-c", _DROP, *argv]
