"""Claim and finish per second, at several depths of the queue and numbers of processes, beside raw SQL and peers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import peers
from beds import PostgresBed, SqliteBed
from crew import Contender, make
from report import Goal, Section, Table, median, ratio

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from beds import Bed
    from crew import Crew, Round
    from setting import Setting

Cell = tuple[str, int, str, int]
"""(store, waiting, contender, processes)."""

LONG, SHORT = 0.3, 0.12
"""Seconds of a round."""

FIRST_GUESS: Final = 1500
"""Tasks that a round may take before it was ever run."""


class Rounds:
    """The rounds of every cell, again and again in one order: each cell sees the machine's good and bad times."""

    def __init__(self, crew: Crew) -> None:
        self.cells: dict[Cell, list[Round]] = defaultdict(list)
        self._crew = crew

    def queue(self, store: str, bed: Bed, contenders: Sequence[Contender], processes: int) -> None:
        """Each contender on the same queue, which has its size again before each round."""
        if processes <= 2 and len(contenders) > 1:
            # Short rounds, twice: what disturbs one, disturbs its neighbour too. Many processes need time to share.
            self._queue(store, bed, contenders, processes, SHORT)
            self._queue(store, bed, contenders[::-1], processes, SHORT)
        else:
            self._queue(store, bed, contenders, processes, LONG)

    def _queue(self, store: str, bed: Bed, contenders: Sequence[Contender], processes: int, seconds: float) -> None:
        for contender in contenders:
            cell = (store, bed.size, contender.name, processes)
            count = max((2 * r.done for r in self.cells[cell]), default=FIRST_GUESS)
            for _ in range(4):
                bed.need(count)
                one = self._crew.round(contender, processes, seconds)
                bed.used(one.done)
                if not one.dry:
                    break
                count *= 4
            self.cells[cell].append(one)

    def peer(self, store: str, contender: Contender, filler: Any, left: dict[str, int], processes: int) -> None:
        """A round of another queue, all of whose jobs are for its workers."""
        cell = (store, PEER_JOBS, contender.name, processes)
        need = PEER_JOBS
        for _ in range(3):
            if left[contender.name] < need:
                filler.fill(need - left[contender.name])
                left[contender.name] = need
            one = self._crew.round(contender, processes, LONG)
            left[contender.name] -= one.done
            if not one.dry:
                break
            need *= 3
        self.cells[cell].append(one)


PEER_JOBS: Final = 2000


def run(setting: Setting) -> Section:
    """All cells, interleaved."""
    sizes = (1000, 100_000) if setting.quick else (1000, 100_000, 1_000_000)
    processes = (1, 8) if setting.quick else (1, 2, 4, 8)
    rounds = Rounds(setting.crew)
    stores: dict[str, list[Bed]] = {}
    if setting.sqlite:
        stores["SQLite FULL"] = [SqliteBed(setting.folder, size) for size in sizes]
    if setting.postgres:
        stores["PostgreSQL"] = [PostgresBed(setting.server, size) for size in sizes]
    others = _others(setting)
    left: dict[str, int] = defaultdict(int)
    for turn in range(3 if setting.quick else 7):
        setting.say(f"claim and finish, turn {turn + 1}")
        for count in processes:
            for store, beds in stores.items():
                for bed in beds:
                    rounds.queue(store, bed, bed.contenders()[:: 1 if turn % 2 else -1], count)
                rounds.queue(store, beds[1], [beds[1].started()], count)
            for bed in stores.get("SQLite FULL", [])[1:2]:
                rounds.queue("SQLite NORMAL", bed, bed.contenders("normal")[:: 1 if turn % 2 else -1], count)
            for store, contender, filler in others if turn < 2 or not setting.quick else ():
                rounds.peer(store, contender, filler, left, count)
    _close(setting, stores, others)
    return _report(rounds.cells, processes, setting)


