"""Enqueue, one by one and in bulk, beside raw SQL that writes the same rows, and peers."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import peers
from beds import PostgresBed, SqliteBed
from crew import Contender, make
from report import Goal, Section, Table, median, ratio

if TYPE_CHECKING:
    from setting import Setting

BULK = 1000
"""Tasks of one bulk submit."""


def run(setting: Setting) -> Section:
    """Short rounds of every contender in turn, in this process."""
    contenders = _contenders(setting)
    seconds = 0.15 if setting.quick else 0.25
    rates: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for turn in range(4 if setting.quick else 9):
        setting.say(f"enqueue, turn {turn + 1}")
        for store, name, one in contenders:
            rates[store, name, "one by one"].append(_rate(one.enqueue, 1, seconds))
            bulk = (lambda one=one: one.enqueue_many(BULK)) if hasattr(one, "enqueue_many") else None
            if bulk is None:
                bulk = lambda one=one: one.fill(BULK)  # noqa: E731
            rates[store, name, "bulk"].append(_rate(bulk, BULK, seconds))
    for _, _, one in contenders:
        one.close()
    return _report(rates)


def _rate(call: Any, count: int, seconds: float) -> float:
    begin = now = time.perf_counter()
    calls = 0
    while now - begin < seconds:
        call()
        calls += 1
        now = time.perf_counter()
    return calls * count / (now - begin)


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
    kinds = ("one by one", "bulk")
    table = Table(f"tasks per second, bulk in commits of {BULK:,}", ["", *kinds])
    ratios = Table("runner ÷ raw SQL", ["", *kinds])
    for store, name in dict.fromkeys((store, name) for store, name, _ in rates):
        table.rows.append((f"{store}  {name}", *(median(rates[store, name, kind]) for kind in kinds)))
        if name != "runner":
            continue
        values = [ratio(rates[store, "runner", kind], rates[store, "raw SQL", kind]) for kind in kinds]
        ratios.rows.append((store, *values))
        for kind, value in zip(kinds, values, strict=True):
            section.goals.append(Goal(f"{store}, {kind}", value, 0.6, at_least=True))
    section.tables = [table, ratios]
    section.data = {" | ".join(key): values for key, values in rates.items()}
    return section
