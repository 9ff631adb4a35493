"""What checks and doctors see of the network: DNS, DHCP, a clock, who answers to TLS. Standard library only."""

from __future__ import annotations

import errno
import json
import secrets
import socket
import ssl
import struct
import subprocess
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

Type = Literal["A", "NS", "SOA", "PTR", "MX", "TXT", "SRV"]
_TYPES: dict[Type, int] = {"A": 1, "NS": 2, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "SRV": 33}
_RCODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
_RECURSION_DESIRED, _AUTHENTIC = 0x0100, 0x0020
_MAGIC = bytes((99, 130, 83, 99))
"""What DHCP's options begin with (RFC 2131, section 3)."""
_DISCOVER, _OFFER = 1, 2
_SERVER_PORT, _CLIENT_PORT = 67, 68


_NTP_CLIENT = 0b00_100_011
"""Version 4, mode 3."""
_FROM_1900_TO_1970 = 2_208_988_800
"""Seconds."""


_REFUSED_ON_THE_WAY = {errno.EACCES, errno.EPERM, errno.EHOSTUNREACH, errno.ENETUNREACH}
"""What ICMP's "administratively prohibited" becomes (RFC 1812, 5.2.7.1), and what the machine's own filter says."""

Outcome = Literal["good", "no name", "blocked", "closed", "not believed"]


@dataclass(frozen=True)
class Knock:
    """How far somebody came with a server of TLS."""

    outcome: Outcome
    reason: str = ""
    """Why its certificate is not believed, in OpenSSL's words."""


@dataclass(frozen=True)
class Answer:
    """A resolver's answer. `values` are of the type asked for: addresses, text, names (lower case, no dot at
    the end); of MX and SRV the numbers stand before the name, as in a zone file."""

    code: str
    """`NOERROR`, `NXDOMAIN`, `SERVFAIL`, `REFUSED`, …"""
    values: tuple[str, ...]
    authentic: bool
    """Whether the resolver validated it by DNSSEC."""
    recursive: bool
    """Whether it offers recursion; a name that is blocked is answered without."""


@dataclass(frozen=True)
class Offer:
    """What a DHCP server offers."""

    address: IPv4Address
    server: IPv4Address


def knock(host: str, port: int, *, seconds: float = 10.0) -> Knock:
    """Connect as programs do, with whom the machine believes in; nothing is sent or asked for."""
    try:
        with (
            socket.create_connection((host, port), timeout=seconds) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host),
        ):
            return Knock("good")
    except socket.gaierror:
        return Knock("no name")
    except ssl.SSLCertVerificationError as error:
        return Knock("not believed", error.verify_message)
    except OSError as error:
        return Knock("blocked" if error.errno in _REFUSED_ON_THE_WAY else "closed")


def ask(server: str, name: str, kind: Type = "A", *, seconds: float = 4.0) -> Answer:
    """Ask a resolver over UDP, once more after half of the time. Raises TimeoutError; OSError where it is refused."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    for _ in range(2):
        identity = secrets.token_bytes(2)
        with socket.socket(family, socket.SOCK_DGRAM) as channel:
            channel.settimeout(seconds / 2)
            channel.connect((server, 53))
            channel.send(_query(identity, name, _TYPES[kind]))
            try:
                packet = channel.recv(4096)
            except TimeoutError:
                continue
        if packet[:2] == identity:
            return _answer(packet, _TYPES[kind])
    raise TimeoutError(f"{server} does not answer within {seconds:g} s")


def resolves(server: str, name: str) -> bool:
    """Whether the resolver has an answer, also that there is no such name."""
    try:
        return ask(server, name).code in {"NOERROR", "NXDOMAIN"}
    except OSError:
        return False


def outside_answers(resolver: str, domain: str) -> bool:
    """Whether the line works: a name below `domain` that nobody can have asked for is looked up."""
    return resolves(resolver, f"{secrets.token_hex(6)}.{domain}")


def interfaces() -> list[dict[str, Any]]:
    """The machine's interfaces with their addresses, as `ip -j address` has them."""
    told = subprocess.run(["ip", "-j", "address"], capture_output=True, text=True, check=True, timeout=20)
    found: list[dict[str, Any]] = json.loads(told.stdout)
    return found


def read_json(file: str) -> object:
    """What stands in a file of JSON; None where it is not there, or is none."""
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def unit_runs(unit: str) -> bool:
    """Whether systemd says that it is active."""
    return subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False, timeout=20).returncode == 0


