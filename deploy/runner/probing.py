"""Real packets to the commune's ports, from where this machine stands: what must answer, and what must not.

Standard library only: a vantage point needs python3 and nothing else.
"""

from __future__ import annotations

import errno
import secrets
import socket
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from deploy.inventory.role import Role
from deploy.order import Request
from deploy.probes import Probe
from deploy.runner.check_result import CheckResult, Ledger, apply_again
from deploy.runner.derived_checks import look_at_unit, named_purpose, serving_unit

TIMEOUT = 1.5
"""Seconds to wait for an answer: one retransmitted SYN fits in."""
_TRIES = {"tcp": 1, "udp": 2}
"""TCP retransmits by itself."""
_AT_ONCE = 32
_SOA, _IN, _RECURSION_DESIRED = 6, 1, 0x0100
_RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
_NTP_CLIENT = 0x23
"""No leap warning, version 4, mode 3 (RFC 5905, section 7.3)."""
_NTP_LENGTH = 48
_SAYS_NO = {
    errno.ECONNREFUSED: {"tcp": "it said no (RST)", "udp": "it said no (ICMP port unreachable)"},
    errno.ECONNRESET: {"tcp": "it said no (RST)", "udp": "it said no"},
    errno.EHOSTUNREACH: dict.fromkeys(("tcp", "udp"), "no way there (ICMP unreachable)"),
    errno.ENETUNREACH: dict.fromkeys(("tcp", "udp"), "no way there (ICMP unreachable)"),
    errno.EACCES: dict.fromkeys(("tcp", "udp"), "a router said no (ICMP prohibited)"),
}


@dataclass(frozen=True)
class Answer:
    """What came of a probe. `unsent`: the packet never left, so nothing is known."""

    outcome: Literal["reached", "refused", "unsent"]
    detail: str
    seconds: float = 0.0


class Probing:
    """The probes of a request, under way."""

    def __init__(self, request: Request, pending: list[tuple[Probe, Future[Answer]]]) -> None:
        self._request = request
        self._pending = pending

    def report(self, roles: Mapping[str, Role], ledger: Ledger) -> None:
        """Wait for each and write it down. `roles`: every card of the catalog, by name."""
        for probe, future in self._pending:
            ledger.add(judge(self._request, probe, future.result(), roles.get(probe.role)))


@contextmanager
def probing(request: Request) -> Iterator[Probing]:
    """Send all probes at once, while something else is done."""
    wanted = request.only_roles
    probes = [probe for probe in request.probes if not wanted or probe.role in wanted]
    domain = request.order.site.domain
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(probes)) or 1, thread_name_prefix="probe") as pool:
        try:
            yield Probing(request, [(probe, pool.submit(send, probe, domain)) for probe in probes])
        finally:
            pool.shutdown(cancel_futures=True)


def send(probe: Probe, domain: str, timeout: float = TIMEOUT) -> Answer:
    """One probe. `domain`: what a DNS probe asks for. `timeout` in seconds, for each try. Never raises."""
    started = perf_counter()
    try:
        outcome, detail = _send(probe, domain, timeout)
    except OSError as error:
        outcome, detail = "unsent", f"could not send: {error.strerror or error}"
    return Answer(outcome, detail, perf_counter() - started)


def judge(request: Request, probe: Probe, answer: Answer, role: Role | None) -> CheckResult:
    """Whether what came of a probe is what had to come of it."""
    unit = serving_unit(role, probe.port, probe.protocol)
    verb = "reaches" if probe.expect == "reached" else "is refused"
    service = f"{_topic(probe, unit)}: {probe.protocol} {_endpoint(probe)}"
    status: Literal["passed", "failed", "error"] = "passed" if answer.outcome == probe.expect else "failed"
    return CheckResult(
        role=probe.role,
        id=f"probe:{probe.target}:{probe.protocol}/{probe.port}@{probe.address}",
        sentence=f"{request.order.machine} {verb} {service}.",
        status="error" if answer.outcome == "unsent" else status,
        detail=answer.detail,
        next_step=_next_step(request, probe, answer, unit),
        seconds=answer.seconds,
    )


