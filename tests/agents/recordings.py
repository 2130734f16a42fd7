"""Raw outputs of real agent CLIs, and how they are read: in any pieces, cut, with junk between the lines."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from runner.agents import Decision, ReaderEvent, Summary, bind_readers, make_reader, outcome
from runner.plugins import BUILT_IN

if TYPE_CHECKING:
    from runner.model import Agent

FOLDER = Path(__file__).parents[1] / "data" / "recordings"


@dataclass(frozen=True)
class Recording:
    """One run of a CLI: what it printed, and how it ended."""

    cli: str
    scenario: str
    stdout: bytes
    stderr: str
    exit_code: int
    limit: str | None

    @property
    def agent(self) -> Agent:
        return agents()[self.cli]

    def read(self, size: int = 1 << 20) -> tuple[Summary, list[ReaderEvent]]:
        """The whole output in pieces of `size` bytes."""
        return read(self.agent, self.stdout, size)

    def decide(self) -> tuple[Summary, Decision]:
        """What its end means."""
        summary, _ = self.read()
        return summary, outcome(self.exit_code, summary, self.limit, agent=self.agent, stderr=self.stderr)


@cache
def agents() -> dict[str, Agent]:
    """The built-in agents, with their readers."""
    found: dict[str, Agent] = {}
    for name in BUILT_IN:
        if name.startswith("agent_"):
            found |= importlib.import_module(f"runner_plugins.{name}").register_agents()
    return bind_readers(found)


@cache
def recording(cli: str, scenario: str) -> Recording:
    """The recording of that name."""
    folder = FOLDER / cli / scenario
    meta = json.loads((folder / "meta.json").read_text())
    return Recording(
        cli,
        scenario,
        (folder / "stdout").read_bytes(),
        (folder / "stderr").read_text(errors="replace"),
        meta["exit_code"],
        "timeout" if meta["killed_by_time_limit"] else None,
    )


def names() -> list[tuple[str, str]]:
    """All recordings: (cli, scenario)."""
    return sorted((folder.parent.name, folder.name) for folder in FOLDER.glob("*/*") if (folder / "meta.json").exists())


def read(agent: Agent, data: bytes, size: int = 1 << 20) -> tuple[Summary, list[ReaderEvent]]:
    """What the agent's reader makes of these bytes, given to it in pieces."""
    reader = make_reader(agent)
    events = [event for place in range(0, len(data), size) for event in reader.feed(data[place : place + size])]
    events += reader.close()
    return reader.summary(), events
