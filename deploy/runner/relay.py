"""Lends APT the laptop's package cache under one address for the whole run, though the laptop comes and goes.

Each of the laptop's connections brings a port of its own, noted in a file by the receiver. When a newer one is there,
what still hangs on the older is closed, so that APT asks again at once and goes on where it was. While the laptop is
away, a request waits for it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

AWAY = 3900.0
"""Seconds that requests wait for a laptop that is away."""
_LOOK_SECONDS = 0.5
_CHUNK = 1 << 16


@contextmanager
def relayed(port: int, noted: Path, away: float = AWAY) -> Iterator[int]:
    """Relay from this port on loopback (or any, where it is taken) to the noted one; yields the port in use."""
    with _listening(port) as listener:
        relay = _Relay(listener, noted, away)
        thread = threading.Thread(target=relay.serve, name="package-relay", daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            relay.closing.set()
            thread.join(timeout=2 * _LOOK_SECONDS)


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return listener


class _Relay:
    def __init__(self, listener: socket.socket, noted: Path, away: float) -> None:
        self.closing = threading.Event()
        self._listener = listener
        self._noted = noted
        self._away = away
        self._seen = time.monotonic()
        """When the laptop was last there."""

    def serve(self) -> None:
        while not self.closing.is_set():
            if select.select([self._listener], [], [], _LOOK_SECONDS)[0]:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), name="package-relay", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            found = self._laptop(client)
            if found is not None:
                port, laptop = found
                with laptop:
                    self._pump(client, laptop, port)

    def _laptop(self, client: socket.socket) -> tuple[int, socket.socket] | None:
        """A connection to the laptop's cache, as soon as there is one; None when nobody waits for it any more."""
        while not self.closing.is_set() and time.monotonic() - self._seen < self._away:
            port = self._port()
            if port is not None:
                with contextlib.suppress(OSError):
                    laptop = socket.create_connection(("127.0.0.1", port), timeout=5)
                    laptop.settimeout(None)
                    self._seen = time.monotonic()
                    return port, laptop
            if _gone(client):
                return None
            self.closing.wait(_LOOK_SECONDS)
        return None

    def _pump(self, client: socket.socket, laptop: socket.socket, port: int) -> None:
        other = {client: laptop, laptop: client}
        while not self.closing.is_set() and self._port() == port:
            for ready in select.select([client, laptop], [], [], _LOOK_SECONDS)[0]:
                piece = ready.recv(_CHUNK)
                if not piece:
                    return
                if ready is laptop:
                    self._seen = time.monotonic()
                other[ready].sendall(piece)

    def _port(self) -> int | None:
        try:
            return int(self._noted.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None


def _gone(client: socket.socket) -> bool:
    """Whether APT has hung up; it sends nothing after its request, which is left in the socket."""
    poll = select.poll()
    poll.register(client, select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))
