"""The agent `gemini`: Google's Gemini CLI, one prompt a process."""

from __future__ import annotations

from typing import Any

from runner import hookimpl
from runner.model import Agent
from runner_plugins.parents import PARENTS
from runner_plugins.refusals import NO_MODEL

_PLAIN = ("-o", "stream-json", "--skip-trust", "{model}", "{permissions}")


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how `gemini` is called: the prompt on stdin, the session's id chosen by us."""
    return {
        "gemini": Agent(
            name="gemini",
            program="gemini",
            argv=(*_PLAIN, "--session-id", "{session}"),
            resume=(*_PLAIN, "--resume", "{session}"),
            format="gemini",
            model_flag=("-m", "{model}"),
            permissions={
                "read-only": ("--approval-mode", "plan"),
                "edit": ("--approval-mode", "yolo"),
                "full": ("--approval-mode", "yolo"),
            },
            strip=PARENTS,
            account="gemini",
            resume_in="same",
            # Of a failed call it is the HTTP status, of which a process can tell no more than its last eight bits.
            exit_codes={41: "auth", 145: "auth", 147: "auth", 173: "rate_limited", 53: "budget"},
            errors={
                r"\b429\b|rate.?limit|quota|resource.?exhausted|overloaded": "rate_limited",
                r"\b401\b|\b403\b|unauthenticated|api key not valid|invalid auth|auth method": "auth",
                NO_MODEL: "needs_human",
            },
            install="npm install -g @google/gemini-cli",
            login="gemini   # choose a login, then leave with /quit",
            reader=_reader,
        )
    }


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.gemini import GeminiReader

    return GeminiReader()