def clock_offset(server: str, *, seconds: float = 3.0) -> float | None:
    """How many seconds the server's clock is ahead of ours (RFC 4330, section 5); None where it does not tell."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.settimeout(seconds)
        identity = secrets.token_bytes(8)
        try:
            channel.connect((server, 123))
            sent = time.time()
            channel.send(bytes([_NTP_CLIENT]) + bytes(39) + identity)
            packet = channel.recv(128)
            received = time.time()
        except OSError:
            return None
    if len(packet) < 48 or packet[24:32] != identity or packet[1] == 0:
        return None
    arrived, left = (_since_1970(packet[start : start + 8]) for start in (32, 40))
    return ((arrived - sent) + (left - received)) / 2


def _since_1970(stamp: bytes) -> float:
    """An NTP time stamp: seconds since 1900, and a fraction."""
    whole, fraction = struct.unpack("!2I", stamp)
    return float(whole) - _FROM_1900_TO_1970 + float(fraction) / 2**32


def reverse_name(address: str) -> str:
    """The name under which an address is looked up."""
    return IPv4Address(address).reverse_pointer


def offered(interface: str, mac: str, *, seconds: float = 4.0) -> Offer | None:
    """The first offer to a DHCPDISCOVER for this network card; None where nobody offers anything.

    Changes no lease: an offer that is not asked for is forgotten. Needs CAP_NET_RAW. Raises OSError without it.
    """
    card = bytes.fromhex(mac.replace(":", ""))
    transaction = secrets.token_bytes(4)
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as channel:
        channel.bind((interface, 0x0800))
        channel.send(_discover(card, transaction))
        while (rest := deadline - time.monotonic()) > 0:
            channel.settimeout(rest)
            try:
                offer = _offer(channel.recv(2048), transaction)
            except TimeoutError:
                break
            if offer:
                return offer
    return None


def _query(identity: bytes, name: str, kind: int) -> bytes:
    labels = [label.encode() for label in name.strip(".").split(".") if label]
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + struct.pack("!2H", kind, 1)
    # The AD bit in a question: tell me whether you validated (RFC 6840, section 5.7).
    return identity + struct.pack("!5H", _RECURSION_DESIRED | _AUTHENTIC, 1, 0, 0, 0) + question


def _answer(packet: bytes, kind: int) -> Answer:
    flags, questions, answers = struct.unpack("!3H", packet[2:8])
    offset = 12
    for _ in range(questions):
        offset = _name(packet, offset)[1] + 4
    values = []
    for _ in range(answers):
        offset = _name(packet, offset)[1]
        found, _, _, length = struct.unpack("!2HIH", packet[offset : offset + 10])
        offset += 10
        if found == kind:
            values.append(_value(packet, offset, length, kind))
        offset += length
    code = flags & 0x0F
    return Answer(
        code=_RCODES[code] if code < len(_RCODES) else str(code),
        values=tuple(values),
        authentic=bool(flags & _AUTHENTIC),
        recursive=bool(flags & 0x0080),
    )


def _value(packet: bytes, offset: int, length: int, kind: int) -> str:
    if kind == _TYPES["A"]:
        return str(IPv4Address(packet[offset : offset + length]))
    if kind == _TYPES["TXT"]:
        return _text(packet[offset : offset + length])
    numbers = {_TYPES["MX"]: 1, _TYPES["SRV"]: 3}.get(kind, 0)
    before = struct.unpack(f"!{numbers}H", packet[offset : offset + 2 * numbers])
    return " ".join([*map(str, before), _name(packet, offset + 2 * numbers)[0]])


def _text(data: bytes) -> str:
    """The strings of a TXT record put together."""
    parts, offset = [], 0
    while offset < len(data):
        parts.append(data[offset + 1 : offset + 1 + data[offset]])
        offset += 1 + data[offset]
    return b"".join(parts).decode(errors="replace")


def _name(packet: bytes, offset: int) -> tuple[str, int]:
    """A name, which may go on elsewhere (RFC 1035, section 4.1.4), and where what follows it begins."""
    labels, end = [], 0
    for _ in range(128):
        length = packet[offset]
        if length >= 0xC0:
            end = end or offset + 2
            offset = struct.unpack("!H", packet[offset : offset + 2])[0] & 0x3FFF
        elif length:
            labels.append(packet[offset + 1 : offset + 1 + length].decode(errors="replace").lower())
            offset += 1 + length
        else:
            return ".".join(labels), end or offset + 1
    raise ValueError("a name in the answer never ends")


def _discover(card: bytes, transaction: bytes) -> bytes:
    broadcast = 0x8000
    message = struct.pack("!4B4s2H16s16s", 1, 1, 6, 0, transaction, 0, broadcast, b"", card).ljust(236, b"\0")
    options = bytes((53, 1, _DISCOVER, 55, 2, 1, 3, 255))
    payload = (message + _MAGIC + options).ljust(300, b"\0")
    datagram = struct.pack("!4H", _CLIENT_PORT, _SERVER_PORT, 8 + len(payload), 0) + payload
    header = struct.pack("!2B3H2BH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return b"\xff" * 6 + card + b"\x08\x00" + header + datagram


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _offer(frame: bytes, transaction: bytes) -> Offer | None:
    start = 14 + (frame[14] & 0x0F) * 4 + 8 if len(frame) > 14 else len(frame)
    message = frame[start:]
    if len(message) < 240 or message[0] != 2 or message[4:8] != transaction or message[236:240] != _MAGIC:
        return None
    options = _options(message[240:])
    if options.get(53) != bytes([_OFFER]) or len(options.get(54, b"")) != 4:
        return None
    return Offer(address=IPv4Address(message[16:20]), server=IPv4Address(options[54]))


def _options(data: bytes) -> dict[int, bytes]:
    options, offset = {}, 0
    while offset + 1 < len(data) and data[offset] != 255:
        code = data[offset]
        if code == 0:
            offset += 1
            continue
        length = data[offset + 1]
        options[code] = data[offset + 2 : offset + 2 + length]
        offset += 2 + length
    return options
