"""What a provider's refusal means, wherever a CLI shows it: by HTTP status or in the provider's own words."""

from __future__ import annotations

import re
import time
from typing import Final

_STATUS: Final = {401: "auth", 402: "auth", 403: "auth", 429: "rate_limited", 529: "rate_limited"}
_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_WAIT: Final = re.compile(
    r"(?:try again|retry)[\s_-]*(?:in|after)[\s:=]*((?:\d[\d.]{0,12}\s{0,2}[a-z]{0,7}\s{0,2}){1,5})", re.IGNORECASE
)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[dhms])?", re.IGNORECASE)
_LONGEST: Final = 31 * 86400.0
_NAMED: Final = re.compile(r"(?:status|code|error|http(?:/\d\.\d)?)\\*[\"']?[\s:=]{0,4}\(?([45]\d\d)\b", re.IGNORECASE)


def by_status(status: int | None) -> str | None:
    """The outcome that an HTTP status of the provider means; None for one that says nothing more than failed."""
    return _STATUS.get(status or 0)


def retry_moment(words: str) -> float | None:
    """When it may be tried again, as a Unix time: from "try again in 7m12.5s", "retry after 30 seconds"."""
    found = _WAIT.search(words[:4000])
    if found is None:
        return None
    seconds = 0.0
    for amount, unit in _PART.findall(found.group(1)):
        seconds += float(amount) * _UNITS[unit.lower() or "s"]
    return time.time() + seconds if 0 < seconds <= _LONGEST else None


def status_in(words: str) -> int | None:
    """The HTTP status that an error's words name: "unexpected status 401", `"code":429`, "API Error: 503 …"."""
    found = _NAMED.search(words[:4000])
    return int(found.group(1)) if found is not None else None
