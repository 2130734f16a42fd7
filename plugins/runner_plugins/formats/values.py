"""Values out of JSON that may hold anything: the type that is wanted, or nothing."""

from __future__ import annotations

import math
from typing import Any


def text(value: Any) -> str:
    """The string, else an empty one."""
    return value if isinstance(value, str) else ""


def mapping(value: Any) -> dict[str, Any]:
    """The object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The list, else an empty one."""
    return value if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """A number that is finite and not negative, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and found >= 0 else None


def count(value: Any) -> int | None:
    """A whole number that is not negative and not absurd, else None."""
    found = number(value)
    return None if found is None or found > 1e15 else int(found)


def moment(value: Any) -> float | None:
    """A Unix time in seconds (given in seconds or milliseconds) of this century, else None."""
    found = number(value)
    if found is not None and found > 1e11:
        found /= 1000
    return found if found is not None and 9e8 < found < 4.2e9 else None
