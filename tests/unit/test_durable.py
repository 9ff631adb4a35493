"""What makes runs durable, without machines: patience, the relay, what the receiver remembers, words for troubles."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

from deploy.cli.duration import Duration
from deploy.fleet.patience import Backoff, Patience
from deploy.runner import receiver
from deploy.runner.receiver import Machine
from deploy.runner.relay import relayed
from deploy.runner.run import Paths
from deploy.runner.system_errors import reason_in


@pytest.mark.parametrize(("written", "seconds"), [("90s", 90), ("20m", 1200), ("1h", 3600)])
def test_a_length_of_time(written: str, seconds: float) -> None:
    assert Duration().convert(written, None, None) == seconds


@pytest.mark.parametrize("written", ["20", "m", "-1m", "1.5h", "20 m", "0s", "1d"])
def test_what_is_no_length_of_time_is_refused(written: str) -> None:
    with pytest.raises(click.BadParameter, match="write 90s, 20m or 1h"):
        Duration().convert(written, None, None)


def test_pauses_grow_differ_and_can_be_had_again() -> None:
    def pauses(machine: str, seed: int) -> list[float]:
        backoff = Backoff(machine, seed)
        return [backoff.pause() for _ in range(8)]

    assert pauses("gw1", 1) == pauses("gw1", 1) != pauses("gw1", 2)
    assert pauses("gw1", 1) != pauses("vp01", 1)
    assert all(0.25 * 2**n <= pause <= 0.75 * 2**n for n, pause in enumerate(pauses("gw1", 1)[:4]))
    assert max(pauses("gw1", 1)) <= 22.5


def test_a_slow_line_gets_more_time_for_its_first_word_until_it_answers() -> None:
    backoff = Backoff("gw1", 1)
    given = [backoff.hello, (backoff.pause(), backoff.hello)[1], (backoff.pause(), backoff.hello)[1]]
    assert given == [15.0, 22.5, 33.75]
    backoff.reached()
    assert backoff.hello == 15.0


def test_a_deadline_counts_instead_of_patience() -> None:
    assert Patience(first=30, lost=600).ends(100, None) == 130
    assert Patience(first=30, lost=600).ends(100, 200) == 800
    assert Patience(deadline=60).ends(100, None) == Patience(deadline=60).ends(100, 150) == 160


# the relay


def test_the_relay_hangs_up_when_the_laptop_comes_back_elsewhere(tmp_path: Path) -> None:
    noted = tmp_path / "package-port"
    with _cache(b"first ") as first, _cache(b"second ") as second, relayed(0, noted) as port:
        noted.write_text(str(first))
        with socket.create_connection(("127.0.0.1", port), 5) as apt:
            apt.sendall(b"GET")
            assert apt.recv(99) == b"first GET"
            noted.write_text(str(second))
            assert apt.recv(99) == b""  # at once: it asks again and goes on where it was
        with socket.create_connection(("127.0.0.1", port), 5) as apt:
            apt.sendall(b"GET")
            assert apt.recv(99) == b"second GET"


def test_a_request_waits_for_a_laptop_that_is_away(tmp_path: Path) -> None:
    noted = tmp_path / "package-port"
    with relayed(0, noted) as port, socket.create_connection(("127.0.0.1", port), 10) as apt:
        apt.sendall(b"GET")
        with _cache(b"back ") as cache:
            noted.write_text(str(cache))
            assert apt.recv(99) == b"back GET"


def test_a_laptop_that_stays_away_ends_the_request(tmp_path: Path) -> None:
    with (
        relayed(0, tmp_path / "none", away=0.2) as port,
        socket.create_connection(("127.0.0.1", port), 10) as apt,
    ):
        assert apt.recv(99) == b""


def test_the_relay_takes_another_port_where_its_own_is_taken(tmp_path: Path) -> None:
    with _cache(b"") as taken, relayed(taken, tmp_path / "none") as port:
        assert port != taken


# the receiver


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.prepare()
    return made


def test_runner_and_receiver_mean_the_same_file() -> None:
    assert Machine().lent_port == Paths().package_port


def test_the_run_that_is_on_tells_its_order(machine: Machine) -> None:
    machine.latest.write_text(json.dumps({"run": "r2", "order": "abc", "by": "an@laptop"}))
    assert machine.at_work("r2") == {"run": "r2", "order": "abc", "by": "an@laptop"}
    machine.latest.write_text(json.dumps({"run": "r1", "order": "abc"}))
    assert machine.at_work("r2") == {"run": "r2"}
    assert machine.at_work(None) is None


def test_a_run_without_a_last_word_was_cut_off(machine: Machine) -> None:
    machine.journal("r2").write_text('{"seq":0,"event":"run_started"}\n')
    assert machine.cut_off("r2") is None  # it is on
    assert machine.cut_off(None) == "r2"
    machine.journal("r2").write_text('{"seq":0,"event":"run_started"}\n{"seq":1,"event":"run_ended"}\n')
    assert machine.cut_off(None) is None


@pytest.mark.parametrize("begun", [True, False])
def test_an_empty_run_folder_means_that_the_machine_was_started_again(machine: Machine, begun: bool) -> None:
    """Not the clock: it may have been set in mid-run."""
    machine.latest.write_text(json.dumps({"run": "r1"}))
    if begun:
        machine.journal("r1").write_text("")
        os.utime(machine.journal("r1"), (0, 0))
    assert not receiver.why_gone(machine, "r1")["rebooted"]
    machine.latest.unlink()
    assert receiver.why_gone(machine, "r1")["rebooted"]


def test_a_connection_served_late_does_not_write_into_the_new_upload(machine: Machine) -> None:
    part = machine.kits / "content-1.0.part"
    part.write_bytes(b"12345")
    with part.open("ab") as late:
        fresh = receiver._own_part(part)
        late.write(b"late")
    assert fresh.read_bytes() == b"12345"


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.ENOMEM, "no memory"), (errno.EIO, "disk")],
)
def test_what_the_kernel_says_is_named(number: int, words: str) -> None:
    assert words in receiver._in_words(OSError(number, os.strerror(number), "/var/lib/lienxa"))
    found = reason_in(f"cp: error writing '/x': {os.strerror(number)}")
    assert found is not None
    assert words in found.message
    assert found.next_step


@contextmanager
def _cache(greeting: bytes) -> Iterator[int]:
    """Answers each piece with its greeting and the piece."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_answer, args=(client, greeting), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def _answer(client: socket.socket, greeting: bytes) -> Any:
    with client:
        while piece := client.recv(99):
            client.sendall(greeting + piece)
