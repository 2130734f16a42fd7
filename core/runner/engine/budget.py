"""What attempts have cost together, and whether a budget allows more."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from runner.model import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Spending:
    """Sums over attempts; what nobody told counts as nothing. `budget` may have `usd`, `tokens` and `turns`."""

    def __init__(self, budget: Mapping[str, Any] | None, usages: Iterable[Usage | None] = ()) -> None:
        self.usd = 0.0
        self.tokens = 0
        self.turns = 0
        self._budget = {name: most for name, most in (budget or {}).items() if most is not None}
        for usage in usages:
            self.add(usage)

    def add(self, usage: Usage | None) -> None:
        """An attempt has ended."""
        if usage is not None:
            self.usd += usage.cost_usd or 0.0
            self.tokens += (usage.input_tokens or 0) + (usage.output_tokens or 0)
            self.turns += usage.turns or 0

    def left(self) -> dict[str, Any]:
        """What may still be spent, of those parts of the budget that there are; never less than nothing."""
        spent = {"usd": self.usd, "tokens": self.tokens, "turns": self.turns}
        return {name: max(0, most - spent[name]) for name, most in self._budget.items()}

    def over(self) -> str:
        """The first part of the budget that is used up, in words; else an empty text."""
        most = self._budget
        if "usd" in most and self.usd >= most["usd"]:
            return f"${self.usd:.2f} of ${most['usd']:.2f}"
        if "tokens" in most and self.tokens >= most["tokens"]:
            return f"{self.tokens} of {most['tokens']} tokens"
        if "turns" in most and self.turns >= most["turns"]:
            return f"{self.turns} of {most['turns']} turns"
        return ""


def usage_of(result: Mapping[str, Any] | None) -> Usage | None:
    """What an attempt cost, by what the journal keeps of it."""
    given = (result or {}).get("usage")
    return Usage(**given) if given else None


def total(usages: Iterable[Usage | None]) -> Usage | None:
    """What several attempts cost together; of what none of them told nothing is known."""
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    told = {field.name: [getattr(usage, field.name) for usage in known] for field in fields(Usage)}
    numbers = {name: [one for one in values if one is not None] for name, values in told.items()}
    return Usage(**{name: sum(values) if values else None for name, values in numbers.items()})
