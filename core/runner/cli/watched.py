"""Whether `runner work` is watched live: on a terminal that can do it, unless the person says otherwise."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from runner.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from runner.cli.invocation import Invocation
    from runner.cli.liveview import LiveView


def watched(inv: Invocation, wanted: bool | None) -> AbstractContextManager[LiveView | None]:
    """A live view on stderr, or nothing. `wanted` None: where it can be, for text, and not with -q."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if wanted and not terminal:
        raise UsageError("--live needs a terminal: standard error is none", "leave it out")
    if wanted is None:
        wanted = can_watch(inv)
    if not wanted:
        return contextlib.nullcontext()
    from runner.cli.liveview import LiveView  # here: a worker without a terminal does not need it

    return LiveView(sys.stderr)


def can_watch(inv: Invocation) -> bool:
    """Whether what happens is drawn on stderr: a terminal that can do it, text is asked for, and not -q."""
    if sys.stderr is None or not sys.stderr.isatty() or inv.format != "text" or inv.quiet:
        return False
    return os.environ.get("TERM", "dumb") != "dumb" and _utf8()


def _utf8() -> bool:
    # Where a sign may be written as an escape, nobody knows how wide a line is.
    return (sys.stderr.encoding or "").lower().replace("-", "") == "utf8"
