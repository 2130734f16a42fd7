"""What an agent's final message says of whether it is done: a line `OWNER_DECISION: …` or `STEP_COMPLETE:…`."""

from __future__ import annotations

import re
from typing import Final

DECISIONS: Final = ("COMPLETE", "INCOMPLETE_RETRY", "INCOMPLETE_FAIL", "NEEDS_CLARIFICATION")
"""The words after `OWNER_DECISION:`."""
_LINE: Final = re.compile(
    rf"^[\s>*_`#-]*OWNER_DECISION:[\s*_`]*(?P<word>{'|'.join(DECISIONS)})(?=[\s*_`.,;:]|$)(?P<rest>.*)$", re.MULTILINE
)
_REASON: Final = re.compile(r"^[\s>*_`#-]*REASON:[\s*_`]*(?P<text>.+)$", re.MULTILINE)
_MARKER: Final = re.compile(r"^[\s>*_`#-]*STEP_COMPLETE:[ \t]*(?P<step>[^\s*`]+)", re.MULTILINE)


def decided(message: str) -> tuple[str, str]:
    """The last decision in a final message, and the reason that is given for it; empty texts where there is none."""
    found = list(_LINE.finditer(message))
    if not found:
        return "", ""
    last = found[-1]
    reason = last["rest"].strip(" \t*_`.,;:-–—()")
    if not reason and (after := _REASON.search(message, last.end())) is not None:
        reason = after["text"].strip(" \t*_`")
    return last["word"], reason


def marked(message: str) -> str:
    """The step that the message says is complete; an empty text when it names none."""
    found = _MARKER.findall(message)
    return str(found[-1]) if found else ""
