"""Enqueue, one by one and in bulk, beside raw SQL that writes the same rows, and peers."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import peers
import waiting
from beds import PostgresBed, SqliteBed
from crew import Contender, make
from fused import Fused
from report import Goal, Section, Table, median, ratio

if TYPE_CHECKING:
    from setting import Setting

BULK = 1000
"""Tasks of one bulk submit."""
PLACES = {"runner": 0, "raw SQL": 1}
KINDS = ("one by one", "bulk")


def run(setting: Setting) -> Section:
    """Short rounds of every contender in turn, in this process."""
    contenders = _contenders(setting)
    rates: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    setting.say("enqueue")
    for store in dict.fromkeys(store for store, _, _ in contenders):
        mine = [(name, one) for where, name, one in contenders if where == store]
        # Very short rounds: what disturbs the machine disturbs neighbouring rounds of all alike.
        for turn in range(24 if setting.quick else 80):
            for name, one in mine if turn % 2 else reversed(mine):
                rates[store, name, "one by one"].append(_rate(one, 1, 0.02))
                if turn % 4 < 2:
                    rates[store, name, "bulk"].append(_rate(one, BULK, 0.02))
    for _, _, one in contenders:
        one.close()
    return _report(rates)


def _rate(one: Any, count: int, seconds: float) -> float:
    """Tasks per second. Ours and the raw one are given tasks that are there; peers take what their API takes."""
    spent, calls = 0.0, 0
    while spent < seconds:
        if isinstance(one, Fused):
            tasks = waiting.tasks(count)
            begin = time.perf_counter()
            one.enqueue(tasks)
        else:
            begin = time.perf_counter()
            one.enqueue() if count == 1 else one.fill(count)
        spent += time.perf_counter() - begin
        calls += 1
    return calls * count / spent


def _contenders(setting: Setting) -> list[tuple[str, str, Any]]:
    found: list[tuple[str, Contender]] = []
    if setting.sqlite:
        (folder := setting.folder / "enqueue").mkdir()
        bed = SqliteBed(folder, 1000)
        found += [("SQLite FULL", one) for one in bed.contenders()]
        found += [("SQLite NORMAL", one) for one in bed.contenders("normal")]
        found += [("SQLite", one) for one in peers.on_sqlite(folder)]
        bed.close()
    if setting.postgres:
        place = PostgresBed(setting.server, 1000, "enqueue")
        found += [("PostgreSQL", one) for one in place.contenders()]
        names = (f"enqueue_{name}" for name in ("procrastinate", "pgqueuer"))
        found += [("PostgreSQL", one) for one in peers.on_postgres(lambda _: setting.server.create(name=next(names)))]
        place.close()
    made = []
    for store, contender in found:
        one = make(contender)
        if hasattr(one, "install"):
            one.install()
        made.append((store, contender.name, one))
    return made


def _report(rates: dict[tuple[str, str, str], list[float]]) -> Section:
    section = Section("enqueue")
    table = Table("tasks per second, bulk in commits of 1,000", ["", *KINDS])
    ratios = Table("runner ÷ raw SQL", ["", *KINDS])
    for store, name in sorted(
        {key[:2]: 0 for key in rates}, key=lambda one: (one[0], one[1] not in ("runner", "raw SQL"))
    ):
        table.rows.append((f"{store}  {name}", *(median(rates[store, name, kind]) for kind in KINDS)))
        if name != "runner":
            continue
        values = [ratio(rates[store, "runner", kind], rates[store, "raw SQL", kind]) for kind in KINDS]
        ratios.rows.append((store, *values))
        for kind, value in zip(KINDS, values, strict=True):
            section.goals.append(Goal(f"{store}, {kind}", value, 0.6, at_least=True))
    section.tables = [table, ratios]
    section.data = {" | ".join(key): values for key, values in rates.items()}
    return section