def _next_step(request: Request, probe: Probe, answer: Answer, unit: str | None) -> str:
    here, target = request.order.machine, probe.target
    if answer.outcome == "unsent":
        return f"On {here}: `ip route get {probe.address}` and `networkctl status`; it has no way to {target}."
    gateway = request.order.site.gateway.name
    if probe.expect == "refused":
        return (
            f"No card opens this port to where {here} stands: {apply_again(request, gateway)} and then "
            f"{apply_again(request, target)} put the firewalls right; `nft list ruleset` on both shows what is open."
        )
    between = "" if gateway == target else f" If that is well, the way there is not: {apply_again(request, gateway)}."
    return f"{look_at_unit(target, unit)}; then {apply_again(request, target, probe.role)}.{between}"


def _topic(probe: Probe, unit: str | None) -> str:
    named = named_purpose(probe.purpose, None)
    return f"{named} of {probe.target}" + (f" ({unit})" if named_purpose(named, unit) != named else "")


def _endpoint(probe: Probe) -> str:
    return f"[{probe.address}]:{probe.port}" if ":" in probe.address else f"{probe.address}:{probe.port}"


def _send(probe: Probe, domain: str, timeout: float) -> tuple[Literal["reached", "refused", "unsent"], str]:
    family = socket.AF_INET6 if ":" in probe.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as route:
        # Sends nothing; fails where this machine has no route. Without it, a machine that is not even connected would
        # pass every "is refused".
        route.connect((probe.address, probe.port))
    if probe.protocol == "tcp":
        return _connect(family, probe, timeout)
    if probe.how == "connect":
        return "unsent", "a UDP port says nothing to an empty packet: its card has to name a probe"
    silence = f"no answer in {_TRIES['udp'] * timeout:g} s"
    for _ in range(_TRIES["udp"]):
        try:
            return "reached", _ask(family, probe, domain, timeout)
        except TimeoutError:
            continue
        except OSError as error:
            return _refusal(error, "udp")
    return "refused", silence


def _connect(
    family: socket.AddressFamily, probe: Probe, timeout: float
) -> tuple[Literal["reached", "refused", "unsent"], str]:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect((probe.address, probe.port))
        except TimeoutError:
            return "refused", f"no answer in {timeout:g} s"
        except OSError as error:
            return _refusal(error, "tcp")
    return "reached", "connected"


def _refusal(error: OSError, protocol: str) -> tuple[Literal["reached", "refused", "unsent"], str]:
    said = _SAYS_NO.get(error.errno or 0)
    if said is None:
        raise error
    return "refused", said[protocol]


def _ask(family: socket.AddressFamily, probe: Probe, domain: str, timeout: float) -> str:
    """What was answered. Raises TimeoutError after `timeout` seconds of silence, OSError for an ICMP error."""
    identity = secrets.token_bytes(8)
    query = dns_query(identity[:2], domain) if probe.how == "dns" else ntp_query(identity)
    deadline = perf_counter() + timeout
    with socket.socket(family, socket.SOCK_DGRAM) as channel:
        channel.connect((probe.address, probe.port))
        channel.send(query)
        while (rest := deadline - perf_counter()) > 0:
            channel.settimeout(rest)
            packet = channel.recv(4096)
            said = _dns_answer(packet, identity[:2]) if probe.how == "dns" else _ntp_answer(packet, identity)
            if said:
                return said
    raise TimeoutError


def dns_query(identity: bytes, domain: str) -> bytes:
    """A question for the domain's SOA (RFC 1035, section 4)."""
    labels = [label.encode("idna") for label in domain.strip(".").split(".")]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return identity + struct.pack("!5H", _RECURSION_DESIRED, 1, 0, 0, 0) + name + struct.pack("!2H", _SOA, _IN)


def ntp_query(identity: bytes) -> bytes:
    """A client's packet; its transmit time is a random number that a server sends back as origin time."""
    return bytes([_NTP_CLIENT]) + bytes(_NTP_LENGTH - 1 - len(identity)) + identity


def _dns_answer(packet: bytes, identity: bytes) -> str:
    """Any answer to our question counts: the server is there."""
    if len(packet) < 12 or packet[:2] != identity or not packet[2] & 0x80:
        return ""
    code = packet[3] & 0x0F
    return f"answered {_RCODES[code] if code < len(_RCODES) else code}"


def _ntp_answer(packet: bytes, identity: bytes) -> str:
    if len(packet) < _NTP_LENGTH or packet[24:32] != identity:
        return ""
    return f"answered, stratum {packet[1]}"
