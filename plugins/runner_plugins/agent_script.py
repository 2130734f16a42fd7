"""The agent `script`: a program that does what its prompt tells it, for the demo and for tests of workflows."""

from __future__ import annotations

import os
import sys
from typing import Any

import runner
from runner import hookimpl
from runner.model import Agent

# By its file and without site packages: the same program wherever the runner is installed, started in a few
# milliseconds, PATH or not.
_PROGRAM = os.path.join(os.path.dirname(os.path.abspath(runner.__file__)), "testing", "script_agent.py")
_PLAIN = ("-I", "-S", _PROGRAM, "{model}", "{permissions}")


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how the scripted agent is called; it costs nothing and needs no account."""
    return {
        "script": Agent(
            name="script",
            program=sys.executable,
            argv=(*_PLAIN, "--session", "{session}"),
            resume=(*_PLAIN, "--resume", "{session}"),
            format="script",
            model_flag=("--model", "{model}"),
            permissions={"read-only": ("--read-only",), "edit": (), "full": ()},
            linger=5.0,
            reader=_reader,
        )
    }


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.script import ScriptReader

    return ScriptReader()
