"""The agent `opencode`, one prompt a process."""

from __future__ import annotations

from typing import Any

from runner import hookimpl
from runner.model import Agent
from runner_plugins.parents import PARENTS
from runner_plugins.refusals import NO_MODEL

_PLAIN = ("run", "--format", "json", "--dir", "{cwd}", "{model}", "{permissions}")


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how `opencode` is called: the prompt on stdin, the session's id found on its first line."""
    return {
        "opencode": Agent(
            name="opencode",
            program="opencode",
            argv=_PLAIN,
            resume=(*_PLAIN, "-s", "{session}"),
            format="opencode",
            model_flag=("-m", "{model}"),
            permissions={"read-only": ("--agent", "plan"), "edit": ("--auto",), "full": ("--auto",)},
            env={"OPENCODE_DISABLE_AUTOUPDATE": "1"},
            strip=PARENTS,
            account="opencode",
            # From another directory it prints nothing and never ends.
            resume_in="same",
            errors={
                r"\b429\b|rate.?limit|quota|overloaded": "rate_limited",
                r"\b401\b|\b403\b|invalid api key|unauthori[sz]ed|authentication": "auth",
                NO_MODEL: "needs_human",
            },
            install="npm install -g opencode-ai",
            login="opencode auth login",
            reader=_reader,
        )
    }


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.opencode import OpencodeReader

    return OpencodeReader()
