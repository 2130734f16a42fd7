"""Which steps of a run are shown where there is room for few: what runs, waits and failed first, then what is near."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from runner.cli.stepnodes import OVER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runner.cli.stepnodes import Tree, Twig


_FAILED_SHARE: Final = 4
"""Which part of the room failed steps take at most: so many may have failed that nothing else was to be seen."""


class Row:
    """A line: a step, or (`more`) how many of this container's steps are not shown, and how many of them failed."""

    __slots__ = ("flat", "more", "red", "twig")

    def __init__(self, twig: Twig, *, flat: bool = False, more: int = 0, red: int = 0) -> None:
        self.twig = twig
        self.flat = flat
        """Whether it stands alone, with its whole path."""
        self.more = more
        self.red = red


class Chooser:
    """Chooses the rows of one picture. `looked` counts the steps it looked at, which depends on the room alone."""

    def __init__(self, tree: Tree, running: Sequence[Twig], room: int) -> None:
        self.looked = 0
        self._tree = tree
        self._running = running
        self._room = room
        self._chosen: dict[Twig, None] = {}
        self._inside: dict[Twig, list[int]] = defaultdict(lambda: [0, 0, 0])
        """Of each container, its children that are chosen: all, those that have not ended, those that failed."""

    def rows(self) -> list[Row]:
        """At most `room` of them."""
        for level in (0, 1, 2):
            whole = self._whole(level)
            if whole is not None:
                return whole
        return self._some()

    # All of it

    def _whole(self, level: int) -> list[Row] | None:
        """Every step, if there is room; from level 1 on what has ended is one line, from 2 on what is pending too."""
        found: list[Row] = []
        stack = list(reversed(self._tree.root.children[: self._room + 1]))
        while stack:
            twig = stack.pop()
            self.looked += 1
            if len(found) == self._room:
                return None
            found.append(Row(twig))
            if not _folded(twig, level):
                stack += reversed(twig.children[: self._room + 1])
        return found

    # Some of it

    def _some(self) -> list[Row]:
        most = self._room
        urgent = [
            *self._running[:most],
            *_first(self._tree.waiting, most),
            *_first(reversed(self._tree.failed), max(1, most // _FAILED_SHARE)),
        ]
        for twig in urgent:
            self._add(twig)
        if any(twig not in self._chosen for twig in self._running[:most]):
            return self._flat(urgent)
        urgently = len(self._chosen)
        self._fill()
        while len(self._chosen) > urgently and len(self._chosen) + self._short() > most:
            self._count(self._chosen.popitem()[0], -1)
        for twig in [one for one in self._inside if self._missing(one)[0] == 1]:
            self._last(twig)
        return list(self._in_order())

    def _add(self, twig: Twig) -> bool:
        """Choose a step and what it stands in, if there is room for all of it."""
        chain = [twig]
        for one in twig.above():
            if one.parent is None or one in self._chosen:
                break
            chain.append(one)
        self.looked += len(chain)
        if twig in self._chosen or len(self._chosen) + len(chain) > self._room:
            return False
        for one in reversed(chain):
            self._chosen[one] = None
            self._count(one, 1)
        return True

    def _count(self, twig: Twig, change: int) -> None:
        assert twig.parent is not None  # the whole is not a row
        counts = self._inside[twig.parent]
        counts[0] += change
        counts[1] += change * (twig.state not in OVER)
        counts[2] += change * (twig.state == "failed")

    def _flat(self, urgent: Sequence[Twig]) -> list[Row]:
        """Too many levels for the room: what matters, with whole paths."""
        return [Row(twig, flat=True) for twig in urgent[: self._room]]

    def _fill(self) -> None:
        """What is near to what happens: each container in which something does gets its share of the room."""
        todo = self._holding()
        while todo and len(self._chosen) < self._room:
            before = len(self._chosen)
            for number, twig in enumerate(todo):
                left = self._room - len(self._chosen)
                self._window(twig, max(1, left // (len(todo) - number)))
            if len(self._chosen) == before:
                return

    def _window(self, twig: Twig, share: int) -> None:
        """Children around the first that has not ended: a few that have, then those to come, then earlier ones."""
        children, front = twig.children, twig.next()
        start = max(0, front - share // 3)
        for at in (*range(start, len(children)), *range(start - 1, -1, -1)):
            self.looked += 1
            if share <= 0 or len(self._chosen) >= self._room:
                return
            share -= self._add(children[at])

    def _holding(self) -> list[Twig]:
        """The containers among the chosen in which something happens, the whole first."""
        active = ("running", "waiting", "failed")
        return [self._tree.root, *(one for one in self._chosen if one.children and one.state in active)]

    def _missing(self, twig: Twig) -> tuple[int, int]:
        """Children that matter and are not shown, where others are; how many of them failed."""
        shown, left, red = self._inside[twig]
        return (twig.left - left + twig.red - red, twig.red - red) if shown else (0, 0)

    def _short(self) -> int:
        """Containers that need a line which says how many of their steps are not shown."""
        return sum(self._missing(one)[0] > 0 for one in tuple(self._inside))

    def _last(self, twig: Twig) -> None:
        """The one child that is missing stands in the line that would say so."""
        front = twig.next()
        for child in twig.children[front : front + 2 * self._room]:
            self.looked += 1
            if child.state not in OVER and child not in self._chosen:
                self._add(child)
                return

    def _in_order(self) -> Iterator[Row]:
        inside: dict[Twig, list[Twig]] = defaultdict(list)
        for twig in self._chosen:
            assert twig.parent is not None
            inside[twig.parent].append(twig)
        spare = self._room - len(self._chosen)
        stack: list[Row] = [Row(self._tree.root)]
        while stack:
            row = stack.pop()
            if row.more or row.twig.parent is not None:
                yield row
            if row.more:
                continue
            more, red = self._missing(row.twig)
            if more and spare:
                spare -= 1
                stack.append(Row(row.twig, more=more, red=red))
            stack += [Row(child) for child in sorted(inside[row.twig], key=lambda twig: twig.place, reverse=True)]


def _folded(twig: Twig, level: int) -> bool:
    if twig.state == "pending":
        return level > 1
    return level > 0 and twig.state in OVER and not twig.counts["failed"]


def _first(twigs: Iterable[Twig], most: int) -> list[Twig]:
    found: list[Twig] = []
    for twig in twigs:
        if len(found) == most:
            break
        found.append(twig)
    return found
