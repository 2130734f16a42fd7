"""The check `exit_code`: the step's program ended with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner import hookimpl
from runner.model import CheckSpec, Verdict

if TYPE_CHECKING:
    from runner.model import Check, StepResult


@hookimpl
def register_checks() -> dict[str, CheckSpec]:
    """`exit_code`, `exit_code: 3`, `exit_code: [0, 2]`."""
    return {"exit_code": CheckSpec("the exit code is 0, or the one or those given", parse, needs_value=False)}


def parse(value: Any) -> int | list[int]:
    """A whole number, or a list of them: `0`, `0, 2`, `[0, 2]`."""
    if isinstance(value, str):
        words = value.strip().strip("[]").replace(",", " ").split()
        try:
            value = [int(word) for word in words]
        except ValueError:
            raise ValueError(f"'{value}' is not an exit code; write a number such as 0") from None
    codes = value if isinstance(value, list) else [value]
    if not codes or not all(isinstance(code, int) and not isinstance(code, bool) for code in codes):
        raise ValueError(f"{value!r} is not an exit code; write a number such as 0")
    if not all(-255 <= code <= 255 for code in codes):
        raise ValueError("an exit code is between 0 and 255, a signal between -1 and -255")
    return codes[0] if len(codes) == 1 else codes


@hookimpl
def verify(check: Check, result: StepResult) -> Verdict:
    """Compare; a step without an exit code (no process ended by itself) is red."""
    wanted = parse(0 if check.value is None else check.value)
    codes = wanted if isinstance(wanted, list) else [wanted]
    words = " or ".join(str(code) for code in codes)
    evidence = {"exit_code": result.exit_code, "wanted": codes}
    if result.exit_code is None:
        return Verdict(False, f"there is no exit code to compare with {words}", evidence)
    if result.exit_code in codes:
        return Verdict(True, f"the exit code is {result.exit_code}", evidence)
    said = result.evidence.get("stderr")
    why = f": {said}" if isinstance(said, str) and said else ""
    return Verdict(False, f"the exit code is {result.exit_code}, not {words}{why}", evidence)
