"""The line between the laptop and the bench's machines: a TCP proxy with a round trip and a rate, which counts bytes.

A process of its own, told what to do by JSON lines on standard input; it answers one JSON line each:
`{"open": {MACHINE: NAMESPACE}}` gives a port on 127.0.0.1 per machine, `{"rtt": SECONDS, "rate": BIT_PER_S or null}`
sets the line and forgets the count, `{"count": true}` tells the bytes since. All machines share one line, as a
commune's do. Connecting costs a round trip more, as TCP's handshake would. What is not modelled: loss and slow start.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

from deploy.lab.laptop import as_root

_CLONE_NEWNET = 0x40000000
_PIECE = 1 << 14
_WINDOW = 4 << 20
"""Bytes that may be on the way at a time, as TCP's window would allow."""
_QUEUE_SECONDS = 0.2
"""How far ahead of the line's rate the sender is read: the buffer of a modem."""


@dataclass
class Way:
    """One direction of the line, shared by all machines."""

    bytes: int = 0
    free_at: float = 0.0

    def reserve(self, size: int, rate: float | None, now: float) -> float:
        """When the last bit of so many bytes has left."""
        self.bytes += size
        self.free_at = max(now, self.free_at) + (8 * size / rate if rate else 0.0)
        return self.free_at


@dataclass
class Line:
    """What the line is like now."""

    rtt: float = 0.0
    rate: float | None = None
    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    _open: set[asyncio.Task[None] | None] = field(default_factory=set)
    """asyncio itself forgets a task that nobody holds."""

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, namespace: str) -> None:
        """Serve one connection of the laptop's to its end."""
        task = asyncio.current_task()
        self._open.add(task)
        await asyncio.sleep(self.rtt)
        there = enter_and_connect(namespace)
        machine_reader, machine_writer = await asyncio.open_connection(sock=there)
        await asyncio.gather(
            self._carry(reader, machine_writer, self.up), self._carry(machine_reader, writer, self.down)
        )
        for end in (writer, machine_writer):
            end.close()
        self._open.discard(task)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way) -> None:
        clock = asyncio.get_running_loop().time
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WINDOW // _PIECE)
        delivery = asyncio.create_task(_deliver(under_way, sink))
        try:
            while piece := await source.read(_PIECE):
                left = way.reserve(len(piece), self.rate, clock())
                await under_way.put((left + self.rtt / 2, piece))
                await asyncio.sleep(max(0.0, left - clock() - _QUEUE_SECONDS))
        except ConnectionError:
            pass
        await under_way.put((clock() + self.rtt / 2, b""))
        await delivery


async def _deliver(under_way: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    alive = True
    while True:
        due, piece = await under_way.get()
        await asyncio.sleep(max(0.0, due - clock()))
        try:
            if not piece:
                if alive and sink.can_write_eof():
                    sink.write_eof()
                return
            if alive:
                sink.write(piece)
                await sink.drain()
        except (ConnectionError, OSError):
            alive = False  # the rest is taken and thrown away, so that the sender ends


def enter_and_connect(namespace: str) -> socket.socket:
    """A socket to sshd in a network namespace; a socket stays in the one in which it was made."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    other = os.open(namespace, os.O_RDONLY)
    try:
        if libc.setns(other, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot enter the machine's network")
        try:
            made = socket.create_connection(("127.0.0.1", 22), 5)
        finally:
            libc.setns(own, _CLONE_NEWNET)
    finally:
        os.close(own)
        os.close(other)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setblocking(False)
    return made


async def _serve() -> None:
    line = Line()
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), os.fdopen(0, "rb", buffering=0)
    )
    servers = []
    while raw := await commands.readline():
        command = json.loads(raw)
        answer: dict[str, Any] = {}
        for machine, namespace in command.get("open", {}).items():
            server = await asyncio.start_server(partial(line.connect, namespace=namespace), "127.0.0.1", 0)
            servers.append(server)
            answer[machine] = server.sockets[0].getsockname()[1]
        if "rtt" in command:
            line.rtt, line.rate = command["rtt"], command["rate"]
            line.up, line.down = Way(), Way()
        if "count" in command:
            answer = {"up": line.up.bytes, "down": line.down.bytes}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    os._exit(0)  # connections that are still there need no farewell


class Proxy:
    """The proxy's process, from the bench's side. A context manager."""

    def __init__(self, namespaces: dict[str, str]) -> None:
        command = as_root([sys.executable, "-m", "tests.bench.line"])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ports: dict[str, int] = self._tell({"open": namespaces})

    def become(self, rtt: float, rate: float | None = None) -> None:
        """Be a line with this round trip (seconds) and rate (bit/s), and count from zero."""
        self._tell({"rtt": rtt, "rate": rate})

    def count(self) -> tuple[int, int]:
        """Bytes from the laptop and to it since the last `become`."""
        told = self._tell({"count": True})
        return told["up"], told["down"]

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=10)

    def _tell(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told


if __name__ == "__main__":
    asyncio.run(_serve())
