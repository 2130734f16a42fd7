"""What a run has spent, and whether its budget allows more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.model import Attempt, Usage


class Spending:
    """Sums over all attempts of a run; what nobody told counts as nothing."""

    def __init__(self, budget: Mapping[str, Any] | None, previous: Iterable[Attempt]) -> None:
        self.usd = 0.0
        self.tokens = 0
        self.turns = 0
        self._budget = budget
        for row in previous:
            self.add(row.result or {})

    def add(self, body: Mapping[str, Any]) -> None:
        """An attempt has ended: `body` is what the journal keeps of it."""
        usage = body.get("usage")
        if not usage:
            return
        self.usd += usage.get("cost_usd") or 0.0
        self.tokens += (usage.get("input_tokens") or 0) + (usage.get("output_tokens") or 0)
        self.turns += usage.get("turns") or 0

    def over(self) -> str:
        """What is spent, where that is all there was; else an empty text."""
        if self._budget is None:
            return ""
        return exceeded(self._budget, self.usd, self.tokens, self.turns)


def exceeded(budget: Mapping[str, Any], usd: float, tokens: int, turns: int) -> str:
    """The first part of a budget that is used up, in words; else an empty text."""
    if budget.get("usd") is not None and usd >= budget["usd"]:
        return f"${usd:.2f} of ${budget['usd']:.2f}"
    if budget.get("tokens") is not None and tokens >= budget["tokens"]:
        return f"{tokens} of {budget['tokens']} tokens"
    if budget.get("turns") is not None and turns >= budget["turns"]:
        return f"{turns} of {budget['turns']} turns"
    return ""


def sums(usages: Iterable[Usage | None]) -> tuple[float, int, int]:
    """US dollars, tokens and turns of several attempts."""
    known = [usage for usage in usages if usage is not None]
    usd = sum(usage.cost_usd or 0.0 for usage in known)
    tokens = sum((usage.input_tokens or 0) + (usage.output_tokens or 0) for usage in known)
    return usd, tokens, sum(usage.turns or 0 for usage in known)
