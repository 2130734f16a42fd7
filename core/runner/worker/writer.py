"""The worker's one thread that writes: it claims for all slots, renews for all claims, settles what they finish.

Whatever is there goes into one commit: finished work, renewals, housekeeping and the next claims. A commit
that can't be made now is repeated with the same request id until the store is back. A slot that finds the writer
asleep, and only writes its journal on, commits by itself: waking a thread and being woken costs as much as a commit.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import RunnerError, StoreUnavailable
from runner.model import ClaimRequest
from runner.store import REFUSED, ClaimTasks, Register, Release, Renew, Settle, Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.model import Claim, Lane, Worker
    from runner.store import Op, Renewal, Store
    from runner.worker.trust import Trust

_TICK_SECONDS = 1.0
"""At most this often a busy worker does the queue's housekeeping; an idle one when there is some."""

_DYING_SECONDS = 0.6
"""How long to wait for the keepers of a dead neighbour, whose tasks can be taken as soon as they are gone."""


@dataclass(slots=True)
class Asked:
    """Ops of one caller that stand together, and their answer."""

    ops: Sequence[Op]
    done: threading.Event = field(default_factory=threading.Event)
    results: list[Any] = field(default_factory=list)
    error: BaseException | None = None


@dataclass(slots=True)
class Hooks:
    """What the writer calls back: slots to fill, claims to drop, the `claim` hook, words for people."""

    free: Callable[[int], int]
    start: Callable[[Claim], None]
    renewed: Callable[[Claim], None]
    lost: Callable[[Claim], None]
    cancel: Callable[[Claim], None]
    claim: Callable[[Any, Worker, ClaimRequest], list[Claim]]
    dead: Callable[[], tuple[str, ...]]
    dying: Callable[[], bool]
    talk: Callable[[str], None]
    told: Callable[[Sequence[Op], Sequence[Any]], None] | None = None
    prune: Callable[[], Op | None] = lambda: None


