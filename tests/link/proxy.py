"""A bad line on purpose: TCP on loopback to a program's standard input and output, delayed, slowed, cut.

For tests. Runs in a thread of its own; everything in it ends by itself or with `close`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

_CHUNK = 1 << 14
_ON_WAY = 8
"""Pieces that are on their way at most: what a cut may swallow. A line with deep buffers would never get anywhere."""
_HOLE_SECONDS = 40.0
"""How long the machine's side of a black hole is kept open: it hears nothing and gets no RST."""


class Sort(StrEnum):
    """How a line is cut."""

    RESET = "reset"
    """Both ends are told at once."""
    BLACK_HOLE = "black_hole"
    """Nobody is told anything; bytes go nowhere."""


@dataclass(frozen=True)
class Cut:
    """When a connection is cut, counted from its beginning: whichever comes first."""

    sort: Callable[[], Sort | None]
    """Asked at that moment; None: it is left whole after all."""
    after_seconds: float | None = None
    after_bytes: int | None = None


@dataclass(frozen=True)
class Made:
    """A cut that was made."""

    line: str
    sort: Sort
    at: float
    """time.monotonic()."""
    carried: int
    """Bytes that this connection had carried, both ways."""


Plan = Callable[[str, int], Cut | None]
"""For the line of this name and its connection of this number, from 0: whether and when it is cut."""


@dataclass
class Line:
    """The line to one machine. What is set here counts for connections that are open, too."""

    name: str
    command: Sequence[str]
    """The program whose standard input and output are the other end."""
    delay: float = 0.0
    """Seconds, each way."""
    rate: float | None = None
    """Bytes a second, each way; None: as fast as it goes."""
    refuse: bool = False
    swallow: bool = False
    """New connections are black holes from their beginning."""
    port: int = 0
    connections: int = 0
    carried: int = 0


@dataclass(eq=False)
class _Connection:
    line: Line
    number: int
    writer: asyncio.StreamWriter
    process: asyncio.subprocess.Process | None = None
    hole: bool = False
    carried: int = 0
    planned: Cut | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Lines to machines, each on a port of its own on loopback. A context manager."""

    def __init__(self, lines: Sequence[Line], plan: Plan | None = None) -> None:
        self.lines = {line.name: line for line in lines}
        self.made: list[Made] = []
        self.plan = plan
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bad-line", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def cut(self, sort: Sort, *names: str) -> int:
        """Cut the connections that are open on these lines (all without names) now; how many there were."""

        async def work() -> int:
            chosen = [each for each in self._open if not each.hole and (not names or each.line.name in names)]
            for each in chosen:
                self._cut(each, sort)
            return len(chosen)

        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        self._loop.close()

    async def _listen(self) -> None:
        self._servers = []
        for line in self.lines.values():
            listening = socket.socket()
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * _CHUNK)
            listening.bind(("127.0.0.1", 0))
            server = await asyncio.start_server(self._answer(line), sock=listening, limit=2 * _CHUNK)
            line.port = listening.getsockname()[1]
            self._servers.append(server)

    def _answer(self, line: Line) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._serve(line, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return answer

    async def _serve(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if line.refuse:
            _reset(writer)
            return
        each = _Connection(line, line.connections, writer, hole=line.swallow)
        line.connections += 1
        self._open.add(each)
        each.planned = self.plan(line.name, each.number) if self.plan else None
        timer = asyncio.create_task(self._cut_in_time(each))
        try:
            if not each.hole:
                await self._carry(each, reader)
            if each.hole:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(each.over.wait(), _HOLE_SECONDS)
        finally:
            timer.cancel()
            self._open.discard(each)
            await _end(each)

    async def _carry(self, each: _Connection, reader: asyncio.StreamReader) -> None:
        each.process = await asyncio.create_subprocess_exec(
            *each.line.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert each.process.stdin
        assert each.process.stdout
        pumps = [
            asyncio.create_task(self._pump(each, reader, each.process.stdin)),
            asyncio.create_task(self._pump(each, each.process.stdout, each.writer)),
            asyncio.create_task(each.over.wait()),
        ]
        _, rest = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in rest:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, each: _Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Bytes arrive `delay` after they were sent, however many are on their way."""
        on_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=_ON_WAY)
        deliver = asyncio.create_task(self._deliver(each, on_way, sink))
        try:
            while not each.hole and (piece := await source.read(_CHUNK)):
                await on_way.put((time.monotonic() + each.line.delay, piece))
                if each.line.rate:
                    await asyncio.sleep(len(piece) / each.line.rate)
            if not each.hole:
                await on_way.put((0, b""))
                await deliver
        except OSError:
            pass
        finally:
            deliver.cancel()

    async def _deliver(
        self, each: _Connection, on_way: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, piece = await on_way.get()
                if (wait := due - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                if each.hole or not piece:
                    return
                sink.write(piece)
                await sink.drain()
                each.carried += len(piece)
                each.line.carried += len(piece)
                if each.planned and each.planned.after_bytes and each.carried >= each.planned.after_bytes:
                    self._cut_as_planned(each)

    async def _cut_in_time(self, each: _Connection) -> None:
        if each.planned and each.planned.after_seconds is not None:
            await asyncio.sleep(each.planned.after_seconds)
            self._cut_as_planned(each)

    def _cut_as_planned(self, each: _Connection) -> None:
        sort = each.planned.sort() if each.planned and not each.hole else None
        each.planned = None
        if sort is not None:
            self._cut(each, sort)

    def _cut(self, each: _Connection, sort: Sort) -> None:
        self.made.append(Made(each.line.name, sort, time.monotonic(), each.carried))
        if sort is Sort.BLACK_HOLE:
            each.hole = True
            # Its `_carry` ends; `_serve` then keeps both sides open, in silence.
            each.over.set()
            each.over = asyncio.Event()
        else:
            _reset(each.writer)
            each.over.set()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for each in list(self._open):
            each.over.set()
        tasks = list(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=5)
            for task in late:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _end(each: _Connection) -> None:
    each.writer.transport.abort()
    process = each.process
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    if process.stdin:
        process.stdin.close()
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()
    await process.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with an RST instead of a FIN."""
    plain = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class SeededCuts:
    """A plan of so many cuts, half of each sort, at random moments of random connections.

    When all have been made, the line stays whole. Which line is cut when depends on its own seed alone.
    """

    def __init__(self, seed: int, total: int, mean_seconds: float, *, slowest: float = 20.0) -> None:
        half = [Sort.RESET, Sort.BLACK_HOLE] * ((total + 1) // 2)
        self._sorts = half[:total]
        random.Random(seed).shuffle(self._sorts)
        self._seed = seed
        self._mean = mean_seconds
        self._slowest = slowest
        self._randoms: dict[str, random.Random] = {}

    def __call__(self, line: str, number: int) -> Cut | None:
        if not self._sorts:
            return None
        own = self._randoms.setdefault(line, random.Random(f"{self._seed} {line}"))
        return Cut(self._next, after_seconds=min(own.expovariate(1 / self._mean), self._slowest))

    def _next(self) -> Sort | None:
        return self._sorts.pop() if self._sorts else None


def every(seconds: float | None = None, kilobytes: int | None = None, sorts: Iterator[Sort] | None = None) -> Plan:
    """Cut each connection after so many seconds or kB."""

    def plan(line: str, number: int) -> Cut:
        return Cut(lambda: next(sorts) if sorts else Sort.RESET, seconds, kilobytes * 1000 if kilobytes else None)

    return plan
