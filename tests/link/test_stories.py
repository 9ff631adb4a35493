"""One machine, one line, one mishap each: what the engineer sees, what the machine did, how long it took to recover.

The runner is a stand-in that waits where the test wants it; SSH, sudo, systemd, receiver and shipping are real.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from commune import Commune, bad_lines
from proxy import Cut, Proxy, Sort, every
from stand_in import GO_ON, Shipping, bad_access, job, shipped, stand_in_kits, wait

from deploy.fleet.conversation import journal, status, stop
from deploy.fleet.kit import Kits
from deploy.fleet.links import Links
from deploy.fleet.patience import Patience
from deploy.fleet.updates import State

pytestmark = pytest.mark.lab

MACHINE = "gw1"
NOTICED = 15.0
"""Seconds within which a stall has to be noticed."""


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Kits:
    return stand_in_kits(tmp_path_factory.mktemp("content"))


@pytest.fixture
def line(commune: Commune) -> Iterator[Proxy]:
    commune.sh(MACHINE, f"rm -f {GO_ON}; systemctl stop lienxa-run 2>/dev/null || true")
    with bad_lines(commune, MACHINE) as proxy:
        yield proxy


def test_a_reset_in_mid_run_loses_no_event(commune: Commune, line: Proxy, kits: Kits) -> None:
    with shipped(job(commune, MACHINE, steps=6, wait_for=3), bad_access(commune, line), kits) as seen:
        wait(lambda: 3 in seen.seqs)
        cut = time.monotonic()
        assert line.cut(Sort.RESET)
        wait(lambda: State.LOST in seen.states)
        commune.sh(MACHINE, f"touch {GO_ON}")
    assert seen.after(cut, State.LOST) < 3
    assert seen.after(cut, State.DONE) < 15
    assert_whole(commune, seen, events=8)


def test_a_black_hole_in_mid_run_is_noticed_in_15_seconds(commune: Commune, line: Proxy, kits: Kits) -> None:
    with shipped(job(commune, MACHINE, steps=6, wait_for=3), bad_access(commune, line), kits) as seen:
        wait(lambda: 3 in seen.seqs)
        cut = time.monotonic()
        assert line.cut(Sort.BLACK_HOLE)
        commune.sh(MACHINE, f"touch {GO_ON}")  # the machine goes on without us
        wait(lambda: State.LOST in seen.states)
    assert 8 < seen.after(cut, State.LOST) < NOTICED
    assert seen.after(cut, State.DONE) < NOTICED + 10
    lost = next(update for update in seen.updates if update.state is State.LOST)
    assert re.match(r"reconnecting, machine last seen \d\d:\d\d:\d\d \(", lost.message)
    assert_whole(commune, seen, events=8)


@pytest.mark.parametrize("sort", list(Sort))
def test_an_upload_goes_on_where_it_was(commune: Commune, line: Proxy, kits: Kits, sort: Sort) -> None:
    commune.sh(MACHINE, "rm -rf /var/lib/lienxa/kit")
    way = line.lines[MACHINE]
    way.rate = 600_000
    with shipped(job(commune, MACHINE, steps=2), bad_access(commune, line), kits) as seen:
        wait(lambda: percents(seen, "runtime")[-1:] > [30])
        before = percents(seen, "runtime")[-1]
        line.cut(sort)
        wait(lambda: any("reconnecting" in update.message for update in seen.updates))
        known = len(percents(seen, "runtime"))
        wait(lambda: len(percents(seen, "runtime")) > known)
        way.rate = None
    # What was in the line's own buffers is lost, no more.
    assert percents(seen, "runtime")[known] >= before - 15
    assert_whole(commune, seen, events=4)


def test_a_line_that_is_cut_every_mb(commune: Commune, kits: Kits) -> None:
    commune.sh(MACHINE, "rm -rf /var/lib/lienxa/kit")
    with (
        bad_lines(commune, MACHINE, plan=every(kilobytes=1000)) as line,
        shipped(job(commune, MACHINE, steps=2), bad_access(commune, line), kits) as seen,
    ):
        pass
    assert len(line.made) >= 3
    assert_whole(commune, seen, events=4)


def test_a_line_that_is_reset_every_two_seconds_starts_the_run_once(commune: Commune, kits: Kits) -> None:
    with (
        bad_lines(commune, MACHINE, plan=every(seconds=2.0)) as line,
        shipped(job(commune, MACHINE, steps=30, pause=0.5), bad_access(commune, line), kits) as seen,
    ):
        pass
    assert len(line.made) >= 5
    assert_whole(commune, seen, events=32)


@pytest.mark.parametrize(
    "carried", [20, 2500, 8_000, 16_000], ids=["at the banner", "in the key exchange", "at the login", "at the hello"]
)
def test_a_black_hole_while_it_connects(commune: Commune, kits: Kits, carried: int) -> None:
    """The first connection stalls once it has carried so many bytes."""

    def first(name: str, number: int) -> Cut | None:
        return Cut(lambda: Sort.BLACK_HOLE, after_bytes=carried) if number == 0 else None

    with bad_lines(commune, MACHINE, plan=first) as line:
        begun = time.monotonic()
        with shipped(job(commune, MACHINE, steps=1), bad_access(commune, line), kits) as seen:
            pass
        assert time.monotonic() - begun < NOTICED + 15
    assert [made.sort for made in line.made] == [Sort.BLACK_HOLE]
    assert_whole(commune, seen, events=3)


def test_a_line_that_stays_away_for_a_while(commune: Commune, line: Proxy, kits: Kits) -> None:
    with shipped(job(commune, MACHINE, steps=4, wait_for=2), bad_access(commune, line), kits) as seen:
        wait(lambda: 2 in seen.seqs)
        line.lines[MACHINE].refuse = True
        line.cut(Sort.RESET)
        commune.sh(MACHINE, f"touch {GO_ON}")
        wait(lambda: seen.states.count(State.LOST) >= 4)
        back = time.monotonic()
        line.lines[MACHINE].refuse = False
    assert seen.after(back, State.DONE) < 20
    assert_whole(commune, seen, events=6)


def test_a_slow_line_with_long_round_trips(commune: Commune, line: Proxy, kits: Kits) -> None:
    way = line.lines[MACHINE]
    way.delay, way.rate = 0.4, 50_000
    with shipped(job(commune, MACHINE, steps=5), bad_access(commune, line), kits) as seen:
        pass
    assert State.LOST not in seen.states
    assert_whole(commune, seen, events=7)


def test_out_of_reach_to_the_deadline(commune: Commune, line: Proxy, kits: Kits) -> None:
    patience = Patience(deadline=8, seed=1)
    with shipped(job(commune, MACHINE, steps=4, wait_for=2), bad_access(commune, line), kits, patience) as seen:
        wait(lambda: 2 in seen.seqs)
        line.lines[MACHINE].refuse = True
        seen_at = time.monotonic()
        line.cut(Sort.RESET)
    assert time.monotonic() - seen_at < 30
    assert seen.states[-1] in {State.UNREACHABLE, State.FAILED}
    assert "lienxa attach" in seen.updates[-1].message or "--failed" in seen.updates[-1].message
    commune.sh(MACHINE, f"touch {GO_ON}")


def test_not_done_at_the_deadline_goes_on_there(commune: Commune, line: Proxy, kits: Kits) -> None:
    with shipped(
        job(commune, MACHINE, steps=4, wait_for=2), bad_access(commune, line), kits, Patience(deadline=6)
    ) as seen:
        pass
    assert seen.states[-1] is State.FAILED
    assert "not done within the deadline of 6 s" in seen.updates[-1].message
    with Links(bad_access(commune, line)) as links:
        assert status(links, MACHINE)["running"]
        commune.sh(MACHINE, f"touch {GO_ON}")
        wait(lambda: not status(links, MACHINE)["running"])


def test_the_same_order_is_attached_to_another_is_refused(commune: Commune, line: Proxy, kits: Kits) -> None:
    access = bad_access(commune, line)
    with shipped(job(commune, MACHINE, steps=4, wait_for=2), access, kits) as first:
        wait(lambda: 2 in first.seqs)
        with shipped(job(commune, MACHINE, steps=1), access, kits) as other:
            pass
        with shipped(job(commune, MACHINE, steps=4, wait_for=2), access, kits) as same:
            wait(lambda: 2 in same.seqs)
            commune.sh(MACHINE, f"touch {GO_ON}")
    assert other.states[-1] is State.FAILED
    assert "another run is on there, by an@laptop" in other.updates[-1].message
    assert "lienxa attach" in other.updates[-1].message
    assert any("attached to it" in update.message for update in same.updates)
    assert first.seqs == same.seqs == list(range(6))


def test_stop_does_not_wait_and_the_journal_says_so(commune: Commune, line: Proxy, kits: Kits) -> None:
    access = bad_access(commune, line)
    with shipped(job(commune, MACHINE, steps=4, wait_for=2), access, kits) as seen, Links(access) as links:
        wait(lambda: 2 in seen.seqs)
        begun = time.monotonic()
        stopping = stop(links, MACHINE)
        assert stopping is not None
        assert stopping["by"] == "an@laptop"
        assert time.monotonic() - begun < 10
        wait(lambda: not status(links, MACHINE)["running"])
        events, on = journal(links, MACHINE)
        assert not on
        assert stop(links, MACHINE) is None
    assert events[-1].event == "run_ended"
    assert "stopped" in seen.updates[-1].message


def test_packages_flow_again_after_a_black_hole(commune: Commune, line: Proxy, kits: Kits) -> None:
    """The dead connection still holds its port on the machine: the new one has another, which is the noted one."""
    with (
        _answering() as port,
        shipped(job(commune, MACHINE, port=port, steps=4, wait_for=2), bad_access(commune, line), kits) as seen,
    ):
        wait(lambda: 2 in seen.seqs)
        before = commune.sh(MACHINE, "cat /run/lienxa/package-port")
        assert _through(commune) == "from the laptop"
        line.cut(Sort.BLACK_HOLE)
        wait(lambda: commune.sh(MACHINE, "cat /run/lienxa/package-port") != before)
        assert _through(commune) == "from the laptop"
        commune.sh(MACHINE, f"touch {GO_ON}")
    assert_whole(commune, seen, events=6)


# ---------------------------------------------------------------------------------------------------- helpers


def assert_whole(commune: Commune, seen: Shipping, events: int) -> None:
    """Done; every event exactly once; and the machine has made one run of it."""
    assert seen.states[-1] is State.DONE, seen.updates[-1].message
    assert seen.seqs == list(range(events))
    started = next(update.event for update in seen.updates if update.event)
    written = commune.journals(MACHINE)
    assert len(written[started.run]) == events  # type: ignore[union-attr]
    begun = [run for run in written if run >= started.run]  # type: ignore[union-attr]
    assert begun == [started.run]  # type: ignore[union-attr]


def percents(seen: Shipping, kit: str) -> list[int]:
    said = [re.match(rf"kit {kit} (\d+) %", update.message) for update in list(seen.updates)]
    return [int(match[1]) for match in said if match]


class _answering:  # noqa: N801
    """A server on the laptop's loopback that greets and hangs up."""

    def __enter__(self) -> int:
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self._socket.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                client.sendall(b"from the laptop")


def _through(commune: Commune) -> str:
    ask = (
        'import socket,sys; s=socket.create_connection(("127.0.0.1",int(open("/run/lienxa/package-port").read())),5)'
    )
    return commune.sh(MACHINE, f"python3 -c '{ask}; print(s.recv(99).decode())'").strip()