class ClaimQueue:
    """What the `claim` hook gets: one commit of settled work and the claim together."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.results: list[Any] | None = None

    def lanes(self) -> list[Lane]:
        """The lanes, for a wrapper that narrows the request."""
        return self._writer.store.queue.lanes()

    def take(self, worker: Worker, request: ClaimRequest) -> list[Claim]:
        """Commit `request.settle` and claim up to `request.limit` tasks."""
        ops = list(request.settle)
        if request.limit > 0:
            ops.append(
                ClaimTasks(
                    worker=worker,
                    limit=request.limit,
                    lanes=request.lanes,
                    excluded_accounts=request.excluded_accounts,
                    only=request.only,
                    lease=request.lease,
                )
            )
        results = self._writer.commit_now(ops)
        self.results = results[: len(request.settle)]
        return list(results[-1]) if request.limit > 0 else []


class Writer:
    """The writer thread. Slots call `commit`; everything else happens in `run`."""

    def __init__(
        self, store: Store, worker: Worker, trust: Trust, hooks: Hooks, *, lease: float, renew: float, poll: float
    ) -> None:
        self.store = store
        self.worker = worker
        self.held: dict[tuple[str, int], Claim] = {}
        self.claiming = True
        self.only: tuple[str, ...] = ()
        self.giving_up = False
        """Set when the worker must end: a store that is away is not waited for any more."""
        self.idle = threading.Event()
        self.error: BaseException | None = None
        self._trust = trust
        self._hooks = hooks
        self._lease = lease
        self._renew_every = renew
        self._poll = poll
        self._asked: deque[Asked] = deque()
        self._turn = threading.Lock()
        """Held by whoever does a round: this thread, or a slot that commits by itself."""
        self._stop = False
        self._renewed = time.monotonic()
        self._ticked = 0.0
        self._away = False
        self._look = True
        self._empty = 0
        self._requests = itertools.count()

    # For other threads

    def commit(self, ops: Sequence[Op]) -> list[Any]:
        """Have `ops` committed with the next round → their results; raises what the store raised."""
        asked = Asked(ops)
        if not self._at_once(asked):
            self._asked.append(asked)
            self.store.wake()
            asked.done.wait()
        if asked.error is not None:
            raise asked.error
        return asked.results

    def _at_once(self, asked: Asked) -> bool:
        """Commit in the caller's own thread, where nobody does a round and this is no reason for one."""
        if any(isinstance(op, (Settle, Release)) for op in asked.ops) or not self._turn.acquire(blocking=False):
            return False
        try:
            due = time.monotonic() - self._ticked >= _TICK_SECONDS
            if due or self._look or self._asked or self._stop or self.error is not None:
                return False
            self._alone(asked)
        except StoreUnavailable:
            return False  # the worker gives up: the thread has to see that for itself
        except RunnerError as error:
            asked.error = error
        finally:
            self._turn.release()
        return True

    def post(self, ops: Sequence[Op]) -> None:
        """Have `ops` committed with the next round, without waiting."""
        self._asked.append(Asked(ops))
        self.store.wake()

    def stop(self) -> None:
        """End the thread once nothing is asked any more."""
        self._stop = True
        self.store.wake()

    def look(self) -> None:
        """Something changed (a slot is free, draining began): do a round now."""
        self._look = True
        self.store.wake()

    # The thread

    def run(self) -> None:
        """Rounds until stopped. A store that is damaged ends the worker; one that is away does not."""
        try:
            with self._turn:
                known = Renew(worker=self.worker.id, claims=(), lease=self._lease)
                self.commit_now([Register(worker=self.worker), known])
            while not (self._stop and not self._asked):
                self._round()
        except BaseException as error:
            self.error = error
        finally:
            self._fail_asked(self.error or RunnerError("the worker has stopped"))
            self.idle.set()

    def _round(self) -> None:
        with self._turn:
            idle = self._busy_round()
        if idle is not None:
            self._wait(idle)

    def _busy_round(self) -> int | None:
        """One commit of what there is; with nothing to commit, how many slots are free."""
        asked = [self._asked.popleft() for _ in range(len(self._asked))]
        now = time.monotonic()
        renewing = now - self._renewed >= self._renew_every
        # A slot that hands in its result is free by the time the next claim arrives: one commit for both.
        ending = sum(any(isinstance(op, (Settle, Release)) for op in one.ops) for one in asked)
        free = self._hooks.free(ending) if self.claiming else 0
        if not (asked or renewing or (free and self._look)):
            return free
        if not ending and not self._look:
            free = 0
        self._look = False
        housekeeping = self._housekeeping(now, renewing)
        claims = self._claim(asked, housekeeping, free)
        for claim in claims:
            self._hooks.start(claim)
        self._after(asked, claims, free)
        return None

    def _housekeeping(self, now: float, renewing: bool) -> list[Op]:
        ops: list[Op] = []
        if renewing:
            self._renewed = now
            ops.append(Renew(worker=self.worker.id, claims=tuple(self.held.values()), lease=self._lease))
        if now - self._ticked >= _TICK_SECONDS:
            self._ticked = now
            ops.append(Tick(dead=self._hooks.dead()))
            prune = self._hooks.prune()
            if prune is not None:
                ops.append(prune)
        return ops

    def _claim(self, asked: list[Asked], housekeeping: list[Op], free: int) -> list[Claim]:
        """One commit of everything, through the `claim` hook when there is room for more."""
        ops = [op for one in asked for op in one.ops]
        request = ClaimRequest(limit=free, settle=(*ops, *housekeeping), lease=self._lease, only=self.only)
        queue = ClaimQueue(self)
        sent = time.monotonic()
        claims: list[Claim] = []
        try:
            if free:
                claims = list(self._hooks.claim(queue, self.worker, request) or [])
            if queue.results is None:  # no room, or a plugin that did not take
                claims = queue.take(self.worker, ClaimRequest(limit=0, settle=request.settle))
        except RunnerError as error:
            if queue.results is None:
                self._answer_alone(asked, error)
                return []
            self._hooks.talk(f"claim: {error}")
        except Exception as error:
            self._hooks.talk(f"claim: {type(error).__name__}: {error}")
            if queue.results is None:
                queue.take(self.worker, ClaimRequest(limit=0, settle=request.settle))
        for claim in claims:
            self.held[claim.id, claim.epoch] = claim
            self._trust.granted((claim.id, claim.epoch), sent)
        self._answer(asked, housekeeping, queue.results or [], sent)
        return claims

    def _answer(self, asked: list[Asked], housekeeping: list[Op], results: list[Any], sent: float) -> None:
        place = 0
        for one in asked:
            one.results = results[place : place + len(one.ops)]
            place += len(one.ops)
            self._note_ends(one)
        for op, result in zip(housekeeping, results[place:], strict=False):
            if isinstance(op, Renew):
                self._renewals(result, sent)
            elif isinstance(op, Tick) and (result.more or result.reclaimed or result.promoted or result.released):
                self._look = True
        for one in asked:
            one.done.set()

    def _answer_alone(self, asked: list[Asked], error: RunnerError) -> None:
        """One caller's ops were refused as a whole: each is tried alone, so that the others go through."""
        if isinstance(error, StoreUnavailable):
            raise error
        for one in asked:
            try:
                self._alone(one)
            except RunnerError as own:
                one.error = own
            one.done.set()

    def _alone(self, one: Asked) -> None:
        """A commit of one caller's ops."""
        one.results = self.commit_now(list(one.ops))
        self._note_ends(one)

    def _note_ends(self, one: Asked) -> None:
        """Claims that these ops ended need no renewal any more."""
        for op, result in zip(one.ops, one.results, strict=True):
            if op.fence is None:
                continue
            key = (op.fence.id, op.fence.epoch)
            if isinstance(op, (Settle, Release)) or result == REFUSED:
                self.held.pop(key, None)
                self._trust.forget(key)
                self._look = True

    def _renewals(self, renewals: list[Renewal], sent: float) -> None:
        for renewal in renewals:
            key = (renewal.id, renewal.epoch)
            claim = self.held.get(key)
            if claim is None:
                continue
            if not renewal.ok:
                self.held.pop(key, None)
                self._trust.forget(key)
                self._hooks.lost(claim)
                continue
            self._trust.granted(key, sent)
            self._hooks.renewed(claim)
            if renewal.cancel:
                self._hooks.cancel(claim)

    def _after(self, asked: list[Asked], claims: list[Claim], free: int) -> None:
        """Whether there is nothing to do for this worker now (for `--drain` and `--once`)."""
        if self.held or claims:
            self._empty = 0
            self.idle.clear()
        elif free and not self._asked and not self._look:
            # What was settled may have made work for us: one more look, with the housekeeping before it.
            self._empty += 1
            if self._empty == 1 and self._work_waits():
                self._ticked = 0.0
                self._look = True
            elif not self._hooks.dying():
                self.idle.set()

    def _wait(self, free: int) -> None:
        """Sleep until something happens; now and then look whether something did."""
        until_renewal = self._renewed + self._renew_every - time.monotonic()
        poll = _DYING_SECONDS if self._hooks.dying() else self._poll
        pause = min(poll * random.uniform(0.7, 1.3), max(0.0, until_renewal))
        why = self.store.wait_for_work(self.worker, pause)
        if why == "cancel" and self.held:
            self._renewed = 0.0
        elif why == "work":
            self._look = True
        elif why == "" and free and (self._hooks.dead() or not self.idle.is_set() or self._work_waits()):
            self._look = True
            self._ticked = 0.0

    def _work_waits(self) -> bool:
        try:
            return self.store.queue.work_waits(self.worker)
        except StoreUnavailable:
            return True  # the commit that follows waits for the store

    def commit_now(self, ops: list[Op]) -> list[Any]:
        """Commit; while the store is away, again with the same request id."""
        # In order: the answers that the store keeps for one worker lie side by side.
        request_id = f"{self.worker.id}-{next(self._requests):08d}"
        pause = 0.1
        while True:
            try:
                results = self.store.commit(ops, request_id)
            except StoreUnavailable as error:
                if not self._away:
                    self._hooks.talk(f"{error.message}; trying again")
                self._away = True
                if self.giving_up or (self._stop and not self.held):
                    raise
                time.sleep(pause * random.uniform(0.7, 1.3))
                pause = min(pause * 2, 2.0)
                continue
            if self._away:
                self._away = False
                self._hooks.talk("the store is back")
            if self._hooks.told is not None:
                self._hooks.told(ops, results)
            return results

    def _fail_asked(self, error: BaseException) -> None:
        while self._asked:
            one = self._asked.popleft()
            one.error = error
            one.done.set()
