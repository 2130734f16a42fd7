"""Which workers are there: one was heard of lately, and nothing on this host proves it dead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runner.host import alive, host_id

if TYPE_CHECKING:
    from runner.model import Worker

LIVE_SECONDS: Final = 90.0
"""A worker renews every 20 s by default; one that missed several renewals is taken for gone."""


def is_live(worker: Worker) -> bool:
    """Whether `worker` can be counted on. One of this boot and pid namespace is asked for by pid and start time."""
    if worker.heartbeat > LIVE_SECONDS:
        return False
    return worker.host != host_id() or alive(worker.pid, worker.started)
