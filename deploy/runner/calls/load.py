"""Fills the line on purpose, both ways, for a time that is set beforehand. Only a lab has the other end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

AT_A_TIME = 4
"""Transfers each way, as browsers have them."""
_PIECE = bytes(16384)
_CONNECT_SECONDS = 10.0


@contextmanager
def filled(transfers: str, seconds: float) -> Iterator[None]:
    """The line is full meanwhile. `transfers`: address and port of who takes and sends; raises OSError without it.

    Every transfer ends after `seconds`, also where we do not live so long: the other end counts too.
    """
    host, _, port = transfers.rpartition(":")
    over = threading.Event()
    until = time.monotonic() + seconds
    channels = [socket.create_connection((host, int(port)), _CONNECT_SECONDS) for _ in range(2 * AT_A_TIME)]
    threads = [
        threading.Thread(target=_transfer, args=(channel, way, seconds, until, over))
        for channel, way in zip(channels, ["up", "down"] * AT_A_TIME, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _transfer(channel: socket.socket, way: str, seconds: float, until: float, over: threading.Event) -> None:
    with channel, suppress(OSError):
        channel.settimeout(5)
        # Goes on until packets are lost, as large transfers do; every kernel has it.
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        channel.sendall(f"{way} {seconds:.0f}\n".encode())
        while not over.is_set() and time.monotonic() < until:
            if way == "up":
                channel.sendall(_PIECE)
            else:
                channel.recv(65536)
