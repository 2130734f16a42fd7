"""The default answer to `claim`: settle what is finished and take what is next, in one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner import hookimpl

if TYPE_CHECKING:
    from runner.model import Claim, ClaimRequest, Worker


@hookimpl(trylast=True)
def claim(queue: Any, worker: Worker, request: ClaimRequest) -> list[Claim]:
    """The lowest ranks among the eligible lanes, up to the request's limit."""
    taken: list[Claim] = queue.take(worker, request)
    return taken
