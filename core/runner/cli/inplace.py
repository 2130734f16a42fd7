"""Works on one task in this process, with what the person wants to see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.inplace import worker_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.cli.liveview import LiveView
    from runner.model import Claim


def work_on(
    inv: Invocation,
    app: App,
    task_id: str,
    *,
    view: LiveView | None = None,
    stepped: Callable[[Claim, Mapping[str, Any]], None] | None = None,
    talk: Callable[[str], None] | None = None,
) -> int:
    """Claim this one task and run it → the worker's exit code."""
    work = worker_for(
        app,
        task_id,
        began=view.began if view is not None else None,
        stepped=stepped,
        talk=talk or (inv.talk if inv.verbose else None),
    )
    if view is not None:
        view.follow(work.progress)
    return work.run()
