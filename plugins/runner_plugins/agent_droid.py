"""The agent `droid`: Factory's `droid exec`, one prompt a process."""

from __future__ import annotations

from typing import Any

from runner import hookimpl
from runner.model import Agent
from runner_plugins.parents import PARENTS
from runner_plugins.refusals import NO_MODEL

_PLAIN = ("exec", "-o", "stream-json", "--cwd", "{cwd}", "{model}", "{permissions}")


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how `droid` is called: the prompt on stdin, the session's id found in its first event.

    A session goes on in a fork, which has an id of its own: `-s` refuses one that was begun by `exec`.
    """
    return {
        "droid": Agent(
            name="droid",
            program="droid",
            argv=_PLAIN,
            resume=(*_PLAIN, "--fork", "{session}"),
            format="droid",
            model_flag=("-m", "{model}"),
            permissions={
                # Its own read-only level runs whatever command the model calls harmless.
                "read-only": ("--only-tools", "Read,LS,Grep,Glob"),
                "edit": ("--auto", "medium"),
                "full": ("--auto", "high"),
            },
            strip=(*PARENTS, "FACTORY_EXEC_*", "FACTORY_DISABLE_SETTINGS_PERSISTENCE"),
            account="droid",
            errors={
                r"authentication failed|/login|FACTORY_API_KEY|\b401\b|\b403\b|\b402\b": "auth",
                r"rate.?limit|\b429\b|too many requests": "rate_limited",
                r"insufficient permission": "awaiting_permission",
                NO_MODEL: "needs_human",
            },
            install="npm install -g droid",
            login="droid   # then /login; or set FACTORY_API_KEY",
            reader=_reader,
        )
    }


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.droid import DroidReader

    return DroidReader()
