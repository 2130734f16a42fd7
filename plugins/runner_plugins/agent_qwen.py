"""The agent `qwen`: Qwen Code, one prompt a process."""

from __future__ import annotations

from typing import Any

from runner import hookimpl
from runner.model import Agent
from runner_plugins.parents import PARENTS
from runner_plugins.refusals import NO_MODEL

_PLAIN = ("-o", "stream-json", "{model}", "{permissions}")


@hookimpl
def register_agents() -> dict[str, Agent]:
    """Describe how `qwen` is called: the prompt on stdin, the session's id chosen by us."""
    return {
        "qwen": Agent(
            name="qwen",
            program="qwen",
            argv=(*_PLAIN, "--session-id", "{session}"),
            resume=(*_PLAIN, "--resume", "{session}"),
            format="qwen",
            model_flag=("-m", "{model}"),
            permissions={
                "read-only": ("--approval-mode", "plan"),
                "edit": ("--approval-mode", "yolo"),
                "full": ("--approval-mode", "yolo"),
            },
            env={"QWEN_CODE_SUPPRESS_YOLO_WARNING": "1"},
            strip=PARENTS,
            account="qwen",
            cumulative=("tokens",),
            resume_in="same",
            exit_codes={41: "auth", 53: "budget"},
            errors={
                r"\b429\b|rate.?limit|quota|overloaded": "rate_limited",
                r"\b401\b|\b403\b|invalid api key|unauthori[sz]ed|no auth type|auth method": "auth",
                NO_MODEL: "needs_human",
            },
            install="npm install -g @qwen-code/qwen-code",
            login="qwen   # choose a login, then leave with /quit; or set OPENAI_API_KEY, OPENAI_BASE_URL",
            reader=_reader,
        )
    }


def _reader() -> Any:
    # Here: naming the agents must not cost the reader's imports.
    from runner_plugins.formats.qwen import QwenReader

    return QwenReader()
