"""Probes against real servers on the loopback: what answers, what says no, what stays silent."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal
from unittest import mock

import pytest

from deploy.inventory.role import INSIDE, Options, Port, Role, Unit
from deploy.probes import Probe
from deploy.runner import probing
from deploy.runner.probing import Answer, dns_query, judge, ntp_query, send
from tests.unit.verify_data import request_for

DOMAIN = "xamau.gialai.gov.vn"
SHORT = 0.2
"""Seconds; enough on the loopback."""


def probe(
    port: int,
    how: Literal["connect", "dns", "ntp"] = "connect",
    expect: Literal["reached", "refused"] = "reached",
    protocol: Literal["tcp", "udp"] | None = None,
    address: str = "127.0.0.1",
) -> Probe:
    return Probe(
        target="gw1",
        address=address,
        port=port,
        protocol=protocol or ("tcp" if how == "connect" else "udp"),
        how=how,
        expect=expect,
        purpose="DNS",
        role="network",
    )


@contextmanager
def udp_server(answer: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """Answers every packet with these packets until the block ends; gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                packet, client = server.recvfrom(4096)
                if packet == b"stop":
                    return
                for reply in answer(packet):
                    server.sendto(reply, client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
            stopper.sendto(b"stop", server.getsockname())
        thread.join()


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def refused_by_dns(query: bytes) -> list[bytes]:
    """A spoofed answer first, then the true one: REFUSED, which is an answer all the same."""
    return [b"\0\0" + query[2:], query[:2] + struct.pack("!H", 0x8105) + query[4:]]


def test_a_connection_is_reached() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        answer = send(probe(server.getsockname()[1]), DOMAIN, SHORT)
    assert (answer.outcome, answer.detail) == ("reached", "connected")


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("connect", socket.SOCK_STREAM, "it said no (RST)"),
        ("dns", socket.SOCK_DGRAM, "it said no (ICMP port unreachable)"),
        ("ntp", socket.SOCK_DGRAM, "it said no (ICMP port unreachable)"),
    ],
)
def test_a_closed_port_says_no(how: Literal["connect", "dns", "ntp"], kind: socket.SocketKind, said: str) -> None:
    answer = send(probe(free_port(kind), how), DOMAIN, SHORT)
    assert (answer.outcome, answer.detail) == ("refused", said)


def test_a_full_queue_is_silence() -> None:
    """With its backlog full a listener drops SYNs, as a firewall does."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        answer = send(probe(server.getsockname()[1]), DOMAIN, SHORT)
    assert (answer.outcome, answer.detail) == ("refused", "no answer in 0.2 s")
    assert answer.seconds >= SHORT


def test_any_answer_to_our_own_dns_question_is_reached() -> None:
    with udp_server(refused_by_dns) as port:
        answer = send(probe(port, "dns"), DOMAIN)
    assert (answer.outcome, answer.detail) == ("reached", "answered REFUSED")


def test_an_answer_to_another_question_is_none() -> None:
    with udp_server(lambda query: [b"\0\0" + query[2:], query, b""]) as port:
        answer = send(probe(port, "dns"), DOMAIN, SHORT)
    assert (answer.outcome, answer.detail) == ("refused", "no answer in 0.4 s")


def test_a_lost_packet_is_sent_again() -> None:
    seen: list[bytes] = []

    def second_time(query: bytes) -> list[bytes]:
        seen.append(query)
        return refused_by_dns(query) if len(seen) == 2 else []

    with udp_server(second_time) as port:
        answer = send(probe(port, "dns"), DOMAIN, SHORT)
    assert answer.outcome == "reached"
    assert len(seen) == 2


def test_a_time_server_answers() -> None:
    with udp_server(lambda query: [bytes([0x24, 3]) + bytes(22) + query[40:48] + bytes(16)]) as port:
        answer = send(probe(port, "ntp"), DOMAIN)
    assert (answer.outcome, answer.detail) == ("reached", "answered, stratum 3")


def test_packets_are_as_the_standards_say() -> None:
    assert dns_query(b"\x12\x34", "xa.vn") == (
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02xa\x02vn\x00\x00\x06\x00\x01"
    )
    packet = ntp_query(b"12345678")
    assert len(packet) == 48
    assert (packet[0] >> 3 & 7, packet[0] & 7, packet[40:]) == (4, 3, b"12345678")


@pytest.mark.parametrize("expect", ["reached", "refused"])
def test_a_machine_without_a_way_out_passes_nothing(expect: Literal["reached", "refused"]) -> None:
    """Else a machine whose cable is out would be green for every 'is refused'."""
    down = mock.Mock(side_effect=OSError(errno.ENETUNREACH, "Network is unreachable"))
    with mock.patch.object(socket.socket, "connect", down):
        answer = send(probe(22, expect=expect, address="192.0.2.1"), DOMAIN, SHORT)
    result = judge(request_for("vp01"), probe(22, expect=expect), answer, None)
    assert (answer.outcome, result.status) == ("unsent", "error")
    assert result.detail == "could not send: Network is unreachable"
    assert result.next_step.startswith("On vp01: `ip route get 127.0.0.1`")


CARD = Role(
    name="network",
    summary="",
    options=Options,
    units=(Unit("unbound.service", "resolver"), Unit("chrony", "time")),
    ports=(Port(53, "udp", INSIDE, "DNS", probe="dns", unit="unbound.service"),),
)


def test_a_red_probe_names_the_service_its_machine_and_the_next_step() -> None:
    result = judge(request_for("vp01"), probe(53, "dns"), Answer("refused", "no answer in 3 s", 3.0), CARD)
    assert result.status == "failed"
    assert result.sentence == "vp01 reaches DNS of gw1 (unbound): udp 127.0.0.1:53."
    assert result.next_step == (
        "On gw1: `systemctl status unbound` and `journalctl -u unbound -n 50`; "
        "then `lienxa apply xa-mau --machine gw1 --role network`."
    )
    assert (result.id, result.role, result.seconds) == ("probe:gw1:udp/53@127.0.0.1", "network", 3.0)


def test_an_open_door_is_red() -> None:
    result = judge(request_for("kh01"), probe(53, "dns", "refused"), Answer("reached", "answered NOERROR"), CARD)
    assert (result.status, result.detail) == ("failed", "answered NOERROR")
    assert result.sentence == "kh01 is refused DNS of gw1 (unbound): udp 127.0.0.1:53."
    assert "`lienxa apply xa-mau --machine gw1`" in result.next_step


def test_all_are_sent_at_once_and_reported_in_order() -> None:
    """Thirty silences take as long as one."""
    gate = threading.Barrier(30, timeout=5)

    def together(asked: Probe, _domain: str) -> Answer:
        gate.wait()
        return Answer("refused", "no answer")

    request = request_for("kh01", probes=tuple(probe(port, expect="refused") for port in range(1, 31)))
    ledger = mock.Mock()
    with mock.patch.object(probing, "send", together), probing.probing(request) as pending:
        pending.report({}, ledger)
    assert [call.args[0].id for call in ledger.add.call_args_list] == [
        f"probe:gw1:tcp/{port}@127.0.0.1" for port in range(1, 31)
    ]
    assert {call.args[0].status for call in ledger.add.call_args_list} == {"passed"}


def test_only_the_roles_asked_for_are_probed() -> None:
    request = request_for("kh01", probes=(probe(1),)).model_copy(update={"only_roles": ("base",)})
    ledger = mock.Mock()
    with probing.probing(request) as pending:
        pending.report({}, ledger)
    ledger.add.assert_not_called()
