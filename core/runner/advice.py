"""What a submitter should know before a task runs: what will be missing where it works, and who could run it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.offers import installed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.model import Agent, Fleet, NewTask


def without_commit(folder: Path) -> str | None:
    """A note on work in a repository that has no commit yet: there is no base for a worktree."""
    place = os.path.realpath(folder)
    above = [place]
    while above[-1] != os.path.dirname(above[-1]):
        above.append(os.path.dirname(above[-1]))
    if not any(os.path.lexists(os.path.join(one, ".git")) for one in above):
        return None
    from runner.workspace.git import Git  # here: it starts git

    code, inside, _ = Git(folder).attempt("rev-parse", "--is-inside-work-tree")
    if code or inside.strip() != b"true":
        return None
    return (
        f"{place} is in a git repository without a commit: the task will work in the folder itself, with no branch "
        "and no snapshots; commit something first to have them"
    )


def without_agent(task: NewTask, agents: Mapping[str, Agent], fleet: Fleet) -> str | None:
    """A note on a task whose agent nobody has: no live worker, no machine that is written down, nor this one."""
    agent = agents.get(task.agent or "")
    here = os.environ.get("RUNNER_DEVICE_ID") or os.uname().nodename
    if agent is None or task.machine not in (None, here) or installed(agent):
        return None
    need = f"agent:{agent.name}"
    if any(need in worker.capabilities for worker in fleet.workers):
        return None
    if any(need in machine.capabilities or agent.name in machine.agents for machine in fleet.machines):
        return None
    return f"nobody offers agent '{agent.name}' yet: its program `{agent.program}` is not installed here"
