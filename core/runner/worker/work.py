"""A worker from start to end: slots, the writer thread, signals, and what came of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from runner import statuses
from runner.engine import prints
from runner.keeper import Redaction, sweep
from runner.store import Forget, PutLimits, Register, Release
from runner.worker.identity import make_worker
from runner.worker.neighbours import Neighbours
from runner.worker.publish import publish_left
from runner.worker.retention import Retention
from runner.worker.room import Room
from runner.worker.slot import Slot
from runner.worker.telling import Teller, events_of
from runner.worker.trust import Trust
from runner.worker.writer import Hooks, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from runner.app import App
    from runner.engine.run import Ended
    from runner.model import Agent, Claim
    from runner.progress import Progress
    from runner.store import Op

_REACT_SECONDS = 0.2
"""How soon a signal is acted on."""


_LAST_SECONDS = 20.0
"""How long, at the second signal, slots have to end; then the worker ends without them."""


def given_to(agents: Mapping[str, Agent]) -> dict[str, str]:
    """The variables that the configuration gives to agents, under names of their own: some are secrets."""
    found: dict[str, str] = {}
    for agent in agents.values():
        for variables in (agent.env, agent.root_env, *agent.permission_env.values()):
            found |= {f"{agent.name}.{name}": value for name, value in variables.items() if "${" not in value}
    return found


class Work:
    """`runner work`. `mode` is `once`, `drain` or `loop`.

    `talk` gets sentences for people, `began` and `ended` each task (from its slot's thread); without `began`
    it is a sentence too; `stepped` each step of a workflow whose state changes. `progress` is what the slots
    do now, for who watches.
    """

    def __init__(
        self,
        app: App,
        *,
        mode: str,
        machine: str,
        types: Sequence[str],
        slots: int,
        talk: Callable[[str], None],
        ended: Callable[[Ended], None],
        began: Callable[[Claim], None] | None = None,
        only: Sequence[str] = (),
        stepped: Callable[[Claim, Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._came_to: dict[str, str] = {}
        self._app = app
        self._mode = mode
        self._talk = talk
        self._tell = ended
        self._stepped = stepped
        self._tell_began = began or self._talk_began
        self._inbox: SimpleQueue[Claim | None] = SimpleQueue()
        self._room = Room(1 if mode == "once" else slots)
        self._lock = threading.Lock()
        self._registering = threading.Lock()
        self._signals: list[int] = []
        self._seen = 0
        self._deadline: float | None = None
        self._abandoned = False
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._lease = float(app.config.worker.lease)
        self._trust = Trust(self._lease)
        self._neighbours = Neighbours(app.store)
        # What an earlier keeper of this machine left behind must be gone before anything new runs.
        sweep()
        self._teller = Teller(app.hook.on_event, talk) if app.hook.on_event.get_hookimpls() else None
        self._retention = Retention(app.config.retention)
        self._worker = make_worker(app, machine=machine, types=types, slots=self._room.slots)
        self._writer = self._make_writer()
        self._writer.only = tuple(only)
        self._slots = [self._make_slot(n) for n in range(self._room.slots)]
        self._with_keepers()

    # Parts

    def _make_writer(self) -> Writer:
        hooks = Hooks(
            free=self._free,
            start=self._start,
            renewed=self._renewed,
            lost=lambda claim: self._end(claim, "lost_claim", kill=True),
            cancel=lambda claim: self._end(claim, "cancelled"),
            claim=lambda queue, worker, request: self._app.hook.claim(queue=queue, worker=worker, request=request),
            dead=self._neighbours.dead,
            dying=lambda: self._neighbours.dying,
            talk=self._talk,
            told=self._told if self._teller is not None else None,
            prune=self._retention.due,
        )
        settings = self._app.config.worker
        return Writer(
            self._app.store,
            self._worker,
            self._trust,
            hooks,
            lease=self._lease,
            renew=min(float(settings.renew), self._lease / 3),
            poll=float(settings.poll),
        )

    def _make_slot(self, number: int) -> Slot:
        return Slot(
            number,
            app=self._app,
            desk=self._writer,
            inbox=self._inbox,
            redaction=Redaction.of({**os.environ, **given_to(self._app.agents)}, self._app.config.redact),
            machine=self._worker.machine,
            env=dict(os.environ),
            began=self._began,
            ended=self._ended,
            failed=self._failed,
            replaced=self._replaced,
            stepped=self._stepped,
            away=self._away,
            back=self._room.back,
        )

    def _with_keepers(self) -> None:
        """The worker with the keepers that have to be gone before it counts as dead."""
        keepers = tuple(keeper.identity for slot in self._slots for keeper in slot.keepers.all)
        self._worker = self._writer.worker = replace(self._worker, keepers=keepers)

    def _replaced(self) -> None:
        with self._registering:
            self._with_keepers()
            self._writer.commit([Register(worker=self._worker)])

    # The writer's and the slots' calls

    def _free(self, ending: int) -> int:
        """Slots that can take a claim, those included whose result is just being committed."""
        if self._mode == "once" and self._room.started:
            return 0
        return self._room.free(ending)

    def _start(self, claim: Claim) -> None:
        self._room.take(claim)
        self._inbox.put(claim)

    def _began(self, claim: Claim) -> None:
        self._tell_began(claim)
        self._renewed(claim)
        if self._abandoned:
            self._end(claim, "released")

    def _talk_began(self, claim: Claim) -> None:
        assert claim.task is not None
        self._talk(f"task {claim.key} {claim.task.type}: started")

    def _told(self, ops: Sequence[Op], results: Sequence[Any]) -> None:
        assert self._teller is not None
        self._teller.tell(events_of(ops, results, self._worker.id))

    def _renewed(self, claim: Claim) -> None:
        for slot in self._slots:
            slot.trust(claim, self._trust.left((claim.id, claim.epoch)))

    def _ended(self, claim: Claim, ended: Ended) -> None:
        self._room.give(claim)
        with self._lock:
            self._came_to[ended.task.id] = ended.status or "lost"
        self._tell(ended)
        self._writer.look()
        if self._mode == "once":
            self._writer.idle.set()  # the main thread waits for just this: there is nothing more to look for

    def _away(self, claim: Claim) -> None:
        """A task only waits for others elsewhere: what it does not need, another may have."""
        if self._mode == "once" or not self._room.leave(claim):
            return
        with self._registering:
            if len(self._slots) <= self._room.held:
                slot = self._make_slot(len(self._slots))
                self._slots = [*self._slots, slot]
                self._with_keepers()
                self._writer.commit([Register(worker=self._worker)])
                slot.start()
        self._writer.look()

    def _failed(self, error: BaseException) -> None:
        self._error = self._error or error
        self._over.set()

    def _end(self, claim: Claim, reason: str, *, kill: bool = False) -> None:
        for slot in self._slots:
            slot.end(claim, reason, kill=kill)

    # The whole

    @property
    def progress(self) -> tuple[Progress, ...]:
        """What each slot does now, and what workflows in them run beside."""
        return tuple(one for slot in self._slots for one in (slot.progress, *slot.keepers.busy))

    @property
    def counts(self) -> Counter[str]:
        """How many tasks this worker left in which status; one that was tried again counts once."""
        return Counter(self._came_to.values())

    def run(self) -> int:
        """Work until the mode's end → the exit code. Raises what made the store unusable."""
        self._limits()
        writer = threading.Thread(target=self._writing, name="writer", daemon=True)
        watch = threading.Thread(target=self._watching, name="trust", daemon=True)
        before = self._signal_handlers()
        try:
            writer.start()
            watch.start()
            for slot in self._slots:
                slot.start()
            publish_left(self._app, self._writer, self._worker.machine, self._talk)
            with prints.routed():
                self._until_over()
        finally:
            self._close(writer)
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._error is not None:
            raise self._error
        return self._exit_code()

    def _writing(self) -> None:
        self._writer.run()
        if self._writer.error is not None:
            self._failed(self._writer.error)
        self._over.set()

    def _until_over(self) -> None:
        """In the main thread, where signals arrive: wait for what ends this mode."""
        while not self._over.is_set():
            ending = self._mode != "loop" or self._seen > 0
            (self._writer.idle if ending else self._over).wait(_REACT_SECONDS)
            self._react()
            if ending and not self._room.busy and (self._seen or self._writer.idle.is_set() or self._had_its_one()):
                return

    def _had_its_one(self) -> bool:
        return self._mode == "once" and self._room.started > 0

    def _watching(self) -> None:
        """End what runs under a claim that can't be trusted any more, whatever the writer waits for."""
        while not self._over.wait(min(1.0, self._trust.next() or 1.0)):
            for key in self._trust.over():
                self._trust.forget(key)
                claim = self._writer.held.get(key)
                if claim is not None:
                    self._talk(f"task {claim.key}: the store was not reached in time; ending it")
                    self._end(claim, "lost_claim", kill=True)

    def _limits(self) -> None:
        limits = self._app.config.limits
        named = {f"type:{name}": most for name, most in limits.types.items()}
        named.update({f"account:{name}": most for name, most in limits.accounts.items()})
        if named:
            self._app.store.commit([PutLimits(limits=named, project=self._app.project_id)])

    def _close(self, writer: threading.Thread) -> None:
        for _ in self._slots:
            self._inbox.put(None)
        if self._error is None:
            for slot in self._slots:
                slot.join(_LAST_SECONDS if self._abandoned else None)
            self._hand_back()
        self._writer.stop()
        self._over.set()
        writer.join(5.0)
        if self._teller is not None:
            self._teller.close()
        for slot in self._slots:
            slot.close()
        if self._error is None:
            try:
                self._app.store.commit([Forget(worker=self._worker.id)])
            except Exception:
                pass  # the row is only a row: it is forgotten with the next reclaim

    def _hand_back(self) -> None:
        """Claims of slots that would not end (a handler in a system call that does not return)."""
        stuck = [Release(fence=claim, reason="the worker was told to end") for claim in self._writer.held.values()]
        if stuck and self._abandoned:
            for slot in self._slots:
                slot.close()
            self._writer.commit(stuck)

    def _exit_code(self) -> int:
        if self._abandoned:
            return statuses.EXIT_INTERRUPTED
        if self._mode == "loop":
            return statuses.EXIT_OK
        if self.counts[statuses.FAILED]:
            return statuses.EXIT_FAILED
        if self.counts[statuses.NEEDS_HUMAN]:
            return statuses.EXIT_HUMAN
        return statuses.EXIT_OK

    # Signals

    def _signal_handlers(self) -> dict[int, Any]:
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, self._signal) for number in (signal.SIGINT, signal.SIGTERM)}

    def _signal(self, number: int, frame: FrameType | None) -> None:
        """Only noted here: a handler may interrupt anything, also what holds a lock."""
        self._signals.append(number)

    def _react(self) -> None:
        """First signal: claim nothing more, finish what runs. Second: end it and hand the claims back."""
        while self._seen < len(self._signals):
            number = self._signals[self._seen]
            self._seen += 1
            self._writer.claiming = False
            for slot in self._slots:
                slot.pause()
            if self._seen > 1:
                self._abandon()
                continue
            if self._room.busy:
                self._talk("finishing what runs; again to end it now")
            if number == signal.SIGTERM:
                self._deadline = time.monotonic() + float(self._app.config.worker.grace)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._deadline = None
            self._talk("the time to finish is over; ending what runs")
            self._abandon()

    def _abandon(self) -> None:
        self._abandoned = self._writer.giving_up = True
        for claim in list(self._writer.held.values()):
            self._end(claim, "released")
