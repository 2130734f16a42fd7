"""The keeper's service loop: one request after the other until its client is gone."""

from __future__ import annotations

import math
import os
import signal
import socket
import time

from runner.host import start_time
from runner.keeper.capture import Buffer
from runner.keeper.run import Run
from runner.keeper.scan import Secrets
from runner.keeper.tree import adopt_orphans
from runner.keeper.wire import Inbox, encode

TYPE_CHECKING = False  # importing `typing` would cost the keeper's start 4 ms
if TYPE_CHECKING:
    from typing import Any

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Service:
    """What a run needs of the keeper: its socket, its wake-up descriptor, its mark, its grace time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.grace = 5.0
        self.trusted_until = math.inf
        self.mark = f"{os.getpid()}:{start_time(os.getpid())}"
        self.wake, write_end = os.pipe()
        for fd in (self.wake, write_end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        self.inbox = Inbox(sock)

    def send(self, message: dict[str, Any]) -> None:
        """Tell the client; a client that is gone is noticed when the socket is read."""
        try:
            self.sock.sendall(encode(message))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def trust(self, seconds: float | None) -> None:
        """The client may be trusted for so long from now; None for ever. A client that is stopped can't say more."""
        self.trusted_until = math.inf if seconds is None else time.monotonic() + seconds

    def take_fd(self) -> int | None:
        """The descriptor that came with the request, if there is one."""
        return self.inbox.fds.pop(0) if self.inbox.fds else None


def serve(fd: int) -> None:
    """Serve the client at the other end of the socket `fd` until it hangs up.

    What a client sent to a run that was over by then ("end", "more") is read here, and means nothing.
    """
    _settle_in(fd)
    service = Service(socket.socket(fileno=fd))
    secrets: Secrets | None = None
    buffer: Buffer | None = None
    while service.inbox.receive():
        while service.inbox.messages:
            message = service.inbox.messages.pop(0)
            if "configure" in message:
                service.grace = message["grace"]
                secrets = Secrets(message["secrets"], message["patterns"])
                buffer = Buffer(secrets.held)
            elif "trust" in message:
                service.trust(message["trust"])
            elif "argv" in message:
                assert secrets is not None
                assert buffer is not None
                service.send(Run(service, message, secrets, buffer).go())


def _settle_in(fd: int) -> None:
    """Own nothing but the socket and the three null streams; die of nothing but the end of the client."""
    for name in os.listdir("/dev/fd"):
        number = int(name)
        if number > 2 and number != fd:
            try:
                os.close(number)
            except OSError:
                pass  # the descriptor of the listing itself
    os.set_inheritable(fd, False)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the client started us with these blocked
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    adopt_orphans()
    os.chdir("/")
