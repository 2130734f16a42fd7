"""The live tree of a running workflow: steps with their state, agent, time, cost and last line, redrawn in place."""

from __future__ import annotations

import threading
import time
from typing import IO, TYPE_CHECKING, Any, Final

from runner.cli.drawing import Drawing, elapsed
from runner.cli.output import clean, cut, paint, width, without_escapes
from runner.cli.stepnodes import TOLERATED, note
from runner.cli.steprows import Chooser, Row
from runner.cli.stepwords import SIGNS, WORDS, cut_path, how_far, outcome, spent_money, spent_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.cli.stepnodes import Tree, Twig
    from runner.model import Claim
    from runner.progress import Look, Progress

_LEFT_MOST: Final = 20
"""Steps that failed or wait which are told at the end, at most."""
_LEAST: Final = 14
"""Columns that the last line gets before cells left of it are left out."""


class StepTree(Drawing):
    """Use it with `with`: `watch` the slots, and give `stepped` to `Work`. `before`: what the run came to so far.

    What failed or waits is left on the terminal as plain lines, and the sum of it.
    """

    def __init__(self, stream: IO[str], tree: Tree, before: Mapping[str, Any] | None = None) -> None:
        super().__init__(stream, sparing=True)
        self._tree = tree
        self._lock = threading.Lock()
        self._source: Callable[[], Sequence[Progress]] = tuple
        self._began = time.monotonic() - float((before or {}).get("active_s") or 0.0)
        self._sizes = [0, 0, 0, 0]
        """Of name, agent, time and cost, so far at this width: columns don't jump as steps come and go."""
        self._columns = 0
        self._ran: dict[Twig, Look] = {}
        """What ran when it was drawn last."""
        self._seen_running: dict[Twig, None] = {}

    def watch(self, source: Callable[[], Sequence[Progress]]) -> None:
        """Where to ask what the slots do now."""
        self._source = source
        self._poke.set()

    def stepped(self, claim: Claim, told: Mapping[str, Any]) -> None:
        """A step has another state (from the run's thread)."""
        with self._lock:
            self._tree.tell(told)
        self._poke.set()

    def over(self, result: Mapping[str, Any] | None) -> None:
        """The run has ended, or waits; this is what it came to."""
        with self._lock:
            for one in (result or {}).get("waiting") or ():
                twig = self._tree.find(str(one["path"]))
                if twig is not None and one.get("question"):
                    options = f" ({', '.join(map(str, one['options']))})" if one.get("options") else ""
                    twig.note = note(f"{one['question']}{options}")

    def __exit__(self, *error: object) -> None:
        with self._lock:
            lines = self._left()
        for line in lines:
            self.say(line)
        super().__exit__(*error)

    # What is left at the end

    def _left(self) -> list[str]:
        """What failed, waits or was interrupted, and the sum."""
        tree = self._tree
        interrupted = [twig for twig in self._seen_running if twig.state == "running"]
        ended = [*tree.failed, *tree.waiting, *interrupted]
        told = dict.fromkeys(ended[:_LEFT_MOST])
        lines = []
        for twig in told:
            sign = SIGNS["cancelled" if twig.state == "running" else twig.state][0]
            words = [elapsed(twig.took)] if twig.took is not None else []
            words += [spent_money(twig.cost, twig.tokens)] if twig.cost or twig.tokens else []
            tail = f" ({', '.join(words)})" if words else ""
            lines.append(f"{sign} {clean(twig.path)}{tail} {outcome(twig, 'interrupted')}".rstrip())
        if len(ended) > len(told):
            lines.append(f"… {len(ended) - len(told)} more")
        return [*lines, "  ".join(text for text, _ in self._sum({}, len(interrupted), "interrupted"))]

    # What is drawn

    def _slots(self) -> Sequence[Progress]:
        return self._source()

    def _frame(self, looks: Sequence[Look | None], columns: int, rows: int) -> list[tuple[str, str]]:
        """The lines, each plain and painted."""
        with self._lock:
            self._ran = self._running(looks)
            costs = _costs(self._ran)
            room = max(0, rows - 2)
            chosen = Chooser(self._tree, list(self._ran), room).rows() if room else []
            cells = [self._cells(row, costs) for row in chosen]
            if columns != self._columns:
                self._columns, self._sizes = columns, [0, 0, 0, 0]
            for row in cells:
                if row is not None:
                    self._sizes = [max(size, width(cell)) for size, cell in zip(self._sizes, row[1:5], strict=True)]
            sizes = _fitted(self._sizes, columns)
            lines = [self._line(row, one, sizes, columns) for row, one in zip(chosen, cells, strict=True)]
            return [*lines, self._footer(costs, looks, columns)]

    def _running(self, looks: Sequence[Look | None]) -> dict[Twig, Look]:
        """The steps that run now: others may only be ready to."""
        found: dict[Twig, Look] = {}
        for look in looks:
            twig = self._tree.find(look.step) if look is not None and look.step else None
            if look is not None and twig is not None and twig.state == "running":
                found[twig] = look
        self._seen_running.update(dict.fromkeys(found))
        return dict(sorted(found.items(), key=lambda pair: pair[1].since))

    def _cells(self, row: Row, costs: Mapping[Twig, float]) -> tuple[str, ...] | None:
        """A step's sign, name, agent, time, cost and last line."""
        if row.more:
            return None
        twig = row.twig
        look = self._ran.get(twig)
        state = "running" if look is not None else "pending" if twig.is_leaf and twig.state == "running" else twig.state
        indent = "" if row.flat else "  " * (twig.depth - 1)
        name = f"{indent}{SIGNS[state][0]} {clean(twig.path) if row.flat else twig.name}"
        cost = costs.get(twig, 0.0) + (twig.cost or 0.0)
        tokens = look.tokens if look is not None and look.tokens else twig.tokens
        known = cost if twig.cost is not None or twig in costs else None
        return (
            state,
            name,
            twig.agent,
            spent_time(twig, look),
            spent_money(known, tokens),
            self._says(twig, look),
        )

    def _says(self, twig: Twig, look: Look | None) -> str:
        """A step's last line; of what holds steps, how far it is."""
        if look is not None:
            word = f"{look.state}: " if look.state not in ("running", "preparing") else ""
            return word + clean(without_escapes(look.line)).strip()
        if twig.is_leaf or twig.state in ("skipped", "not_run") or not (twig.counts or twig.state == "running"):
            return outcome(twig)
        return how_far(twig)

    def _line(self, row: Row, cells: Sequence[str] | None, sizes: Sequence[int], columns: int) -> tuple[str, str]:
        if cells is None:
            indent = "  " * row.twig.depth
            failed = f", {row.red} failed" if row.red else ""
            return self._plain(f"{indent}… {row.more} more step{'' if row.more == 1 else 's'}{failed}", columns, "2")
        state, *others, said = cells
        code = SIGNS[state][1]
        faint = code == "2"
        plain, painted = "", ""
        for number, (cell, size) in enumerate(zip(others, sizes, strict=True)):
            if not size:
                continue
            text = cut_path(cell, size) if row.flat and number == 0 else cut(cell, size)
            gap = " " * (size - width(text))
            whole = f"{gap}{text}" if number > 1 else f"{text}{gap}"
            plain += f"{whole}  "
            painted += f"{self._painted(whole, number, code, faint=faint)}  "
        said = cut(said, max(0, columns - 1 - width(plain)))
        if width(plain) > columns - 1 and not said:
            return self._plain(plain.rstrip(), columns)
        shade = code if state in ("failed", "waiting", TOLERATED) else "2"
        return (plain + said).rstrip(), (painted + paint(said, shade if self._colours else "")).rstrip()

    def _painted(self, text: str, number: int, code: str, *, faint: bool) -> str:
        """A cell in its colours: of the name only the sign, unless the step does not run."""
        if not self._colours or not text.strip():
            return text
        if faint:
            return paint(text, "2")
        if number:
            return text if number > 1 else paint(text, "2")
        indent = len(text) - len(text.lstrip())
        return text[:indent] + paint(text[indent], code) + text[indent + 1 :]

    # The sum

    def _footer(self, costs: Mapping[Twig, float], looks: Sequence[Look | None], columns: int) -> tuple[str, str]:
        parts = self._sum(costs, len(self._ran))
        state = next((look.state for look in looks if look is not None), "idle")
        if not self._ran and state in ("preparing", "storing"):
            parts.append((state, "2"))
        while len(parts) > 1 and sum(width(text) + 2 for text, _ in parts) > columns + 1:
            parts.remove(next((part for code in ("2", "36") for part in reversed(parts) if part[1] == code), parts[-1]))
        plain = "  ".join(text for text, _ in parts)
        if width(plain) > columns - 1:
            return self._plain(plain, columns)
        return plain, "  ".join(paint(text, code if self._colours else "") for text, code in parts)

    def _sum(self, costs: Mapping[Twig, float], busy: int, word: str = "running") -> list[tuple[str, str]]:
        """Elapsed, cost, how many are done, and what became of others: each with its colour."""
        root = self._tree.root
        known = costs.get(root, 0.0) + (root.cost or 0.0)
        cost = spent_money(known if root.cost is not None or root in costs else None, root.tokens)
        whole = f"{root.counts['done']} of {root.total}{'+' if root.unknown else ''} done"
        parts = [(elapsed(time.monotonic() - self._began), "")]
        parts += [(cost, "")] if cost else []
        parts.append((whole, "32" if root.state == "done" else ""))
        parts += [(f"{busy} {word}", "36")] if busy else []
        parts += [
            (f"{root.counts[key]} {word}", code)
            for key, (word, code) in WORDS.items()
            if key != "done" and root.counts[key]
        ]
        return parts


def _costs(running: Mapping[Twig, Look]) -> dict[Twig, float]:
    """What running steps have cost so far, for each and all that they stand in."""
    found: dict[Twig, float] = {}
    for twig, look in running.items():
        if look.cost_usd is not None:
            for one in (twig, *twig.above()):
                found[one] = found.get(one, 0.0) + look.cost_usd
    return found


def _fitted(widest: Sequence[int], columns: int) -> list[int]:
    """Widths of name, agent, time and cost, 0 for those left out: on a narrow terminal the agent goes first."""
    name = min(widest[0], max(16, columns * 2 // 5))
    sizes = [name, min(widest[1], 12), min(widest[2], 8), min(widest[3], 9)]
    for number in (1, 3, 2):
        if sum(size + 2 for size in sizes if size) + _LEAST <= columns:
            break
        sizes[number] = 0
    return sizes
