"""The agent `copilot`: GitHub Copilot CLI, one prompt a process."""

from __future__ import annotations

from typing import Any

from runner import hookimpl
from runner.model import Agent
from runner_plugins.parents import PARENTS
from runner_plugins.refusals import NO_MODEL

_PLAIN = ("--output-format", "json", "--no-auto-update", "--no-ask-user", "{model}", "{permissions}")


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how `copilot` is called: the prompt on stdin, the session's id chosen by us.

    With the variables `COPILOT_PROVIDER_BASE_URL`, `COPILOT_PROVIDER_API_KEY` and `COPILOT_MODEL` it uses
    another provider, and needs no account at GitHub.
    """
    return {
        "copilot": Agent(
            name="copilot",
            program="copilot",
            argv=(*_PLAIN, "--session-id", "{session}"),
            # A session goes on where it was begun, unless it is told where it is.
            resume=(*_PLAIN, "-C", "{cwd}", "--resume={session}"),
            format="copilot",
            model_flag=("--model", "{model}"),
            permissions={
                # Denials go before what is allowed. Servers of tools might write, too.
                "read-only": ("--allow-all-tools", "--deny-tool=write", "--deny-tool=shell", "--disable-builtin-mcps"),
                "edit": ("--allow-all-tools",),
                "full": ("--allow-all",),
            },
            strip=(*PARENTS, "COPILOT_LOADER_PID", "COPILOT_CLI_BINARY_VERSION", "COPILOT_CLI_RESOLVED_DIST_DIR"),
            account="copilot",
            errors={
                r"no authentication information|'/login'|not logged in|authentication failed|bad credentials": "auth",
                r"rate.?limit|\b429\b|too many requests": "rate_limited",
                r"quota|premium requests": "auth",
                NO_MODEL: "needs_human",
            },
            install="npm install -g @github/copilot",
            login="copilot login   # or set COPILOT_GITHUB_TOKEN",
            reader=_reader,
        )
    }


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.copilot import CopilotReader

    return CopilotReader()
