"""Who could take a waiting task: what every live worker lacks for it, and what one started here would lack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runner.model import JSON, Lane, Worker

HERE_ONLY: Final = "runner-run"
"""What tasks of `runner run` require: no worker offers it, only the call that made the task takes it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing in the task's way: `kind` for programs, `text` for people, `data` what it is about."""

    kind: str
    text: str
    data: JSON = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Here:
    """What a worker started on this machine would be: its machine's names, what it offers.

    `absent` maps agents to their programs that are not installed here. An agent that is neither
    offered nor absent is unknown: the project's own code, which was not imported, may bring it.
    """

    names: tuple[str, ...]
    capabilities: tuple[str, ...]
    absent: Mapping[str, str]

    def lacks(self, lane: Lane) -> tuple[str, ...]:
        """The requirements of a lane that are known not to be met here."""
        missing = [need for need in lane.requires if need not in self.capabilities]
        return tuple(need for need in missing if not need.startswith("agent:") or need[6:] in self.absent)

    def fits(self, lane: Lane) -> bool:
        """Whether nothing is known that keeps a worker started here from tasks of this lane."""
        return (lane.machine is None or lane.machine in self.names) and not self.lacks(lane)

    def lack(self, need: str) -> str:
        """One of `lacks` in words."""
        program = self.absent.get(need.removeprefix("agent:")) if need.startswith("agent:") else None
        if program is not None:
            return f"`{program}`, the program of '{need}', is not installed here"
        return f"this machine does not offer '{need}'"


def nobody_fits(lane: Lane | None, online: Sequence[Worker], here: Here | None = None) -> list[Reason]:
    """What every live worker lacks, one reason a kind of lack. `here` counts when it could not take it either."""
    if lane is not None and HERE_ONLY in lane.requires:
        return [Reason("run", "only the `runner run` that asked for it takes it, and that one may be gone")]
    left = [worker for worker in online if lane is None or not lane.project or worker.project == lane.project]
    if not left:
        return [_no_worker(lane, here, "no worker is running" + (" for this project" if online else ""))]
    if lane is None:
        return [Reason("no_fit", "no live worker fits it")]
    if lane.machine is not None:
        named = [worker for worker in left if lane.machine in worker.names]
        if not named:
            text = f"no live worker on machine '{lane.machine}' (live: {_names(w.machine for w in left)})"
            return [Reason("machine", text, {"machine": lane.machine})]
        left = named
    able = [worker for worker in left if lane.type in worker.types]
    if not able:
        text = f"no live worker runs type '{lane.type}' (live: {_names(w.machine for w in left)})"
        return [Reason("type", text, {"type": lane.type})]
    missing = [need for need in lane.requires if not any(need in worker.capabilities for worker in able)]
    if missing:
        text = f"no live worker with capability {_quoted(missing)}"
        lacks = here.lacks(lane) if here is not None else ()
        text += "".join(f"; {here.lack(need)}" for need in missing if here is not None and need in lacks)
        return [Reason("capability", text, {"missing": missing})]
    if lane.requires:
        text = f"no single live worker offers {_quoted(lane.requires)} together"
        return [Reason("capability", text, {"missing": list(lane.requires)})]
    return [Reason("no_fit", "no live worker fits it")]


def _no_worker(lane: Lane | None, here: Here | None, text: str) -> Reason:
    """No worker is there at all: whether starting one here would help."""
    if lane is None or here is None or here.fits(lane):
        return Reason("no_worker", text)
    if lane.machine is not None and lane.machine not in here.names:
        text = f"{text}, and only machine '{lane.machine}' may take it (this one is '{here.names[0]}')"
        return Reason("machine", text, {"machine": lane.machine})
    missing = here.lacks(lane)
    text = f"{text}, and one started here would not take it: {'; '.join(map(here.lack, missing))}"
    return Reason("capability", text, {"missing": list(missing)})


def commands(reasons: Iterable[Reason], lane: Lane | None, task: str, here: Here | None) -> tuple[str, ...]:
    """The commands that bring a worker which can take the task."""
    kinds = {reason.kind for reason in reasons}
    if "run" in kinds:
        return (f"runner cancel {task}   # when that `runner run` is gone",)
    if not kinds & {"no_worker", "machine", "capability"}:
        return ()
    if lane is None or here is None or here.fits(lane):
        return ("runner work --drain",)
    if lane.machine is not None and lane.machine not in here.names:
        return (f"runner work --machine {lane.machine}   # on that machine",)
    programs = [here.absent.get(need.removeprefix("agent:"), "") for need in here.lacks(lane)]
    if all(programs):
        return (f"runner work --drain   # once {_ticked(programs)} is installed",)
    return (f"runner work --drain   # on a machine that offers {_quoted(here.lacks(lane))}",)


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _ticked(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
