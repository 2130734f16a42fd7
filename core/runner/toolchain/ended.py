"""How a program's end becomes a step's result, in the words that people see."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from runner.logtext import OUTPUT_LIMIT, last_line, whole
from runner.model import StepResult

if TYPE_CHECKING:
    from runner.model import ProcessResult


def ended(done: ProcessResult, what: str, limit: float | None = None, **evidence: Any) -> StepResult:
    """The result of a step that ran one program, called `what` in sentences ("the script").

    Outcome: `timeout` and `stalled` by the limit reached, `crashed` by a signal, else `ok`: the exit code is
    for the check `exit_code`. The output is stdout up to 1 MiB; of more it names the log. `evidence` is added
    to; a failing program's last line of stderr is in `stderr` unless something better was given there.
    """
    found = dict(evidence)
    output = whole(done.stdout)
    if output is None:
        found |= {"output_path": str(done.stdout), "output_bytes": done.stdout_bytes}
        output = f"(the output has {done.stdout_bytes} bytes, more than {OUTPUT_LIMIT}: {done.stdout})"
    if done.survivors:
        found["ended_processes"] = done.survivors
    outcome = "ok"
    if done.limit in ("timeout", "stalled"):
        outcome = done.limit
        took = f"took longer than {limit:g} s" if limit else "took too long"
        found["error"] = f"{what} {took if done.limit == 'timeout' else 'was silent too long'} and was ended"
    elif done.exit_code < 0:
        outcome = "crashed"
        found["error"] = f"{what} was ended by {_signal(-done.exit_code)}"
    elif done.exit_code > 0:
        found.setdefault("stderr", last_line(done.stderr))
    return StepResult(outcome, output, done.exit_code, found)


def needs(sentence: str, advice: str, **evidence: Any) -> StepResult:
    """The result of a step that can't run here as things are: a person is told what is missing and what to do."""
    return StepResult("needs_human", evidence={"question": f"{sentence}; {advice}, then retry", **evidence})


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
