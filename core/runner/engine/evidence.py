"""Whether work was done at all, by evidence; and what a person needs when it could not be finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.model import Expects, Permission, Policy, Step, StepResult, TypeSpec, Verdict

_LINES: Final = 20
"""Last lines of a log that the report repeats; the whole is where it says."""


def met(expects: Expects, *, changed: bool, artifacts: int, output: str, submitted: bool) -> bool:
    """Whether what the step was to bring is there.

    `changes`: HEAD, index or tree differ from the attempt's start (`changed`), or a declared artifact
    exists. `answer`: a final message that is not blank, or a submitted result. `none`: always. An exit
    code and a word in the output never count as changes.
    """
    if expects == "changes":
        return changed or artifacts > 0
    if expects == "answer":
        return submitted or bool(output.strip())
    return True


def unmet(result: StepResult) -> str:
    """The outcome when `met` says no: an agent that was denied what it needed waits for a person."""
    return "awaiting_permission" if result.evidence.get("denied") else "no_op"


def default_expects(spec: TypeSpec, policy: Policy, *, permission: Permission | None, in_repository: bool) -> Expects:
    """What a step is to bring: the policy's word, else the type's.

    A type that expects changes expects an answer where none could be seen or made: outside a
    repository, and from an agent that may only read. `permission` is None for what is no agent.
    """
    if policy.expects is not None:
        return policy.expects
    if spec.expects == "changes" and (not in_repository or permission == "read-only"):
        return "answer"
    return spec.expects


def blocked_report(step: Step, result: StepResult, verdicts: Sequence[Verdict]) -> str:
    """The text of `BLOCKED-<step>.md`: what is red and what shows it, what was tried, what a person can do."""
    red = [verdict for verdict in verdicts if not verdict.ok]
    green = [verdict for verdict in verdicts if verdict.ok]
    sealed = any(verdict.evidence.get("sealed") for verdict in red)
    lines = [f"# Step `{step.id}` is blocked", ""]
    if sealed:
        lines += ["The gate was edited while the step ran, so its checks prove nothing and no repair was tried.", ""]
    else:
        most = step.policy.repairs
        tried = f"and the repairs it may take ({most}) are used up" if most else "and nothing may repair it"
        lines += [f"{len(red)} of {len(verdicts)} checks are red, {tried}.", ""]
    lines += ["## Red", ""]
    for verdict in red:
        lines += _verdict(verdict)
    if green:
        lines += ["## Green", "", *(f"- {_line(verdict.summary)}" for verdict in green), ""]
    lines += ["## What the step was to do", "", *_payload(step.payload), ""]
    if result.output.strip():
        lines += ["## What it said at the end", "", *_quoted(result.output), ""]
    lines += ["## What you can do", "", *_choices(step.key.partition("/")[0] or "ID", sealed)]
    return "\n".join(lines) + "\n"


def _choices(task: str, sealed: bool) -> list[str]:
    out = [
        f"- `runner resolve {task} pending`: try again, after a change by hand",
        f"- `runner resolve {task} done`: accept the work as it is; that is kept as a person's verdict",
        f"- `runner resolve {task} failed`: give up",
    ]
    if sealed:
        out.append("- if editing these files is the job, submit it with `--may-edit GLOB`")
    return out


def _verdict(verdict: Verdict) -> list[str]:
    lines = [f"- {_line(verdict.summary)}"]
    for name, value in verdict.evidence.items():
        if name == "tail" and isinstance(value, str) and value.strip():
            lines += ["", *(f"      {line}" for line in value.splitlines()[-_LINES:]), ""]
        elif name not in ("check", "value", "sealed", "tail") and value not in (None, "", []):
            lines.append(f"  - {name}: {_line(_short(value))}")
    return [*lines, ""]


def _payload(payload: Mapping[str, Any]) -> list[str]:
    text = payload.get("prompt") or payload.get("script")
    if isinstance(text, str):
        return _quoted(text)
    return [f"- {name}: {_line(_short(value))}" for name, value in payload.items() if not name.startswith("_")]


def _quoted(text: str) -> list[str]:
    lines = text.strip().splitlines()
    cut = [f"> … {len(lines) - _LINES} lines before"] if len(lines) > _LINES else []
    return [*cut, *(f"> {line[:500]}" for line in lines[-_LINES:])]


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        more = f" and {len(value) - 10} more" if len(value) > 10 else ""
        return ", ".join(str(item) for item in value[:10]) + more
    return str(value)


def _line(text: str) -> str:
    return " ".join(text.split())[:1000]