def _others(setting: Setting) -> list[tuple[str, Contender, Any]]:
    """The peers that are installed, with their tables and the first jobs."""
    found: list[tuple[str, Contender]] = []
    if setting.sqlite:
        found += [("SQLite", one) for one in peers.on_sqlite(setting.folder)]
    if setting.postgres:
        found += [("PostgreSQL", one) for one in peers.on_postgres(lambda name: setting.server.create(name=name))]
    made = []
    for store, contender in found:
        filler = make(contender)
        if hasattr(filler, "install"):
            filler.install()
        filler.fill(PEER_JOBS)
        if "url" in contender.options:
            setting.server.execute("VACUUM ANALYZE", contender.options["url"])
        made.append((store, contender, filler))
    return made


def _close(setting: Setting, stores: dict[str, list[Bed]], others: Iterable[tuple[str, Contender, Any]]) -> None:
    for beds in stores.values():
        for bed in beds:
            for contender in (*bed.contenders(), *bed.contenders("normal"), bed.started()):
                setting.crew.drop(contender)
            bed.close()
    for _, contender, filler in others:
        setting.crew.drop(contender)
        filler.close()


def _report(cells: dict[Cell, list[Round]], processes: Sequence[int], setting: Setting) -> Section:
    section = Section("claim and finish")
    table = Table("tasks per second (median of rounds)", ["", "waiting", *(f"{n} proc" for n in processes)])
    ratios = Table("runner ÷ raw SQL under the same lock", ["", "waiting", *(f"{n} proc" for n in processes)])
    fair = Table("runner at 8 processes", ["", "waiting", "longest claim ms", "slowest share"])
    seen = list(dict.fromkeys((store, size, name) for store, size, name, _ in cells))
    for store, size, name in seen:
        columns = [cells[store, size, name, n] for n in processes]
        table.rows.append((f"{store}  {name}", size, *(median(r.rate for r in column) for column in columns)))
    for store, size in dict.fromkeys((store, size) for store, size, name in seen if name == "runner"):
        pairs = [(cells[store, size, "runner", n], cells[store, size, "raw SQL", n]) for n in processes]
        values = [ratio([r.rate for r in a], [r.rate for r in b]) for a, b in pairs]
        ratios.rows.append((store, size, *values))
        section.goals.append(Goal(f"{store}, {size:,} waiting, worst of {processes}", min(values), 0.6, at_least=True))
        last = cells[store, size, "runner", processes[-1]]
        longest, share = max(r.longest for r in last) * 1000, median(r.slowest_share for r in last)
        fair.rows.append((store, size, longest, share))
        if store == "SQLite FULL":
            section.goals.append(Goal(f"{store}, {size:,} waiting, longest claim at 8", longest, 500, unit=" ms"))
            section.goals.append(Goal(f"{store}, {size:,} waiting, slowest share at 8", share, 0.4, at_least=True))
    section.goals += _depth(cells, processes)
    section.tables = [table, ratios, fair]
    section.notes = [f"{name} is not installed (group `bench`)" for name in peers.PACKAGES if not peers.installed(name)]
    section.data = {
        f"{store} | {size} | {name} | {n}": [{"rate": r.rate, "counted": [asdict(c) for c in r.counted]} for r in many]
        for (store, size, name, n), many in cells.items()
    }
    return section


def _depth(cells: dict[Cell, list[Round]], processes: Sequence[int]) -> list[Goal]:
    """What a deep queue costs: time per task with the most waiting, compared with the fewest."""
    goals = []
    for store in dict.fromkeys(cell[0] for cell in cells if cell[2] == "runner"):
        sizes = sorted({cell[1] for cell in cells if cell[0] == store and cell[2] == "runner"})
        if len(sizes) < 2:
            continue
        few, most = sizes[0], sizes[-1]
        times = [
            ratio(
                [r.rate for r in cells[store, few, "runner", n]],
                [r.rate for r in cells[store, most, "runner", n]],
            )
            for n in processes
        ]
        goals.append(
            Goal(f"{store}, time per task, {most:,} waiting ÷ {few:,} (median over processes)", median(times), 1.2)
        )
    return goals
