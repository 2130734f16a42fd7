"""Times for people: what `--not-before` takes, ISO 8601 for JSON, ages and durations for tables."""

from __future__ import annotations

import re
import time

from runner.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")


def duration(text: str, what: str = "a duration") -> float:
    """Seconds that `90`, `30m`, `1h30m`, `2d` name."""
    word = text.strip().lower()
    if _DURATION.fullmatch(word):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(word))
    try:
        seconds = float(word)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e10:
        raise UsageError(f"'{text}' is not {what}", "write seconds, or 90s, 30m, 1h30m, 2d")
    return seconds


def moment(text: str, now: float | None = None) -> float:
    """The Unix time that `text` names: ISO 8601, `+30m`, `2h`, `17:30`, `tomorrow`.

    A time without a zone is local; a clock time that is over today is tomorrow's.
    """
    from datetime import datetime, timedelta  # here: `runner queue` reads no times

    now = time.time() if now is None else now
    word = text.strip()
    lower = word.lower()
    if lower == "now":
        return now
    if _DURATION.fullmatch(lower.removeprefix("+")):
        return now + duration(lower.removeprefix("+"))
    midnight = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    if lower == "tomorrow":
        return (midnight + timedelta(days=1)).timestamp()
    clock_time = _CLOCK.fullmatch(word)
    if clock_time and int(clock_time[1]) < 24 and int(clock_time[2]) < 60:
        today = midnight.replace(hour=int(clock_time[1]), minute=int(clock_time[2]))
        return (today if today.timestamp() > now else today + timedelta(days=1)).timestamp()
    try:
        return datetime.fromisoformat(word).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"'{text}' is not a time", "write +30m, 2h, 17:30, tomorrow or ISO 8601 such as 2031-05-01T09:00+02:00"
        ) from None


def iso(at: float | None) -> str | None:
    """`2031-05-01T07:00:00.250Z`, the form of every time in JSON."""
    if at is None:
        return None
    whole, thousandths = divmod(round(at * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{thousandths:03d}Z"


def clock(at: float, now: float | None = None) -> str:
    """A local time for people: the hour when it is today, else the day as well."""
    when, today = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M:%S" if when[:3] == today[:3] else "%Y-%m-%d %H:%M", when)


def span(seconds: float) -> str:
    """`0.4s`, `12s`, `3m20s`, `5h`, `2d4h`: at most two units."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for size, name, smaller, small_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{name}{rest}{small_name}" if rest else f"{whole // size}{name}"
    return f"{whole}s"


def ago(at: float | None, now: float | None = None) -> str:
    """The age of a time in tables: `12s`, `3m20s`; empty for None."""
    if at is None:
        return ""
    seconds = (time.time() if now is None else now) - at
    return span(max(seconds, 0.0) if seconds < 10 else round(seconds))
