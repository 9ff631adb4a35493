"""The bench itself, with a tiny set: one machine, two tools, a line without delay. No figure of time is asserted."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import Iterator

import pytest

from deploy.lab.image import machine_image
from tests.bench import line as line_module
from tests.bench import machines as machines_module
from tests.bench.__main__ import Bench
from tests.bench.line import Line, Proxy
from tests.bench.machines import machines
from tests.bench.report import page

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machines_module, "SLUG", "bench-thu")  # a bench may be at work on this laptop
        with machines(("vp01",), machine_image("13")) as made, Proxy(made.namespaces) as proxy:
            yield Bench(made, proxy, tmp_path_factory.mktemp("bench"), ("lienxa", "pyinfra"))


def test_every_tool_comes_to_the_same_end_and_is_counted(bench: Bench) -> None:
    records = list(bench.round(["0 ms"], ["first", "again"]))
    assert [(record.phase, record.tool) for record in records] == [
        ("first", "lienxa"),
        ("first, kit there", "lienxa"),
        ("again", "lienxa"),
        ("first", "pyinfra"),
        ("again", "pyinfra"),
    ]
    assert all(record.up and record.down and record.memory and record.seconds for record in records)
    first, there, again, *_ = records
    assert first.up > 3_000_000 > 100_000 > there.up
    assert again.up + again.down < 60_000
    assert "| a run that changes nothing | pyinfra |" in page(records)


def test_a_changed_template_crosses_the_line_alone(bench: Bench) -> None:
    alone = dataclasses.replace(bench, wanted=("lienxa",), scratch=bench.scratch / "template")
    (record,) = alone.round([], ["template"])
    assert record.up + record.down < 60_000


def test_a_tool_that_leaves_something_else_is_found_out(bench: Bench) -> None:
    alone = dataclasses.replace(bench, wanted=("lienxa",), scratch=bench.scratch / "else")
    list(alone.round([], ["again"]))
    template = alone.tools["lienxa"].templates / "common.conf.j2"
    template.write_text(f"{template.read_text()}more = 1\n")
    with pytest.raises(RuntimeError, match="lienxa leaves the machines otherwise"):
        list(alone.round([], ["again"]))


def test_the_line_delays_both_ways_and_counts_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, up, down = asyncio.run(_echo(Line(rtt=0.05, rate=1e6), 10_000, monkeypatch))
    assert (up, down) == (10_000, 10_000)
    assert seconds >= 0.05 + 0.05 + 2 * 8 * 10_000 / 1e6  # connecting, there and back, at the line's rate


async def _echo(line: Line, size: int, monkeypatch: pytest.MonkeyPatch) -> tuple[float, int, int]:
    """How long so many bytes take to a machine that sends them back, and what was counted."""

    async def machine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(size))
        writer.close()

    clock = asyncio.get_running_loop().time
    echo = await asyncio.start_server(machine, "127.0.0.1", 0)
    monkeypatch.setattr(line_module, "enter_and_connect", lambda _: _connected(echo.sockets[0].getsockname()))
    proxy = await asyncio.start_server(lambda r, w: line.connect(r, w, ""), "127.0.0.1", 0)
    begun = clock()
    reader, writer = await asyncio.open_connection(*proxy.sockets[0].getsockname())
    writer.write(bytes(size))
    assert await reader.read() == bytes(size)
    writer.close()
    return clock() - begun, line.up.bytes, line.down.bytes


def _connected(address: tuple[str, int]) -> socket.socket:
    made = socket.create_connection(address)
    made.setblocking(False)
    return made
