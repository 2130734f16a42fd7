"""The machines there are: what machines.yaml declares, what the workers registered, and where the two differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.live import is_live
from runner.statuses import DONE, FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.config import Config
    from runner.model import JSON, Task, Worker


@dataclass(slots=True)
class Known:
    """One machine. `declared` is its entry of machines.yaml (None: it has none), `found` what its workers offer."""

    name: str
    declared: Any = None
    workers: list[Worker] = field(default_factory=list)
    online: list[Worker] = field(default_factory=list)

    @property
    def found(self) -> tuple[str, ...]:
        """What its live workers offer, else its latest one: capabilities that are no system and no agent."""
        return tuple(word for word in self._offers() if not word.startswith(("os:", "agent:")))

    @property
    def os(self) -> str:
        """The system as a worker found it, else as the file says."""
        found = next((word[3:] for word in self._offers() if word.startswith("os:")), "")
        return found or (self.declared.os if self.declared is not None and self.declared.os else "")

    @property
    def found_agents(self) -> tuple[str, ...]:
        """The agents whose programs its workers found."""
        return tuple(word[6:] for word in self._offers() if word.startswith("agent:"))

    @property
    def slots(self) -> int:
        """The slots of its live workers, else what the file says."""
        if self.online:
            return sum(worker.slots for worker in self.online)
        return self.declared.slots if self.declared is not None else 0

    @property
    def last_seen(self) -> float | None:
        """Seconds since a worker of it was heard of; None: never."""
        return min((worker.heartbeat for worker in self.workers if worker.heartbeat < 1e9), default=None)

    @property
    def differences(self) -> tuple[str, ...]:
        """Where the file and what the workers found do not agree, in words."""
        if not self.workers:
            return ()
        if self.declared is None:
            return ("it is not in machines.yaml",)
        said = []
        os = next((word[3:] for word in self._offers() if word.startswith("os:")), "")
        if self.declared.os and os and self.declared.os != os:
            said.append(f"machines.yaml says {self.declared.os}, it runs {os}")
        if absent := [agent for agent in self.declared.agents if agent not in self.found_agents]:
            said.append(f"declared but not found: {', '.join(f'agent {name}' for name in absent)}")
        if self.online and not set(self.declared.capabilities) <= set(self.found):
            later = [word for word in self.declared.capabilities if word not in self.found]
            said.append(f"declared since its worker started: {', '.join(later)}")
        return tuple(said)

    def _offers(self) -> tuple[str, ...]:
        workers = self.online or sorted(self.workers, key=lambda worker: worker.heartbeat)[:1]
        return tuple(sorted({word for worker in workers for word in worker.capabilities}))

    def to_json(self, settings: JSON | None) -> JSON:
        """The documented form; `settings` is the entry of machines.yaml."""
        seen = self.last_seen
        return {
            "name": self.name,
            "declared": settings,
            "online": bool(self.online),
            "workers": [worker.id for worker in self.online],
            "os": self.os or None,
            "slots": self.slots,
            "agents": list(self.found_agents),
            "capabilities": list(self.found),
            "last_seen_seconds": round(seen, 3) if seen is not None else None,
            "differences": list(self.differences),
        }


def known_machines(config: Config, workers: Sequence[Worker]) -> list[Known]:
    """Every machine that is declared or has a worker, those of the file first. An alias stands for its machine."""
    machines = {name: Known(name, settings) for name, settings in config.machines.items()}
    names = main_names(config)
    for worker in workers:
        name = names.get(worker.machine, worker.machine)
        known = machines.setdefault(name, Known(name))
        known.workers.append(worker)
        if is_live(worker):
            known.online.append(worker)
    return list(machines.values())


def main_names(config: Config) -> Mapping[str, str]:
    """The machine that each alias of machines.yaml stands for."""
    return {alias: name for name, settings in config.machines.items() for alias in settings.aliases}


@dataclass(slots=True)
class Standing:
    """What a machine has done: finished tasks, and by agent those that are done."""

    done: int = 0
    failed: int = 0
    agents: dict[str, int] = field(default_factory=dict)

    @property
    def top_agent(self) -> str | None:
        """The agent that did most; of equals the first by name."""
        return min(self.agents, key=lambda name: (-self.agents[name], name), default=None)


def standings(config: Config, tasks: Iterable[Task]) -> dict[str, Standing]:
    """What each machine has done of these tasks. What was done under an alias counts for the machine."""
    names = main_names(config)
    found: dict[str, Standing] = {}
    for task in tasks:
        ran = str((task.result or {}).get("machine") or "")
        if not ran or task.status not in (DONE, FAILED):
            continue
        one = found.setdefault(names.get(ran, ran), Standing())
        one.done += task.status == DONE
        one.failed += task.status == FAILED
        if task.status == DONE and task.agent:
            one.agents[task.agent] = one.agents.get(task.agent, 0) + 1
    return found
