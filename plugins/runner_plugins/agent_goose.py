"""The agent `goose`: one run a process, in a session with a name of ours."""

from __future__ import annotations

from typing import Any

from runner import hookimpl
from runner.model import Agent
from runner_plugins.parents import PARENTS
from runner_plugins.refusals import NO_MODEL

_PLAIN = ("run", "-q", "-i", "-", "--output-format", "stream-json", "-n", "{session}", "{model}", "{permissions}")
_TOOLS = ("--with-builtin", "developer")


def goose() -> Agent:
    """How `goose` is called: the prompt on stdin, the session's name chosen by us.

    Without a terminal it can't ask, so its mode is always `auto` and a level is the tools that it has:
    read-only is its analyser of code and nothing else, neither a shell nor what the person has configured.
    Edit and full are the same to it.
    """
    return Agent(
        name="goose",
        program="goose",
        argv=_PLAIN,
        resume=(*_PLAIN, "--resume"),
        format="goose",
        model_flag=("--model", "{model}"),
        permissions={"read-only": ("--no-profile", "--with-builtin", "analyze"), "edit": _TOOLS, "full": _TOOLS},
        # Without a backtrace the last line of an error is the error.
        env={"GOOSE_MODE": "auto", "GOOSE_TELEMETRY_OFF": "1", "RUST_LIB_BACKTRACE": "0"},
        strip=PARENTS,
        account="goose",
        cumulative=("tokens",),
        resume_in="same",  # it says that it stays in the new directory; its tools work in the old one
        errors={
            r"no provider configured|api key not found|\b401\b|\b403\b|authentication": "auth",
            r"rate limit|\b429\b": "rate_limited",
            NO_MODEL: "needs_human",
        },
        install="https://goose-docs.ai: one program; or npm install -g @aaif/goose",
        login="goose configure   # or set GOOSE_PROVIDER, GOOSE_MODEL and the provider's key",
        reader=_reader,
    )


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how `goose` is called."""
    return {"goose": goose()}


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.goose import GooseReader

    return GooseReader()
