"""One unit of a worker's concurrency: a thread that runs claimed tasks, and the keeper that owns their processes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from runner.engine.context import Stop
from runner.engine.held import Held
from runner.engine.run import Run
from runner.errors import StoreError
from runner.progress import Progress
from runner.worker.keepers import SlotKeepers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from queue import SimpleQueue

    from runner.app import App
    from runner.engine.desk import Desk
    from runner.engine.run import Ended
    from runner.keeper import Redaction
    from runner.model import Claim


class Slot:
    """Takes claims from the shared inbox, one at a time, until it gets None."""

    def __init__(
        self,
        number: int,
        *,
        app: App,
        desk: Desk,
        inbox: SimpleQueue[Claim | None],
        redaction: Redaction,
        machine: str,
        env: Mapping[str, str],
        began: Callable[[Claim], None],
        ended: Callable[[Claim, Ended], None],
        failed: Callable[[BaseException], None],
        replaced: Callable[[], None],
        stepped: Callable[[Claim, Mapping[str, Any]], None] | None = None,
        away: Callable[[Claim], None],
        back: Callable[[Claim, Stop], None],
    ) -> None:
        """`away` and `back`: its task only waits for tasks elsewhere, and does so no more."""
        self.keepers = SlotKeepers(number, redaction, replaced)
        self.claim: Claim | None = None
        self.progress = Progress(redaction.text)
        self._app = app
        self._desk = desk
        self._inbox = inbox
        self._redaction = redaction
        self._machine = machine
        self._env = env
        self._began = began
        self._ended = ended
        self._failed = failed
        self._stepped = stepped
        self._away = away
        self._back = back
        self._stop = Stop()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"slot-{number}", daemon=True)

    def start(self) -> None:
        """Begin to take claims."""
        self._thread.start()

    def end(self, claim: Claim, reason: str, *, kill: bool = False) -> bool:
        """End the task of this claim → whether it runs here."""
        with self._lock:
            if self.claim is None or self.claim != claim:
                return False
            self._stop.now(reason, kill=kill)
            return True

    def pause(self) -> None:
        """Let a workflow begin no further step: it goes back to the queue when what runs has ended."""
        with self._lock:
            self._stop.pause()

    def trust(self, claim: Claim, seconds: float) -> None:
        """The claim was renewed: its keeper lets the children live for so long, also if this process is stopped."""
        with self._lock:
            if self.claim == claim:
                self.keepers.trust(seconds)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread's end."""
        self._thread.join(timeout)

    def close(self) -> None:
        """End the keepers, and with them whatever still runs."""
        self.keepers.close()

    def _run(self) -> None:
        while (claim := self._inbox.get()) is not None:
            try:
                self._one(claim)
            except OSError as error:
                # The engine turns a step's own trouble into an outcome; this is the state folder's.
                where = f" {error.filename}" if error.filename else ""
                self._failed(StoreError(f"the state folder can't be used:{where} {error.strerror or error}"))
                return
            except BaseException as error:
                self._failed(error)
                return

    def _one(self, claim: Claim) -> None:
        with self._lock:
            self.claim, self._stop = claim, Stop()
            stop = self._stop
        assert claim.task is not None
        self.keepers.begin(claim.task, stop)
        self.progress.begin(claim.task)
        self._began(claim)
        held = Held(
            self._app,
            claim,
            self._desk,
            self._redaction,
            stop,
            self._machine,
            self._env,
            away=lambda: self._away(claim),
            back=lambda: self._back(claim, stop),
        )
        stepped = self._stepped
        changed = None if stepped is None else lambda told: stepped(claim, told)
        run = Run(held, self.keepers.first, self.keepers, self.progress, changed)
        try:
            ended = run.run()
        finally:
            self.progress.end()
            with self._lock:
                self.claim = None
            self.keepers.trust(None)
            self.keepers.end()
        self._ended(claim, ended)
