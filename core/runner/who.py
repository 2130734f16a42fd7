"""Who acts: written beside every submit, cancel and decision."""

from __future__ import annotations

import os
import pwd


def submitter() -> str:
    """`task:ID` in a child of that task, else the person's name on this machine."""
    task = os.environ.get("RUNNER_TASK_ID")
    if task:
        return f"task:{task}"
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
