"""Times that people write and read."""

from __future__ import annotations

import time

import pytest

from runner import times
from runner.errors import UsageError

NOON = time.mktime((2031, 5, 1, 12, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5", 1.5), ("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172800)]
)
def test_a_duration_is_seconds_or_parts_with_units(text: str, seconds: float) -> None:
    assert times.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "5 parsecs", "nan", "inf", "h", "1h30"])
def test_a_wrong_duration_is_an_error_that_shows_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as error:
        times.duration(text)
    assert "30m" in error.value.hint


@pytest.mark.parametrize("text", ["+30m", "30m"])
def test_a_span_is_counted_from_now(text: str) -> None:
    assert times.moment(text, NOON) == NOON + 1800


def test_a_clock_time_that_is_over_today_is_tomorrows() -> None:
    assert times.moment("17:30", NOON) == NOON + 5.5 * 3600
    assert times.moment("09:00", NOON) == NOON + 21 * 3600
    assert times.moment("tomorrow", NOON) == NOON + 12 * 3600
    assert times.moment("now", NOON) == NOON


def test_an_iso_time_keeps_its_zone() -> None:
    assert times.moment("2031-05-01T09:00:00+02:00") == times.moment("2031-05-01T07:00:00Z")
    assert times.iso(times.moment("2031-05-01T09:00:00+02:00")) == "2031-05-01T07:00:00.000Z"


@pytest.mark.parametrize("text", ["25:00", "12:61", "next year", "2031-13-01", "99999-01-01"])
def test_a_wrong_time_is_an_error_that_shows_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as error:
        times.moment(text)
    assert "ISO 8601" in error.value.hint


def test_iso_times_are_rounded_to_thousandths_and_carry() -> None:
    assert times.iso(1.9999) == "1970-01-01T00:00:02.000Z"
    assert times.iso(None) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (9.94, "9.9s"), (12.4, "12s"), (59.6, "1m"), (200, "3m20s"), (18000, "5h"), (190800, "2d5h")],
)
def test_a_span_for_people_has_at_most_two_units(seconds: float, text: str) -> None:
    assert times.span(seconds) == text


def test_a_clock_shows_the_day_only_when_it_is_another() -> None:
    assert times.clock(NOON + 60, NOON) == "12:01:00"
    assert times.clock(NOON + 86400, NOON) == "2031-05-02 12:00"
