"""What is said of a step of a running workflow: its sign, its time and cost, how far it is, what came of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from runner.cli.drawing import elapsed
from runner.cli.output import clean, cut, width
from runner.cli.stepnodes import TOLERATED

if TYPE_CHECKING:
    from runner.cli.stepnodes import Twig
    from runner.progress import Look

SIGNS: Final = {
    "pending": ("∙", "2"),
    "running": ("▸", "36"),
    "waiting": ("?", "33"),
    "done": ("✓", "32"),
    "failed": ("✗", "31"),
    TOLERATED: ("!", "33"),
    "skipped": ("-", "2"),
    "not_run": ("-", "2"),
    "cancelled": ("-", "33"),
}
WORDS: Final = {
    "done": ("done", "32"),
    "failed": ("failed", "31"),
    TOLERATED: ("tolerated", "33"),
    "waiting": ("waiting", "33"),
    "skipped": ("skipped", "2"),
    "not_run": ("not run", "2"),
    "cancelled": ("cancelled", "33"),
}
_SAID: Final = {
    "waiting": "waits",
    "failed": "failed",
    TOLERATED: "failed, tolerated",
    "skipped": "skipped",
    "not_run": "not run",
    "cancelled": "cancelled",
}


def outcome(twig: Twig, running: str = "") -> str:
    """What came of a step, where that needs words."""
    if twig.state == "running":
        return running
    if twig.state == "pending" and not twig.is_leaf:
        return planned(twig)
    word, note = _SAID.get(twig.state, ""), twig.note
    if twig.state == "waiting" and not note:
        note = clean(" ".join(str(twig.node.definition.get("gate") or "").split()))
    return f"{word}: {note}" if word and note and note != twig.state else word


def spent_time(twig: Twig, look: Look | None) -> str:
    """How long a step took, or has taken so far; of a container, how long it has been going on."""
    if look is not None:
        return elapsed(time.monotonic() - look.since)
    if twig.took is not None:
        return elapsed(twig.took) if twig.is_leaf or twig.ran else ""
    return elapsed(time.monotonic() - twig.began) if twig.began is not None and not twig.is_leaf else ""


def spent_money(usd: float | None, tokens: int | None) -> str:
    """What something cost: in dollars when that is known, else in tokens."""
    if usd is not None:
        return f"${usd:.2f}"
    if not tokens:
        return ""
    return f"{tokens / 1000:.1f}k tok" if tokens >= 1000 else f"{tokens} tok"


def planned(twig: Twig) -> str:
    """What a container that has not begun will do."""
    loop = twig.node.iterations
    if loop is None:
        return f"{twig.total}{'+' if twig.unknown else ''} step{'' if twig.total == 1 else 's'}"
    inside = ", ".join(node.id for node in twig.node.children)
    if twig.times is None:
        return f"for each of {clean(loop.over)}: {inside}"
    return f"{'at most ' if twig.node.breaks else ''}{twig.times} × {inside}"


def how_far(twig: Twig) -> str:
    """How far a container is: a loop by its iterations, others by the steps in them."""
    if twig.kind == "loop":
        bad = sum(one.state == "failed" for one in twig.children)
        most = (
            f" of {'at most ' if twig.node.breaks else ''}{twig.times}"
            if twig.times and twig.state == "running"
            else ""
        )
        whole = f"{twig.rounds - bad}{most} done"
        counts = [f"{bad} failed"] if bad else []
    else:
        whole = f"{twig.counts['done']} of {twig.total}{'+' if twig.unknown else ''} done"
        counts = [
            f"{twig.counts[key]} {word}" for key, (word, _) in WORDS.items() if key != "done" and twig.counts[key]
        ]
    own = [twig.note] if twig.state == "failed" and not twig.counts["failed"] and twig.note else []
    return ", ".join([whole, *counts, *own])


def cut_path(text: str, columns: int) -> str:
    """A sign and a path within so many columns: what is left out is its beginning."""
    if width(text) <= columns:
        return text
    kept, used = "", width(f"{text[:2]}…")
    for sign in reversed(text[2:]):
        used += width(sign)
        if used > columns:
            break
        kept = sign + kept
    return cut(f"{text[:2]}…{kept}", columns)
