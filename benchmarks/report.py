"""What a benchmark found: tables for people, goals with their verdict, everything as JSON."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' own ratios: both of a round ran under the same conditions."""
    return median(a / b for a, b in zip(ours, theirs, strict=True) if b)


def number(value: Any) -> str:
    """A figure the way people read it: 12,345 / 321 / 4.56 / 0.12."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


@dataclass(frozen=True)
class Goal:
    """A figure that has a bound: at most `bound`, or at least it."""

    what: str
    value: float
    bound: float
    at_least: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        verdict = "ok  " if self.reached else "MISS"
        return f"{verdict} {self.what}: {number(self.value)}{self.unit} (goal {sign} {number(self.bound)}{self.unit})"


@dataclass
class Table:
    """Rows under columns."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[Any]] = field(default_factory=list)

    def __str__(self) -> str:
        cells = [list(map(str, self.columns)), *([number(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[n]) for row in cells) for n in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        return "\n".join([self.title, *("  " + line.rstrip() for line in lines)])


@dataclass
class Section:
    """All of one benchmark."""

    name: str
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: Any = None

    def __str__(self) -> str:
        parts = [f"== {self.name}", *map(str, self.tables), *(f"note: {note}" for note in self.notes)]
        parts += [str(goal) for goal in self.goals]
        return "\n".join(parts) + "\n"

    def to_json(self) -> dict[str, Any]:
        goals = [{**asdict(goal), "reached": goal.reached} for goal in self.goals]
        return {**asdict(self), "goals": goals}
